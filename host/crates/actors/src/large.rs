//! Large snapshots: written piece by piece while their actor is parked. Its own clients
//! wait, nobody else does.
//!
//! A [`Writing`] lies beside the state that it is of, and goes with it: a group that
//! fails on the way takes both, and the state is built anew. The next piece is appended
//! when the one before it is durable, so the line never has more than one of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use host_journal::{Pieces, Position, Rows, Snapshot};
use host_model::ActorId;
use host_model::error::chain;
use host_model::limits::{PIECES_STEP_MAX, SNAPSHOTS_IN_PIECES_MAX};
use parking_lot::Mutex;

use crate::Actors;
use crate::message::Message;
use crate::rest::Share;
use crate::slots::{Claim, Slot};
use crate::token::Token;
use crate::turn::Settled;
use crate::wake::NotWoken;

/// Stray pieces that are looked for at once.
const STRAYS_AT_ONCE: usize = 64 * PIECES_STEP_MAX;

/// How many large snapshots are written at once.
#[derive(Debug)]
pub(crate) struct Large {
    desks: Mutex<Desks>,
    /// How many wait, to be looked at without the lock.
    waits: AtomicUsize,
    /// Whether there may be pieces that no snapshot has.
    untidy: AtomicBool,
}

#[derive(Debug, Default)]
struct Desks {
    taken: Vec<Taken>,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Taken {
    by: ActorId,
    /// Where the journal ended when it was taken: its pieces stand behind that.
    since: Position,
    /// Whether nobody waits any more for who has taken it. Then another may; should it
    /// come back, it goes on all the same.
    is_let_go: bool,
}

/// Who waits for a desk.
#[derive(Debug)]
enum Waiting {
    /// A claim, which is parked.
    Claim(Arc<Slot>),
    /// Housekeeping: the actor itself goes on, and is asked again.
    Request(Arc<Slot>, Share),
}

/// Room for one large snapshot, until it is dropped.
#[derive(Debug)]
pub(crate) struct Desk {
    large: Arc<Large>,
    by: ActorId,
}

/// A snapshot that is being written.
#[derive(Debug)]
pub(crate) struct Writing {
    pieces: Pieces,
    /// What is written with the entry that makes it valid.
    beside: Rows,
    /// Rides with the entry that makes it valid.
    token: Token,
    came: Option<Came>,
    _desk: Desk,
}

/// Of a state that has come over: it counts when its snapshot stands in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    /// The release generation to which it came over.
    pub(crate) generation: u32,
    /// Since when messages wait for it.
    pub(crate) since: Instant,
    /// Whether it was a message that brought it over, and not the sweep.
    pub(crate) has_asked: bool,
}

impl Default for Large {
    fn default() -> Self {
        Self {
            desks: Mutex::default(),
            waits: AtomicUsize::new(0),
            // What a host that died has left.
            untidy: AtomicBool::new(true),
        }
    }
}

impl Large {
    fn take(
        self: &Arc<Self>,
        desks: &mut Desks,
        by: &ActorId,
        durable: impl Fn() -> Position,
    ) -> Option<Desk> {
        if desks.in_use() >= SNAPSHOTS_IN_PIECES_MAX {
            return None;
        }
        desks.taken.push(Taken {
            by: by.clone(),
            since: durable(),
            is_let_go: false,
        });
        Some(Desk {
            large: Arc::clone(self),
            by: by.clone(),
        })
    }

    /// Gives the desk of `id` to others, if it has one.
    fn let_go(&self, id: &ActorId) {
        let mut desks = self.desks.lock();
        let own = desks.taken.iter_mut().filter(|taken| taken.by == *id);
        own.for_each(|taken| taken.is_let_go = true);
    }

    fn wait(&self, desks: &mut Desks, who: Waiting) {
        desks.waiting.push_back(who);
        self.waits.store(desks.waiting.len(), Ordering::SeqCst);
    }

    /// Who waits and may find a desk now.
    fn next_with_desk(&self) -> Option<Waiting> {
        if self.waits.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut desks = self.desks.lock();
        if desks.in_use() >= SNAPSHOTS_IN_PIECES_MAX {
            return None;
        }
        let next = desks.waiting.pop_front();
        self.waits.store(desks.waiting.len(), Ordering::SeqCst);
        next
    }

    /// There may be pieces that no snapshot has.
    pub(crate) fn untidied(&self) {
        self.untidy.store(true, Ordering::SeqCst);
    }

