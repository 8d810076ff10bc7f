//! A sweep: everyone who has not come over yet, awake and asleep.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use host_journal::{Journal, PastTails, Position, ReadError};
use host_model::error::chain;
use host_model::limits::{SWEEP_ACTOR_BYTES_MIN, SWEEP_ACTOR_BYTES_UNKNOWN, SWEEP_BYTES_MAX};
use host_model::plan::StateChange;
use host_model::{ActorId, Version};
use parking_lot::Mutex;

use crate::Actors;
use crate::hindrance::{Away, Patience};
use crate::message::{Errand, Message};
use crate::release::Ruling;
use crate::rest::{Room, Share};
use crate::slots::{Phase, Slot};
use crate::token::Ticket;

/// Rows read at a time.
const PAGE: usize = 512;

/// Bytes of a batch, whose actors come over in one task, one behind the other: a part of
/// the room, so that others are under way while it is.
const BATCH_BYTES_MAX: usize = SWEEP_BYTES_MAX / 4;

/// Actors that are put in order before the first batch goes. The rest is put in order while
/// these come over, which of 100,000 takes some 70 ms.
const FIRST_IN_ORDER: usize = 4_096;

/// What the room of a sweep is counted in, bytes.
const SHARE_BYTES: usize = 1 << 10;

/// Between two rounds of which the second has found no fewer.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Where nobody who sleeps is behind: by plugin, in which generation that was found, and
/// how many slots had left memory when it was looked for. To look is to read the index of
/// all snapshots; as long as nobody leaves memory it need not be done again.
#[derive(Debug, Default)]
pub(crate) struct Searched(Mutex<BTreeMap<String, (u32, u64)>>);

impl Searched {
    fn holds(&self, plugin: &str, found: (u32, u64)) -> bool {
        self.0.lock().get(plugin) == Some(&found)
    }

    fn found(&self, plugin: &str, found: (u32, u64)) {
        self.0.lock().insert(plugin.to_owned(), found);
    }
}

/// Who is behind, and the bytes of its last snapshot.
type Behind = (ActorId, usize);

/// Who in memory is behind.
struct Awake {
    /// Those with the lowest ids, in the order of these.
    first: Vec<Behind>,
    /// All others.
    rest: Vec<Behind>,
    /// Plugins of which a slot has no state: its actor is asleep for this purpose.
    stateless: BTreeSet<String>,
}

impl Actors {
    /// Brings over whoever has not come, a few at a time, and waits for all of them.
    /// Runs until nobody is behind; with `stop_at_failure`, or until one fails. Who has
    /// failed is not tried again. A store that is away is waited for; without
    /// `stop_at_failure`, an actor fails that alone it does not give. Cancel safe.
    ///
    /// # Errors
    ///
    /// The journal cannot be read: it is damaged, or has not come back.
    pub async fn sweep(self: &Arc<Self>, stop_at_failure: bool) -> Result<(), ReadError> {
        self.sweep_of(None, stop_at_failure).await
    }

