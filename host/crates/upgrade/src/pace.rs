//! Whether an upgrade goes on or is paused, and for how long a step of it is watched.

use std::time::{Duration, Instant};

use crate::window::Window;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pub(crate) window: Option<Window>,
    /// Since when it is paused, if it is.
    pub(crate) paused: Option<Instant>,
    /// For how long it was paused before.
    paused_before: Duration,
    /// When it went on behind the last pause.
    resumed: Option<Instant>,
    pub(crate) remark: Option<String>,
}

impl Pace {
    pub(crate) fn pause(&mut self) {
        let now = Instant::now();
        self.paused.get_or_insert(now);
        if let Some(window) = &mut self.window {
            window.pause(now);
        }
    }

    pub(crate) fn resume(&mut self) {
        let now = Instant::now();
        if let Some(since) = self.paused.take() {
            self.paused_before += now.duration_since(since);
            self.resumed = Some(now);
            self.remark = None;
        }
        if let Some(window) = &mut self.window {
            window.resume(now);
        }
    }

    /// For how long it has gone on without a pause. None: it is paused.
    pub(crate) fn goes_on_for(&self) -> Option<Duration> {
        let since = self.resumed.map_or(Duration::MAX, |it| it.elapsed());
        self.paused.is_none().then_some(since)
    }

    /// For how long it was paused, up to now.
    pub(crate) fn paused_for(&self) -> Duration {
        let now = self.paused.map(|since| since.elapsed());
        self.paused_before + now.unwrap_or_default()
    }
}
