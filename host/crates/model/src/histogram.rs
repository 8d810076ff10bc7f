//! How long things took, counted by size: fixed memory, cheap to add to, and two of
//! them can be taken apart and put together.
//!
//! A bucket is an eighth of an octave, so a quantile is right to 12.5 %. Values are
//! nanoseconds where nothing else is said, up to a good minute.

use serde::{Deserialize, Serialize};

/// Buckets to each doubling, as a power of two.
const FINE_BITS: u32 = 3;

/// Values up to here have a bucket each.
const EXACT: u64 = 1 << FINE_BITS;

/// The largest value that is told from larger ones has so many bits: 68 s in
/// nanoseconds, above any wait that a caller has the patience for.
const BITS_MAX: u32 = 36;

/// Buckets there are.
pub const BUCKETS: usize = (EXACT as usize) * ((BITS_MAX - FINE_BITS) as usize + 1);

/// The bucket of a value.
#[inline]
#[must_use]
pub fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let value = value.min((1 << BITS_MAX) - 1);
    let octave = value.ilog2() - FINE_BITS;
    // The bits behind the leading one say where in its octave it is.
    let fine = (value >> octave) - EXACT;
    (EXACT * u64::from(octave + 1) + fine) as usize
}

/// The largest value in a bucket.
#[must_use]
pub fn upper(bucket: usize) -> u64 {
    let bucket = bucket.min(BUCKETS - 1) as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (octave, fine) = (bucket / EXACT - 1, bucket % EXACT);
    ((EXACT + fine + 1) << octave) - 1
}

/// Counts of values by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// As far as the last bucket with something in it, at least.
    counts: Vec<u64>,
}

/// A histogram as people and programs read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Messages that were counted.
    pub count: u64,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
    /// How many took so long, by powers of two; those that nothing fell into are left out.
    pub buckets: Vec<Bucket>,
}

/// See [`Waits::buckets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// More than the bucket before, and at most so many microseconds.
    pub to_us: u64,
    /// How many.
    pub count: u64,
}

impl Histogram {
    /// One with these counts, by bucket.
    #[must_use]
    pub fn of(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = counts.into_iter().take(BUCKETS).collect();
        let used = counts.iter().rposition(|count| *count > 0);
        counts.truncate(used.map_or(0, |last| last + 1));
        Self { counts }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket(value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// Values in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value that a part `quantile` (0 to 1) of all does not exceed; 0 of none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let count = self.count();
        // Up to 2^53 values a double counts exactly.
        let wanted = ((count as f64) * quantile.clamp(0.0, 1.0)).ceil() as u64;
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= wanted.max(1) {
                return upper(bucket);
            }
        }
        0
    }

    /// How many are certainly larger than `value`: in buckets above its own.
    #[must_use]
    pub fn above(&self, value: u64) -> u64 {
        self.counts.iter().skip(bucket(value) + 1).sum()
    }

    /// Puts another one's counts to its own.
    pub fn add(&mut self, other: &Self) {
        let most = self.counts.len().max(other.counts.len());
        self.counts.resize(most, 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// What has come to it since it was `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: usize| earlier.counts.get(bucket).copied().unwrap_or(0);
        let counts = self.counts.iter().enumerate();
        Self::of(counts.map(|(bucket, count)| count.saturating_sub(before(bucket))))
    }

    /// It as it is shown, where its values are nanoseconds.
    #[must_use]
    pub fn waits(&self) -> Waits {
        let us = |quantile| self.quantile(quantile).div_ceil(1_000);
        let mut buckets: Vec<Bucket> = Vec::new();
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let to_us = upper(bucket).div_ceil(1_000).next_power_of_two();
            match buckets.last_mut() {
                Some(last) if last.to_us == to_us => last.count += count,
                _ => buckets.push(Bucket {
                    to_us,
                    count: *count,
                }),
            }
        }
        Waits {
            count: self.count(),
            p50_us: us(0.5),
            p99_us: us(0.99),
            max_us: us(1.0),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_a_row_and_an_eighth_wide() {
        let mut last = 0;
        for bucket_number in 0..BUCKETS {
            let (low, high) = (last, upper(bucket_number));
            assert_eq!(bucket(low), bucket_number, "{low}");
            assert_eq!(bucket(high), bucket_number, "{high}");
            assert!(high - low <= (low / 8).max(1), "{low} to {high}");
            last = high + 1;
        }
        assert_eq!(last, 1 << BITS_MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_right_to_an_eighth() {
        let mut histogram = Histogram::default();
        for value in 1..=10_000 {
            histogram.record(value * 1_000);
        }
        for (quantile, exact) in [
            (0.0, 1_000),
            (0.5, 5_000_000),
            (0.99, 9_900_000),
            (1.0, 10_000_000),
        ] {
            let found = histogram.quantile(quantile);
            assert!(
                found >= exact && found <= exact + exact / 8,
                "{quantile}: {found}"
            );
        }
        assert_eq!(histogram.count(), 10_000);
        let above = histogram.above(5_000_000);
        assert!((4_300..=5_000).contains(&above), "{above}");
        assert_eq!(Histogram::default().quantile(0.99), 0);
    }

    #[test]
    fn what_has_come_since_is_told_from_what_was_there() {
        let mut earlier = Histogram::default();
        earlier.record(7);
        let mut later = earlier.clone();
        later.record(1_000_000);
        let since = later.since(&earlier);
        assert_eq!(
            (since.count(), since.quantile(0.0)),
            (1, since.quantile(1.0))
        );
        assert_eq!(later.since(&later), Histogram::default());
    }

    #[test]
    fn no_quantile_is_shown_above_the_longest() {
        let at_most = |values: &[u64]| {
            let mut histogram = Histogram::default();
            values.iter().for_each(|ns| histogram.record(*ns));
            let waits = histogram.waits();
            let shown = [waits.p50_us, waits.p99_us, waits.max_us];
            assert!(shown.is_sorted(), "{shown:?} of {values:?}");
            let buckets = waits.buckets.last().map_or(0, |last| last.to_us);
            assert!(waits.max_us <= buckets, "{waits:?}");
        };
        at_most(&[]);
        for value in (0..64).map(|bit| 1 << bit).chain([u64::MAX]) {
            at_most(&[value]);
            at_most(&[value, value - 1, value / 2]);
            at_most(&[1, value]);
        }
    }

    #[test]
    fn it_is_shown_in_microseconds() {
        let mut histogram = Histogram::default();
        for ns in [900, 1_000, 150_000, 150_000, 3_000_000] {
            histogram.record(ns);
        }
        let waits = histogram.waits();
        let buckets: Vec<_> = waits.buckets.iter().map(|b| (b.to_us, b.count)).collect();
        assert_eq!(buckets, [(1, 1), (2, 1), (256, 2), (4_096, 1)]);
        assert_eq!(waits.count, 5);
        assert!(waits.max_us >= 3_000 && waits.max_us < 3_400, "{waits:?}");
    }
}
