//! Which positions failed: a few ranges, since failures are rare and a row of
//! them makes one range.

use std::collections::VecDeque;

use crate::{Incarnation, Position};

/// Ranges remembered. With more, the two oldest become one: what was durable
/// between them counts as lost, and its actor is rebuilt for nothing, no more.
const RANGES_MAX: usize = 1_024;

/// The failed positions, in order.
#[derive(Debug, Default)]
pub(crate) struct LostRanges(VecDeque<Lost>);

#[derive(Debug, Clone, Copy)]
struct Lost {
    first: Position,
    last: Position,
    /// The last in which something of it failed.
    incarnation: Incarnation,
}

impl LostRanges {
    /// Remembers a failure. Positions never go back.
    pub(crate) fn push(&mut self, first: Position, last: Position, incarnation: Incarnation) {
        match self.0.back_mut() {
            Some(before) if before.last.0 + 1 == first.0 => {
                before.last = last;
                before.incarnation = incarnation;
            }
            _ => self.0.push_back(Lost {
                first,
                last,
                incarnation,
            }),
        }
        if self.0.len() > RANGES_MAX {
            let oldest = self.0.pop_front().expect("more than the bound");
            self.0[0].first = oldest.first;
        }
    }

    /// Whether the entry at `position` failed in `since` or later.
    pub(crate) fn contains(&self, position: Position, since: Incarnation) -> bool {
        self.0
            .iter()
            .rev()
            .take_while(|range| range.incarnation >= since)
            .any(|range| (range.first..=range.last).contains(&position))
    }
}
