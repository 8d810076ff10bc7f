//! When a date comes round.

use crate::{Day, Interval};

#[test]
fn dates_come_round_from_the_first_one() {
    // First date, interval, and the next dates in their order.
    for (start_on, every, dates) in [
        ("2026-01-01", "day", "2026-01-02 2026-01-03 2026-01-04"),
        ("2026-02-28", "day", "2026-03-01 2026-03-02"),
        ("2028-02-28", "day", "2028-02-29 2028-03-01"),
        ("2026-12-28", "week", "2027-01-04 2027-01-11"),
        ("2026-01-15", "month", "2026-02-15 2026-03-15"),
        // The 31st is the last day of a shorter month, and the 31st again.
        (
            "2026-01-31",
            "month",
            "2026-02-28 2026-03-31 2026-04-30 2026-05-31",
        ),
        ("2028-01-30", "month", "2028-02-29 2028-03-30"),
        ("2026-11-30", "month", "2026-12-30 2027-01-30 2027-02-28"),
        (
            "2028-02-29",
            "year",
            "2029-02-28 2030-02-28 2031-02-28 2032-02-29",
        ),
        ("2026-07-04", "year", "2027-07-04 2028-07-04"),
    ] {
        let first: Day = start_on.parse().unwrap();
        let every = Interval::parse(every).unwrap();
        assert_eq!(first.after(0, every), Some(first));
        for (times, date) in (1..).zip(dates.split(' ')) {
            let found = first.after(times, every).unwrap();
            assert_eq!(found.to_string(), date, "{start_on} {every:?} {times}");
        }
    }
}

#[test]
fn a_day_begins_at_midnight() {
    for (day, start_ms) in [("1970-01-01", 0), ("2026-03-31", 1_774_915_200_000)] {
        let day: Day = day.parse().unwrap();
        assert_eq!(day.start_ms(), start_ms);
        for ms in [start_ms, start_ms + 86_399_999] {
            assert_eq!(Day::of_ms(ms), day);
        }
    }
    assert_eq!(Day::of_ms(i64::MIN).to_string(), "1970-01-01");
    assert_eq!(Day::of_ms(i64::MAX).to_string(), "9999-12-31");
    assert_eq!(Day::of_ms(0).days_before(365).to_string(), "1970-01-01");
}

#[test]
fn no_date_comes_after_the_last_year() {
    let last: Day = "9999-12-01".parse().unwrap();
    assert_eq!(
        last.after(30, Interval::Day).unwrap().to_string(),
        "9999-12-31"
    );
    for (times, every) in [
        (31, Interval::Day),
        (5, Interval::Week),
        (1, Interval::Month),
        (1, Interval::Year),
        (u32::MAX, Interval::Day),
        (400_000_000, Interval::Week),
        (400_000_000, Interval::Year),
    ] {
        assert_eq!(last.after(times, every), None, "{times} {every:?}");
    }
}
