//! Migrations that go wrong: the old state is as it was, and the fault says why.

use host_loader::{Fault, FaultKind, State};
use serde_json::json;

use super::Versions;
use crate::Bench;
use crate::actor::Actor;

/// An actor of 0.1.0 that has counted to 3, with trouble ahead.
fn planned(versions: &Versions, trouble: &str) -> Actor {
    let mut actor = Actor::new(&versions.older, "k");
    actor.send("add", &json!({ "by": 3 })).unwrap();
    let plan = json!({ "what": trouble, "ms": 50 });
    actor.send("plan_trouble", &plan).unwrap();
    actor
}

fn up(actor: &Actor, versions: &Versions) -> Result<State, Box<Fault>> {
    let (older, newer) = (versions.older.version(), &versions.newer);
    newer.up(older, &actor.export(), None, false)
}

#[track_caller]
fn assert_failed(fault: &Fault, function: &str, kind: FaultKind, message: &str) {
    assert_eq!((&*fault.function, fault.kind), (function, kind));
    assert_eq!(fault.message, message);
    assert_eq!(fault.version.to_string(), "0.2.0");
}

#[test]
fn an_up_that_fails_leaves_the_old_state_in_use() {
    let versions = Versions::open(&Bench::new(), "faulty");
    let mut actor = planned(&versions, "up_fails");
    let fault = up(&actor, &versions).unwrap_err();
    assert_failed(
        &fault,
        "up",
        FaultKind::Error,
        "up fails, as it was told to",
    );
    assert_eq!(
        actor.send("add", &json!({ "by": 1 })),
        Ok(json!({ "count": 4 }))
    );

    let mut actor = planned(&versions, "up_panics");
    let fault = up(&actor, &versions).unwrap_err();
    let message = "up panics, as it was told to";
    assert_failed(&fault, "up", FaultKind::Panic, message);
    assert!(fault.file.ends_with("migrate.rs") && fault.line > 0);
    assert_eq!(
        actor.send("add", &json!({ "by": 1 })),
        Ok(json!({ "count": 4 }))
    );
    // And once there is no trouble, nothing is left of it.
    actor
        .send("plan_trouble", &json!({ "what": "none" }))
        .unwrap();
    actor.up(&versions.newer);
}

#[test]
fn a_down_that_fails_leaves_the_new_state_in_use() {
    let versions = Versions::open(&Bench::new(), "faulty");
    for (trouble, kind, message) in [
        (
            "down_fails",
            FaultKind::Error,
            "down fails, as it was told to",
        ),
        (
            "down_panics",
            FaultKind::Panic,
            "down panics, as it was told to",
        ),
    ] {
        let mut actor = planned(&versions, trouble);
        actor.up(&versions.newer);
        let fault = actor.state.down(versions.older.version()).unwrap_err();
        assert_failed(&fault, "down", kind, message);
        assert_eq!(
            actor.send("add", &json!({ "by": 1 })),
            Ok(json!({ "count": 4 }))
        );
        actor.check();
    }
}

#[test]
fn a_state_that_comes_up_broken_is_found_by_its_check() {
    let versions = Versions::open(&Bench::new(), "faulty");
    let actor = planned(&versions, "check_fails");
    let broken = up(&actor, &versions).unwrap();
    let violation = broken.check().unwrap().unwrap_err();
    let told = "the invariant \"not broken\": broken, as it was told to";
    assert_eq!(violation.to_string(), told);
}

#[test]
fn an_up_that_loses_something_is_found_by_the_way_back() {
    let versions = Versions::open(&Bench::new(), "faulty");
    let actor = planned(&versions, "up_loses");
    let up = up(&actor, &versions).unwrap();
    let down = up.down(versions.older.version()).unwrap();
    assert_ne!(down.state, actor.export());
}

#[test]
fn a_down_that_loses_something_is_found_by_the_way_back() {
    let versions = Versions::open(&Bench::new(), "faulty");
    for (trouble, survives) in [("none", true), ("down_loses", false)] {
        let mut actor = planned(&versions, trouble);
        actor.up(&versions.newer);
        let note = json!({ "text": "for the carry" });
        actor.send("note", &note).unwrap();
        let before = actor.export();
        actor.down(&versions.older);
        actor.up(&versions.newer);
        assert_eq!(actor.export() == before, survives, "{trouble}");
    }
}

#[test]
fn notes_stay_while_0_1_0_counts_on() {
    let versions = Versions::open(&Bench::new(), "faulty");
    let mut actor = planned(&versions, "none");
    actor.up(&versions.newer);
    let note = json!({ "text": "for the carry" });
    actor.send("note", &note).unwrap();
    actor.down(&versions.older);
    actor.send("add", &json!({ "by": 4 })).unwrap();
    assert!(actor.up(&versions.newer), "it has moved");
    let summary = actor.summary();
    assert_eq!(summary["count"], 7);
    assert_eq!(summary["notes"], json!(["for the carry"]));
}

#[test]
fn a_version_without_migrations_says_so() {
    let versions = Versions::open(&Bench::new(), "faulty");
    let actor = Actor::new(&versions.newer, "k");
    let newer = versions.newer.version();
    let older = &versions.older;
    let fault = older.up(newer, &actor.export(), None, false).unwrap_err();
    assert_eq!(
        (fault.kind, fault.message.as_str()),
        (FaultKind::Error, "this plugin has no migrations")
    );
    let state = older.new_state("k").unwrap();
    let fault = state.down(newer).unwrap_err();
    assert_eq!(
        (fault.kind, fault.message.as_str()),
        (FaultKind::Protocol, "it has no such function")
    );
    // A message of another version is then taken as it is.
    let same = older.upcast(newer, "add", b"{}").unwrap().unwrap();
    assert_eq!((same.0.as_str(), &same.1[..]), ("add", &b"{}"[..]));
}