    /// Pieces whose first one stands at or before this belong to no snapshot that is
    /// still being written: whoever begins one later begins it behind this.
    fn settled_through(&self, durable: impl Fn() -> Position) -> Position {
        let desks = self.desks.lock();
        let oldest = desks.taken.iter().map(|taken| taken.since).min();
        oldest.unwrap_or_else(durable)
    }
}

impl Desks {
    /// Those whose snapshots are waited for.
    fn in_use(&self) -> usize {
        self.taken.iter().filter(|taken| !taken.is_let_go).count()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let mut desks = self.large.desks.lock();
        if let Some(own) = desks.taken.iter().position(|taken| taken.by == self.by) {
            desks.taken.swap_remove(own);
        }
        // It has replaced another one, or has left its pieces behind.
        self.large.untidied();
    }
}

/// How many large snapshots there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeSnapshots {
    /// Those that are written now.
    pub under_way: u64,
    /// Those that wait for their turn.
    pub waiting: u64,
}

impl Actors {
    /// Large snapshots, now.
    #[must_use]
    pub fn large_snapshots(&self) -> LargeSnapshots {
        let desks = self.large.desks.lock();
        LargeSnapshots {
            under_way: desks.in_use() as u64,
            waiting: desks.waiting.len() as u64,
        }
    }

    /// Room for a large snapshot of this actor, if there is some.
    pub(crate) fn desk(&self, id: &ActorId) -> Option<Desk> {
        let mut desks = self.large.desks.lock();
        let durable = || self.journal.durable();
        self.large.take(&mut desks, id, durable)
    }

    /// Lets others have what this actor keeps from them: it is not waited for.
    pub(crate) fn let_go(self: &Arc<Self>, id: &ActorId) {
        self.last_words.let_go(id);
        self.large.let_go(id);
        self.call_to_desk();
    }

    /// Room for a large snapshot. None: not now; the claim is to be parked, and will be
    /// resumed.
    pub(crate) fn desk_or_wait(&self, slot: &Arc<Slot>) -> Option<Desk> {
        let mut desks = self.large.desks.lock();
        let durable = || self.journal.durable();
        let desk = self.large.take(&mut desks, &slot.id, durable);
        if desk.is_none() {
            let claim = Waiting::Claim(Arc::clone(slot));
            self.large.wait(&mut desks, claim);
        }
        desk
    }

    /// Has the actor asked for a snapshot again, when there is room.
    pub(crate) fn ask_for_snapshot_later(&self, slot: &Arc<Slot>, share: Share) {
        let request = Waiting::Request(Arc::clone(slot), share);
        self.large.wait(&mut self.large.desks.lock(), request);
    }

    /// Lets the next one that waits for a desk have its turn. Called at the end of each
    /// turn, for that may have given one back; and sometimes, for whatever else may.
    pub(crate) fn call_to_desk(self: &Arc<Self>) {
        match self.large.next_with_desk() {
            Some(Waiting::Claim(slot)) => self.resume_soon(slot),
            Some(Waiting::Request(slot, share)) => {
                self.post_to(&slot, Message::Snapshot(share));
            }
            None => {}
        }
    }

    /// Appends a snapshot of the claimed actor. Of a large one, for which there is a
    /// desk, only the first piece: the claim is to be parked then, see
    /// [`Actors::go_on_writing`].
    pub(crate) fn append_snapshot(
        self: &Arc<Self>,
        claim: &mut Claim,
        snapshot: Snapshot,
        desk: Option<Desk>,
        token: Token,
    ) {
        self.append_snapshot_beside(claim, snapshot, Rows::default(), desk, None, token);
    }

    /// As [`Actors::append_snapshot`]; `beside` is written with what makes it valid.
    pub(crate) fn append_snapshot_beside(
        self: &Arc<Self>,
        claim: &mut Claim,
        snapshot: Snapshot,
        beside: Rows,
        desk: Option<Desk>,
        came: Option<Came>,
        token: Token,
    ) {
        let Some(desk) = desk else {
            let rows = Rows {
                snapshot: Some(snapshot),
                ..beside
            };
            return self.append(claim, rows, token);
        };
        let pieces = tokio::task::block_in_place(|| Pieces::new(snapshot));
        if let Some(live) = claim.live.as_mut() {
            live.begin_writing(Writing {
                pieces,
                beside,
                token,
                came,
                _desk: desk,
            });
            self.write_on(claim);
        }
    }

