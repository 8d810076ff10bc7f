//! The sharded map of actors in memory, and the claim on one of them.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use hashbrown::HashTable;
use host_journal::{Incarnation, Position};
use host_model::limits::{FAULT_WINDOW, SWEEP_ACTOR_BYTES_UNKNOWN};
use host_model::{ActorId, Version};
use parking_lot::Mutex;

use crate::live::Live;
use crate::message::Message;
use crate::trace::Span;

/// Locks on the map: far above the number of threads, so that two seldom meet.
const SHARDS: usize = 256;

/// Actors in memory.
#[derive(Debug)]
pub(crate) struct Slots {
    shards: Box<[Mutex<HashTable<Arc<Slot>>>]>,
    hasher: foldhash::fast::RandomState,
    awake: AtomicUsize,
    left: AtomicU64,
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
    /// The state, which changes hands with each claim: so a pointer. None while claimed,
    /// or when it has to be built from the journal.
    pub(crate) live: Option<Box<Live>>,
    /// As when the actor was last seen here: known also while it is claimed.
    pub(crate) at: At,
    /// Someone wanted to resume it before it was parked.
    resume_at_once: bool,
    /// Seconds since the process started, when it was last used.
    pub(crate) used_s: u32,
    /// What an idle actor has none of. Allocated only then.
    rare: Option<Box<Rare>>,
}

/// The part of a slot that few have at a time.
#[derive(Debug, Default)]
struct Rare {
    /// Messages that came while it was claimed.
    queue: VecDeque<Message>,
    /// When it faulted lately, and in which version of its plugin.
    faults: VecDeque<(Instant, Option<Version>)>,
}

/// Where an actor stands: in the journal, and among the releases.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At {
    /// Of the last entry appended for it.
    pub(crate) position: Position,
    /// The journal's, when that entry was last known not to be lost.
    pub(crate) incarnation: Incarnation,
    /// The release generation to which the state in memory has come over, or could
    /// not. 0 without one: it has come over to nothing.
    pub(crate) generation: u32,
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

/// How an attempt to take an actor out of memory ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It has left.
    Left,
    /// Nothing has come since, but its claim was not given back yet.
    Busy,
    /// It is used.
    Moved,
}

