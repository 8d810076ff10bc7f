//! The watchdog: which thread runs which handler, and for how long already.
//!
//! A run costs three stores and no lock, for a query takes not much longer than a
//! lock. So a thread notes addresses, not names; whoever asks looks for the actor
//! that lives at the address. It is there: a claimed actor does not leave the map.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use host_model::limits::HANDLER_WARN;
use host_model::{ActorId, Version};
use parking_lot::Mutex;

use crate::Actors;
use crate::clock::monotonic_ms;
use crate::release::{EventStats, OTHER};
use crate::slots::Slot;

/// Between two looks at what runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a thread is in that builds an actor from the journal.
pub(crate) const WAKING: &str = "(waking)";

/// What a thread is in that brings an actor over.
pub(crate) const MIGRATION: &str = "(migration)";

/// A handler that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Whose.
    pub actor: ActorId,
    /// What it handles; in brackets where that is no message of the plugin's.
    pub event: String,
    /// What it does, and in which version.
    pub work: Work,
    /// For how long already, right to some milliseconds.
    pub for_: Duration,
    /// For how long without a sign that it goes on: as long, where it gives none.
    pub still_for: Duration,
}

/// What a thread does for an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A handler runs, of this version.
    Handler(Version),
    /// A handler runs, of a version that the release which rules does not know.
    Unknown,
    /// The actor is built from the journal, or comes over to another version.
    Journey,
}

/// What one thread runs.
#[derive(Debug, Default)]
struct Runner {
    /// When it began, of the coarse clock; 0 for nothing. Stored last, read first.
    since_ms: AtomicU64,
    /// When it last gave a sign that it goes on. Of a run before it, where that was earlier.
    sign_ms: AtomicU64,
    slot: AtomicUsize,
    stats: AtomicUsize,
}

/// What each thread runs. Threads that have ended are dropped at the next look.
static RUNNERS: Mutex<Vec<Weak<Runner>>> = Mutex::new(Vec::new());

thread_local! {
    static RUNNER: OnceCell<Arc<Runner>> = const { OnceCell::new() };
}

/// Runs a handler of `slot`, which the thread is known to run since `now_ms` of the
/// monotonic clock, and takes note of how long it took.
#[inline]
pub(crate) fn watch<T>(
    slot: &Arc<Slot>,
    stats: &Arc<EventStats>,
    now_ms: u64,
    handler: impl FnOnce() -> T,
) -> T {
    // Not around the handler: its answer would be copied on its way out of `with`.
    RUNNER.with(|runner| runner.get_or_init(Runner::new).begin(slot, stats, now_ms));
    let _run = Run {
        stats,
        began_ms: now_ms,
        timed: stats.time(),
        _named: Named,
    };
    handler()
}

/// Runs `work` of the host's own on an actor's behalf, which may be code of a plugin's:
/// the thread is known to run it, as a handler. Who calls takes note of its time.
pub(crate) fn named<T>(slot: &Arc<Slot>, stats: &Arc<EventStats>, work: impl FnOnce() -> T) -> T {
    RUNNER.with(|runner| {
        let runner = runner.get_or_init(Runner::new);
        runner.begin(slot, stats, monotonic_ms());
    });
    let _named = Named;
    work()
}

/// What this thread runs goes on: one of the many pieces of plugin's code is over that it
/// consists of.
pub(crate) fn goes_on() {
    RUNNER.with(|runner| {
        if let Some(runner) = runner.get() {
            runner.sign_ms.store(monotonic_ms(), Ordering::Relaxed);
        }
    });
}

/// A thread runs a handler until this is dropped.
struct Run<'a> {
    stats: &'a EventStats,
    began_ms: u64,
    /// Of the exact clock, where it is looked at.
    timed: Option<Instant>,
    _named: Named,
}

impl Drop for Run<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(timed) = self.timed {
            self.stats.timed(timed);
        }
        self.stats.ran(self.began_ms, monotonic_ms());
    }
}

/// A thread is known to run something until this is dropped.
struct Named;

impl Drop for Named {
    #[inline]
    fn drop(&mut self) {
        RUNNER.with(|runner| runner.get().map(|runner| runner.end()));
    }
}

impl Runner {
    /// This thread's, which the watchdog looks at from now on.
    #[cold]
    fn new() -> Arc<Self> {
        let runner = Arc::new(Self::default());
        RUNNERS.lock().push(Arc::downgrade(&runner));
        runner
    }

