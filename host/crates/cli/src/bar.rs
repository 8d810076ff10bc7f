//! A progress bar on a terminal, for what takes longer than a moment.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Of what nobody can say how long it takes.
const UNCOUNTED: &str = "{spinner} {msg} ({elapsed})";

/// Of what is counted.
const COUNTED: &str = "{spinner} {msg} {wide_bar} {pos}/{len} {elapsed}, {eta} left";

/// Shows how far something is, on standard error; nothing where that is no terminal, or
/// where programs read the answer.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar that fills when something is told.
    #[must_use]
    pub fn new(json: bool) -> Self {
        if json || !stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0).with_style(style(UNCOUNTED));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Whether anyone sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    /// Shows how far it is, and from that how long it will take.
    pub fn tell(&self, position: u64, of: u64) {
        if let Some(bar) = &self.0 {
            bar.set_style(style(COUNTED));
            bar.set_length(of);
            bar.set_position(position);
        }
    }

    /// Shows what is done. Something else than before is counted from its beginning.
    pub fn say(&self, message: impl Into<String>) {
        let message = message.into();
        if let Some(bar) = self.0.as_ref().filter(|bar| bar.message() != message) {
            bar.set_style(style(UNCOUNTED));
            bar.set_message(message);
            bar.set_position(0);
            bar.reset_eta();
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are constants")
}
