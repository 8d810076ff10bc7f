//! Who has not come over because it is busy: named while it lasts, and brought over by
//! the sweep when it comes to rest.

use std::sync::Arc;
use std::time::Duration;

use crate::Actors;
use crate::watchdog::Running;

impl Actors {
    /// Actors that are behind the release that they belong to, in a handler that has run
    /// for longer than `least`: at most `most`, those that have run longest first.
    #[must_use]
    pub fn behind_and_busy(self: &Arc<Self>, least: Duration, most: usize) -> Vec<Running> {
        let mut busy = self.running(least);
        let reign = self.reign.load();
        busy.retain(|running| {
            let slot = self.slots.get(&running.actor);
            reign.is_called(&running.actor) && slot.is_some_and(|slot| self.is_behind(&slot))
        });
        busy.sort_by_key(|run| std::cmp::Reverse(run.for_));
        busy.truncate(most);
        busy
    }
}
