//! The sharded map of actors in memory, and the claim on one of them.

#![allow(
    clippy::box_collection,
    reason = "a million idle actors have none of these: 8 bytes each are better than 24 or 32"
)]

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hashbrown::HashTable;
use host_journal::{Carry, Incarnation, Position};
use host_loader::State;
use host_model::ActorId;
use host_model::limits::FAULT_WINDOW;
use parking_lot::Mutex;

use crate::message::Message;
use crate::release::Code;

/// Locks on the map: far above the number of threads, so that two seldom meet.
const SHARDS: usize = 256;

/// Actors in memory.
#[derive(Debug)]
pub(crate) struct Slots {
    shards: Box<[Mutex<HashTable<Arc<Slot>>>]>,
    hasher: foldhash::fast::RandomState,
    awake: AtomicUsize,
}

/// One actor's place in memory. Stays as long as it is in the map.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: ActorId,
    pub(crate) inner: Mutex<Inner>,
}

/// What the slot's lock guards. The lock is held for moments only: a handler
/// runs on a [`Claim`], without it.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) phase: Phase,
    /// The state; none while claimed, or when it has to be built from the journal.
    pub(crate) live: Option<Live>,
    /// Messages that came while it was claimed. Allocated only then.
    queue: Option<Box<VecDeque<Message>>>,
    /// The last entry appended for this actor, and the journal's incarnation when
    /// that was last known not to be lost.
    pub(crate) at: At,
    /// The release generation that the state had come over to when it was last seen
    /// here: known also while it is claimed.
    pub(crate) generation: u32,
    /// Someone wanted to resume it before it was parked.
    resume_at_once: bool,
    /// Seconds since the process started, when it was last used.
    pub(crate) used_s: u32,
    /// When it faulted lately. Allocated only then.
    pub(crate) faults: Option<Box<VecDeque<Instant>>>,
}

/// Where an actor stands in the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At {
    pub(crate) position: Position,
    pub(crate) incarnation: Incarnation,
}

/// Who may touch the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Whoever comes first.
    Idle,
    /// The thread that has claimed it.
    Claimed,
    /// No one: it waits for the journal, or for room among the slow handlers, and
    /// whoever grants that takes the claim up again.
    Parked,
    /// No one ever: it has left the map. Look it up again.
    Gone,
}

/// An actor's state and what belongs to it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) state: State,
    pub(crate) code: Arc<Code>,
    /// Sequence of the last accepted command; 0 before the first.
    pub(crate) seq: u64,
    /// Time of the last accepted command, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// The release generation to which it has come over, or could not.
    pub(crate) generation: u32,
    /// Bytes of records since the last snapshot.
    pub(crate) tail_bytes: u32,
    /// Bytes of the last snapshot.
    pub(crate) snapshot_bytes: u32,
    /// False for an actor that has accepted nothing yet and leaves no trace.
    pub(crate) exists: bool,
    carries: Option<Box<Vec<Carry>>>,
}

/// The right to touch an actor's state, until it is given back. One that is
/// dropped instead (a panic of the host's own) costs the actor its state in
/// memory: the next message builds it anew.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) slot: Arc<Slot>,
    pub(crate) live: Option<Live>,
    pub(crate) at: At,
    given_back: bool,
}

/// What comes after a message.
pub(crate) enum After {
    /// Another one.
    Next(Claim, Message),
    /// Nothing; the claim is given back.
    Done,
    /// As `Done`, of an actor without a state in memory, or with nothing in it.
    Empty(Arc<Slot>),
}

/// What became of a message that wanted a claim.
pub(crate) enum Sent {
    /// The caller has the claim and the message.
    Claimed(Claim, Message),
    /// It waits in the queue.
    Queued,
    /// The queue is full.
    Full(Message),
}

