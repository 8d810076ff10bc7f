//! A canary, a ramp, a pause, and a new version that does worse than the old one: seen
//! by an operator, under load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::faulty::{Counting, Shape, mark};
use e2e::load::only;
use e2e::matrix::after;
use e2e::{Home, release, wait};
use host_model::control::{ActorRow, Outcome, UpgradeReport, UpgradeStatus};
use host_model::limits::{FAULTS_MAX, QUARANTINES_MAX};
use serde_json::{Value, json};

use crate::hostile::{post, summary};

/// The number of calls that these tests have the patience for.
const APPUP: &str = r#"
plugin = "faulty"
version = "0.2.0"

[[path]]
from = "~0.1"
up = [{ update = "state" }]
down = [{ update = "state" }]

[probation]
min_calls = 20
"#;

pub(crate) fn home() -> Home {
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &["plugins/hostile/faulty/0.1.0"], &[]).unwrap();
    let new = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("faulty-0.2.0.toml", APPUP)]).unwrap();
    home
}

/// Clients who count on so many actors as fast as they can, and a mark with which trouble
/// begins in 0.2.0.
pub(crate) fn counting(port: u16, actors: usize, mark: Option<(&'static str, u64)>) -> Counting {
    let shape = Shape {
        port,
        actors,
        pace: Duration::ZERO,
        mark,
    };
    Counting::start(shape).unwrap()
}

/// How many actors have which version.
pub(crate) fn versions(home: &Home) -> BTreeMap<String, usize> {
    let rows: Vec<ActorRow> = home
        .answer(&["actors", "--limit", "5000", "--json"])
        .unwrap();
    let mut versions = BTreeMap::new();
    for row in rows {
        *versions.entry(row.version.to_string()).or_default() += 1;
    }
    versions
}

pub(crate) fn under_way(home: &Home) -> Option<UpgradeStatus> {
    home.status().unwrap().upgrade
}

/// Waits for a state of the upgrade, with a share ahead or none.
pub(crate) fn reached(home: &Home, state: &str, share: Option<&str>) -> UpgradeStatus {
    wait::until(&format!("the upgrade is at {state} {share:?}"), || {
        let upgrade = under_way(home)?;
        let ahead = upgrade.share.map(|share| share.to_string());
        (upgrade.state == state && ahead.as_deref() == share).then_some(upgrade)
    })
    .unwrap()
}

pub(crate) fn flight(home: &Home, id: u64) -> Value {
    home.answer(&["history", &id.to_string(), "--json"])
        .unwrap()
}

pub(crate) fn states(flight: &Value) -> Vec<String> {
    let transitions = flight["transitions"].as_array().unwrap().iter();
    let state = |it: &Value| {
        let share = it["share"].as_str().unwrap_or_default();
        format!("{} {share}", it["state"].as_str().unwrap())
            .trim()
            .to_owned()
    };
    transitions.map(state).collect()
}

#[test]
fn a_tenth_of_a_thousand_goes_first_then_half_then_all() {
    let home = home();
    let port = home.start().unwrap().port;
    let load = counting(port, 1_000, None);
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--canary",
        "10%",
        "--ramp",
        "50%,100%",
        "--probation",
        "3s",
        "--json",
    ];
    let upgrade = home.begin(&line).unwrap();
    reached(&home, "canary", Some("10%"));
    wait::until("the share has come over", || {
        let new = versions(&home).get("0.2.0").copied().unwrap_or(0);
        assert!(new < 1_000, "{new} are ahead, and a tenth should be");
        (new >= 70).then_some(())
    })
    .unwrap();
    assert_eq!(
        home.status().unwrap().version.to_string(),
        "0.1.0",
        "the old one rules"
    );
    let ran = upgrade.end().unwrap().ends_with(0).unwrap();
    let report: UpgradeReport = ran.json().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.actors_migrated, 1_000);
    assert_eq!(report.remark, None);
    assert_eq!(load.end(port).unwrap(), 0, "each command was taken");
    assert_eq!(versions(&home), [("0.2.0".to_owned(), 1_000)].into());

    let flight = flight(&home, 1);
    let seen = states(&flight);
    assert_eq!(
        seen[seen.len() - 5..],
        [
            "canary 10%",
            "canary 50%",
            "switching",
            "probation",
            "committed"
        ]
    );
    let watched = flight["watched"].as_array().unwrap();
    let verdicts: Vec<_> = watched
        .iter()
        .map(|step| step["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["passed"; 3], "{flight:#}");
    assert!(watched[0]["plugins"][0]["old"]["calls"].as_u64().unwrap() > 20);
    for when in ["before", "during", "after"] {
        let waits = &flight["waits"][when];
        assert!(waits["count"].as_u64().unwrap() > 0, "{when}: {waits}");
        let buckets = waits["buckets"].as_array().unwrap().iter();
        let counted: u64 = buckets.map(|it| it["count"].as_u64().unwrap()).sum();
        assert_eq!(counted, waits["count"], "{when}");
    }
    home.stop().unwrap();
}

/// Upgrades under load to a version that does worse in `what`, and is taken back for a
/// reason with these words. Every count is held against what was acknowledged, and again
/// after a start; nobody is refused but by what goes wrong. Gives the home as it is then,
/// and its port.
pub(crate) fn taken_back(canary: bool, what: &'static str, ms: u64, words: &[&str]) -> (Home, u16) {
    let home = home();
    let port = home.start().unwrap().port;
    // So many that none of them is asked often enough to be set aside.
    let load = counting(port, 2_000, Some((what, ms)));
    let mut line = vec![
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "120s",
        "--json",
    ];
    if canary {
        line.extend(["--canary", "20%"]);
    }
    let ran = home.host(&line).unwrap().ends_with(4).unwrap();
    let report: UpgradeReport = ran.json().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    let reason = report.reason.unwrap();
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.1.0");
    let counts = load.stop().unwrap();
    let explained: &[&str] = match what {
        "add_panics" => &["actor_crashed", "quarantined"],
        "add_refused" => &["refused"],
        _ => &[],
    };
    only(counts.refusals(), explained).unwrap();
    // Who has been set aside for it is whole.
    let set_aside: Vec<Value> = home.answer(&["quarantine", "list", "--json"]).unwrap();
    assert!(
        what == "add_panics" || set_aside.is_empty(),
        "{set_aside:?}"
    );
    for row in set_aside {
        let actor = row["actor"].as_str().unwrap();
        home.done(&["quarantine", "release", actor]).unwrap();
    }
    counts.hold(port).unwrap();
    // In the store, and not only in memory.
    home.stop().unwrap();
    after::whole(&home).unwrap();
    home.start().unwrap();
    counts.hold(port).unwrap();
    let releases: Value = home.answer(&["releases", "--json"]).unwrap();
    assert_eq!(releases[1]["status"], "failed", "{releases}");
    let again = home
        .host(&["upgrade", "0.2.0", "--no-rehearsal", "--json"])
        .unwrap();
    assert_eq!(
        again.ends_with(1).unwrap().reason().unwrap(),
        "failed_before"
    );

    let flight = flight(&home, 1);
    let step = flight["watched"].as_array().unwrap().last().unwrap();
    assert_eq!(step["verdict"], "breached");
    let states = if canary {
        vec!["canary"]
    } else {
        vec!["switching", "probation"]
    };
    assert!(states.contains(&step["state"].as_str().unwrap()), "{step}");
    assert_eq!(step["text"], reason);
    let last = flight["transitions"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (last["state"].as_str(), last["reason"].as_str()),
        (Some("rolled_back"), Some(&*reason))
    );
    (home, port)
}

#[test]
fn a_version_that_faults_is_taken_back_in_its_canary() {
    taken_back(
        true,
        "add_panics",
        0,
        &[
            "faulty 0.2.0: ",
            "calls of add faulted",
            "add panics in 0.2.0",
        ],
    );
}

#[test]
fn a_version_that_refuses_what_the_old_one_took_is_taken_back() {
    taken_back(
        true,
        "add_refused",
        0,
        &["rejected as refused", "of what was rare"],
    );
}

#[test]
fn a_version_that_is_slow_is_taken_back() {
    taken_back(
        false,
        "add_slow",
        50,
        &["runs of add took longer than", "the p99 of 0.1.0 was"],
    );
}

#[test]
fn a_plugin_that_says_that_it_is_ill_is_taken_back() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "a", "add", &json!({ "by": 7 })).0, 200);
    let upgrade = home
        .begin(&[
            "upgrade",
            "0.2.0",
            "--no-rehearsal",
            "--probation",
            "300s",
            "--json",
        ])
        .unwrap();
    reached(&home, "probation", None);
    assert_eq!(post(port, "a", "fall_ill", &json!({})).0, 200);
    let report: UpgradeReport = upgrade.end().unwrap().ends_with(4).unwrap().json().unwrap();
    let reason = report.reason.unwrap();
    assert!(
        reason.contains("not well: it was told to fall ill"),
        "{reason}"
    );
    assert_eq!(summary(port, "a")["count"], 7);
    home.stop().unwrap();
}

