//! A length of time for which something is watched: it can stand still and go on, and
//! may be extended to a bound.

use std::time::{Duration, Instant};

/// See the module. The caller brings the time.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    length: Duration,
    most: Duration,
    /// What has passed of it before it last went on.
    spent: Duration,
    /// Since when it goes on. None: it stands still.
    since: Option<Instant>,
}

impl Window {
    /// A window of `length` that begins now, and may be extended to `windows` of it.
    pub(crate) fn open(length: Duration, windows: u32, now: Instant) -> Self {
        Self {
            length,
            most: length.saturating_mul(windows),
            spent: Duration::ZERO,
            since: Some(now),
        }
    }

    fn spent(&self, now: Instant) -> Duration {
        let running = self.since.map(|since| now.duration_since(since));
        self.spent + running.unwrap_or_default()
    }

    /// Whether its length has passed: from here on it is extended.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.spent(now) >= self.length
    }

    /// Whether it can be extended no more.
    pub(crate) fn is_exhausted(&self, now: Instant) -> bool {
        self.spent(now) >= self.most
    }

    /// What is left of it, or once it is over, of its extension.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        let end = match self.is_over(now) {
            false => self.length,
            true => self.most,
        };
        end.saturating_sub(self.spent(now))
    }

    /// Stands still from now on.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.spent = self.spent(now);
        self.since = None;
    }

    /// Goes on.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_while_it_is_paused_and_is_extended_to_its_bound() {
        let s = Duration::from_secs;
        let start = Instant::now();
        let mut window = Window::open(s(10), 3, start);
        assert_eq!(window.left(start + s(4)), s(6));
        window.pause(start + s(4));
        window.pause(start + s(50));
        assert_eq!(window.left(start + s(100)), s(6));
        window.resume(start + s(100));
        window.resume(start + s(103));
        assert!(!window.is_over(start + s(105)));
        assert!(window.is_over(start + s(106)));
        assert_eq!(window.left(start + s(106)), s(20));
        assert!(!window.is_exhausted(start + s(125)));
        assert!(window.is_exhausted(start + s(126)));
        assert_eq!(window.left(start + s(500)), s(0));
    }
}
