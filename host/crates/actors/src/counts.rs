//! What is counted of a plugin version's runs, and what came to it between two looks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use host_model::histogram::{BUCKETS, Histogram, bucket};
use host_model::limits::{FAULT_TEXT_CHARS_MAX, REASONS_MAX};
use parking_lot::Mutex;

use crate::release::{Code, EventStats};
use crate::{Actors, CallError};

/// Stands for reasons beyond [`REASONS_MAX`].
const OTHERS: &str = "(other)";

/// A histogram that any thread adds to.
#[derive(Debug)]
pub(crate) struct Recorder(Box<[AtomicU64]>);

/// What is counted of an event beside its runs: nothing here is touched by a run that
/// goes well and is not timed.
#[derive(Debug, Default)]
pub(crate) struct Detail {
    /// How long handlers took, in nanoseconds: of commands all, of queries some.
    pub(crate) took_ns: Recorder,
    /// Rejections by their reason.
    reasons: Mutex<BTreeMap<String, u64>>,
    /// What the last fault said.
    last_fault: Mutex<Option<String>>,
    /// Messages that became dead letters and were no fault.
    buried: AtomicU64,
}

/// The counts of a plugin version, at a moment or between two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By event.
    pub events: BTreeMap<String, EventCounts>,
}

/// See [`Counts::events`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Runs of its handler.
    pub calls: u64,
    /// Of them, ended in a fault.
    pub faults: u64,
    /// What the last of those said.
    pub last_fault: Option<String>,
    /// Ended in a rejection, by its reason.
    pub rejections: BTreeMap<String, u64>,
    /// Messages that became dead letters and were no fault.
    pub dead_letters: u64,
    /// How long the handler took, in nanoseconds, of those runs that were timed.
    pub took_ns: Histogram,
}

impl Default for Recorder {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Recorder {
    /// Counts a value so many times.
    pub(crate) fn record(&self, value: u64, times: u64) {
        self.0[bucket(value)].fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Histogram {
        Histogram::of(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

impl EventStats {
    /// A run ended in a fault that said this.
    pub(crate) fn faulted(&self, why: &str) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let said = why.chars().take(FAULT_TEXT_CHARS_MAX).collect();
        *self.detail.last_fault.lock() = Some(said);
    }

    /// Code of the plugin before or behind a handler ended in a fault: as if a run had.
    pub(crate) fn came_to_nothing(&self, why: &str) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.faulted(why);
    }

    /// A run ended in a rejection for this reason.
    pub(crate) fn rejected(&self, reason: &str) {
        self.rejections.fetch_add(1, Ordering::Relaxed);
        let mut reasons = self.detail.reasons.lock();
        if let Some(count) = reasons.get_mut(reason) {
            *count += 1;
            return;
        }
        let has_room = reasons.len() < REASONS_MAX;
        let reason = if has_room { reason } else { OTHERS };
        *reasons.entry(reason.to_owned()).or_default() += 1;
    }

    /// Takes note of why a message did not come as far as its handler, where the plugin
    /// says so.
    pub(crate) fn turned_away(&self, error: &CallError) {
        match error {
            CallError::Rejected(rejection) => self.rejected(&rejection.reason),
            CallError::Forbidden(_) => self.rejected(error.reason()),
            CallError::Crashed(why) => self.faulted(why),
            _ => {}
        }
    }

    /// A message became a dead letter, and was no fault.
    pub(crate) fn buried(&self) {
        self.detail.buried.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> EventCounts {
        EventCounts {
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            last_fault: self.detail.last_fault.lock().clone(),
            rejections: self.detail.reasons.lock().clone(),
            dead_letters: self.detail.buried.load(Ordering::Relaxed),
            took_ns: self.detail.took_ns.read(),
        }
    }
}

impl Code {
    /// What has been counted of it since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = |stats: &std::sync::Arc<EventStats>| (stats.name.to_string(), stats.counts());
        Counts {
            events: self.stats().map(counts).collect(),
        }
    }
}

impl Actors {
    /// Runs of handlers, of all plugins that rule or are ahead: whoever looks twice knows
    /// whether clients are served.
    #[must_use]
    pub fn runs(&self) -> u64 {
        let reign = self.reign.load();
        let rulings = reign.releases().flat_map(|it| it.plugins.values());
        let stats = rulings.flat_map(|ruling| ruling.code.stats());
        stats.map(|it| it.calls.load(Ordering::Relaxed)).sum()
    }
}

impl Counts {
    /// What has come to it since it was `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let none = EventCounts::default();
        let since = |(name, counts): (&String, &EventCounts)| {
            let earlier = earlier.events.get(name).unwrap_or(&none);
            (name.clone(), counts.since(earlier))
        };
        Self {
            events: self.events.iter().map(since).collect(),
        }
    }

    /// Runs, of all events.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.events.values().map(|event| event.calls).sum()
    }
}

impl EventCounts {
    fn since(&self, earlier: &Self) -> Self {
        let before = |reason: &String| earlier.rejections.get(reason).copied().unwrap_or(0);
        let reasons = self.rejections.iter();
        let faults = self.faults.saturating_sub(earlier.faults);
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            faults,
            last_fault: self.last_fault.clone().filter(|_| faults > 0),
            rejections: reasons
                .map(|(reason, count)| (reason.clone(), count.saturating_sub(before(reason))))
                .filter(|(_, count)| *count > 0)
                .collect(),
            dead_letters: self.dead_letters.saturating_sub(earlier.dead_letters),
            took_ns: self.took_ns.since(&earlier.took_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_between_two_looks_is_told_from_what_was_before() {
        let stats = EventStats::default();
        stats.rejected("early");
        stats.faulted("early");
        let earlier = stats.counts();
        assert_eq!(stats.counts().since(&earlier).last_fault, None);
        stats.rejected("late");
        stats.faulted("late");
        stats.buried();
        stats.detail.took_ns.record(7, 3);
        let since = stats.counts().since(&earlier);
        assert_eq!((since.faults, since.dead_letters), (1, 1));
        assert_eq!(since.last_fault.as_deref(), Some("late"));
        assert_eq!(since.rejections, [("late".to_owned(), 1)].into());
        assert_eq!(since.took_ns.count(), 3);
    }

    #[test]
    fn a_plugin_that_makes_reasons_up_takes_no_memory() {
        let stats = EventStats::default();
        for n in 0..10_000 {
            stats.rejected(&format!("reason-{n}"));
        }
        let counts = stats.counts();
        assert_eq!(counts.rejections.len(), REASONS_MAX + 1);
        assert_eq!(counts.rejections.values().sum::<u64>(), 10_000);
        stats.faulted(&"x".repeat(1_000_000));
        assert_eq!(
            stats.counts().last_fault.unwrap().len(),
            FAULT_TEXT_CHARS_MAX
        );
    }
}
