//! Waiting for a condition, with a deadline.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Far beyond what any single step takes, on a machine that is busy with others.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` finds something, [`DEADLINE`] long.
///
/// # Errors
///
/// That `what` did not happen in time.
///
/// ```
/// let mut left = 3;
/// let found = e2e::wait::until("the count is down", || {
///     left -= 1;
///     (left == 0).then_some("done")
/// });
/// assert_eq!(found.unwrap(), "done");
/// ```
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T> {
    within(DEADLINE, what, look)
}

/// As [`until`], with a deadline of one's own.
///
/// # Errors
///
/// As [`until`].
pub fn within<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if began.elapsed() > deadline {
            bail!("waited {} s for this: {what}", deadline.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Looks until `look` gives `wanted`, and says what it gave last if it never does.
///
/// # Errors
///
/// As [`until`].
pub fn until_is<T: PartialEq + Debug>(
    what: &str,
    wanted: &T,
    mut look: impl FnMut() -> T,
) -> Result<()> {
    let mut last = None;
    let found = until(what, || {
        let seen = look();
        let found = (seen == *wanted).then_some(());
        last = Some(seen);
        found
    });
    found.map_err(|e| e.context(format!("wanted {wanted:?}, and it was {last:?} at last")))
}
