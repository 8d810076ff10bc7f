//! Handlers that may block: how many at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use host_model::limits::SLOW_HANDLERS_MAX;
use parking_lot::Mutex;

use crate::release::EventStats;
use crate::slots::Slot;

/// Room for handlers that are not proven fast. Each may hold a thread of the
/// blocking pool, so there is less of it than there are such threads.
#[derive(Debug, Default)]
pub(crate) struct Slow {
    in_use: AtomicUsize,
    /// Claims that wait for room, in order.
    waiting: Mutex<VecDeque<Arc<Slot>>>,
    /// How many do, to be looked at without the lock.
    waits: AtomicUsize,
}

/// How a handler may run.
pub(crate) enum Entered<'a> {
    /// Right here: it is proven fast.
    Fast,
    /// Where blocking is allowed.
    Slow(Room<'a>),
    /// Not now; the claim is to be parked, and will be resumed.
    NoRoom,
}

/// Room for one handler, until it is dropped.
#[must_use]
pub(crate) struct Room<'a>(&'a Slow);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slow {
    pub(crate) fn enter(&self, stats: &EventStats, slot: &Arc<Slot>) -> Entered<'_> {
        if stats.is_proven_fast() {
            return Entered::Fast;
        }
        if self.in_use.fetch_add(1, Ordering::SeqCst) < SLOW_HANDLERS_MAX {
            return Entered::Slow(Room(self));
        }
        {
            let mut waiting = self.waiting.lock();
            waiting.push_back(Arc::clone(slot));
            self.waits.store(waiting.len(), Ordering::SeqCst);
        }
        let room = self.in_use.fetch_sub(1, Ordering::SeqCst) <= SLOW_HANDLERS_MAX;
        // Whoever left since the count was taken has seen nobody waiting.
        if room && self.stop_waiting(slot) {
            return self.enter(stats, slot);
        }
        Entered::NoRoom
    }

    /// False: it waits no more, for its turn has come.
    fn stop_waiting(&self, slot: &Arc<Slot>) -> bool {
        let mut waiting = self.waiting.lock();
        let position = waiting.iter().position(|other| Arc::ptr_eq(other, slot));
        let stopped = position.is_some_and(|position| waiting.remove(position).is_some());
        self.waits.store(waiting.len(), Ordering::SeqCst);
        stopped
    }

    /// A claim that waits and now has room. Asked at the end of each turn, whether it
    /// took room or not: so the turn is passed on until nobody waits or all is taken.
    pub(crate) fn next_with_room(&self) -> Option<Arc<Slot>> {
        if self.waits.load(Ordering::SeqCst) == 0
            || self.in_use.load(Ordering::SeqCst) >= SLOW_HANDLERS_MAX
        {
            return None;
        }
        let mut waiting = self.waiting.lock();
        let next = waiting.pop_front();
        self.waits.store(waiting.len(), Ordering::SeqCst);
        next
    }
}