/// What became of a message that was posted.
pub(crate) enum Posted {
    /// It waits, and the actor is to be resumed.
    Resume,
    /// It waits.
    Queued,
    /// The queue is full.
    Full(Message),
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            awake: AtomicUsize::new(0),
        }
    }

    pub(crate) fn awake(&self) -> usize {
        self.awake.load(Ordering::Relaxed)
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<Arc<Slot>>> {
        // The upper bits choose the shard; hashbrown uses the others.
        let index = usize::try_from(hash >> 40).unwrap_or_default() % SHARDS;
        &self.shards[index]
    }

    pub(crate) fn get(&self, id: &ActorId) -> Option<Arc<Slot>> {
        let hash = self.hasher.hash_one(id);
        let shard = self.shard(hash).lock();
        shard.find(hash, |slot| slot.id == *id).cloned()
    }

    /// The actor's slot, made if there is none and fewer than `most` are awake.
    pub(crate) fn get_or_make(&self, id: &ActorId, most: usize) -> Option<Arc<Slot>> {
        let hash = self.hasher.hash_one(id);
        let mut shard = self.shard(hash).lock();
        if let Some(slot) = shard.find(hash, |slot| slot.id == *id) {
            return Some(Arc::clone(slot));
        }
        if self.awake.fetch_add(1, Ordering::Relaxed) >= most {
            self.awake.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let slot = Arc::new(Slot {
            id: id.clone(),
            inner: Mutex::new(Inner {
                phase: Phase::Idle,
                live: None,
                queue: None,
                at: At::default(),
                generation: 0,
                resume_at_once: false,
                used_s: 0,
                faults: None,
            }),
        });
        shard.insert_unique(hash, Arc::clone(&slot), |slot| {
            self.hasher.hash_one(&slot.id)
        });
        Some(slot)
    }

    /// Takes the slot out of the map if `may_leave` still says so under its lock.
    pub(crate) fn remove_if(&self, slot: &Slot, may_leave: impl FnOnce(&Inner) -> bool) -> bool {
        let hash = self.hasher.hash_one(&slot.id);
        let mut shard = self.shard(hash).lock();
        let mut inner = slot.inner.lock();
        if inner.phase != Phase::Idle || !inner.queue_is_empty() || !may_leave(&inner) {
            return false;
        }
        inner.phase = Phase::Gone;
        inner.live = None;
        if let Ok(entry) = shard.find_entry(hash, |other| other.id == slot.id) {
            entry.remove();
            self.awake.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    /// The slots of one shard, for a pass over all: `0..Slots::SHARDS`.
    pub(crate) fn of_shard(&self, index: usize) -> Vec<Arc<Slot>> {
        self.shards[index].lock().iter().cloned().collect()
    }

    pub(crate) fn shards(&self) -> std::ops::Range<usize> {
        0..self.shards.len()
    }
}

impl Inner {
    /// Whether its faults still count against it.
    pub(crate) fn faulted_lately(&self) -> bool {
        let last = self.faults.as_ref().and_then(|faults| faults.back());
        last.is_some_and(|at| at.elapsed() < FAULT_WINDOW)
    }

    pub(crate) fn queue_is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.queue.get_or_insert_default().push_back(message);
    }

    pub(crate) fn push_front(&mut self, message: Message) {
        self.queue.get_or_insert_default().push_front(message);
    }

    /// The next message; the queue's memory goes with the last.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.queue.as_mut()?.pop_front();
        if message.is_none() {
            self.queue = None;
        }
        message
    }
}

impl Slot {
    /// Claims the actor for `message`, or queues it if fewer than `most` wait. None: the
    /// slot has left the map.
    pub(crate) fn send(self: &Arc<Self>, message: Message, most: usize) -> Result<Sent, Message> {
        let mut inner = self.inner.lock();
        match inner.phase {
            Phase::Gone => Err(message),
            Phase::Idle => Ok(Sent::Claimed(self.claim(&mut inner), message)),
            Phase::Claimed | Phase::Parked if inner.queue_len() >= most => Ok(Sent::Full(message)),
            Phase::Claimed | Phase::Parked => {
                inner.push(message);
                Ok(Sent::Queued)
            }
        }
    }

    /// Claims the actor if it is idle and its state in memory.
    pub(crate) fn try_claim_live(self: &Arc<Self>) -> Option<Claim> {
        let mut inner = self.inner.lock();
        (inner.phase == Phase::Idle && inner.live.is_some()).then(|| self.claim(&mut inner))
    }

    /// Takes up a claim that was parked. One that is about to be parked is taken up
    /// by whoever parks it.
    pub(crate) fn resume(self: &Arc<Self>) -> Option<Claim> {
        let mut inner = self.inner.lock();
        if inner.phase == Phase::Claimed {
            inner.resume_at_once = true;
        }
        (inner.phase == Phase::Parked).then(|| self.claim(&mut inner))
    }

    /// Queues `message`, and parks an idle actor with it. Runs no handler.
    pub(crate) fn post(self: &Arc<Self>, message: Message, most: usize) -> Result<Posted, Message> {
        let mut inner = self.inner.lock();
        match inner.phase {
            Phase::Gone => Err(message),
            Phase::Idle => {
                inner.push(message);
                inner.phase = Phase::Parked;
                Ok(Posted::Resume)
            }
            Phase::Claimed | Phase::Parked if inner.queue_len() >= most => {
                Ok(Posted::Full(message))
            }
            Phase::Claimed | Phase::Parked => {
                inner.push(message);
                Ok(Posted::Queued)
            }
        }
    }

    fn claim(self: &Arc<Self>, inner: &mut Inner) -> Claim {
        inner.phase = Phase::Claimed;
        Claim {
            slot: Arc::clone(self),
            live: inner.live.take(),
            at: inner.at,
            given_back: false,
        }
    }
}

impl Claim {
    /// The next message, or the claim's end: the state goes back into the slot.
    pub(crate) fn next_or_give_back(mut self, used_s: u32) -> After {
        let slot = Arc::clone(&self.slot);
        let mut inner = slot.inner.lock();
        if let Some(message) = inner.pop() {
            inner.generation = self.generation();
            drop(inner);
            return After::Next(self, message);
        }
        inner.used_s = used_s;
        let empty = self.live.as_ref().is_none_or(|live| !live.exists);
        self.put_back(&mut inner, Phase::Idle);
        drop(inner);
        if empty {
            After::Empty(slot)
        } else {
            After::Done
        }
    }

    /// Gives the state back, with a message that is to be handled first, and lets no
    /// one claim it until it is resumed. True: resume it at once.
    #[must_use]
    pub(crate) fn park(mut self, unhandled: Message) -> bool {
        let slot = Arc::clone(&self.slot);
        let mut inner = slot.inner.lock();
        inner.push_front(unhandled);
        let at_once = inner.resume_at_once;
        self.put_back(&mut inner, Phase::Parked);
        at_once
    }

    /// 0 for a state that is not in memory: it has come over to nothing.
    fn generation(&self) -> u32 {
        self.live.as_ref().map_or(0, |live| live.generation)
    }

    fn put_back(&mut self, inner: &mut Inner, phase: Phase) {
        inner.generation = self.generation();
        inner.live = self.live.take();
        inner.at = self.at;
        inner.phase = phase;
        inner.resume_at_once = false;
        self.given_back = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.given_back {
            let slot = Arc::clone(&self.slot);
            let mut inner = slot.inner.lock();
            self.live = None;
            self.put_back(&mut inner, Phase::Idle);
        }
    }
}

impl Live {
    pub(crate) fn new(state: State, code: Arc<Code>, generation: u32) -> Self {
        Self {
            state,
            code,
            seq: 0,
            time_ms: 0,
            generation,
            tail_bytes: 0,
            snapshot_bytes: 0,
            exists: false,
            carries: None,
        }
    }

    pub(crate) fn carries(&self) -> &[Carry] {
        self.carries.as_ref().map_or(&[], |carries| carries)
    }

    pub(crate) fn set_carries(&mut self, carries: Vec<Carry>) {
        self.carries = (!carries.is_empty()).then(|| Box::new(carries));
    }
}
