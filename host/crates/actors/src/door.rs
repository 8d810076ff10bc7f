//! How long callers wait, from sending to the answer, at the actors' door.
//!
//! Of the quick answers one in [`ONE_IN`] is timed and counts for all of them: two
//! looks at an exact clock take about as long as a third of such a query.

use std::cell::Cell;
use std::time::Instant;

use host_model::histogram::Histogram;

use crate::Actors;
use crate::counts::Recorder;

/// See the module.
const ONE_IN: u32 = 64;

/// See [`Actors::waits`].
#[derive(Debug, Default)]
pub(crate) struct Door {
    waited_ns: Recorder,
}

thread_local! {
    /// Callers who have come by on this thread.
    static CALLERS: Cell<u32> = const { Cell::new(0) };
}

impl Door {
    /// Now, for one caller of [`ONE_IN`].
    #[inline]
    pub(crate) fn enter(&self) -> Option<Instant> {
        let callers = CALLERS.get().wrapping_add(1);
        CALLERS.set(callers);
        callers.is_multiple_of(ONE_IN).then(Instant::now)
    }

    /// A quick answer was given to a caller that entered then; it counts for the others.
    pub(crate) fn left_quickly(&self, since: Instant) {
        self.waited_ns.record(ns(since), u64::from(ONE_IN));
    }

    /// An answer was given, each of which is timed.
    pub(crate) fn left(&self, since: Instant) {
        self.waited_ns.record(ns(since), 1);
    }
}

impl Actors {
    /// How long callers have waited since the start, in nanoseconds from sending to the
    /// answer.
    #[must_use]
    pub fn waits(&self) -> Histogram {
        self.door.waited_ns.read()
    }
}

/// Nanoseconds that have passed.
pub(crate) fn ns(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
