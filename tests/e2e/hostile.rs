//! Plugins that misbehave, seen from outside: what an operator reads, and what is
//! still there.

use std::fs;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use e2e::home::signal;
use e2e::{Home, faulty, http, release, wait};
use host_model::control::Outcome;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rehearsal::{child_of, left, nothing_has_changed, plan_trouble};

pub(crate) const APPUP: &str = r#"
plugin = "faulty"
version = "0.2.0"

[[path]]
from = "~0.1"
up = [{ update = "state" }]
down = [{ update = "state" }]
declared = ["summary.notes", "summary.version"]
"#;

/// An upgrade to 0.2.0 that is neither rehearsed nor watched.
pub(crate) const UPGRADE: [&str; 6] = [
    "upgrade",
    "0.2.0",
    "--no-rehearsal",
    "--probation",
    "0s",
    "--json",
];

/// A home whose releases 0.1.0 and 0.2.0 have the faulty plugin, and nothing else.
pub(crate) fn home() -> Home {
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &["plugins/hostile/faulty/0.1.0"], &[]).unwrap();
    let new = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("faulty-0.2.0.toml", APPUP)]).unwrap();
    home
}

/// Sends a command over HTTP; the status, and the answer.
pub(crate) fn post(port: u16, key: &str, event: &str, payload: &Value) -> (u16, Value) {
    faulty::post(port, key, event, payload).unwrap()
}

pub(crate) fn add(port: u16, key: &str, by: i64) {
    faulty::told(port, key, "add", &json!({ "by": by })).unwrap();
}

pub(crate) fn summary(port: u16, key: &str) -> Value {
    faulty::summary(port, key).unwrap()
}

/// The one is still on its way there when the other makes everyone turn back, and fails
/// only then: it has never left.
#[test]
fn a_migration_that_fails_when_the_others_go_back_already_sets_nobody_aside() {
    const IN_TIME: &str = r#"
plugin = "faulty"
version = "0.2.0"

[[path]]
from = "~0.1"
up = [{ update = "state", timeout_ms = 200 }]
down = [{ update = "state" }]
"#;
    let home = home();
    let new = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("faulty-0.2.0.toml", IN_TIME)]).unwrap();
    let port = home.start().unwrap().port;
    // In the order in which they are asked to come over.
    for (key, what, ms) in [("a", "up_slow", 3_000), ("b", "up_panics", 0)] {
        add(port, key, 7);
        faulty::mark(port, key, what, ms).unwrap();
    }
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "0s"];
    home.host(&line).unwrap().ends_with(4).unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.actors.quarantined, 0, "nobody had to go back");
    for key in ["a", "b"] {
        let found = summary(port, key);
        assert_eq!(
            (&found["count"], &found["version"]),
            (&json!(7), &json!("0.1.0"))
        );
    }
    home.stop().unwrap();
}

