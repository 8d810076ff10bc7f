//! Who has joined which topic, and what is told to all of them.
//!
//! Few are told at once, under the topic's lock. Many are told by a task of the topic, a
//! few at a time: between two portions others have their turn, so a call never waits for
//! ten thousand clients to be told of another one. What is told meanwhile waits, and goes
//! out together.

mod fan_out;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::HashMap;
use host_actors::{Actors, Audience, News};
use host_model::{ActorId, Version};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::TOLD_AT_ONCE_MAX;
use crate::outbound::{ConnectionId, Delivery, Live, Outbound};
use crate::phoenix::{self, Ref};
use crate::presence::Presences;
use crate::server::App;
use fan_out::Waiting;

/// Locks on the map: far above the number of threads, so that two seldom meet.
const SHARDS: usize = 256;

/// The subscribers of every topic.
///
/// A broadcast is encoded once for each version under which someone has joined; each
/// subscriber's queue takes a share of the same bytes. Telling never waits for a client:
/// one whose queue is over-full is dropped. Made before the actors, which it listens to.
///
/// ```
/// use host_actors::Audience;
/// use host_gateway::Hub;
///
/// let hub = Hub::new();
/// assert!(hub.topics("donations").is_empty());
/// ```
#[derive(Debug)]
pub struct Hub {
    shards: Box<[Mutex<Topics>]>,
    hasher: Hasher,
    pub(crate) presences: Presences,
    attached: OnceLock<Attached>,
    me: Weak<Self>,
}

type Hasher = foldhash::fast::RandomState;
type Topics = HashMap<ActorId, Topic, Hasher>;
/// In the order of their ids: who comes later stands behind.
type Subscribers = BTreeMap<ConnectionId, Arc<Outbound>>;

/// Where tasks run, and who knows the shapes of versions.
#[derive(Debug)]
struct Attached {
    actors: Weak<Actors>,
    tasks: TaskTracker,
    data: Handle,
    stop: CancellationToken,
}

/// A topic that someone has joined.
#[derive(Debug, Default)]
struct Topic {
    /// By the version of their join; a few at most.
    groups: Vec<Group>,
    /// There while a task tells the subscribers.
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug)]
struct Group {
    stamp: Version,
    subscribers: Subscribers,
}

/// Something that is told to all.
#[derive(Debug)]
enum Told {
    News(News),
    Switched { release: Version, plugin: Version },
    Crashed(Arc<str>),
}

impl Hub {
    /// A hub without subscribers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let hasher = Hasher::default();
        Arc::new_cyclic(|me| Self {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Topics::with_hasher(hasher.clone())))
                .collect(),
            hasher,
            presences: Presences::default(),
            attached: OnceLock::new(),
            me: me.clone(),
        })
    }

    /// Makes known where it runs, before anyone subscribes. Once.
    pub(crate) fn attach(&self, app: &App) {
        let attached = Attached {
            actors: Arc::downgrade(&app.actors),
            tasks: app.shared.tasks.clone(),
            data: app.data.clone(),
            stop: app.stop.clone(),
        };
        self.attached
            .set(attached)
            .expect("a hub belongs to one gateway");
    }

    /// Runs a task of the hub's on the data runtime.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(attached) = self.attached.get() {
            attached.tasks.spawn_on(task, &attached.data);
        }
    }

    /// Ends when the host begins to stop.
    pub(crate) async fn stopped(&self) {
        if let Some(attached) = self.attached.get() {
            attached.stop.cancelled().await;
        }
    }

    /// Subscribes a connection that joined under the version `stamp`; again, if it has
    /// joined anew.
    pub(crate) fn subscribe(&self, topic: &ActorId, stamp: &Version, outbound: &Arc<Outbound>) {
        let mut topics = self.shard(topic).lock();
        let topic = topics.entry(topic.clone()).or_default();
        topic.remove(outbound.id);
        let index = topic.groups.iter().position(|it| it.stamp == *stamp);
        let index = index.unwrap_or_else(|| {
            topic.groups.push(Group {
                stamp: stamp.clone(),
                subscribers: Subscribers::new(),
            });
            topic.groups.len() - 1
        });
        let subscribers = &mut topic.groups[index].subscribers;
        subscribers.insert(outbound.id, Arc::clone(outbound));
    }

    /// Ends a subscription. One that is not there is none to end.
    pub(crate) fn unsubscribe(&self, topic: &ActorId, connection: ConnectionId) {
        let mut topics = self.shard(topic).lock();
        if let Some(entry) = topics.get_mut(topic) {
            entry.remove(connection);
            if entry.is_over() {
                topics.remove(topic);
            }
        }
    }

    /// Tells every subscriber, in one order for all.
    fn tell(&self, id: &ActorId, told: impl FnOnce() -> Told) {
        let mut topics = self.shard(id).lock();
        let Some(topic) = topics.get_mut(id) else {
            return;
        };
        let told = told();
        if let Some(waiting) = &mut topic.waiting {
            waiting.push(told);
            return;
        }
        if topic.len() > TOLD_AT_ONCE_MAX || !topic.all_know(&told) {
            topic.waiting = Some(Box::new(Waiting::with(told)));
            let hub = self.me.upgrade().expect("who calls it holds it");
            return self.spawn(hub.fan_out(id.clone()));
        }
        let live = Arc::new(told.as_it_is(id));
        for group in &topic.groups {
            for outbound in group.subscribers.values() {
                outbound.push(Delivery::Live(Arc::clone(&live)));
            }
        }
    }

    fn shard(&self, topic: &ActorId) -> &Mutex<Topics> {
        let hash = self.hasher.hash_one(topic);
        // The low bits choose the place within a shard's map.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }
}

