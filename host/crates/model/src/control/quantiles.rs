//! How measurements are told.

use serde::{Deserialize, Serialize};

/// Quantiles of a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl Quantiles {
    /// These, of a histogram, beside the largest as it was measured exactly: a bucket ends
    /// above what fell into it, and no quantile is above the largest.
    ///
    /// ```
    /// use host_model::control::Quantiles;
    ///
    /// let counted = Quantiles { p50: 7, p99: 5_007, max: 5_007 };
    /// let exact = Quantiles { p50: 7, p99: 5_004, max: 5_004 };
    /// assert_eq!(counted.with_max(5_004), exact);
    /// ```
    #[must_use]
    pub fn with_max(self, max: u64) -> Self {
        Self {
            p50: self.p50.min(max),
            p99: self.p99.min(max),
            max,
        }
    }
}