#[test]
fn after_the_commit_who_cannot_go_down_goes_back_by_its_commands_or_is_set_aside_alone() {
    let home = home();
    let port = home.start().unwrap().port;
    for n in 0..10 {
        add(port, &n.to_string(), n);
    }
    let trouble = json!({ "what": "down_fails" });
    for key in ["6", "7"] {
        assert_eq!(post(port, key, "plan_trouble", &trouble).0, 200);
    }
    home.upgrade_unrehearsed("0.2.0").unwrap();
    // What 0.1.0 knows as well, with an effect; and what it does not know.
    add(port, "6", 100);
    let cast = json!({ "to": "faulty:9", "event": "add", "payload": { "by": 1_000 } });
    assert_eq!(post(port, "6", "cast", &cast).0, 200);
    assert_eq!(
        post(port, "7", "note", &json!({ "text": "only here" })).0,
        200
    );
    wait::until_is("the sum of the cast's target", &json!(1_009), || {
        summary(port, "9")["count"].clone()
    })
    .unwrap();

    let report = home.rollback().unwrap();
    assert!(report.rollback, "{report:?}");
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let way_back = &report.way_back;
    assert_eq!(
        (way_back.rebuilt, way_back.set_aside),
        (1, 1),
        "{way_back:?}"
    );
    let settled = home.settled().unwrap();
    assert_eq!(settled.permanent.to_string(), "0.1.0");
    assert_eq!(settled.actors.quarantined, 1);

    // The one is right in the old version, and nothing has happened twice.
    let six = summary(port, "6");
    assert_eq!(
        (&six["count"], &six["version"]),
        (&json!(106), &json!("0.1.0"))
    );
    assert_eq!(summary(port, "9")["count"], 1_009);
    add(port, "6", 1);
    // The other is whole in the new one, and what stands in its way is named.
    let set_aside = home.state("faulty:7").unwrap();
    assert_eq!(set_aside.version.to_string(), "0.2.0");
    let why = set_aside.quarantined.unwrap();
    assert!(
        why.contains("it could not go back from 0.2.0 to 0.1.0"),
        "{why}"
    );
    assert!(
        why.contains("3 note (unknown_event: 0.1.0 takes no notes)"),
        "{why}"
    );
    assert_eq!(way_back.named[0].reason, why);
    let list: Value = home.answer(&["quarantine", "list", "--json"]).unwrap();
    assert_eq!(list[0]["reason"], why);
    let export: Value = home
        .answer(&["quarantine", "export", "faulty:7", "--json"])
        .unwrap();
    assert_eq!(export["quarantined"], why);
    let history: Value = home.answer(&["history", "--json"]).unwrap();
    let told = history.as_array().unwrap().iter();
    assert_eq!(
        told.filter(|row| row["way_back"]["rebuilt"] == 1).count(),
        1,
        "{history}"
    );
    for n in [0, 8] {
        let summary = summary(port, &n.to_string());
        assert_eq!(
            (&summary["count"], &summary["version"]),
            (&json!(n), &json!("0.1.0"))
        );
    }

    // A restart changes nothing of it; up again, both are where they belong.
    home.stop().unwrap();
    let port = home.start().unwrap().port;
    assert_eq!(summary(port, "6")["count"], 107);
    home.upgrade_unrehearsed("0.2.0").unwrap();
    home.done(&["quarantine", "release", "faulty:7"]).unwrap();
    assert_eq!(summary(port, "7")["notes"], json!(["only here"]));
    assert_eq!(summary(port, "6")["count"], 107);
    home.done(&["store", "check"]).unwrap();
    home.stop().unwrap();
}

#[test]
fn what_broke_the_new_release_is_delivered_again_when_the_old_one_rules() {
    let home = home();
    let port = home.start().unwrap().port;
    add(port, "a", 1);
    let trouble = |what: &str| json!({ "what": what });
    assert_eq!(
        post(port, "b", "plan_trouble", &trouble("add_panics")).0,
        200
    );
    assert_eq!(
        post(port, "c", "plan_trouble", &trouble("timers_panic")).0,
        200
    );
    home.detach("0.2.0").unwrap();
    let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": 5 } });
    assert_eq!(post(port, "a", "cast", &cast).0, 200);
    let timer = json!({ "name": "due", "in_ms": 1 });
    assert_eq!(post(port, "c", "set_timer", &timer).0, 200);
    let letters = || -> Value { home.answer(&["dead-letters", "list", "--json"]).unwrap() };
    wait::until_is("the number of dead letters", &Some(2), || {
        letters().as_array().map(Vec::len)
    })
    .unwrap();
    let report = home.rollback().unwrap();
    assert_eq!(report.way_back.redelivered, 2, "{report:?}");
    home.settled().unwrap();
    assert_eq!(letters(), json!([]));
    assert_eq!(summary(port, "b")["count"], 5);
    assert_eq!(summary(port, "c")["ticks"], 1);
    home.stop().unwrap();
}

#[test]
fn a_plugin_that_ends_the_process_costs_a_restart_and_nothing_else() {
    let home = home();
    let status = home.start().unwrap();
    add(status.port, "a", 7);
    let timer = json!({ "name": "later", "in_ms": 1 });
    let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": 5 } });
    assert_eq!(post(status.port, "a", "set_timer", &timer).0, 200);
    assert_eq!(post(status.port, "a", "cast", &cast).0, 200);
    let path = "/api/v1/faulty/c/abort";
    // The host dies over it: there is no answer to look at.
    let _ = http::request(status.port, "POST", path, "{}");
    home.rebooted(status.pid).unwrap();
    wait::until("timer and cast have arrived", || {
        let (a, b) = (summary(status.port, "a"), summary(status.port, "b"));
        (a["ticks"] == 1 && b["count"] == 5).then_some(())
    })
    .unwrap();
    assert_eq!(summary(status.port, "a")["count"], 7);
    home.stop().unwrap();
}

type Sleepers = Vec<JoinHandle<(u16, Value)>>;

