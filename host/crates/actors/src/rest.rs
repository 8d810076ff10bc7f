//! Rest: leaving memory, and keeping the journal's tail short.
//!
//! All of it is done in the background: what it appends shares groups with
//! commands, so there is only so much of it under way at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use host_journal::Rows;
use host_model::limits::{BACKGROUND_IN_FLIGHT_MAX, TAIL_SPAN_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Actors;
use crate::clock::monotonic_ms;
use crate::decide::Taken;
use crate::live::Live;
use crate::message::Message;
use crate::slots::{Claim, Inner, Leaving, Phase, Slot};
use crate::token::Token;
use crate::watchdog::named;

/// Between two looks at memory and the tail.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks from one to the next for idle actors and a long tail.
const LOOKS_FOR_IDLE: u32 = 10;

/// Actors that are asked for a snapshot before the tail is looked at again.
const TAILS_AT_ONCE_MAX: usize = 16_384;

/// How long a share of the room may be waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for what is done in the background.
#[derive(Debug)]
pub(crate) struct Room {
    shares: Arc<Semaphore>,
    most: u32,
}

/// A share of a [`Room`], until what it was taken for is durable, or has come to
/// nothing.
pub(crate) type Share = OwnedSemaphorePermit;

impl Room {
    /// For so much at once.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            shares: Arc::new(Semaphore::new(most)),
            most: u32::try_from(most).unwrap_or(u32::MAX),
        }
    }

    /// For as many actors as housekeeping has under way.
    fn of_housekeeping() -> Self {
        Self::of(BACKGROUND_IN_FLIGHT_MAX)
    }

    async fn share(&self) -> Share {
        self.shares(1).await
    }

    /// So much of it as one share, which can be split; of all there is, where that is less.
    pub(crate) async fn shares(&self, many: u32) -> Share {
        let shares = Arc::clone(&self.shares).acquire_many_owned(many.min(self.most));
        shares.await.expect("the semaphore is never closed")
    }

    /// Waits until all shares are back.
    pub(crate) async fn quiet(&self) {
        drop(self.shares.acquire_many(self.most).await);
    }
}

impl Actors {
    /// Writes what the journal needs to wake the claimed actor at once, and lets it
    /// leave memory when that is durable and nothing has come meanwhile.
    pub(crate) fn sleep(self: &Arc<Self>, claim: &mut Claim, share: Option<Share>) {
        let Some(live) = claim.live.as_mut().filter(|live| live.exists()) else {
            return;
        };
        let taken = match live.tail_bytes {
            0 => Taken::Failed,
            _ => self.take_watched(&claim.slot, live),
        };
        let token = Token::Asleep(Arc::clone(&claim.slot), share);
        match taken {
            Taken::Done(snapshot, desk) => {
                self.append_snapshot(claim, snapshot, desk, token);
            }
            Taken::Failed => self.append(claim, Rows::default(), token),
            // It stays awake, and is asked again.
            Taken::NoRoom => {}
        }
    }

    /// Writes a snapshot of the claimed actor. One that has not moved since the last has
    /// two of the same state then, and needs no older records.
    pub(crate) fn snapshot(self: &Arc<Self>, claim: &mut Claim, share: Share) {
        let Some(live) = claim.live.as_mut().filter(|live| live.exists()) else {
            return;
        };
        match self.take_watched(&claim.slot, live) {
            Taken::Done(snapshot, desk) => {
                self.append_snapshot(claim, snapshot, desk, Token::Kept(share));
            }
            Taken::NoRoom => self.ask_for_snapshot_later(&claim.slot, share),
            Taken::Failed => {}
        }
    }

    /// As [`Actors::take_snapshot`], outside a handler: the thread is known to run it.
    fn take_watched(&self, slot: &Arc<Slot>, live: &mut Live) -> Taken {
        let exporting = Arc::clone(&live.code().exporting);
        named(slot, &exporting, || self.take_snapshot(&slot.id, live))
    }

    /// Asks these actors for a snapshot, and waits until those are durable. False: some
    /// of them hang, and were given up.
    pub async fn refresh(self: &Arc<Self>, ids: Vec<host_model::ActorId>) -> bool {
        let room = Room::of_housekeeping();
        for id in ids {
            if let Some(slot) = self.slots.get_or_make(&id, usize::MAX) {
                let asked = self.ask_for(&room, &slot, Message::Snapshot, |_| true);
                if asked.await.is_none() {
                    return false;
                }
            }
        }
        tokio::time::timeout(PATIENCE, room.quiet()).await.is_ok()
    }

    /// Takes an actor that wants to leave out of memory, if what was appended at `position`
    /// is still its last. The claim on which it said so may not have been given back: then
    /// it is asked again behind that.
    pub(crate) fn stopped(self: &Arc<Self>, slot: &Arc<Slot>, position: host_journal::Position) {
        if self.slots.leave(slot, position) == Leaving::Busy {
            self.post_to(slot, Message::Sleep(None));
        }
    }

    /// Asks an actor for `what`, if it is idle and `may` still holds when there is room.
    /// None: there has been no room for so long that some of what was asked for hangs.
    async fn ask_for(
        self: &Arc<Self>,
        room: &Room,
        slot: &Arc<Slot>,
        what: impl FnOnce(Share) -> Message,
        may: impl FnOnce(&Inner) -> bool,
    ) -> Option<()> {
        let share = tokio::time::timeout(PATIENCE, room.share()).await.ok()?;
        if slot.post_if(what(share), may) {
            self.resume_soon(Arc::clone(slot));
        }
        Some(())
    }

