//! Whether clients are served, and if not, why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host_actors::Actors;
use host_model::control::Readiness;
use host_model::release::Start;

/// What `/readyz` and `host status` ask.
#[derive(Debug)]
pub(super) struct Ready {
    actors: Arc<Actors>,
    stopping: AtomicBool,
}

impl Ready {
    pub(super) fn new(actors: Arc<Actors>) -> Self {
        Self {
            actors,
            stopping: AtomicBool::new(false),
        }
    }

    /// From now on clients are sent elsewhere.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why not; empty: they are.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            reasons.push("the host is stopping".to_owned());
        }
        if let Some(why) = self.actors.journal().poisoned() {
            reasons.push(format!("the store failed: {why}"));
        }
        if let Some(why) = self.actors.journal().away() {
            reasons.push(format!("the store does not answer: {why}"));
        }
        for (plugin, start) in self.actors.failed_plugins() {
            if start == Start::Permanent {
                reasons.push(format!("the plugin {plugin} is past its limit of faults"));
            }
        }
        reasons
    }

    pub(super) fn for_operators(&self) -> Readiness {
        let reasons = self.reasons();
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}