/// Gets every data thread stuck in a handler, for some seconds.
fn stick(port: u16) -> Sleepers {
    /// On a machine that is busy with others a run may be slow by chance, and then
    /// the event is not proven fast.
    const ATTEMPTS: usize = 6;
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let sleep = json!({ "ms": 8_000 });
    for _ in 0..ATTEMPTS {
        // Proven fast, it runs where blocking is not expected.
        for _ in 0..80 {
            assert_eq!(post(port, "quick", "sleep", &json!({ "ms": 0 })).0, 200);
        }
        let sleeper = |n| {
            let sleep = sleep.clone();
            thread::spawn(move || post(port, &format!("slow-{n}"), "sleep", &sleep))
        };
        let sleepers: Sleepers = (0..threads * 4).map(sleeper).collect();
        let seen = wait::within(Duration::from_secs(4), "the data threads are stuck", || {
            let health = http::request(port, "GET", "/healthz", "").unwrap();
            health.body.contains("stuck").then_some(())
        });
        if seen.is_ok() {
            return sleepers;
        }
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
    }
    panic!("health never said that the data threads are stuck");
}

#[test]
fn with_every_data_thread_stuck_operators_are_answered() {
    let home = home();
    let port = home.start().unwrap().port;
    let sleepers = stick(port);
    let status = home.status().unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    let refused = home
        .host(&["rollback", "--json"])
        .unwrap()
        .ends_with(1)
        .unwrap();
    assert_eq!(refused.reason().unwrap(), "nothing_to_roll_back");
    // An upgrade is begun, and rolled back, while nobody can come over.
    let line = ["upgrade", "0.2.0", "--probation", "300s", "--no-rehearsal"];
    let line = [&line[..], &["--json"]].concat();
    let upgrade = home.begin(&line).unwrap();
    wait::until("the upgrade is at its switch", || {
        let upgrade = home.status().unwrap().upgrade?;
        (upgrade.state == "switching").then_some(())
    })
    .unwrap();
    let back: Value = home.answer(&["rollback", "--json"]).unwrap();
    assert_eq!(back["outcome"], "rolled_back", "{back}");
    upgrade.end().unwrap().ends_with(4).unwrap();
    for sleeper in sleepers {
        let (status, answer) = sleeper.join().unwrap();
        assert!(status == 200 || answer["reason"] == "timeout", "{answer}");
    }
    add(port, "quick", 1);
    home.stop().unwrap();
}

#[test]
fn who_is_in_quarantine_and_cannot_come_over_is_left_behind_and_named() {
    let home = home();
    let port = home.start().unwrap().port;
    for n in 0..10 {
        add(port, &n.to_string(), n);
    }
    let trouble = json!({ "what": "up_fails" });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    wait::until("the actor is set aside", || {
        post(port, "7", "panic", &json!({}));
        let quarantined = home.status().ok()?.actors.quarantined;
        (quarantined == 1).then_some(())
    })
    .unwrap();

    let report = home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let remark = report.remark.as_ref().unwrap();
    assert!(remark.contains("left in the old version"), "{remark}");
    assert!(
        remark.contains("faulty:7 (faulty 0.2.0 failed in up"),
        "{remark}"
    );
    let behind = home.state("faulty:7").unwrap();
    assert_eq!(behind.version.to_string(), "0.1.0");
    assert!(behind.quarantined.is_some());
    assert_eq!(summary(port, "8")["version"], "0.2.0");
    home.done(&["store", "check"]).unwrap();
    home.stop().unwrap();
}

/// Of its one actor the child has never anything to tell, by which the host could notice.
#[test]
fn a_rehearsal_of_code_that_does_not_return_ends_with_who_asked_for_it() {
    let home = home();
    let port = home.start().unwrap().port;
    plan_trouble(port, "bad", "up_loops");
    let line = ["rehearse", "0.2.0", "--deadline", "1h", "--json"];
    let rehearsal = home.begin(&line).unwrap();
    let child = child_of(&home);
    assert!(signal(rehearsal.pid(), Signal::INT));
    assert_ne!(rehearsal.end().unwrap().code, Some(0));
    wait::until(
        "its child has ended, and its pin and folder are gone",
        || {
            let pins: Vec<Value> = home.answer(&["store", "pins", "--json"]).ok()?;
            let is_gone = !fs::exists(format!("/proc/{child}/exe")).ok()?;
            (pins.is_empty() && left(&home).is_empty() && is_gone).then_some(())
        },
    )
    .unwrap();
    add(port, "good", 1);
    nothing_has_changed(&home, port);
    home.stop().unwrap();
}
