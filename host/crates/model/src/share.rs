//! A share of the actors: `5%`, `0.5%`, `100%`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Millionths in the whole.
const WHOLE: u32 = 1_000_000;

/// Millionths in a percent.
const PERCENT: u32 = WHOLE / 100;

/// Digits behind the point of a percentage: a ten-thousandth of a percent is one actor
/// of a million.
const DIGITS: usize = 4;

/// A share of the actors, above nothing and at most all of them.
///
/// ```
/// use host_model::share::Share;
/// let share: Share = "12.5%".parse().unwrap();
/// assert_eq!((share.millionths(), share.to_string().as_str()), (125_000, "12.5%"));
/// assert!(share < Share::ALL);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u32);

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no share; write a percentage above 0% and up to 100%, such as 5% or 0.5%")]
pub struct InvalidShare(String);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(WHOLE);

    /// It in millionths: 1 to 1,000,000.
    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / PERCENT, self.0 % PERCENT);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let digits = format!("{rest:0DIGITS$}");
        write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
    }
}

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        let millionths = |text: &str| {
            let number = text.strip_suffix('%').unwrap_or(text);
            let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
            let is_number =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if !is_number(whole) || !is_number(rest) || rest.len() > DIGITS {
                return None;
            }
            let whole = whole.parse::<u32>().ok()?.checked_mul(PERCENT)?;
            let rest = format!("{rest:0<DIGITS$}").parse::<u32>().ok()?;
            let share = whole.checked_add(rest)?;
            (1..=WHOLE).contains(&share).then_some(share)
        };
        let share = millionths(text.trim());
        share.map(Self).ok_or_else(|| InvalidShare(text.to_owned()))
    }
}

impl TryFrom<String> for Share {
    type Error = InvalidShare;

    fn try_from(text: String) -> Result<Self, InvalidShare> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_as_it_is_written() {
        for (text, shown, millionths) in [
            ("5%", "5%", 50_000),
            (" 5 %", "", 0),
            ("5", "5%", 50_000),
            ("0.5%", "0.5%", 5_000),
            ("12.50%", "12.5%", 125_000),
            ("0.0001%", "0.0001%", 1),
            ("100%", "100%", 1_000_000),
        ] {
            let share = text.parse::<Share>();
            let found = share.map_or((String::new(), 0), |share| {
                (share.to_string(), share.millionths())
            });
            assert_eq!(found, (shown.to_owned(), millionths), "{text}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused_in_a_sentence() {
        for text in [
            "",
            "%",
            "0%",
            "0.00001%",
            "100.1%",
            "-5%",
            "+5%",
            "five",
            "5,5%",
            "1e1%",
            "99999999999%",
        ] {
            let refused = text.parse::<Share>().unwrap_err().to_string();
            assert!(refused.contains("such as 5%"), "{text}: {refused}");
        }
    }
}
