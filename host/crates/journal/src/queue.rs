//! What is appended and not yet decided: the one line in which entries stand.
//!
//! Everything that must agree about a failure changes under one lock: positions
//! are given, an entry of an older incarnation is refused, and a failed group
//! takes along all that stands behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use host_model::limits::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX, UNDURABLE_BYTES_MAX};
use parking_lot::{Condvar, Mutex};

use crate::error::{Overloaded, RefusedReason};
use crate::lost::LostRanges;
use crate::sealed::{Placed, Sealed};
use crate::{Incarnation, Position, Settled};

/// Shared by all callers and the writer.
pub(crate) struct Queue<T> {
    line: Mutex<Line<T>>,
    filled: Condvar,
    durable: AtomicU64,
    incarnation: AtomicU32,
    undurable_bytes: AtomicUsize,
    closed: AtomicBool,
}

struct Line<T> {
    /// What the next entry gets.
    next: Position,
    waiting: VecDeque<(Placed, T)>,
    lost: LostRanges,
    /// Why the journal closed without being told to.
    poison: Option<Arc<str>>,
}

/// What the writer takes in one go: entries that stand one behind the other, and
/// their tokens.
pub(crate) struct Batch<T> {
    pub(crate) entries: Vec<Placed>,
    pub(crate) tokens: Vec<T>,
}

impl<T> Batch<T> {
    /// Position of its first entry.
    pub(crate) fn first(&self) -> Position {
        self.entries
            .first()
            .expect("a batch is never empty")
            .position
    }

    /// Position of its last entry.
    pub(crate) fn last(&self) -> Position {
        self.entries
            .last()
            .expect("a batch is never empty")
            .position
    }

    /// What it counts for against the bound.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.iter();
        entries.map(|entry| entry.sealed.held_bytes()).sum()
    }
}

