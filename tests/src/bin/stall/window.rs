//! What is counted in a window of time.

use std::time::Duration;

use crate::paced::Call;

/// A window, from the beginning of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// What clients saw in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) length: Duration,
    /// Calls that were due, under way or completed in it.
    pub(crate) calls: usize,
    /// Of them, those answered with an error.
    pub(crate) failed: usize,
    /// Quantiles of the calls' times from when they were due.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
    /// The longest time in which no call of any client completed. One that reaches
    /// beyond the window counts whole.
    pub(crate) stall: Duration,
    /// When it began, from the beginning of the window; 0 if before.
    pub(crate) stall_at: Duration,
}

impl Window {
    /// How long it is.
    pub(crate) fn length(&self) -> Duration {
        self.to - self.from
    }

    /// What `calls` are in it; they are in the order of their completion.
    pub(crate) fn figures(&self, calls: &[Call]) -> Figures {
        let inside = calls
            .iter()
            .filter(|call| call.done >= self.from && call.due <= self.to);
        let failed = inside.clone().filter(|call| !call.ok).count();
        let mut times: Vec<_> = inside.map(|call| call.done - call.due).collect();
        times.sort_unstable();
        let (began, ended) = self.stall(calls);
        Figures {
            length: self.length(),
            calls: times.len(),
            failed,
            p50: quantile(&times, 0.5),
            p99: quantile(&times, 0.99),
            p999: quantile(&times, 0.999),
            max: quantile(&times, 1.0),
            stall: ended - began,
            stall_at: began.saturating_sub(self.from),
        }
    }

    /// The two completions that are the farthest apart.
    fn stall(&self, calls: &[Call]) -> (Duration, Duration) {
        let mut last = Duration::ZERO;
        let mut longest = (Duration::ZERO, Duration::ZERO);
        for done in calls.iter().filter(|call| call.ok).map(|call| call.done) {
            if done > self.from && last < self.to && done - last > longest.1 - longest.0 {
                longest = (last, done);
            }
            last = done;
        }
        longest
    }
}

/// The smallest of `sorted` that at least this share of them does not exceed.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let index = rank.saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

/// The middle one; of an even number, the lower.
pub(crate) fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    quantile(&of, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Gift;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn call(due: u64, done: u64) -> Call {
        Call {
            due: ms(due),
            done: ms(done),
            ok: true,
            gift: Gift {
                campaign: 0,
                cents: 1,
            },
        }
    }

    #[test]
    fn a_stall_over_the_edge_counts_whole_and_late_calls_from_when_they_were_due() {
        let mut calls: Vec<_> = (0..10).map(|i| call(i * 10, i * 10 + 1)).collect();
        // Nothing from 91 to 151, then all that was due meanwhile.
        calls.extend((10..15).map(|i| call(i * 10, 151)));
        calls.extend((15..30).map(|i| call(i * 10, i * 10 + 2)));
        let window = Window {
            from: ms(60),
            to: ms(120),
        };
        let figures = window.figures(&calls);
        assert_eq!((figures.stall, figures.max), (ms(60), ms(51)));
        assert_eq!(figures.stall_at, ms(31));
        // Due at 60 to 120; the one due at 50 had completed before.
        assert_eq!(figures.calls, 7);
        let quiet = Window {
            from: ms(200),
            to: ms(260),
        };
        let figures = quiet.figures(&calls);
        assert_eq!((figures.stall, figures.max), (ms(10), ms(2)));
    }

    #[test]
    fn an_error_is_no_sign_of_life() {
        let mut calls = vec![call(0, 1), call(10, 11), call(20, 21), call(30, 31)];
        calls[1].ok = false;
        calls[2].ok = false;
        let window = Window {
            from: ms(5),
            to: ms(40),
        };
        let figures = window.figures(&calls);
        assert_eq!((figures.stall, figures.failed), (ms(30), 2));
    }

    #[test]
    fn quantiles_of_few() {
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
        let times: Vec<_> = (1..=100).map(ms).collect();
        assert_eq!(quantile(&times, 0.5), ms(50));
        assert_eq!(quantile(&times, 0.999), ms(100));
        assert_eq!(median(vec![ms(3), ms(1), ms(2), ms(9)]), ms(2));
    }
}
