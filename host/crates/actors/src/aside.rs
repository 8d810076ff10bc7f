//! Timers that an older version does not know. They leave the table with the snapshot
//! that goes down, wait in its carry, and are set again with the one that goes up: so
//! none fires into a version that would not know what it is.

use std::sync::Arc;

use bytes::Bytes;
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
        // Of one that `older` does not know, name and payload in the shape of `newer`.
        let unknown = |version: &Version, name: &str, payload: &Bytes| {
            if *version <= *older {
                return None;
            }
            // Whoever set it may not have known this version either: it is as it was.
            let shape = shapes::convert(release, newer, version, name, payload).ok()?;
            let (name, payload) = shape.unwrap_or_else(|| (name.to_owned(), payload.clone()));
            let known = newer.plugin().downcast(older, &name, &payload);
            (!matches!(known, Ok(Ok(_)))).then_some((name, payload))
        };
        let mut carry = |due_ms, (name, payload)| {
            carried.push(CarriedTimer {
                name,
                due_ms,
                version: newer.version().clone(),
                payload,
            });
        };
        self.rows.retain(|row| {
            let Some(shape) = unknown(&row.version, &row.name, &row.payload) else {
                return true;
            };
            self.taken.push(row.name.clone());
            carry(row.due_ms, shape);
            false
        });
        // What has come back on the same way is no row yet.
        self.returned.retain(|timer| {
            let shape = unknown(&timer.version, &timer.name, &timer.payload);
            shape.map(|shape| carry(timer.due_ms, shape)).is_none()
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
