//! The time of day, as records and an operator's actions have it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds, UTC; 0 where the clock stands before 1970.
#[must_use]
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
