//! What is said where no way leads.

use super::*;

#[test]
fn the_step_is_named_that_a_way_lacks() {
    let up_only = |minor: u64, older: u64| {
        let path = format!("[[path]]\nfrom = \"=0.{older}.0\"\nup = [{{ update = \"state\" }}]\n");
        appups(&[("zakat", &format!("0.{minor}.0"), &path)])
    };
    let lacks = |known: &[Appups], from: u64, to: u64| {
        let release = |minor: u64| {
            let version = format!("0.{minor}.0");
            release(&version, &[("zakat", &version)])
        };
        let known: Appups = known
            .iter()
            .flatten()
            .map(|(k, a)| (k.clone(), a.clone()))
            .collect();
        let error = plan(&release(from), &release(to), &known, true).unwrap_err();
        match error {
            PlanError::NoPath { missing, .. } => (
                missing.what.clone(),
                missing.older.minor,
                missing.newer.minor,
            ),
            other => panic!("{other}"),
        }
    };
    let path = |others: &str| Lacks::Path {
        others: others.to_owned(),
    };
    assert_eq!(lacks(&[chain(2..=2)], 1, 3), (Lacks::Appup, 2, 3));
    // 0.2.0 is not installed.
    assert_eq!(lacks(&[chain(3..=4)], 1, 4), (path("=0.2.0"), 1, 3));
    let gap = [chain(2..=2), chain(4..=4)];
    assert_eq!(lacks(&gap, 1, 4), (path("=0.3.0"), 2, 4));
    assert_eq!(lacks(&gap, 4, 1), (path("=0.3.0"), 2, 4));
    // Where 0.3.0 leads from 0.1.0 alone, it is 0.2.0 that it lacks.
    let other = [up_only(3, 1), chain(4..=4)];
    assert_eq!(lacks(&other, 2, 4), (path("=0.1.0"), 2, 3));
    let up = [chain(2..=2), up_only(3, 2), chain(4..=4)];
    assert_eq!(lacks(&up, 4, 1), (Lacks::Down, 2, 3));
    // A step down and up again leads nowhere: the one between is lacking.
    let around = [chain(2..=2), up_only(3, 1)];
    assert_eq!(lacks(&around, 2, 3), (path("=0.1.0"), 2, 3));
}