#[test]
fn a_host_that_nobody_calls_commits_late_and_says_so() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "a", "add", &json!({ "by": 1 })).0, 200);
    let began = Instant::now();
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "2s",
        "--json",
    ];
    let report: UpgradeReport = home.answer(&line).unwrap();
    assert_eq!(report.outcome, Outcome::Committed);
    assert!(
        began.elapsed() >= Duration::from_secs(4),
        "the window was extended"
    );
    let remark = report.remark.unwrap();
    assert!(
        remark.contains("faulty 0.2.0 has had 0 of at least 20 calls"),
        "{remark}"
    );
    let flight = flight(&home, 1);
    assert_eq!(flight["watched"][0]["verdict"], "too_few_calls");
    home.stop().unwrap();
    // It is in the chain, too.
    let line = ["audit", "export", "--actor", "host:operator"];
    let said = home.done(&line).unwrap().stdout;
    let said = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let flights: Vec<Value> = said.filter(|it| it["event"] == "flight").collect();
    assert_eq!(flights.len(), 1);
    assert_eq!(flights[0]["fields"], flight);
    assert!(
        flights[0]["principal"]
            .as_str()
            .unwrap()
            .starts_with("operator:")
    );
    home.done(&["audit", "verify"]).unwrap();
}

#[test]
fn a_canary_that_sees_too_little_asks_for_a_decision() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "a", "add", &json!({ "by": 1 })).0, 200);
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--canary",
        "50%",
        "--probation",
        "1s",
        "--json",
    ];
    let upgrade = home.begin(&line).unwrap();
    let waiting = wait::until("it has paused itself", || {
        under_way(&home).filter(|upgrade| upgrade.paused)
    })
    .unwrap();
    assert_eq!(waiting.state, "canary");
    let remark = waiting.remark.unwrap();
    assert!(remark.contains("of at least 20 calls"), "{remark}");
    assert!(remark.contains("host commit"), "{remark}");
    // To go on is a decision.
    home.done(&["upgrade", "resume"]).unwrap();
    let report: UpgradeReport = upgrade.end().unwrap().ends_with(0).unwrap().json().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    home.stop().unwrap();
}

