//! The kernel's coarse clocks: right to one of its ticks (1 to 10 ms), and a
//! quarter of what the exact ones cost, which matters where a query takes less than
//! a fifth of a microsecond. clock_gettime(2), `CLOCK_*_COARSE`.

use std::cell::Cell;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

thread_local! {
    /// The last millisecond that this thread has asked for, and the time of day in it.
    static SEEN: Cell<(u64, i64)> = const { Cell::new((u64::MAX, 0)) };
}

/// Milliseconds since the machine started; never goes back.
pub(crate) fn monotonic_ms() -> u64 {
    u64::try_from(ms(clock_gettime(ClockId::MonotonicCoarse))).unwrap_or_default()
}

/// Unix milliseconds, UTC.
pub(crate) fn unix_ms() -> i64 {
    ms(clock_gettime(ClockId::RealtimeCoarse))
}

/// Unix milliseconds, UTC, at a moment that has just been read as `monotonic_ms`. The
/// coarse clocks move together, so the second is asked only where the first has moved.
#[inline]
pub(crate) fn unix_ms_at(monotonic_ms: u64) -> i64 {
    SEEN.with(|seen| {
        let (at, time_ms) = seen.get();
        if at == monotonic_ms {
            return time_ms;
        }
        let time_ms = unix_ms();
        seen.set((monotonic_ms, time_ms));
        time_ms
    })
}

/// The tick: what a difference of two readings may be off by.
pub(crate) fn tick_ms() -> u64 {
    u64::try_from(ms(clock_getres(ClockId::MonotonicCoarse))).unwrap_or_default()
}

fn ms(time: Timespec) -> i64 {
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_coarse_time_of_day_is_that_of_std_but_for_a_tick() {
        let before = unix_ms();
        let exact = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let exact = i64::try_from(exact.as_millis()).unwrap();
        let tick_ms_max = 10;
        assert!(before <= exact, "{before} is ahead of {exact}");
        assert!(exact - tick_ms_max <= unix_ms(), "{exact} is far ahead");
    }
}