impl Topic {
    fn len(&self) -> usize {
        self.groups.iter().map(|it| it.subscribers.len()).sum()
    }

    /// Whether everyone has joined in the shape that it has.
    fn all_know(&self, told: &Told) -> bool {
        match told {
            Told::News(news) => self.groups.iter().all(|it| it.stamp == news.version),
            Told::Switched { .. } | Told::Crashed(_) => true,
        }
    }

    fn remove(&mut self, connection: ConnectionId) {
        for group in &mut self.groups {
            group.subscribers.remove(&connection);
        }
        self.groups.retain(|group| !group.subscribers.is_empty());
    }

    /// Whether nobody is there, and no task that would look.
    fn is_over(&self) -> bool {
        self.groups.is_empty() && self.waiting.is_none()
    }
}

impl Told {
    /// In the shape that it has.
    fn as_it_is(&self, topic: &ActorId) -> Live {
        match self {
            Self::News(news) => of_news(news),
            Self::Switched { release, plugin } => Live::Frame {
                topic: topic.clone(),
                frame: phoenix::release(topic.as_str(), release, plugin),
            },
            Self::Crashed(reason) => Live::Crashed {
                topic: topic.clone(),
                reason: Arc::clone(reason),
            },
        }
    }
}

fn of_news(news: &News) -> Live {
    Live::News {
        topic: news.actor.clone(),
        seq: news.seq,
        frame: phoenix::news(&Ref::none(), news),
    }
}

impl Audience for Hub {
    fn broadcast(&self, news: News) {
        let topic = news.actor.clone();
        self.tell(&topic, || Told::News(news));
    }

    fn switched(&self, actor: &ActorId, release: &Version, plugin: &Version) {
        self.tell(actor, || Told::Switched {
            release: release.clone(),
            plugin: plugin.clone(),
        });
    }

    fn crashed(&self, actor: &ActorId, reason: &str) {
        self.tell(actor, || Told::Crashed(reason.into()));
    }

    fn topics(&self, plugin: &str) -> Vec<ActorId> {
        let of_shard = |shard: &Mutex<Topics>| -> Vec<ActorId> {
            let topics = shard.lock();
            let joined = topics.iter().filter(|(_, topic)| !topic.groups.is_empty());
            let names = joined.map(|(name, _)| name);
            names
                .filter(|topic| topic.plugin() == plugin)
                .cloned()
                .collect()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }
}

#[cfg(test)]
mod tests;