    #[inline]
    fn begin(&self, slot: &Arc<Slot>, stats: &Arc<EventStats>, now_ms: u64) {
        // What follows is not seen before the end of the run before it.
        fence(Ordering::Release);
        let (slot, stats) = (Arc::as_ptr(slot).addr(), Arc::as_ptr(stats).addr());
        self.slot.store(slot, Ordering::Relaxed);
        self.stats.store(stats, Ordering::Relaxed);
        self.since_ms.store(now_ms.max(1), Ordering::Release);
    }

    #[inline]
    fn end(&self) {
        self.since_ms.store(0, Ordering::Release);
    }

    /// Actor, event and age of what has run for at least `least`, and since when it is still.
    fn stuck(&self, least: Duration) -> Option<(usize, usize, Duration, Duration)> {
        let since_ms = self.since_ms.load(Ordering::Acquire);
        let sign_ms = self.sign_ms.load(Ordering::Relaxed).max(since_ms);
        let now_ms = monotonic_ms();
        let ago = |ms| Duration::from_millis(now_ms.saturating_sub(ms));
        let age = ago(since_ms);
        let found = (
            self.slot.load(Ordering::Relaxed),
            self.stats.load(Ordering::Relaxed),
            age,
            ago(sign_ms),
        );
        // Unchanged since: what was read in between belongs to this run.
        fence(Ordering::Acquire);
        let same = self.since_ms.load(Ordering::Acquire) == since_ms;
        (since_ms != 0 && same && age >= least).then_some(found)
    }
}

impl Actors {
    /// The handlers that have run for longer than `least`, on any thread; right to
    /// some milliseconds. Cheap as long as there are none, and a pass over all actors
    /// in memory otherwise.
    #[must_use]
    pub fn running(&self, least: Duration) -> Vec<Running> {
        let mut stuck = Vec::new();
        RUNNERS.lock().retain(|runner| {
            let runner = runner.upgrade();
            stuck.extend(runner.iter().filter_map(|runner| runner.stuck(least)));
            runner.is_some()
        });
        if stuck.is_empty() {
            return Vec::new();
        }
        let slots = self.slots.shards().flat_map(|it| self.slots.of_shard(it));
        slots
            .filter_map(|slot| {
                let addr = Arc::as_ptr(&slot).addr();
                let (_, stats, for_, still_for) = *stuck.iter().find(|(slot, ..)| *slot == addr)?;
                let (event, work) = self.what_runs(stats);
                Some(Running {
                    actor: slot.id.clone(),
                    event,
                    work,
                    for_,
                    still_for,
                })
            })
            .collect()
    }

    /// What runs where the counters at this address are kept.
    fn what_runs(&self, stats: usize) -> (String, Work) {
        let mut journeys = [&self.waking, &self.migrating].into_iter();
        if let Some(its) = journeys.find(|its| Arc::as_ptr(its).addr() == stats) {
            return (its.name.to_string(), Work::Journey);
        }
        match self.event_at(stats) {
            Some((event, version)) => (event, Work::Handler(version)),
            None => (OTHER.to_owned(), Work::Unknown),
        }
    }
}

/// Names the handlers that run for too long, until the actors are gone.
pub(crate) async fn run(actors: Weak<Actors>) {
    let mut named: Vec<(ActorId, String)> = Vec::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(actors) = actors.upgrade().filter(|actors| !actors.is_stopping()) else {
            return;
        };
        let slow = actors.running(HANDLER_WARN);
        for run in &slow {
            let key = (run.actor.clone(), run.event.clone());
            if !named.contains(&key) {
                tracing::warn!(actor = %run.actor, event = run.event,
                    running_ms = run.for_.as_millis() as u64, "a handler has run for too long");
                named.push(key);
            }
        }
        named.retain(|(actor, event)| slow.iter().any(|r| r.actor == *actor && r.event == *event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_counts_for_the_run_in_which_it_was_given() {
        let runner = Runner::default();
        let look = |since_ms, sign_ms| {
            runner.since_ms.store(since_ms, Ordering::Relaxed);
            runner.sign_ms.store(sign_ms, Ordering::Relaxed);
            let (.., age, still) = runner.stuck(Duration::ZERO)?;
            Some((age, still))
        };
        let now_ms = monotonic_ms();
        let (age, still) = look(1, now_ms).unwrap();
        assert!(age > still, "{age:?} {still:?}");
        let (age, still) = look(now_ms, 1).unwrap();
        assert_eq!(age, still);
        assert_eq!(look(0, now_ms), None, "nothing runs");
    }
}
