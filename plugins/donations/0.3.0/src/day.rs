//! Days of the civil calendar, and how often something comes round.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use host_sdk::Rejection;
use icu_calendar::options::{DateAddOptions, Overflow};
use icu_calendar::types::{DateDuration, RataDie};
use icu_calendar::{Date, Iso};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 as a count of days (Reingold and Dershowitz, Calendrical Calculations).
const UNIX_EPOCH: i64 = 719_163;
/// The years that a day may be in: four digits, and none before Unix time.
const YEARS: RangeInclusive<i32> = 1970..=9999;

/// A day of the civil calendar, in UTC: `2026-03-31`, of the years 1970 to 9999.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "date"))]
pub struct Day {
    since_1970: i32,
}

impl Day {
    /// The day of a moment, in UTC. A moment outside the years gives the first or
    /// the last day.
    #[must_use]
    pub fn of_ms(unix_ms: i64) -> Self {
        let since_1970 = unix_ms.div_euclid(DAY_MS);
        let since_1970 = since_1970.clamp(0, i64::from(last().since_1970));
        Self {
            since_1970: i32::try_from(since_1970).expect("it is between two that are"),
        }
    }

    /// Its first moment in UTC, Unix milliseconds.
    #[must_use]
    pub fn start_ms(self) -> i64 {
        i64::from(self.since_1970) * DAY_MS
    }

    /// The day so many days before it, or the first there is.
    #[must_use]
    pub fn days_before(self, days: i32) -> Self {
        Self {
            since_1970: self.since_1970.saturating_sub(days).max(0),
        }
    }

    /// The day that comes round for the `times`th time after this one; `None` past
    /// the year 9999. It is always counted from this day, so what begins on the 31st
    /// is on the last day of a shorter month, and on the 31st again of the next that
    /// has one.
    #[must_use]
    pub fn after(self, times: u32, every: Interval) -> Option<Self> {
        let times = i32::try_from(times).ok()?;
        match every {
            Interval::Day => self.plus_days(times),
            Interval::Week => self.plus_days(times.checked_mul(7)?),
            Interval::Month => self.plus_months(times),
            Interval::Year => self.plus_months(times.checked_mul(12)?),
        }
    }

    fn plus_days(self, days: i32) -> Option<Self> {
        let since_1970 = self.since_1970.checked_add(days)?;
        (since_1970 <= last().since_1970).then_some(Self { since_1970 })
    }

    fn plus_months(self, months: i32) -> Option<Self> {
        let mut options = DateAddOptions::default();
        options.overflow = Some(Overflow::Constrain);
        let date = self.date();
        let date = date.try_added_with_options(DateDuration::for_months(months), options);
        Self::valid(date.ok()?)
    }

    fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        Self::valid(Date::try_new_iso(year, month, day).ok()?)
    }

    fn valid(date: Date<Iso>) -> Option<Self> {
        if !YEARS.contains(&date.year().extended_year()) {
            return None;
        }
        let days = date.to_rata_die().to_i64_date() - UNIX_EPOCH;
        Some(Self {
            since_1970: i32::try_from(days).ok()?,
        })
    }

    fn date(self) -> Date<Iso> {
        Date::from_rata_die(RataDie::new(UNIX_EPOCH + i64::from(self.since_1970)), Iso)
    }
}

fn last() -> Day {
    Day::new(*YEARS.end(), 12, 31).expect("31 December is a day")
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        let (year, month) = (date.year().extended_year(), date.month().number());
        write!(f, "{year:04}-{month:02}-{:02}", date.day_of_month().0)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            let number = |digits: &str, len: usize| {
                let is_number = digits.len() == len && digits.bytes().all(|b| b.is_ascii_digit());
                is_number.then(|| digits.parse::<i32>().ok()).flatten()
            };
            let month = u8::try_from(number(month, 2)?).ok()?;
            let day = u8::try_from(number(day, 2)?).ok()?;
            Self::new(number(year, 4)?, month, day)
        };
        parse().ok_or_else(|| {
            // What a client sent is shown in part only: it can be of any length.
            let shown: String = text.chars().take(20).collect();
            format!("{shown:?} is no day such as \"2026-03-31\", of the years 1970 to 9999")
        })
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

/// How often a gift comes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Each day, as in the last ten of Ramadan.
    Day,
    /// Each seven days.
    Week,
    /// On the same day of each month, or the last of one that is shorter.
    Month,
    /// On the same day of each year; 29 February is the 28th where there is none.
    Year,
}

impl Interval {
    /// An interval by its name.
    ///
    /// # Errors
    ///
    /// `bad_interval`
    pub fn parse(name: &str) -> Result<Self, Rejection> {
        match name {
            "day" => Ok(Self::Day),
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            "year" => Ok(Self::Year),
            _ => Err(Rejection::new(
                "bad_interval",
                "a gift comes round every one of: day, week, month, year",
            )),
        }
    }
}