#[test]
fn a_ramp_that_does_not_grow_is_refused_before_anything_is_done() {
    let home = home();
    home.start().unwrap();
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--canary",
        "50%",
        "--ramp",
        "25%",
        "--json",
    ];
    let refused = home.host(&line).unwrap().ends_with(2).unwrap();
    assert_eq!(refused.reason().unwrap(), "bad_ramp");
    let none = home.host(&["history", "1", "--json"]).unwrap();
    assert_eq!(
        none.ends_with(1).unwrap().reason().unwrap(),
        "unknown_upgrade"
    );
    home.stop().unwrap();
}

fn in_production(home: &mut Home) {
    for name in ["HOST_ALLOW_ROOT", "HOST_ALLOW_DEBUG"] {
        home.set(name, Some("yes"));
    }
    home.configure("HOST_ENV=prod\nHOST=give.example.org")
        .unwrap();
}

#[test]
fn in_production_a_version_whose_actors_are_set_aside_is_taken_back_by_the_same_process() {
    let mut home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &["plugins/hostile/faulty/0.1.0"], &[]).unwrap();
    // So many calls that no share of them is a breach.
    let appup = APPUP.replace("min_calls = 20", "min_calls = 100000");
    let new = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("faulty-0.2.0.toml", &appup)]).unwrap();
    in_production(&mut home);
    let port = home.start().unwrap().port;
    let process = home.status().unwrap().pid;
    let keys: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    for key in &keys {
        assert_eq!(post(port, key, "add", &json!({ "by": 1 })).0, 200);
        mark(port, key, "add_panics", 0).unwrap();
    }
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
    let upgrade = home.begin(&[&line[..], &["--json"]].concat()).unwrap();
    reached(&home, "probation", None);
    'faults: for key in &keys {
        // A fault more than an actor may have.
        for _ in 0..=FAULTS_MAX {
            let (status, answer) = post(port, key, "add", &json!({ "by": 1 }));
            if status == 200 {
                // The old version has it again.
                break 'faults;
            }
            assert_eq!(status, 500, "{answer}");
        }
    }
    let ran = upgrade.end().unwrap().ends_with(4).unwrap();
    let report: UpgradeReport = ran.json().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    let reason = report.reason.unwrap();
    let expected = "faulty 0.2.0: 10 actors were set aside for faults within 60 s";
    assert_eq!(reason, expected);
    let settled = home.settled().unwrap();
    assert_eq!(settled.pid, process, "no connection was closed");
    assert_eq!(settled.actors.quarantined, 0);
    for key in &keys {
        let (status, answer) = post(port, key, "add", &json!({ "by": 1 }));
        assert_eq!(status, 200, "{key}: {answer}");
    }
    let releases: Value = home.answer(&["releases", "--json"]).unwrap();
    assert_eq!(releases[1]["status"], "failed", "{releases}");
    home.stop().unwrap();
}