    /// As [`Actors::sweep`], of one plugin alone, if one is given.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn sweep_of(
        self: &Arc<Self>,
        plugin: Option<&str>,
        stop_at_failure: bool,
    ) -> Result<(), ReadError> {
        let _sweeping = self.begin_sweep();
        self.note_stranded().await;
        let mut before = u64::MAX;
        let mut patience = Patience::default();
        let until = Until {
            failure: stop_at_failure,
            away: Away::default(),
        };
        loop {
            let room = Room::of(SWEEP_BYTES_MAX / SHARE_BYTES);
            let migrated = self.migrations.migrated();
            let awake = self.look_through(plugin).await;
            let (awake, asleep) = tokio::join!(
                self.sweep_awake(awake.first, awake.rest, &room, &until),
                self.sweep_asleep(&awake.stateless, &room, plugin, &until),
            );
            let behind = awake + asleep?;
            // When all shares are back, all snapshots are durable.
            room.quiet().await;
            let away = until.away.take();
            if self.stops(&until) {
                break;
            }
            if let Some(mut unread) = away {
                // One that cannot be read fails no release: such a sweep ends as without a store.
                unread.is_whole |= stop_at_failure;
                let came = self.migrations.migrated().saturating_sub(migrated);
                let pause = self.wait_for_store(&mut patience, unread, came)?;
                tokio::time::sleep(pause).await;
                continue;
            }
            patience.renew();
            if behind == 0 {
                break;
            }
            // Who is busy, or whose mailbox is full, is looked for again in a moment; that
            // nobody is left, as a rule, is found out at once.
            if behind >= before {
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            before = behind;
        }
        if plugin.is_none() {
            self.tell_empty_topics().await;
        }
        Ok(())
    }

    /// Whether a sweep has all actors write a snapshot anyway.
    pub(crate) fn is_sweeping(&self) -> bool {
        self.sweeps.load(Ordering::SeqCst) > 0
    }

    fn begin_sweep(&self) -> Sweeping<'_> {
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        let mut shared = self.past.lock();
        let past = shared.upgrade();
        let past = past.unwrap_or_else(|| Arc::new(self.journal.past_tails()));
        *shared = Arc::downgrade(&past);
        Sweeping {
            actors: self,
            _past: past,
        }
    }

    /// What those who go back while a sweep runs have found together; without one, each
    /// searches for itself.
    pub(crate) fn past_tails(&self) -> Arc<PastTails> {
        self.past.lock().upgrade().unwrap_or_default()
    }

    fn stops(&self, until: &Until) -> bool {
        until.away.ends_round() || (until.failure && self.migrations.failed() > 0)
    }

    async fn sweep_awake(
        self: &Arc<Self>,
        first: Vec<Behind>,
        mut rest: Vec<Behind>,
        room: &Room,
        until: &Until,
    ) -> u64 {
        let rest = tokio::task::spawn_blocking(move || {
            rest.sort_unstable();
            rest
        });
        let mut batch = Batch::new(self, room, until);
        let mut add = async |behind: Vec<Behind>| {
            for (id, bytes) in behind {
                if self.stops(until) {
                    break;
                }
                batch.add(id, bytes, false).await;
            }
        };
        add(first).await;
        add(rest.await.expect("it compares, and runs no plugin")).await;
        batch.go().await
    }

    /// Looks through all that are in memory. Those that are behind come in the order of their
    /// ids, which is that of the store's index: so what is written in a row lies in a row, on
    /// the same pages.
    async fn look_through(self: &Arc<Self>, plugin: Option<&str>) -> Awake {
        let (actors, plugin) = (Arc::clone(self), plugin.map(str::to_owned));
        let look = tokio::task::spawn_blocking(move || {
            let slots = actors.slots.shards();
            let slots = slots.flat_map(|shard| actors.slots.of_shard(shard));
            let slots = slots.filter(|slot| is_of(plugin.as_deref(), slot.id.plugin()));
            let reign = actors.reign.load_full();
            let mut awake = Awake {
                first: Vec::new(),
                rest: Vec::new(),
                stateless: BTreeSet::new(),
            };
            for slot in slots.filter(|slot| reign.is_called(&slot.id)) {
                if actors.is_behind(&slot) {
                    awake.first.push((slot.id.clone(), slot.bytes_about()));
                } else if !is_loaded(&slot) && !awake.stateless.contains(slot.id.plugin()) {
                    awake.stateless.insert(slot.id.plugin().to_owned());
                }
            }
            if awake.first.len() > FIRST_IN_ORDER {
                awake.first.select_nth_unstable(FIRST_IN_ORDER);
                awake.rest = awake.first.split_off(FIRST_IN_ORDER);
            }
            awake.first.sort_unstable();
            awake
        });
        look.await.expect("it compares, and runs no plugin")
    }

    /// Whether an actor in memory has not come over, or its coming over was lost. One
    /// without a state is asleep for this purpose.
    pub(crate) fn is_behind(&self, slot: &Slot) -> bool {
        let inner = slot.inner.lock();
        let lost = inner.at.incarnation != self.journal.incarnation()
            && self
                .journal
                .was_lost(inner.at.position, inner.at.incarnation);
        let loaded = inner.live.is_some() || matches!(inner.phase, Phase::Claimed | Phase::Parked);
        let behind = loaded && (lost || inner.at.generation != self.generation());
        drop(inner);
        behind && !self.migrations.is_given_up(&slot.id)
    }

    async fn sweep_asleep(
        self: &Arc<Self>,
        stateless: &BTreeSet<String>,
        room: &Room,
        plugin: Option<&str>,
        until: &Until,
    ) -> Result<u64, ReadError> {
        let mut batch = Batch::new(self, room, until);
        let reign = self.reign.load_full();
        let plugins = &reign.newest().plugins;
        for (name, ruling) in plugins.iter().filter(|it| is_of(plugin, it.0)) {
            // Before it is looked for: who leaves meanwhile is looked for again.
            let found = (reign.generation, self.slots.left());
            if !stateless.contains(name) && self.searched.holds(name, found) {
                continue;
            }
            let mut nobody = true;
            let mut pass = self.journal.pass(name);
            loop {
                let page = match tokio::task::block_in_place(|| pass.next_page(PAGE)) {
                    Err(error) if error.may_pass() => {
                        until.away.found(None, error);
                        return Ok(batch.go().await);
                    }
                    page => page?,
                };
                if page.is_empty() {
                    break;
                }
                for listed in page {
                    let stays = !reign.is_called(&listed.id)
                        || !changes_shape(ruling, &listed.version)
                        || self.slots.get(&listed.id).is_some_and(|it| is_loaded(&it));
                    if stays {
                        continue;
                    }
                    // Whether it comes over is not known here.
                    nobody = false;
                    if self.migrations.has_been_tried(&listed.id) {
                        continue;
                    }
                    if self.stops(until) {
                        return Ok(batch.go().await);
                    }
                    batch.add(listed.id, SWEEP_ACTOR_BYTES_UNKNOWN, true).await;
                }
                // Those that are awake come over meanwhile.
                tokio::task::yield_now().await;
            }
            if nobody {
                self.searched.found(name, found);
            }
        }
        Ok(batch.go().await)
    }

    fn bring_over(
        self: &Arc<Self>,
        batch: Vec<(ActorId, u32, bool)>,
        mut room: Share,
        until: &Until,
    ) {
        let ids = batch.iter().map(|(id, ..)| id.clone());
        let timed = Arc::new(Timed::new(ids.collect()));
        for (id, share, back_to_sleep) in batch {
            if self.stops(until) {
                return;
            }
            let errand = room.split(share as usize).map(|share| Errand {
                share,
                back_to_sleep,
                timed: Arc::clone(&timed),
                away: until.away.clone(),
            });
            // Its next message has brought it over, maybe: then there is nothing to do.
            self.post_here(&id, Message::Migrate(errand));
        }
    }
}

