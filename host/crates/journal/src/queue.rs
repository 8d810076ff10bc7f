//! What is appended and not yet decided: the one line in which entries stand.
//!
//! Everything that must agree about a failure changes under one lock: positions
//! are given, an entry of an older incarnation is refused, and a failed group
//! takes along all that stands behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use host_model::limits::{
    GROUP_BYTES_MAX, GROUP_RECORDS_MAX, LINGER_BYTES, LINGER_ENTRIES, LINGER_MAX,
    UNDURABLE_BYTES_MAX,
};
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
    /// Of those: how many somebody waits for, and the bytes of all.
    hurried: usize,
    bytes: usize,
    lost: LostRanges,
    /// Why the journal closed without being told to.
    poison: Option<Arc<str>>,
}

impl<T> Line<T> {
    fn put(&mut self, placed: Placed, token: T) {
        self.hurried += usize::from(!placed.sealed.unhurried);
        self.bytes += placed.sealed.bytes;
        self.waiting.push_back((placed, token));
    }

    /// Whether it is to be waited for more to share a group with.
    fn may_linger(&self) -> bool {
        self.hurried == 0 && self.waiting.len() < LINGER_ENTRIES && self.bytes < LINGER_BYTES
    }

    /// Takes the first `count`. Callers wait for the lock: as a rule nothing is copied under
    /// it, and the next ones find as much room as was needed last.
    fn take(&mut self, count: usize) -> VecDeque<(Placed, T)> {
        let mut behind = VecDeque::with_capacity(self.waiting.len());
        behind.extend(self.waiting.drain(count..));
        let taken = std::mem::replace(&mut self.waiting, behind);
        let left = self.waiting.iter().map(|(placed, _)| &placed.sealed);
        self.bytes = left.clone().map(|sealed| sealed.bytes).sum();
        self.hurried = left.filter(|sealed| !sealed.unhurried).count();
        taken
    }
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
                hurried: 0,
                bytes: 0,
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
        line.put(Placed { position, sealed }, token);
        let is_awaited = line.waiting.len() == 1 || !line.may_linger();
        drop(line);
        if is_awaited {
            self.filled.notify_one();
        }
        Ok(position)
    }

    /// Waits for entries and takes as many as make a group; `None` when the
    /// line is closed and empty. What is in no hurry is waited with for a moment: a group
    /// costs a sync, however little is in it.
    pub(crate) fn take(&self) -> Option<Batch<T>> {
        let mut line = self.line.lock();
        while line.waiting.is_empty() {
            if self.is_closed() {
                return None;
            }
            self.filled.wait(&mut line);
        }
        let until = Instant::now() + LINGER_MAX;
        while line.may_linger() && !self.is_closed() {
            if self.filled.wait_until(&mut line, until).timed_out() {
                break;
            }
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
        let taken = line.take(count);
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
        let behind = line.waiting.len();
        let behind = line.take(behind).into_iter();
        behind
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
        let all = line.waiting.len();
        let given_up = line.take(all);
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
    fn what_nobody_waits_for_waits_for_more_but_not_for_a_closed_line() {
        let queue = Queue::new(Position(0));
        let push = |unhurried| {
            let rows = Rows {
                unhurried,
                ..Rows::default()
            };
            queue.push(Incarnation(0), Sealed::new(rows), ()).unwrap();
            queue.line.lock().may_linger()
        };
        assert!(push(true));
        assert!(!push(false), "somebody waits for the second");
        assert!(!push(true), "and so for what stands behind it");
        assert_eq!(queue.take().unwrap().entries.len(), 3);
        for _ in 1..LINGER_ENTRIES {
            assert!(push(true));
        }
        assert!(!push(true), "it is enough for a group");
        assert_eq!(queue.take().unwrap().entries.len(), LINGER_ENTRIES);

        // Alone it comes, too, when its time is over.
        assert!(push(true));
        assert_eq!(queue.take().unwrap().entries.len(), 1);
        assert!(push(true));
        queue.close();
        assert_eq!(queue.take().unwrap().entries.len(), 1);
        assert!(queue.take().is_none());
    }

    #[test]
    fn what_is_left_of_a_line_is_counted_anew() {
        let queue = Queue::new(Position(0));
        for unhurried in [false, true, true] {
            let rows = Rows {
                unhurried,
                ..Rows::default()
            };
            queue.push(Incarnation(0), Sealed::new(rows), ()).unwrap();
        }
        let mut line = queue.line.lock();
        assert_eq!(line.take(1).len(), 1);
        assert!(line.may_linger(), "nobody waits for the two");
        assert_eq!(line.take(2).len(), 2);
        assert_eq!((line.hurried, line.bytes), (0, 0));
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
