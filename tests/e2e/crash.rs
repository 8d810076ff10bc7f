//! `kill -9` while clients give and while an upgrade is at each of its states:
//! the keeper brings the host back, one version rules everyone, and every
//! acknowledged donation is there once.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::load::{Load, Shape, campaign};
use e2e::{Home, wait};
use host_model::control::Outcome;

const CLIENTS: usize = 12;
const CAMPAIGNS: usize = 4;

fn load(port: u16) -> Load {
    let shape = Shape {
        port,
        clients: CLIENTS,
        campaigns: CAMPAIGNS,
        pace: Duration::from_millis(5),
    };
    Load::start(shape).unwrap()
}

/// Every actor is in the version that rules.
fn is_consistent(home: &Home, version: &str) {
    assert_eq!(home.status().unwrap().version.to_string(), version);
    let versions: BTreeSet<_> = (0..CAMPAIGNS)
        .map(|number| home.state(&campaign(number)).unwrap().version.to_string())
        .collect();
    assert_eq!(versions, BTreeSet::from([version.to_owned()]));
}

#[test]
fn nothing_is_lost_or_doubled_when_the_host_is_killed_under_load() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = load(port);
    for _ in 0..3 {
        load.more(200).unwrap();
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
    }
    load.more(200).unwrap();
    let seen = load.stop().unwrap();
    assert!(
        seen.closed >= 3,
        "a kill closes connections: {}",
        seen.closed
    );
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn a_host_without_a_keeper_serves_on() {
    let home = Home::new().unwrap();
    let status = home.start().unwrap();
    let keeper = home.keeper_pid().unwrap();
    e2e::home::kill(keeper);
    wait::until("the keeper is gone", || {
        home.keeper_pid().is_none().then_some(())
    })
    .unwrap();
    assert_eq!(home.status().unwrap().pid, status.pid);
    home.stop().unwrap();
}

/// An upgrade with the host killed right behind `state`; after it the release
/// `boots`, and the next upgrade works.
fn killed_behind(state: &str, boots: &str) {
    let mut home = Home::new().unwrap();
    home.set("HOST_ABORT_AFTER", Some(state));
    let status = home.start().unwrap();
    let load = load(status.port);
    load.more(100).unwrap();

    // Its host dies under it: how it ends is not what is looked at.
    let back = matches!(state, "rolling_back" | "rolled_back");
    let probation = if back { "300s" } else { "0s" };
    let upgrade = ["upgrade", "0.2.0", "--probation", probation, "--json"];
    if back {
        home.host(&[&upgrade[..], &["--detach"]].concat())
            .unwrap()
            .ok()
            .unwrap();
        load.more(100).unwrap();
        let ran = home.host(&["rollback", "--json"]).unwrap();
        assert_ne!(ran.code, Some(0), "{ran:?}");
    } else {
        let ran = home.host(&upgrade).unwrap();
        assert_ne!(ran.code, Some(0), "{ran:?}");
    }
    home.rebooted(status.pid).unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.permanent.to_string(), boots);
    load.more(100).unwrap();
    is_consistent(&home, boots);
    let deaths = home.log().matches("the host has ended: signal 9").count();
    assert_eq!(deaths, 1, "what a start goes on with ends no host again");

    // Without the variable from now on; clients go on over the restart.
    home.set("HOST_ABORT_AFTER", None);
    home.stop().unwrap();
    home.start().unwrap();
    home.settled().unwrap();
    load.more(100).unwrap();
    let other = if boots == "0.1.0" { "0.2.0" } else { "0.1.0" };
    let report = match other {
        "0.2.0" => {
            let line = [
                "upgrade",
                "0.2.0",
                "--probation",
                "0s",
                "--retry-failed",
                "--json",
            ];
            home.host(&line).unwrap().ok().unwrap().json().unwrap()
        }
        _ => home.rollback().unwrap(),
    };
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    load.more(100).unwrap();
    is_consistent(&home, other);

    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn killed_when_it_was_planned() {
    killed_behind("planned", "0.1.0");
}

#[test]
fn killed_when_it_was_verified() {
    killed_behind("verified", "0.1.0");
}

#[test]
fn killed_when_it_was_staged() {
    killed_behind("staged", "0.1.0");
}

#[test]
fn killed_when_it_was_switching() {
    killed_behind("switching", "0.1.0");
}

#[test]
fn killed_in_probation() {
    killed_behind("probation", "0.1.0");
}

#[test]
fn killed_when_it_was_committed() {
    killed_behind("committed", "0.2.0");
}

#[test]
fn killed_when_it_was_rolling_back() {
    killed_behind("rolling_back", "0.1.0");
}

#[test]
fn killed_when_it_was_rolled_back() {
    killed_behind("rolled_back", "0.1.0");
}

#[test]
fn a_restart_in_probation_boots_the_permanent_release() {
    let home = Home::new().unwrap();
    let status = home.start().unwrap();
    let load = load(status.port);
    let upgrade = [
        "upgrade",
        "0.2.0",
        "--probation",
        "300s",
        "--detach",
        "--json",
    ];
    home.host(&upgrade).unwrap().ok().unwrap();
    load.more(100).unwrap();
    home.host(&["restart", "--json"]).unwrap().ok().unwrap();
    home.settled().unwrap();
    load.more(100).unwrap();
    is_consistent(&home, "0.1.0");
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}