impl<T> Queue<T> {
    /// An empty line behind what the store has.
    pub(crate) fn new(last: Position) -> Self {
        Self {
            line: Mutex::new(Line {
                next: Position(last.0 + 1),
                waiting: VecDeque::new(),
                lost: LostRanges::default(),
                poison: None,
            }),
            filled: Condvar::new(),
            durable: AtomicU64::new(last.0),
            incarnation: AtomicU32::new(0),
            undurable_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Puts an entry at the end of the line.
    pub(crate) fn push(
        &self,
        incarnation: Incarnation,
        sealed: Sealed,
        token: T,
    ) -> Result<Position, (RefusedReason, T)> {
        let mut line = self.line.lock();
        if self.is_closed() {
            return Err((RefusedReason::Closed, token));
        }
        if incarnation < self.incarnation() {
            return Err((RefusedReason::StaleIncarnation, token));
        }
        let position = line.next;
        line.next.0 += 1;
        self.undurable_bytes
            .fetch_add(sealed.held_bytes(), Ordering::Relaxed);
        let placed = Placed { position, sealed };
        line.waiting.push_back((placed, token));
        drop(line);
        self.filled.notify_one();
        Ok(position)
    }

    /// Waits for entries and takes as many as make a group; `None` when the
    /// line is closed and empty.
    pub(crate) fn take(&self) -> Option<Batch<T>> {
        let mut line = self.line.lock();
        while line.waiting.is_empty() {
            if self.is_closed() {
                return None;
            }
            self.filled.wait(&mut line);
        }
        let waiting = line.waiting.iter().take(GROUP_RECORDS_MAX);
        let mut bytes = 0;
        // The entry that reaches the bound is the last one.
        let count = waiting
            .take_while(|(placed, _)| {
                let fits = bytes < GROUP_BYTES_MAX;
                bytes += placed.sealed.bytes;
                fits
            })
            .count();
        // Callers wait for the lock: as a rule nothing is copied under it, and the next
        // ones find as much room as was needed last.
        let mut behind = VecDeque::with_capacity(line.waiting.len());
        behind.extend(line.waiting.drain(count..));
        let taken = std::mem::replace(&mut line.waiting, behind);
        drop(line);
        let (entries, tokens) = taken.into_iter().unzip();
        Some(Batch { entries, tokens })
    }

    /// Publishes that everything up to `last` is decided and its last group durable.
    pub(crate) fn advance(&self, last: Position, bytes: usize) {
        self.durable.store(last.0, Ordering::Release);
        self.undurable_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes all that stands behind a failed group, raises the incarnation, and
    /// remembers what was lost. With `poison` the line is closed for good.
    pub(crate) fn fail(&self, failed: &Batch<T>, poison: Option<Arc<str>>) -> Vec<(Position, T)> {
        let mut line = self.line.lock();
        let last = Position(line.next.0 - 1);
        line.lost.push(failed.first(), last, self.incarnation());
        self.incarnation.fetch_add(1, Ordering::Release);
        if poison.is_some() {
            line.poison = poison;
            self.closed.store(true, Ordering::Release);
        }
        self.undurable_bytes.store(0, Ordering::Relaxed);
        line.waiting
            .drain(..)
            .map(|(placed, token)| (placed.position, token))
            .collect()
    }

    /// Refuses entries from now on; what is in the line stays for the writer.
    pub(crate) fn close(&self) {
        let _line = self.line.lock();
        self.closed.store(true, Ordering::Release);
        self.filled.notify_all();
    }

    /// Closes the line because of `why`; what is in it stays for the writer, who fails
    /// it. The first reason counts.
    pub(crate) fn break_off(&self, why: Arc<str>) {
        let mut line = self.line.lock();
        line.poison.get_or_insert(why);
        self.closed.store(true, Ordering::Release);
        self.filled.notify_all();
    }

    /// Closes the line because of `why`, and gives up what stands in it.
    pub(crate) fn poison(&self, why: Arc<str>) {
        let mut line = self.line.lock();
        line.poison.get_or_insert(why);
        self.closed.store(true, Ordering::Release);
        self.filled.notify_all();
        let given_up = std::mem::take(&mut line.waiting);
        // A token may use the journal when it is dropped.
        drop(line);
        drop(given_up);
    }

    /// See [`Journal::admit`](crate::Journal::admit).
    pub(crate) fn admit(&self) -> Result<(), Overloaded> {
        if self.is_closed() {
            return Err(Overloaded::Closed);
        }
        let (undurable, max) = (self.undurable_bytes(), UNDURABLE_BYTES_MAX);
        if undurable < max {
            Ok(())
        } else {
            Err(Overloaded::Full { undurable, max })
        }
    }

    pub(crate) fn undurable_bytes(&self) -> usize {
        self.undurable_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Acquire))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn poisoned(&self) -> Option<Arc<str>> {
        if !self.is_closed() {
            return None;
        }
        self.line.lock().poison.clone()
    }

    pub(crate) fn settled(&self, position: Position, since: Incarnation) -> Settled {
        settled(
            position,
            || self.durable(),
            || self.was_lost(position, since),
        )
    }

    pub(crate) fn was_lost(&self, position: Position, since: Incarnation) -> bool {
        // Without a failure since, there is nothing to look up.
        self.incarnation() > since && self.line.lock().lost.contains(position, since)
    }
}

/// What has become of a position. The end is read before it is asked what was lost: of
/// two groups that end meanwhile, the first may fail, and the second commit behind what
/// that has lost. Read the other way round, it would seem durable.
fn settled(
    position: Position,
    durable: impl FnOnce() -> Position,
    was_lost: impl FnOnce() -> bool,
) -> Settled {
    let durable = durable();
    if was_lost() {
        Settled::Lost
    } else if position <= durable {
        Settled::Durable
    } else {
        Settled::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Rows;

    #[test]
    fn what_is_lost_between_two_looks_never_seems_durable() {
        let queue = Queue::new(Position(0));
        let since = queue.incarnation();
        let push = |since| {
            let sealed = Sealed::new(Rows::default());
            queue.push(since, sealed, ()).unwrap()
        };
        let lost = push(since);
        // Between the two looks, whichever comes first.
        let looks = Cell::new(0);
        let look = || {
            if looks.replace(looks.get() + 1) == 1 {
                queue.fail(&queue.take().unwrap(), None);
                let behind = push(queue.incarnation());
                queue.advance(behind, queue.take().unwrap().bytes());
            }
        };
        let found = settled(
            lost,
            || {
                look();
                queue.durable()
            },
            || {
                look();
                queue.was_lost(lost, since)
            },
        );
        assert_eq!(found, Settled::Lost);
        assert!(queue.durable() > lost);
        assert_eq!(queue.settled(lost, since), Settled::Lost);
    }

    #[test]
    fn what_a_token_holds_counts_until_it_is_decided_and_makes_no_group_smaller() {
        let queue = Queue::new(Position(0));
        let rows = || Rows {
            beside: GROUP_BYTES_MAX,
            ..Rows::default()
        };
        for _ in 0..20 {
            let sealed = Sealed::new(rows());
            queue.push(Incarnation(0), sealed, ()).unwrap();
        }
        assert!(queue.undurable_bytes() > 20 * GROUP_BYTES_MAX);
        let full = Overloaded::Full {
            undurable: queue.undurable_bytes(),
            max: UNDURABLE_BYTES_MAX,
        };
        assert_eq!(queue.admit(), Err(full));
        let batch = queue.take().unwrap();
        assert_eq!(batch.entries.len(), 20);
        queue.advance(batch.last(), batch.bytes());
        assert_eq!((queue.admit(), queue.undurable_bytes()), (Ok(()), 0));
    }
}
