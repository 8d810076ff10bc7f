//! How long something took, each time.

use hdrhistogram::Histogram;
use host_model::control::Quantiles;

/// Times in microseconds, from one to an hour, to three digits: fixed memory.
///
/// ```
/// let mut times = host_actors::Times::default();
/// times.record(7, 98);
/// times.record(900, 2);
/// let quantiles = times.quantiles();
/// assert_eq!((quantiles.p50, quantiles.p99, quantiles.max), (7, 900, 900));
/// ```
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000, 3);
        Self(histogram.expect("the bounds are right"))
    }
}

impl Times {
    /// So many `times` it took `us` microseconds. What is out of bounds counts as the bound.
    pub fn record(&mut self, us: u64, times: u64) {
        self.0.saturating_record_n(us.max(1), times);
    }

    /// How often it was.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The median, the 99th percentile and the longest.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.0.value_at_quantile(0.5),
            p99: self.0.value_at_quantile(0.99),
            max: self.0.max(),
        }
    }
}