/// Whether an actor has a state in memory, which [`Actors::is_behind`] looks after.
fn is_loaded(slot: &Slot) -> bool {
    let inner = slot.inner.lock();
    inner.live.is_some() || matches!(inner.phase, Phase::Claimed | Phase::Parked)
}

/// Whether `name` is the plugin that is meant; without one all are.
fn is_of(plugin: Option<&str>, name: &str) -> bool {
    plugin.is_none_or(|plugin| plugin == name)
}

/// Whether a state of `version` has to be rewritten to come over.
fn changes_shape(ruling: &Ruling, version: &Version) -> bool {
    if ruling.code.version() == version {
        return false;
    }
    ruling
        .route(version)
        .is_none_or(|route| route.hops.iter().any(|hop| hop.change != StateChange::Same))
}

/// What ends a round before everyone has come over.
#[derive(Debug, Clone)]
struct Until {
    /// Whether a migration that fails does.
    failure: bool,
    /// A store that is away does.
    away: Away,
}

/// Actors that come over in one task, one behind the other: one of each would cost more
/// than what it does.
struct Batch<'a> {
    actors: &'a Arc<Actors>,
    room: &'a Room,
    until: &'a Until,
    /// Each with its part of the room, and whether it sleeps.
    waiting: Vec<(ActorId, u32, bool)>,
    shares: u32,
    /// How many there were in all.
    count: u64,
}