#[test]
fn in_production_a_plugin_that_was_added_is_taken_back_by_the_same_process_also_once_stuck() {
    const ADDED: &str = "plugin = \"faulty\"\nversion = \"0.1.0\"\n\n[[path]]\n\
        up = [{ add = \"plugin\" }]\ndown = [{ remove = \"plugin\" }]\n\n\
        [probation]\nmin_calls = 100000\n";
    let mut home = Home::new().unwrap();
    let both = ["plugins/minimal/0.1.0", "plugins/hostile/faulty/0.1.0"];
    release::assemble(&home, "0.1.0", &both[..1], &[]).unwrap();
    release::assemble(&home, "0.2.0", &both, &[("faulty-0.1.0.toml", ADDED)]).unwrap();
    in_production(&mut home);
    let port = home.start().unwrap().port;
    let process = home.status().unwrap().pid;
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
    home.done(&[&line[..], &["--detach", "--json"]].concat())
        .unwrap();
    reached(&home, "probation", None);
    // There is no way back from a release that cannot be read.
    let file = home.path().join("releases/0.2.0/manifest.json");
    let manifest = std::fs::read(&file).unwrap();
    std::fs::write(&file, "{").unwrap();
    for actor in 0..QUARANTINES_MAX {
        for _ in 0..=FAULTS_MAX {
            post(port, &actor.to_string(), "panic", &json!({}));
        }
    }
    reached(&home, "stuck", None);
    let ready = home.status().unwrap().ready;
    assert!(ready.ready, "{ready:?}");
    // An operator has looked, and mended it.
    std::fs::write(&file, manifest).unwrap();
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    // Its faults are those of a release that is gone, also when that is tried again.
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "0s"];
    let again = home.answer::<UpgradeReport>(&[&line[..], &["--retry-failed", "--json"]].concat());
    assert_eq!(again.unwrap().outcome, Outcome::Committed);
    let status = home.settled().unwrap();
    assert!(status.ready.ready, "{:?}", status.ready);
    assert_eq!(status.pid, process, "no connection was closed");
    home.stop().unwrap();
}
