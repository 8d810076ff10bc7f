//! Days, and lunar years in the Umm al-Qura calendar.

use std::fmt;
use std::str::FromStr;

use icu_calendar::cal::Hijri;
use icu_calendar::options::{DateAddOptions, Overflow};
use icu_calendar::types::{DateDuration, RataDie};
use icu_calendar::{Date, Iso};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 as a count of days (Reingold and Dershowitz, Calendrical Calculations).
const UNIX_EPOCH: i64 = 719_163;
/// The years that a date may be in. The published Umm al-Qura tables go from
/// 1882 to 2174, so a lunar year before and after is in them too.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2170;

/// A day of the civil calendar: `2024-03-11`, of the years 1900 to 2170.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("format" = "date"))]
pub struct Day {
    since_1970: i32,
}

impl Day {
    /// The day of a moment, in UTC. A moment outside the calendar's years gives
    /// its first or last day.
    #[must_use]
    pub fn of_ms(unix_ms: i64) -> Self {
        let first = Self::new(*YEARS.start(), 1, 1).expect("the calendar's first day is a day");
        let last = Self::new(*YEARS.end(), 12, 31).expect("the calendar's last day is a day");
        i32::try_from(unix_ms.div_euclid(DAY_MS))
            .map_or(if unix_ms < 0 { first } else { last }, |since_1970| {
                Self { since_1970 }.clamp(first, last)
            })
    }

    /// The same day of the Hijri year before; where it has no day 30, day 29.
    #[must_use]
    pub fn one_lunar_year_before(self) -> Self {
        self.plus_months(-12)
    }

    /// The same day of the next Hijri year; where it has no day 30, day 29.
    #[must_use]
    pub fn one_lunar_year_after(self) -> Self {
        self.plus_months(12)
    }

    /// Days from `earlier` to this day.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i32 {
        self.since_1970 - earlier.since_1970
    }

    fn plus_months(self, months: i32) -> Self {
        let mut options = DateAddOptions::default();
        options.overflow = Some(Overflow::Constrain);
        let date = self
            .date()
            .to_calendar(Hijri::new_umm_al_qura())
            .try_added_with_options(DateDuration::for_months(months), options)
            .expect("a year around 1900 to 2170 is far inside the calendar");
        Self::of(date.to_calendar(Iso))
    }

    fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        Date::try_new_iso(year, month, day).ok().map(Self::of)
    }

    fn of(date: Date<Iso>) -> Self {
        let days = date.to_rata_die().to_i64_date() - UNIX_EPOCH;
        Self {
            since_1970: i32::try_from(days).expect("a few hundred years are few days"),
        }
    }

    fn date(self) -> Date<Iso> {
        Date::from_rata_die(RataDie::new(UNIX_EPOCH + i64::from(self.since_1970)), Iso)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        write!(
            f,
            "{:04}-{:02}-{:02}",
            date.year().extended_year(),
            date.month().number(),
            date.day_of_month().0
        )
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            let number = |digits: &str, len: usize| {
                (digits.len() == len && digits.bytes().all(|b| b.is_ascii_digit()))
                    .then(|| digits.parse::<i32>().ok())
                    .flatten()
            };
            let year = number(year, 4).filter(|year| YEARS.contains(year))?;
            let month = u8::try_from(number(month, 2)?).ok()?;
            let day = u8::try_from(number(day, 2)?).ok()?;
            Self::new(year, month, day)
        };
        parse().ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            format!("{shown:?} is no day such as \"2024-03-11\", of the years 1900 to 2170")
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