/// The right to touch an actor's state, until it is given back. One that is
/// dropped instead (a panic of the host's own) costs the actor its state in
/// memory: the next message builds it anew.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) slot: Arc<Slot>,
    pub(crate) live: Option<Box<Live>>,
    pub(crate) at: At,
    /// The message that it is in, where somebody traces the actor.
    pub(crate) span: Option<Box<Span>>,
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
            left: AtomicU64::new(0),
        }
    }

    /// How often a slot has left the map.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::SeqCst)
    }

    pub(crate) fn awake(&self) -> usize {
        self.awake.load(Ordering::Relaxed)
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<Arc<Slot>>> {
        // The upper bits choose the shard; hashbrown uses the others.
        let index = usize::try_from(hash >> 40).unwrap_or_default() % SHARDS;
        &self.shards[index]
    }

    #[inline]
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
                at: At::default(),
                resume_at_once: false,
                used_s: 0,
                rare: None,
            }),
        });
        shard.insert_unique(hash, Arc::clone(&slot), |slot| {
            self.hasher.hash_one(&slot.id)
        });
        Some(slot)
    }

    /// Takes the slot out of the map if `may_leave` still says so under its lock.
    pub(crate) fn remove_if(&self, slot: &Slot, may_leave: impl FnOnce(&Inner) -> bool) -> bool {
        self.remove_if_at_rest(slot, |inner, at_rest| at_rest && may_leave(inner))
    }

    /// As [`Slots::remove_if`]; `may_leave` is told whether the slot is at rest, without
    /// which it must stay.
    fn remove_if_at_rest(&self, slot: &Slot, may_leave: impl FnOnce(&Inner, bool) -> bool) -> bool {
        let hash = self.hasher.hash_one(&slot.id);
        let mut shard = self.shard(hash).lock();
        let mut inner = slot.inner.lock();
        let at_rest = inner.phase == Phase::Idle && inner.queue_is_empty();
        if !may_leave(&inner, at_rest) {
            return false;
        }
        inner.phase = Phase::Gone;
        inner.live = None;
        if let Ok(entry) = shard.find_entry(hash, |other| other.id == slot.id) {
            entry.remove();
            self.awake.fetch_sub(1, Ordering::Relaxed);
            // Under the lock of its shard: who sees that it has left sees this.
            self.left.fetch_add(1, Ordering::SeqCst);
        }
        true
    }

    /// Takes the slot out of the map if what was appended at `position` is still its last.
    pub(crate) fn leave(&self, slot: &Slot, position: Position) -> Leaving {
        let mut leaving = Leaving::Moved;
        let left = self.remove_if_at_rest(slot, |inner, at_rest| {
            let unmoved = inner.at.position == position;
            let is_held = matches!(inner.phase, Phase::Claimed | Phase::Parked);
            if unmoved && is_held && inner.queue_is_empty() {
                leaving = Leaving::Busy;
            }
            unmoved && at_rest
        });
        match left {
            true => Leaving::Left,
            false => leaving,
        }
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
    /// What the holder of a claim takes along.
    #[inline]
    fn claim(&mut self) -> (Option<Box<Live>>, At) {
        self.phase = Phase::Claimed;
        (self.live.take(), self.at)
    }

    /// The end of a claim.
    #[inline]
    fn take_back(&mut self, live: Option<Box<Live>>, at: At, phase: Phase) {
        self.at = at.with(live.is_some());
        self.live = live;
        self.phase = phase;
        self.resume_at_once = false;
    }

    /// Takes note of a fault; how many there were lately in the same version, with this one.
    /// Those of another count no less once the actor is back in that.
    pub(crate) fn faulted(&mut self, version: Option<&Version>, now: Instant) -> usize {
        let faults = &mut self.rare.get_or_insert_default().faults;
        faults.push_back((now, version.cloned()));
        faults.retain(|(at, _)| now.duration_since(*at) < FAULT_WINDOW);
        let own = faults.iter().filter(|(_, by)| by.as_ref() == version);
        own.count()
    }

    /// Whether its faults still count against it.
    pub(crate) fn faulted_lately(&self) -> bool {
        let last = self.rare.as_ref().and_then(|rare| rare.faults.back());
        last.is_some_and(|(at, _)| at.elapsed() < FAULT_WINDOW)
    }

    pub(crate) fn forgive(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.faults.clear();
        }
    }

    pub(crate) fn queue_is_empty(&self) -> bool {
        self.queue_len() == 0
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.queue.len())
    }

    fn push(&mut self, message: Message) {
        let rare = self.rare.get_or_insert_default();
        rare.queue.push_back(message);
    }

    fn push_front(&mut self, message: Message) {
        let rare = self.rare.get_or_insert_default();
        rare.queue.push_front(message);
    }

    /// The next message; the queue's memory goes with the last.
    fn pop(&mut self) -> Option<Message> {
        let rare = self.rare.as_mut()?;
        let message = rare.queue.pop_front();
        if message.is_none() && !self.faulted_lately() {
            self.rare = None;
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
    #[inline]
    pub(crate) fn try_claim_live(self: Arc<Self>) -> Option<Claim> {
        let mut inner = self.inner.lock();
        if inner.phase != Phase::Idle || inner.live.is_none() {
            return None;
        }
        let (live, at) = inner.claim();
        drop(inner);
        Some(Claim::new(self, live, at))
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
    pub(crate) fn post(&self, message: Message, most: usize) -> Result<Posted, Message> {
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

    /// As [`Slot::post`], to an idle actor of which `may` holds; true: it is to be
    /// resumed. To any other it posts nothing.
    pub(crate) fn post_if(&self, message: Message, may: impl FnOnce(&Inner) -> bool) -> bool {
        let mut inner = self.inner.lock();
        let fits = inner.phase == Phase::Idle && may(&inner);
        if fits {
            inner.push(message);
            inner.phase = Phase::Parked;
        }
        fits
    }

    /// About what a snapshot of it would have; of one that runs it is not known.
    pub(crate) fn bytes_about(&self) -> usize {
        let inner = self.inner.lock();
        let bytes = |live: &Live| live.snapshot_bytes as usize + live.tail_bytes as usize;
        inner
            .live
            .as_deref()
            .map_or(SWEEP_ACTOR_BYTES_UNKNOWN, bytes)
    }

    fn claim(self: &Arc<Self>, inner: &mut Inner) -> Claim {
        let (live, at) = inner.claim();
        Claim::new(Arc::clone(self), live, at)
    }
}

impl At {
    #[inline]
    fn with(self, live: bool) -> Self {
        Self {
            generation: if live { self.generation } else { 0 },
            ..self
        }
    }
}

impl Claim {
    #[inline]
    fn new(slot: Arc<Slot>, live: Option<Box<Live>>, at: At) -> Self {
        Self {
            slot,
            live,
            at,
            span: None,
            given_back: false,
        }
    }

    /// The next message, or the claim's end: the state goes back into the slot.
    #[inline]
    pub(crate) fn next_or_give_back(mut self, used_s: u32) -> After {
        let mut inner = self.slot.inner.lock();
        if let Some(message) = inner.pop() {
            inner.at = self.at.with(self.live.is_some());
            drop(inner);
            return After::Next(self, message);
        }
        inner.used_s = used_s;
        let empty = self.live.as_ref().is_none_or(|live| !live.exists());
        inner.take_back(self.live.take(), self.at, Phase::Idle);
        self.given_back = true;
        drop(inner);
        if empty {
            After::Empty(Arc::clone(&self.slot))
        } else {
            After::Done
        }
    }

    /// Gives the state back, with a message that is to be handled first, and lets no
    /// one claim it until it is resumed. True: resume it at once.
    #[must_use]
    pub(crate) fn park(mut self, unhandled: Message) -> bool {
        let mut inner = self.slot.inner.lock();
        inner.push_front(unhandled);
        let at_once = inner.resume_at_once;
        inner.take_back(self.live.take(), self.at, Phase::Parked);
        self.given_back = true;
        at_once
    }
}

impl Drop for Claim {
    #[inline]
    fn drop(&mut self) {
        if !self.given_back {
            let mut inner = self.slot.inner.lock();
            inner.take_back(None, self.at, Phase::Idle);
        }
    }
}