    /// Goes on with the claimed actor's snapshot, if one is being written. True: it is
    /// not whole yet; the claim is to be parked, and will be resumed.
    pub(crate) fn go_on_writing(self: &Arc<Self>, claim: &mut Claim) -> bool {
        if !is_writing(claim) {
            return false;
        }
        if let Err(NotWoken::Wait) = self.ensure_awake(claim) {
            return true;
        }
        if is_writing(claim) && self.settled(claim) == Settled::Durable {
            self.write_on(claim);
            if claim.live.is_none() {
                // The journal would not have it: the state is built anew.
                self.resume_soon(Arc::clone(&claim.slot));
                return true;
            }
        }
        is_writing(claim)
    }

    /// Appends the next piece or, behind the last, what makes the snapshot valid.
    fn write_on(self: &Arc<Self>, claim: &mut Claim) {
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        let Some(rows) = live.writing().and_then(|writing| writing.pieces.next()) else {
            return self.write_end(claim);
        };
        let token = Token::Resume(Arc::clone(&claim.slot));
        self.append(claim, rows, token);
        let position = claim.at.position;
        // Without a state the journal did not take it.
        if let Some(writing) = claim.live.as_mut().and_then(|live| live.writing()) {
            writing.pieces.appended(position);
        }
    }

    fn write_end(self: &Arc<Self>, claim: &mut Claim) {
        let writing = claim.live.as_mut().and_then(|live| live.end_writing());
        let Some(writing) = writing else {
            return;
        };
        if let Some(came) = writing.came {
            claim.at.generation = came.generation;
            self.count_pause(claim, came.since, came.has_asked);
        }
        let rows = Rows {
            whole: writing.pieces.whole().whole,
            ..writing.beside
        };
        self.append(claim, rows, writing.token);
    }

    /// Removes pieces that no snapshot has, a few at a time, if there may be some.
    pub(crate) async fn tidy_pieces(&self) {
        if !self.large.untidy.swap(false, Ordering::SeqCst) {
            return;
        }
        if let Err(why) = self.remove_strays().await {
            self.large.untidy.store(true, Ordering::SeqCst);
            tracing::warn!(
                why,
                "pieces that no snapshot has could not be removed, and will be later"
            );
        }
    }

    async fn remove_strays(&self) -> Result<(), String> {
        // All that was appended before has been decided then: a snapshot that is valid
        // has its pieces.
        let decided = self.write_rows(Rows::default).await;
        decided.map_err(|lost| lost.to_string())?;
        let through = self.large.settled_through(|| self.journal.durable());
        loop {
            let look = || self.journal.stray_pieces(through, STRAYS_AT_ONCE);
            let strays = tokio::task::block_in_place(look).map_err(|error| chain(&error))?;
            if strays.is_empty() || self.is_stopping() {
                return Ok(());
            }
            tracing::debug!(
                pieces = strays.len(),
                "pieces that no snapshot has are removed"
            );
            for step in strays.chunks(PIECES_STEP_MAX) {
                let removed = self.write_rows(|| Rows {
                    pieces_removed: step.to_vec(),
                    ..Rows::default()
                });
                removed.await.map_err(|lost| lost.to_string())?;
            }
        }
    }
}

/// Whether a snapshot of the claimed actor is being written.
pub(crate) fn is_writing(claim: &Claim) -> bool {
    claim.live.as_ref().is_some_and(|live| live.is_writing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_return_keeps_no_desk_once_it_is_let_go() {
        let large = Arc::new(Large::default());
        let id = |key: &str| format!("faulty:{key}").parse::<ActorId>().unwrap();
        let take = |key: &str, at| {
            let mut desks = large.desks.lock();
            large.take(&mut desks, &id(key), || Position(at))
        };
        let hangs = take("a", 7).unwrap();
        let _other = take("b", 9).unwrap();
        assert!(take("c", 11).is_none());
        large.let_go(&id("c"));
        assert!(take("c", 11).is_none(), "it has none");
        large.let_go(&id("a"));
        let _own = take("c", 11).unwrap();
        assert!(take("d", 12).is_none());
        // What it may yet write is left alone.
        assert_eq!(large.settled_through(|| Position(12)), Position(7));
        drop(hangs);
        assert_eq!(large.settled_through(|| Position(12)), Position(9));
        assert!(take("d", 12).is_none(), "it had given its desk back");
    }
}
