//! Who has joined which topic, and what is told to all of them.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashMap;
use host_actors::Audience;
use host_model::{ActorId, Version};
use parking_lot::Mutex;
use serde_json::value::RawValue;

use crate::outbound::{ConnectionId, Delivery, Outbound};
use crate::phoenix;
use crate::ws::Encoded;

/// Locks on the map: far above the number of threads, so that two seldom meet.
const SHARDS: usize = 256;

/// The subscribers of every topic.
///
/// A broadcast is encoded once; each subscriber's queue takes a share of the
/// same bytes. Telling never waits for a client: one whose queue is over-full is
/// dropped. Made before the actors, which it listens to.
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
}

type Hasher = foldhash::fast::RandomState;
type Topics = HashMap<ActorId, Subscribers, Hasher>;
type Subscribers = HashMap<ConnectionId, Arc<Outbound>, Hasher>;

impl Hub {
    /// A hub without subscribers.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let hasher = Hasher::default();
        Arc::new(Self {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Topics::with_hasher(hasher.clone())))
                .collect(),
            hasher,
        })
    }

    /// Subscribes a connection.
    pub(crate) fn subscribe(&self, topic: &ActorId, outbound: &Arc<Outbound>) {
        let mut topics = self.shard(topic).lock();
        topics
            .entry(topic.clone())
            .or_insert_with(|| Subscribers::with_hasher(self.hasher.clone()))
            .insert(outbound.id, Arc::clone(outbound));
    }

    /// Ends a subscription. One that is not there is none to end.
    pub(crate) fn unsubscribe(&self, topic: &ActorId, connection: ConnectionId) {
        let mut topics = self.shard(topic).lock();
        if let Some(subscribers) = topics.get_mut(topic) {
            subscribers.remove(&connection);
            if subscribers.is_empty() {
                topics.remove(topic);
            }
        }
    }

    /// Tells every subscriber, in one order for all: under the shard's lock. What
    /// is told is made only if someone listens.
    fn tell<D: Fn() -> Delivery>(&self, topic: &ActorId, make: impl FnOnce() -> D) {
        let topics = self.shard(topic).lock();
        if let Some(subscribers) = topics.get(topic) {
            let delivery = make();
            for outbound in subscribers.values() {
                outbound.push(delivery());
            }
        }
    }

    fn tell_frame(&self, topic: &ActorId, encode: impl FnOnce() -> Encoded) {
        self.tell(topic, || {
            let frame = encode();
            move || Delivery::Frame(frame.clone())
        });
    }

    fn shard(&self, topic: &ActorId) -> &Mutex<Topics> {
        let hash = self.hasher.hash_one(topic);
        // The low bits choose the place within a shard's map.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }
}

impl Audience for Hub {
    fn broadcast(&self, actor: &ActorId, seq: u64, event: &str, payload: &RawValue) {
        self.tell_frame(actor, || {
            phoenix::broadcast(actor.as_str(), seq, event, payload)
        });
    }

    fn switched(&self, actor: &ActorId, release: &Version, plugin: &Version) {
        self.tell_frame(actor, || phoenix::release(actor.as_str(), release, plugin));
    }

    fn crashed(&self, actor: &ActorId, reason: &str) {
        self.tell(actor, || {
            let (topic, reason) = (actor.clone(), Arc::<str>::from(reason));
            move || Delivery::Crashed {
                topic: topic.clone(),
                reason: Arc::clone(&reason),
            }
        });
    }

    fn topics(&self, plugin: &str) -> Vec<ActorId> {
        let of_shard = |shard: &Mutex<Topics>| -> Vec<ActorId> {
            let topics = shard.lock();
            let names = topics.keys().filter(|topic| topic.plugin() == plugin);
            names.cloned().collect()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }
}

#[cfg(test)]
mod tests;
