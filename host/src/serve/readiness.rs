//! Whether clients are served, and if not, why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_actors::Actors;
use host_journal::Trouble;
use host_model::control::Readiness;
use host_upgrade::Upgrader;

/// Between two looks at whether a store that refused takes commands again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// A value that nobody has.
const PROBE: &str = "host/probe";

/// What `/readyz` and `host status` ask.
#[derive(Debug)]
pub(super) struct Ready {
    actors: Arc<Actors>,
    upgrader: Arc<Upgrader>,
    starting: AtomicBool,
    stopping: AtomicBool,
    probing: Arc<AtomicBool>,
}

impl Ready {
    pub(super) fn new(actors: Arc<Actors>, upgrader: Arc<Upgrader>) -> Self {
        Self {
            actors,
            upgrader,
            starting: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            probing: Arc::default(),
        }
    }

    /// From now on clients are served.
    pub(super) fn started(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// From now on clients are sent elsewhere.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the host has come up, and does not stop yet.
    pub(super) fn is_serving(&self) -> bool {
        !self.starting.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed)
    }

    /// Why not; empty: they are.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.starting.load(Ordering::Relaxed) {
            reasons.push("the host is starting".to_owned());
        }
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("the host is stopping".to_owned());
        }
        if let Some(why) = self.actors.journal().poisoned() {
            reasons.push(match self.actors.journal().must_look() {
                true => format!("the store is not to be used on: {why}"),
                false => format!("the store failed: {why}"),
            });
        }
        // A store that is come back to stalls a commit, too: once is enough.
        match (
            self.actors.journal().away(),
            self.actors.journal().trouble(),
        ) {
            (Some(why), _) => reasons.push(format!("the store does not answer: {why}")),
            (None, Some(Trouble::Refusing { why, .. })) => {
                reasons.push(format!("the store takes no commands: {why}"));
            }
            (None, Some(Trouble::Stalled(time))) => {
                reasons.push(format!(
                    "the store has not answered for {} s",
                    time.as_secs()
                ));
            }
            (None, None) => {}
        }
        for failed in self.upgrader.failed_for_good() {
            let plugin = failed.plugin;
            reasons.push(format!("the plugin {plugin} is past its limit of faults"));
        }
        reasons
    }

    /// Tries whether a store that refused takes commands again, if it is time to:
    /// clients that were sent elsewhere would never find out.
    pub(super) fn probe(&self) {
        if let Some(Trouble::Refusing { tried, .. }) = self.actors.journal().trouble()
            && tried >= PROBE_EVERY
            && !self.probing.swap(true, Ordering::Relaxed)
        {
            let (actors, probing) = (Arc::clone(&self.actors), Arc::clone(&self.probing));
            tokio::spawn(async move {
                // Removes what is not there; how it ends is the journal's to remember.
                let _ = actors.write_values(vec![(PROBE.to_owned(), None)]).await;
                probing.store(false, Ordering::Relaxed);
            });
        }
    }

    pub(super) fn for_operators(&self) -> Readiness {
        let reasons = self.reasons();
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}
