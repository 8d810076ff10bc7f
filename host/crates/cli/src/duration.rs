//! Lengths of time as operators write them: `30s`, `2m`, `1h30m`, `0s`.

use host_model::limits::{BUSY_DEADLINE_MAX, PROBATION_MAX};

/// The longest that can be asked for: 30 days, in seconds. A longer one is a slip.
const SECONDS_MAX: u64 = PROBATION_MAX.as_secs();

/// Seconds from numbers with units `s`, `m`, `h`, `d`, the larger units first or
/// not, up to 30 days.
///
/// ```
/// assert_eq!(host_cli::whole_seconds("1m30s"), Ok(90));
/// assert!(host_cli::whole_seconds("90").is_err());
/// ```
///
/// # Errors
///
/// What would be right, for people.
pub fn whole_seconds(text: &str) -> Result<u64, String> {
    let wrong = || {
        "a length of time is whole numbers with units s, m, h or d, such as 30s, 2m or 1h30m"
            .to_owned()
    };
    let mut seconds = 0_u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let unit = match behind.bytes().next() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 60 * 60,
            Some(b'd') => 24 * 60 * 60,
            _ => return Err(wrong()),
        };
        rest = &behind[1..];
        if number.is_empty() || rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(wrong());
        }
        seconds = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(unit))
            .and_then(|n| n.checked_add(seconds))
            .filter(|n| *n <= SECONDS_MAX)
            .ok_or("it is longer than 30 days")?;
    }
    Ok(seconds)
}

/// As [`whole_seconds`], up to the longest deadline of an upgrade: a longer one would be cut.
pub(crate) fn deadline(text: &str) -> Result<u64, String> {
    let most = BUSY_DEADLINE_MAX.as_secs();
    match whole_seconds(text)? {
        seconds if seconds > most => Err(format!("it is longer than {} hours", most / 3_600)),
        seconds => Ok(seconds),
    }
}

/// `3d 4h`, `1h 2m`, `2m 3s`, `5s`: the two largest units that say something.
pub(crate) fn people(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let first = parts
        .iter()
        .position(|(n, _)| *n > 0)
        .unwrap_or(parts.len() - 1);
    parts[first..]
        .iter()
        .take(2)
        .map(|(n, unit)| format!("{n}{unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// `9999 ms`, `10s`, `10m 27s`: to the millisecond as long as that says something.
pub(crate) fn lasted(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        _ => people(ms / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_write_is_read() {
        for (text, seconds) in [
            ("0s", 0),
            ("30s", 30),
            ("2m", 120),
            ("1h30m", 5_400),
            ("1d", 86_400),
            (" 5s ", 5),
            ("30d", SECONDS_MAX),
        ] {
            assert_eq!(whole_seconds(text), Ok(seconds), "{text:?}");
        }
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for text in [
            "", " ", "30", "s", "1.5s", "500ms", "-5s", "5 s", "5x", "5s3", "٣s",
        ] {
            let error = whole_seconds(text).unwrap_err();
            assert!(error.contains("30s, 2m"), "{text:?}: {error}");
        }
        for text in ["31d", "99999999999999999999s", "300000000000000000d"] {
            assert!(whole_seconds(text).unwrap_err().contains("30 days"));
        }
    }

    #[test]
    fn a_deadline_that_would_be_cut_is_refused() {
        assert_eq!(deadline("24h"), Ok(86_400));
        assert!(deadline("2").unwrap_err().contains("30s, 2m"));
        for text in ["24h1s", "48h", "31d"] {
            assert!(
                deadline(text).unwrap_err().starts_with("it is longer"),
                "{text}"
            );
        }
    }

    #[test]
    fn people_read_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3_600, "1h 0m"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(people(seconds), text);
        }
        for (ms, text) in [(0, "0 ms"), (9_999, "9999 ms"), (627_616, "10m 27s")] {
            assert_eq!(lasted(ms), text);
        }
    }
}
