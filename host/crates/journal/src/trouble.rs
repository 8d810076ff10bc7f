//! What ails the store at this moment, for those who ask whether clients are served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A commit that takes longer than this is trouble: callers wait for it, and nobody
/// knows how long yet.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// Between two log lines about groups that fail one after the other.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// See [`Journal::trouble`](crate::Journal::trouble).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A commit is under way for this long.
    Stalled(Duration),
    /// The last group was refused, and none was taken since: why, and how long ago.
    Refusing {
        /// The store's own words.
        why: Arc<str>,
        /// Since it was tried last.
        tried: Duration,
    },
}

/// Kept by the writer, read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    commit_began: Option<Instant>,
    refused: Option<(Arc<str>, Instant)>,
    logged: Option<Instant>,
}

impl Health {
    pub(crate) fn begins(&self) {
        self.0.lock().commit_began = Some(Instant::now());
    }

    pub(crate) fn commits(&self) {
        let mut state = self.0.lock();
        state.commit_began = None;
        if state.refused.take().is_some() {
            tracing::info!("the store takes commits again");
        }
    }

    /// Takes down a failure. True: it is worth a line in the log.
    pub(crate) fn fails(&self, why: &Arc<str>) -> bool {
        let mut state = self.0.lock();
        let now = Instant::now();
        state.commit_began = None;
        state.refused = Some((Arc::clone(why), now));
        let is_due = state
            .logged
            .is_none_or(|at| now.duration_since(at) >= LOG_EVERY);
        if is_due {
            state.logged = Some(now);
        }
        is_due
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let state = self.0.lock();
        let under_way = state.commit_began.map(|began| began.elapsed());
        match (under_way, &state.refused) {
            (Some(time), _) if time >= STALLED_AFTER => Some(Trouble::Stalled(time)),
            (_, Some((why, at))) => Some(Trouble::Refusing {
                why: Arc::clone(why),
                tried: at.elapsed(),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_trouble_until_something_is_taken_and_is_logged_once() {
        let health = Health::default();
        health.begins();
        assert_eq!(health.trouble(), None);
        assert!(health.fails(&"full".into()));
        assert!(!health.fails(&"full".into()));
        assert!(matches!(health.trouble(), Some(Trouble::Refusing { why, .. }) if &*why == "full"));
        health.begins();
        assert!(health.trouble().is_some());
        health.commits();
        assert_eq!(health.trouble(), None);
    }
}
