//! Up and down between two releases, again and again, with a little load: the memory of
//! the host stays what it was.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use host_model::control::Outcome;

use crate::Home;
use crate::faulty::{Counting, Shape};
use crate::load::only;
use crate::matrix::after;

/// Actors, whose states do not grow.
const ACTORS: usize = 200;

/// Between an answer and the same client's next command.
const PACE: Duration = Duration::from_millis(20);

/// Cycles after which the allocator, the caches and the store's tail have what they need:
/// SQLite's cache of 16 MiB was full at about 350, and the memory flat behind that.
const WARM: u64 = 400;

/// Samples that a figure is the median of.
const SAMPLES: usize = 10;

/// What the end may be above the beginning: a tenth of it, or this where that is more.
/// A leak of 20 KB a cycle is above it in a thousand.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

/// The memory that the host had behind some of the cycles.
#[derive(Debug, Clone, Default)]
pub struct Cycles {
    /// How many there were.
    pub count: u64,
    /// Cycles, and resident bytes behind them.
    pub samples: Vec<(u64, u64)>,
    /// How long it took.
    pub took: Duration,
}

/// Goes up to 0.2.0 and back to 0.1.0 so many times, in a home with `faulty` that has not
/// been started. Nobody is refused, every count is right at the end, and so is the store.
///
/// # Errors
///
/// What did not hold; that the memory is not flat is asked of [`Cycles::flat`].
pub fn run(home: &Home, count: u64) -> Result<Cycles> {
    let port = home.start()?.port;
    let counting = Counting::start(Shape {
        port,
        actors: ACTORS,
        pace: PACE,
        mark: None,
    })?;
    let began = Instant::now();
    let mut cycles = Cycles {
        count,
        ..Cycles::default()
    };
    let every = (count / 100).max(1);
    for cycle in 1..=count {
        let up = home.upgrade_unrehearsed("0.2.0");
        let up = up.with_context(|| format!("up in cycle {cycle}"))?;
        let back = home.rollback();
        let back = back.with_context(|| format!("back in cycle {cycle}"))?;
        for report in [up, back] {
            ensure!(report.outcome == Outcome::Committed, "{report:?}");
        }
        if cycle % every == 0 {
            let rss = home.status()?.rss_bytes;
            cycles.samples.push((cycle, rss));
            println!("cycle {cycle}: {} KiB resident", rss >> 10);
        }
    }
    cycles.took = began.elapsed();
    after::one_version(home, "0.1.0", 0)?;
    let counts = counting.stop()?;
    only(counts.refusals(), &[])?;
    // What was in memory may be right where the store is not.
    home.stop()?;
    home.start()?;
    counts.hold(port)?;
    home.stop()?;
    after::replays(home)?;
    Ok(cycles)
}

impl Cycles {
    /// Resident bytes when it was warm, and at the end.
    #[must_use]
    pub fn figures(&self) -> Option<(u64, u64)> {
        let warm = self
            .samples
            .iter()
            .filter(|(cycle, _)| *cycle >= WARM.min(self.count / 2));
        let warm: Vec<u64> = warm.map(|(_, rss)| *rss).collect();
        let first = &warm[..SAMPLES.min(warm.len())];
        let last = &warm[warm.len().saturating_sub(SAMPLES)..];
        Some((median(first)?, median(last)?))
    }

    /// Fails unless the end is within the bound.
    ///
    /// # Errors
    ///
    /// Both figures.
    pub fn flat(&self) -> Result<()> {
        let (first, last) = self.figures().context("there are samples")?;
        let most = first + GROWTH_BYTES_MAX.max(first / 10);
        ensure!(
            last <= most,
            "{} KiB when it was warm, {} KiB at the end, and {} KiB are allowed",
            first >> 10,
            last >> 10,
            most >> 10
        );
        Ok(())
    }
}

impl fmt::Display for Cycles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.figures().unwrap_or_default();
        write!(
            f,
            "{} cycles in {} s: {} KiB resident when warm, {} KiB at the end",
            self.count,
            self.took.as_secs(),
            first >> 10,
            last >> 10
        )
    }
}

fn median(samples: &[u64]) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_not_flat_and_noise_is() {
        let cycles = |rss: fn(u64) -> u64| Cycles {
            count: 1_000,
            samples: (1..=100).map(|n| (n * 10, rss(n * 10))).collect(),
            took: Duration::ZERO,
        };
        assert!(cycles(|n| (60 << 20) + (n % 7) * 100_000).flat().is_ok());
        // Before it is warm it may grow as it likes.
        assert!(cycles(|n| (60 << 20) + (n.min(100) << 20)).flat().is_ok());
        assert!(cycles(|n| (60 << 20) + n * 20_000).flat().is_err());
        assert!(Cycles::default().flat().is_err());
    }
}