    fn memory_is_short(&self) -> bool {
        self.memory.resident_bytes() > self.memory.most_bytes()
    }

    /// Puts the least recently used tenth of the actors to sleep.
    async fn make_room(self: &Arc<Self>, room: &Room) -> Option<()> {
        let mut used: Vec<(u32, Arc<Slot>)> = self
            .slots
            .shards()
            .flat_map(|shard| self.slots.of_shard(shard))
            .filter_map(|slot| {
                let inner = slot.inner.lock();
                let may = inner.phase == Phase::Idle && inner.live.is_some();
                may.then_some((inner.used_s, Arc::clone(&slot)))
            })
            .collect();
        let tenth = (used.len() / 10).max(1).min(used.len());
        if tenth < used.len() {
            used.select_nth_unstable_by_key(tenth, |(used_s, _)| *used_s);
        }
        for (used_s, slot) in used.into_iter().take(tenth) {
            let unused = |inner: &Inner| inner.live.is_some() && inner.used_s == used_s;
            self.ask_for(room, &slot, |share| Message::Sleep(Some(share)), unused)
                .await?;
        }
        Some(())
    }

    async fn put_idle_to_sleep(self: &Arc<Self>, room: &Room) -> Option<()> {
        let idle_s = u32::try_from(self.limits.idle_s()).unwrap_or(u32::MAX);
        let before = self.uptime_s(monotonic_ms()).checked_sub(idle_s)?;
        let unused = |inner: &Inner| inner.live.is_some() && inner.used_s < before;
        for shard in self.slots.shards() {
            for slot in self.slots.of_shard(shard) {
                let (idle, live) = {
                    let inner = slot.inner.lock();
                    let idle = inner.phase == Phase::Idle && inner.used_s < before;
                    (idle, inner.live.is_some())
                };
                if idle && live {
                    self.ask_for(room, &slot, |share| Message::Sleep(Some(share)), unused)
                        .await?;
                } else if idle {
                    // It crashed, and nobody has asked for it since.
                    self.forget_if_empty(&slot);
                }
            }
            tokio::task::yield_now().await;
        }
        Some(())
    }

    /// A start reads the journal from the oldest record that no snapshot covers: the
    /// actors that hold it back are asked for one. While a sweep has everyone write one
    /// there is patience, but not without end: a sweep may wait for an actor that hangs.
    async fn shorten_tail(self: &Arc<Self>, room: &Room) -> Option<()> {
        let most = match self.is_sweeping() {
            true => TAIL_SPAN_MAX * 4,
            false => TAIL_SPAN_MAX,
        };
        if self.journal.tail_span() <= most {
            return Some(());
        }
        // Those that hold back less are left alone, so that one actor whose tail
        // cannot end does not cost all the others a snapshot.
        let oldest = || {
            self.journal
                .oldest_tails(TAIL_SPAN_MAX / 2, TAILS_AT_ONCE_MAX)
        };
        for id in tokio::task::block_in_place(oldest) {
            if let Some(slot) = self.slots.get_or_make(&id, usize::MAX) {
                self.ask_for(room, &slot, Message::Snapshot, |_| true)
                    .await?;
            }
        }
        Some(())
    }
}

/// Looks after memory and the journal's tail, until the actors are gone.
pub(crate) async fn run(actors: Weak<Actors>) {
    let mut looks = 0_u32;
    let mut was_short = false;
    let memory_is_needed = match actors.upgrade() {
        Some(actors) => Arc::clone(&actors.memory_is_needed),
        None => return,
    };
    if let Some(actors) = actors.upgrade() {
        actors.tidy_pieces().await;
    }
    loop {
        // Without the actors: waiting must not keep them, and the store, open.
        let wanted = tokio::time::timeout(LOOK_EVERY, memory_is_needed.notified());
        let wanted = wanted.await.is_ok();
        let Some(actors) = actors.upgrade().filter(|actors| !actors.is_stopping()) else {
            return;
        };
        // One for each look: shares that hang in an actor are not missed for ever.
        let room = Room::of_housekeeping();
        let mut done = Some(());
        let short = actors.memory_is_short();
        if short && !was_short {
            tracing::warn!(
                resident_bytes = actors.memory.resident_bytes(),
                most_bytes = actors.memory.most_bytes(),
                "memory is short: actors are put to sleep, the least recently used first"
            );
        }
        was_short = short;
        if wanted || short || actors.slots.awake() > actors.limits.awake_max() / 10 * 9 {
            done = actors.make_room(&room).await;
        }
        if short {
            // What they have left behind, once they have.
            done = done.and(tokio::time::timeout(PATIENCE, room.quiet()).await.ok());
            tokio::task::block_in_place(|| actors.memory.give_back());
        }
        // At each look: commands to ever new actors lengthen it faster than one of ten
        // would shorten it.
        done = done.and(actors.shorten_tail(&room).await);
        actors.call_to_desk();
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_FOR_IDLE) {
            done = done.and(actors.put_idle_to_sleep(&room).await);
            actors.forget_answers().await;
            actors.tidy_pieces().await;
        }
        if done.is_none() {
            tracing::debug!("housekeeping did not get to its end, and is tried again");
        }
    }
}
