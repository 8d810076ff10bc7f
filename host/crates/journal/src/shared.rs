//! What callers and the writer share, and the figures that are counted there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::heads::Heads;
use crate::queue::Queue;
use crate::store::Group;
use crate::trouble::Health;

/// Shared by all callers and the writer.
pub(crate) struct Shared<T> {
    pub(crate) queue: Queue<T>,
    /// Of what is durable. Written by the writer alone.
    pub(crate) heads: RwLock<Heads>,
    /// Actors that exist durably. Written by the writer alone.
    pub(crate) known: AtomicU64,
    pub(crate) counters: Counters,
    pub(crate) health: Health,
    /// The journal has closed, and the next start alone will not help.
    pub(crate) must_look: AtomicBool,
}

/// Counted since the journal was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    groups: AtomicU64,
    groups_failed: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    commit_us: AtomicU64,
}

impl Counters {
    pub(crate) fn committed(&self, group: &Group<'_>, took: Duration) {
        let records = group.records.as_ref();
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.records
            .fetch_add(records.map_or(0, |it| it.count.into()), Ordering::Relaxed);
        self.bytes.fetch_add(
            records.map_or(0, |it| it.body.len() as u64),
            Ordering::Relaxed,
        );
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us.store(took_us, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.groups_failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The journal's figures, for metrics and `host status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups committed since it was opened.
    pub groups: u64,
    /// Groups that failed since it was opened.
    pub groups_failed: u64,
    /// Records committed since it was opened.
    pub records: u64,
    /// Bytes of the groups' bodies committed since it was opened.
    pub bytes: u64,
    /// How long the last commit took, microseconds.
    pub commit_us: u64,
    /// Bytes appended and not yet decided.
    pub undurable_bytes: usize,
    /// Actors that exist durably.
    pub known: u64,
    /// Actors with records that their last snapshot does not include.
    pub tail_actors: usize,
    /// Bytes of those records.
    pub tail_bytes: u64,
    /// Bytes from the oldest of those records to the end: what the next start reads.
    pub tail_span_bytes: u64,
    /// Bytes that the store takes on disk.
    pub store_bytes: u64,
}

impl<T> Shared<T> {
    pub(crate) fn stats(&self, store_bytes: u64) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let heads = self.heads.read();
        Stats {
            groups: read(&self.counters.groups),
            groups_failed: read(&self.counters.groups_failed),
            records: read(&self.counters.records),
            bytes: read(&self.counters.bytes),
            commit_us: read(&self.counters.commit_us),
            undurable_bytes: self.queue.undurable_bytes(),
            known: read(&self.known),
            tail_actors: heads.len(),
            tail_bytes: heads.tail_bytes(),
            tail_span_bytes: heads.span(),
            store_bytes,
        }
    }
}
