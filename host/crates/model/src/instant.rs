//! Moments as people read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix milliseconds as RFC 3339 writes them, UTC; the number itself where that ends.
///
/// ```
/// use host_model::instant::rfc3339;
///
/// assert_eq!(rfc3339(1_767_225_600_001), "2026-01-01T00:00:00.001Z");
/// assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
/// ```
#[must_use]
pub fn rfc3339(time_ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| time_ms.to_string())
}
