//! A sweep: everyone who has not come over yet, awake and asleep.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host_model::plan::StateChange;
use host_model::{ActorId, Version};
use parking_lot::Mutex;

use crate::Actors;
use crate::message::{Errand, Message};
use crate::release::Ruling;
use crate::rest::Room;
use crate::slots::{Phase, Slot};

/// Rows read at a time.
const PAGE: usize = 512;

/// Between two rounds.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Topics without an actor that have been told of a release: of one upgrade there are
/// several sweeps, and nobody is to hear of it twice.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<(u32, HashSet<ActorId>)>);

impl Told {
    /// Whether `id` has not been told of the release of this `generation`; from now on
    /// it has.
    fn is_news(&self, generation: u32, id: &ActorId) -> bool {
        let mut told = self.0.lock();
        if told.0 != generation {
            *told = (generation, HashSet::new());
        }
        told.1.insert(id.clone())
    }
}

/// What a sweep has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepProgress {
    /// Actors that it had to bring over.
    pub behind: u64,
}

impl Actors {
    /// Brings over whoever has not come, a few at a time, and waits for all of them.
    /// Runs until nobody is behind; with `stop_at_failure`, or until one fails. Who has
    /// failed is not tried again. Cancel safe.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn sweep(
        self: &Arc<Self>,
        stop_at_failure: bool,
    ) -> Result<SweepProgress, host_journal::ReadError> {
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
    ) -> Result<SweepProgress, host_journal::ReadError> {
        self.sweeps.fetch_add(1, Ordering::SeqCst);
        let _sweeping = Sweeping(&self.sweeps);
        let mut progress = SweepProgress::default();
        loop {
            let room = Room::new();
            let behind = self.sweep_awake(&room, plugin, stop_at_failure).await
                + self.sweep_asleep(&room, plugin, stop_at_failure).await?;
            // When all shares are back, all snapshots are durable.
            room.quiet().await;
            progress.behind += behind;
            if behind == 0 || self.stops(stop_at_failure) {
                break;
            }
            // Who is busy, or whose mailbox is full, is looked for again in a moment.
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        if plugin.is_none() {
            self.tell_empty_topics();
        }
        Ok(progress)
    }

    /// Whether a sweep has all actors write a snapshot anyway.
    pub(crate) fn is_sweeping(&self) -> bool {
        self.sweeps.load(Ordering::SeqCst) > 0
    }

    fn stops(&self, at_failure: bool) -> bool {
        at_failure && self.migrations.failed() > 0
    }

    async fn sweep_awake(
        self: &Arc<Self>,
        room: &Room,
        plugin: Option<&str>,
        stop_at_failure: bool,
    ) -> u64 {
        let mut swept = 0;
        for slot in self.behind_in_order(plugin).await {
            // Its next message has brought it over, maybe.
            if !self.is_behind(&slot) {
                continue;
            }
            if self.stops(stop_at_failure) {
                return swept;
            }
            swept += 1;
            let errand = errand(room, false).await;
            self.post_to(&slot, Message::Migrate(errand));
        }
        swept
    }

    /// Who in memory is behind, in the order of their ids, which is that of the store's
    /// index: so what is written in a row lies in a row, on the same pages.
    async fn behind_in_order(self: &Arc<Self>, plugin: Option<&str>) -> Vec<Arc<Slot>> {
        let (actors, plugin) = (Arc::clone(self), plugin.map(str::to_owned));
        let behind = tokio::task::spawn_blocking(move || {
            let slots = actors.slots.shards();
            let slots = slots.flat_map(|shard| actors.slots.of_shard(shard));
            let reign = actors.reign.load_full();
            let wanted = |slot: &Arc<Slot>| {
                is_of(plugin.as_deref(), slot.id.plugin()) && reign.is_called(&slot.id)
            };
            let slots = slots.filter(wanted);
            let mut behind: Vec<_> = slots.filter(|slot| actors.is_behind(slot)).collect();
            behind.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            behind
        });
        behind.await.expect("it compares, and runs no plugin")
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

    /// Whether an actor has a state in memory, which [`Actors::is_behind`] looks after.
    fn is_loaded(&self, id: &ActorId) -> bool {
        self.slots.get(id).is_some_and(|slot| {
            let inner = slot.inner.lock();
            inner.live.is_some() || matches!(inner.phase, Phase::Claimed | Phase::Parked)
        })
    }

    async fn sweep_asleep(
        self: &Arc<Self>,
        room: &Room,
        plugin: Option<&str>,
        stop_at_failure: bool,
    ) -> Result<u64, host_journal::ReadError> {
        let mut behind = 0;
        let reign = self.reign.load_full();
        let plugins = &reign.newest().plugins;
        for (name, ruling) in plugins.iter().filter(|it| is_of(plugin, it.0)) {
            let mut pass = self.journal.pass(name);
            loop {
                let page = tokio::task::block_in_place(|| pass.next_page(PAGE))?;
                if page.is_empty() {
                    break;
                }
                for listed in page {
                    let stays = !reign.is_called(&listed.id)
                        || !changes_shape(ruling, &listed.version)
                        || self.is_loaded(&listed.id)
                        || self.migrations.has_been_tried(&listed.id);
                    if stays {
                        continue;
                    }
                    if self.stops(stop_at_failure) {
                        return Ok(behind);
                    }
                    behind += 1;
                    let errand = errand(room, true).await;
                    self.post(&listed.id, Message::Migrate(errand));
                }
            }
        }
        Ok(behind)
    }

    /// Whoever has joined a topic without an actor behind it has come over with the release.
    fn tell_empty_topics(&self) {
        // Before the release: an older one only means that it is told of again.
        let generation = self.generation();
        let reign = self.reign.load_full();
        let release = reign.newest();
        for (name, ruling) in &release.plugins {
            let version = ruling.code.version();
            if release
                .before
                .get(name)
                .is_none_or(|before| before == version)
            {
                continue;
            }
            for id in self.audience.topics(name) {
                if !reign.is_called(&id) {
                    continue;
                }
                let known = tokio::task::block_in_place(|| self.journal.read(&id));
                if let Ok(None) = known
                    && self.told.is_news(generation, &id)
                {
                    self.audience.switched(&id, &release.version, version);
                }
            }
        }
    }
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

async fn errand(room: &Room, back_to_sleep: bool) -> Option<Errand> {
    let share = room.share().await;
    Some(Errand {
        share,
        back_to_sleep,
    })
}

/// A sweep runs until this is dropped.
struct Sweeping<'a>(&'a AtomicUsize);

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
