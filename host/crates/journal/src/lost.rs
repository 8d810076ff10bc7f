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

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(failures: impl IntoIterator<Item = (u64, u64)>) -> LostRanges {
        let mut ranges = LostRanges::default();
        for (incarnation, (first, last)) in (0..).zip(failures) {
            ranges.push(Position(first), Position(last), Incarnation(incarnation));
        }
        ranges
    }

    #[test]
    fn failures_in_a_row_make_one_range() {
        let lost = ranges([(3, 5), (6, 6), (7, 9), (11, 11)]);
        assert_eq!(lost.0.len(), 2);
        let found: Vec<u64> = (1..13)
            .filter(|position| lost.contains(Position(*position), Incarnation(0)))
            .collect();
        assert_eq!(found, [3, 4, 5, 6, 7, 8, 9, 11]);
        assert!(!lost.contains(Position(9), Incarnation(3)));
        assert!(lost.contains(Position(11), Incarnation(3)));
    }

    #[test]
    fn there_are_never_too_many_and_none_is_forgotten() {
        let lost = ranges((0..3_000).map(|index| (index * 10, index * 10 + 2)));
        assert_eq!(lost.0.len(), RANGES_MAX);
        for index in 0..3_000 {
            assert!(lost.contains(Position(index * 10 + 1), Incarnation(0)));
        }
        assert!(!lost.contains(Position(29_994), Incarnation(0)));
    }
}
