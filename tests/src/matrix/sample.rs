//! Some of the matrix, chosen by a seed: each step once, and each fault at least once; as a
//! timeout, a plugin that takes longer than it may.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, Fault, Step, cells};
use crate::crash::Dice;

/// A greedy cover: first a cell for each fault, of a step that has none yet, then one for
/// each step that is left. What takes long is left to the whole matrix.
#[must_use]
pub fn sample(seed: u64) -> Vec<Cell> {
    let mut dice = Dice::new(seed, 0);
    let mut all = cells();
    all.retain(|cell| !cell.how.is_slow);
    shuffle(&mut all, &mut dice);
    let mut faults = Fault::ALL;
    shuffle(&mut faults, &mut dice);
    let mut chosen: BTreeMap<Step, Cell> = BTreeMap::new();
    for fault in faults {
        let is_it = |cell: &Cell| match fault {
            Fault::Timeout => cell.exceeds_a_bound(),
            _ => cell.fault == fault,
        };
        let is_new = |cell: &&Cell| is_it(cell) && !chosen.contains_key(&cell.step);
        if let Some(cell) = all.iter().find(is_new).cloned() {
            chosen.insert(cell.step, cell);
        }
    }
    for cell in all {
        chosen.entry(cell.step).or_insert(cell);
    }
    chosen.into_values().collect()
}

/// Fisher and Yates'.
pub fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for last in (1..items.len()).rev() {
        let other = usize::try_from(dice.below(last as u64 + 1)).unwrap_or(0);
        items.swap(last, other);
    }
}

/// Whether each step and each fault is in it, and a bound is exceeded.
#[must_use]
pub fn covers(cells: &[Cell]) -> bool {
    let steps: BTreeSet<_> = cells.iter().map(|cell| cell.step).collect();
    let faults: BTreeSet<_> = cells.iter().map(|cell| cell.fault).collect();
    steps.len() == Step::ALL.len()
        && faults.len() == Fault::ALL.len()
        && cells.iter().any(Cell::exceeds_a_bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Ends;

    #[test]
    fn every_sample_has_each_step_and_each_fault_and_a_seed_repeats_it() {
        let names = |seed| {
            let cells = sample(seed);
            assert!(covers(&cells), "{seed}: {cells:?}");
            let names: Vec<_> = cells.iter().map(Cell::to_string).collect();
            names
        };
        let samples: BTreeSet<_> = (0..50).map(names).collect();
        assert!(samples.len() > 10, "{}", samples.len());
        assert_eq!(names(7), names(7));
    }

    #[test]
    fn what_does_not_commit_says_why_and_from_where() {
        for cell in cells() {
            let how = &cell.how;
            // Nobody is there to say it of a host that ends before there is an upgrade.
            let is_told = match how.ends {
                Ends::NotBegun => !how.is_fatal,
                ends => ends != Ends::Committed,
            };
            assert_eq!(how.why.is_empty(), !is_told, "{cell}");
            assert!(
                how.ends == Ends::NotBegun || !how.ways().is_empty(),
                "{cell}"
            );
        }
    }

    #[test]
    fn a_place_has_ways_or_a_reason() {
        for step in Step::ALL {
            for fault in Fault::ALL {
                match super::super::ways(step, fault) {
                    Ok(ways) => assert!(!ways.is_empty(), "{step:?} x {fault:?}"),
                    Err(why) => assert!(!why.is_empty(), "{step:?} x {fault:?}"),
                }
            }
        }
    }
}
