//! Moments as operators write them.

use host_model::instant::rfc3339;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime};

/// Unix milliseconds of `2026-02-18` (its beginning, UTC) or `2026-02-18T09:30:00Z`.
///
/// # Errors
///
/// That it is neither.
pub(crate) fn unix_ms(text: &str) -> Result<i64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
        Some(
            Date::parse(text, &Iso8601::DATE)
                .ok()?
                .midnight()
                .assume_utc(),
        )
    });
    let time = time.ok_or("write a day, 2026-02-18, or a time, 2026-02-18T09:30:00Z")?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|e| e.to_string())
}

/// As [`rfc3339`] has it, always to the millisecond: one below the other they are as wide.
pub(crate) fn moment(time_ms: i64) -> String {
    let thousandths = time_ms.rem_euclid(1_000);
    let second = rfc3339(time_ms - thousandths);
    match second.strip_suffix('Z') {
        Some(second) => format!("{second}.{thousandths:03}Z"),
        None => rfc3339(time_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_wide_as_each_other() {
        for (ms, text) in [
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (1_767_225_600_870, "2026-01-01T00:00:00.870Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(moment(ms), text);
        }
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn a_day_or_a_time_is_taken() {
        assert_eq!(unix_ms("2026-01-01"), Ok(1_767_225_600_000));
        assert_eq!(unix_ms("2026-01-01T00:00:00.001Z"), Ok(1_767_225_600_001));
        assert_eq!(unix_ms("2026-01-01T03:00:00+03:00"), Ok(1_767_225_600_000));
        for wrong in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-01-01 00:00",
            "1767225600",
        ] {
            assert!(unix_ms(wrong).is_err(), "{wrong:?}");
        }
    }
}