impl<'a> Batch<'a> {
    fn new(actors: &'a Arc<Actors>, room: &'a Room, until: &'a Until) -> Self {
        Self {
            actors,
            room,
            until,
            waiting: Vec::new(),
            shares: 0,
            count: 0,
        }
    }

    /// Adds an actor whose snapshot has about so many bytes. A batch that is full goes.
    async fn add(&mut self, id: ActorId, bytes: usize, back_to_sleep: bool) {
        // No one waits for all of the room: some of it is always in an actor that is busy.
        let bytes = bytes.clamp(SWEEP_ACTOR_BYTES_MIN, BATCH_BYTES_MAX);
        let share = u32::try_from(bytes.div_ceil(SHARE_BYTES)).unwrap_or(u32::MAX);
        let is_full = (self.shares + share) as usize * SHARE_BYTES > BATCH_BYTES_MAX;
        if is_full {
            self.leave().await;
        }
        self.waiting.push((id, share, back_to_sleep));
        self.shares += share;
        self.count += 1;
    }

    /// What is left goes, too; how many there were.
    async fn go(mut self) -> u64 {
        self.leave().await;
        self.count
    }

    /// Starts the task, as soon as there is room.
    async fn leave(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let many = std::mem::take(&mut self.shares);
        if waiting.is_empty() {
            return;
        }
        let room = self.room.shares(many).await;
        let (actors, until) = (Arc::clone(self.actors), self.until.clone());
        let bring_over = move || actors.bring_over(waiting, room, &until);
        let sweepers = &self.actors.sweepers;
        match self.actors.migrations.something_hangs() {
            // Code that does not return may keep each of the threads that tasks have.
            true => drop(sweepers.spawn_blocking(bring_over)),
            false => drop(sweepers.spawn(async move { bring_over() })),
        }
    }
}

/// Which actors of a batch have timers: asked once for all of them, when the first has to
/// know.
#[derive(Debug)]
pub(crate) struct Timed {
    batch: Vec<ActorId>,
    /// None: the store did not say, and each asks for its own.
    answer: OnceLock<Option<(HashSet<ActorId>, Position)>>,
}

impl Timed {
    fn new(batch: Vec<ActorId>) -> Self {
        Self {
            batch,
            answer: OnceLock::new(),
        }
    }

    /// Whether an actor of the batch is known to have no timers, if what it appended last
    /// is at `position`.
    pub(crate) fn has_none(
        &self,
        journal: &Journal<Ticket>,
        id: &ActorId,
        position: Position,
    ) -> bool {
        let ask = || {
            let batch: Vec<_> = self.batch.iter().map(ActorId::as_str).collect();
            let answer = journal.with_timers(&batch);
            answer
                .inspect_err(|error| tracing::warn!(error = chain(error), "timers were not read"))
                .ok()
        };
        // Who comes while another asks waits as long.
        let wait = || tokio::task::block_in_place(|| self.answer.get_or_init(ask));
        let answer = self.answer.get().unwrap_or_else(wait);
        let Some((with, asked_at)) = answer else {
            return false;
        };
        position <= *asked_at && !with.contains(id)
    }
}

/// A sweep runs until this is dropped.
struct Sweeping<'a> {
    actors: &'a Actors,
    /// As long as it runs.
    _past: Arc<PastTails>,
}

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        self.actors.sweeps.fetch_sub(1, Ordering::SeqCst);
        self.actors.thinning.sweep_ended();
    }
}
