//! A sample of the matrix of an upgrade's steps and of faults; `make soak` has all of it.

use e2e::matrix::{Matrix, sample::sample, table};
use e2e::variable;

const AT_ONCE: usize = 4;

/// With `E2E_SEED` the same sample again.
#[test]
fn whatever_fails_in_whichever_step_one_version_rules_and_nothing_is_lost_or_left() {
    let seed = variable::read("E2E_SEED", u64::from(std::process::id())).unwrap();
    let cells = sample(seed);
    println!("E2E_SEED={seed}\n\n{}\n", table());
    println!("of these, {} ways:", cells.len());
    let failed = Matrix::new().unwrap().run_all(cells, AT_ONCE);
    let names: Vec<_> = failed.iter().map(ToString::to_string).collect();
    assert!(names.is_empty(), "E2E_SEED={seed}, see above: {names:#?}");
}
