//! Timers that an older version does not know. They leave the table with the snapshot
//! that goes down, wait in its carry, and are set again with the one that goes up: so
//! none fires into a version that would not know what it is.

use std::sync::Arc;

use host_journal::{Rows, TimerRow};
use host_model::Version;
use host_model::carry::{CarriedTimer, Carry};

use crate::release::{Code, Release};
use crate::shapes;

/// What becomes of an actor's timers while it comes over.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Those that are set.
    rows: Vec<TimerRow>,
    /// Names of those that leave.
    taken: Vec<String>,
    /// Those that come back.
    returned: Vec<CarriedTimer>,
}

impl Aside {
    pub(crate) fn new(rows: Vec<TimerRow>) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// From `newer` to `older`: what that does not know, in the shape of `newer`.
    pub(crate) fn down(
        &mut self,
        release: &Release,
        newer: &Arc<Code>,
        older: &Version,
    ) -> Vec<CarriedTimer> {
        let mut carried = Vec::new();
        self.rows.retain(|row| {
            if row.version <= *older {
                return true;
            }
            let shape = shapes::convert(release, newer, &row.version, &row.name, &row.payload);
            let (name, payload) = match shape {
                Ok(Some(shape)) => shape,
                Ok(None) => (row.name.clone(), row.payload.clone()),
                // Whoever set it did not know this version either: it is as it was.
                Err(_) => return true,
            };
            let known = newer.plugin().downcast(older, &name, &payload);
            if matches!(known, Ok(Ok(_))) {
                return true;
            }
            self.taken.push(row.name.clone());
            carried.push(CarriedTimer {
                name,
                due_ms: row.due_ms,
                version: newer.version().clone(),
                payload,
            });
            false
        });
        carried
    }

    /// A carry is used up: its timers are set again, but for those that the older version
    /// has set itself meanwhile.
    pub(crate) fn up(&mut self, carry: Option<&mut Carry>) {
        let timers = carry.map(|carry| std::mem::take(&mut carry.timers));
        for timer in timers.unwrap_or_default() {
            if self.rows.iter().all(|row| row.name != timer.name) {
                self.returned.push(timer);
            }
        }
    }

    /// Whether some come back.
    pub(crate) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// What is written with the snapshot.
    pub(crate) fn rows(self) -> Rows {
        Rows {
            timers_cancelled: self.taken,
            timers_returned: self.returned,
            ..Rows::default()
        }
    }
}
