//! A sweep: everyone who has not come over yet, awake and asleep.

use std::sync::Arc;

use host_model::ActorId;
use host_model::limits::SWEEP_IN_FLIGHT_MAX;
use host_model::plan::StateChange;
use tokio::sync::Semaphore;

use crate::Actors;
use crate::message::{Errand, Message};
use crate::release::Ruling;
use crate::slots::Phase;

/// Rows read at a time.
const PAGE: usize = 512;

/// What a sweep has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepProgress {
    /// Actors that it had to bring over.
    pub behind: u64,
}

impl Actors {
    /// Brings over whoever has not come, a few at a time, and waits for all of them.
    /// Runs until nobody is behind, or until one fails. Cancel safe.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn sweep(self: &Arc<Self>) -> Result<SweepProgress, host_journal::ReadError> {
        let mut progress = SweepProgress::default();
        loop {
            let room = Arc::new(Semaphore::new(SWEEP_IN_FLIGHT_MAX));
            let behind = self.sweep_awake(&room).await + self.sweep_asleep(&room).await?;
            // All permits are back when all snapshots are durable.
            let all = u32::try_from(SWEEP_IN_FLIGHT_MAX).unwrap_or(u32::MAX);
            drop(room.acquire_many(all).await);
            progress.behind += behind;
            if behind == 0 || self.migrations.failed() > 0 {
                break;
            }
        }
        self.tell_empty_topics();
        Ok(progress)
    }

    async fn sweep_awake(self: &Arc<Self>, room: &Arc<Semaphore>) -> u64 {
        let mut behind = 0;
        for shard in self.slots.shards() {
            for slot in self.slots.of_shard(shard) {
                let came = {
                    let inner = slot.inner.lock();
                    let current = self.generation();
                    match (&inner.live, inner.phase) {
                        (Some(live), _) => live.generation == current,
                        (None, Phase::Claimed | Phase::Parked) => false,
                        (None, Phase::Idle | Phase::Gone) => true,
                    }
                };
                if came {
                    continue;
                }
                if self.migrations.failed() > 0 {
                    return behind;
                }
                behind += 1;
                let errand = errand(room, false).await;
                self.post_to(&slot, Message::Migrate(errand));
            }
        }
        behind
    }

    async fn sweep_asleep(
        self: &Arc<Self>,
        room: &Arc<Semaphore>,
    ) -> Result<u64, host_journal::ReadError> {
        let mut behind = 0;
        let release = self.release();
        for (name, ruling) in &release.plugins {
            let mut after: Option<ActorId> = None;
            loop {
                let page =
                    tokio::task::block_in_place(|| self.journal.list(name, after.as_ref(), PAGE))?;
                let Some(last) = page.last() else {
                    break;
                };
                after = Some(last.id.clone());
                for listed in page {
                    let stays = !changes_shape(ruling, &listed.version)
                        || self.is_awake(&listed.id)
                        || self.migrations.is_left_behind(&listed.id);
                    if stays {
                        continue;
                    }
                    if self.migrations.failed() > 0 {
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
        let release = self.release();
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
                let known = tokio::task::block_in_place(|| self.journal.read(&id));
                if let Ok(None) = known {
                    self.audience.switched(&id, &release.version, version);
                }
            }
        }
    }
}

/// Whether a state of `version` has to be rewritten to come over.
fn changes_shape(ruling: &Ruling, version: &host_model::Version) -> bool {
    if ruling.code.version() == version {
        return false;
    }
    ruling
        .route(version)
        .is_none_or(|route| route.hops.iter().any(|hop| hop.change != StateChange::Same))
}

async fn errand(room: &Arc<Semaphore>, back_to_sleep: bool) -> Option<Errand> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    Some(Errand {
        _permit: permit,
        back_to_sleep,
    })
}
