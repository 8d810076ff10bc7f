//! A plugin that breaks: what is said of it, and that nobody else notices.

use std::sync::Arc;

use host_loader::{Fault, FaultKind, Plugin, Verdict};
use host_model::limits::EFFECTS_MAX;
use serde_json::{Value, json};

use crate::Bench;
use crate::actor::Actor;

/// The fault that a command must end in.
#[track_caller]
fn fault(actor: &mut Actor, event: &str, payload: &Value) -> Fault {
    *actor.call(event, payload).unwrap_err()
}

/// What must still be so after any fault of another actor.
#[track_caller]
fn still_counts(actor: &mut Actor, count: i64) {
    let reply = actor.send("add", &json!({ "by": 1 }));
    assert_eq!(reply, Ok(json!({ "count": count })));
    actor.check();
}

#[track_caller]
fn assert_panicked(fault: &Fault, function: &str, file: &str, message: &str) {
    assert_eq!(fault.kind, FaultKind::Panic);
    assert_eq!(
        (fault.plugin.as_str(), fault.version.to_string().as_str()),
        ("faulty", "0.1.0")
    );
    assert_eq!(fault.function, function);
    assert_eq!(fault.message, message);
    assert!(fault.file.ends_with(file), "{fault}");
    assert!(fault.line > 0, "{fault}");
    let said = format!("faulty 0.1.0 panicked in {function}: {message} (");
    assert!(fault.to_string().starts_with(&said), "{fault}");
}

fn faulty(bench: &Bench) -> (Arc<Plugin>, Actor, Actor) {
    let plugin = bench.open("faulty-v0-1-0");
    let (broken, mut other) = (Actor::new(&plugin, "broken"), Actor::new(&plugin, "other"));
    still_counts(&mut other, 1);
    (plugin, broken, other)
}

#[test]
fn a_panic_says_where_and_reaches_nobody_else() {
    let bench = Bench::new();
    let (_, mut broken, mut other) = faulty(&bench);
    let none = json!({});
    let panicked = fault(&mut broken, "panic", &none);
    let message = "decide panics, as it was told to";
    assert_panicked(&panicked, "handle", "decide.rs", message);
    still_counts(&mut other, 2);
    let panicked = fault(&mut broken, "panic_in_apply", &none);
    let message = "apply panics half-way, as it was told to";
    assert_panicked(&panicked, "handle", "lib.rs", message);
    still_counts(&mut other, 3);
}

#[test]
fn a_panic_that_panics_again_is_survived() {
    let bench = Bench::new();
    let (_, mut broken, mut other) = faulty(&bench);
    let panicked = fault(&mut broken, "panic_payload", &json!({}));
    assert_panicked(
        &panicked,
        "handle",
        "decide.rs",
        "a panic whose payload is no text",
    );
    // And it leaves nothing behind that a later panic could be taken for.
    let panicked = fault(&mut other, "panic", &json!({}));
    let message = "decide panics, as it was told to";
    assert_panicked(&panicked, "handle", "decide.rs", message);
}

#[test]
fn panics_on_many_threads_do_not_mix() {
    let bench = Bench::new();
    let (plugin, ..) = faulty(&bench);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..100 {
                    let mut actor = Actor::new(&plugin, "k");
                    let (event, message) = if n % 2 == 0 {
                        ("panic", "decide panics, as it was told to")
                    } else {
                        ("panic_in_apply", "apply panics half-way, as it was told to")
                    };
                    assert_eq!(fault(&mut actor, event, &json!({})).message, message);
                }
            });
        }
    });
}

#[test]
fn a_query_and_a_timer_that_panic() {
    let bench = Bench::new();
    let (_, mut broken, mut other) = faulty(&bench);
    let query = broken.message("fault_query", b"{}");
    let panicked = broken.state.query(&query).unwrap_err();
    let message = "a query panics, as it was told to";
    assert_panicked(&panicked, "query", "lib.rs", message);
    // A query cannot have changed anything, so the actor goes on.
    still_counts(&mut broken, 1);
    let timer = broken.message("panic_now", b"{}");
    let panicked = broken.state.timer(&timer).unwrap_err();
    let message = "a timer panics, as it was told to";
    assert_panicked(&panicked, "timer", "lib.rs", message);
    still_counts(&mut other, 2);
}

#[test]
fn a_state_that_panicked_is_rebuilt_from_its_events() {
    let bench = Bench::new();
    let (plugin, mut broken, _) = faulty(&bench);
    let snapshot = broken.export();
    let Ok(Verdict::Accepted(accepted)) = broken.call("add", &json!({ "by": 7 })) else {
        panic!("add is accepted");
    };
    fault(&mut broken, "panic_in_apply", &json!({}));
    let mut rebuilt = plugin.import(&snapshot).unwrap();
    rebuilt.apply(&accepted.event.unwrap()).unwrap();
    let query = broken.message("summary", b"{}");
    let summary = rebuilt.query(&query).unwrap().unwrap();
    assert_eq!(crate::actor::json(&summary)["count"], 7);
}

#[test]
fn more_effects_than_there_may_be() {
    let bench = Bench::new();
    let (_, mut broken, mut other) = faulty(&bench);
    let most = json!({ "n": EFFECTS_MAX });
    let Ok(Verdict::Accepted(accepted)) = other.call("many_effects", &most) else {
        panic!("{EFFECTS_MAX} effects are allowed");
    };
    assert_eq!(accepted.effects.len(), EFFECTS_MAX);
    let fault = fault(
        &mut broken,
        "many_effects",
        &json!({ "n": EFFECTS_MAX + 1 }),
    );
    assert_eq!(fault.kind, FaultKind::Protocol);
    assert_eq!(fault.message, "257 effects of one event, and 256 may be");
}

#[test]
fn effects_without_an_event() {
    let bench = Bench::new();
    let (_, mut broken, _) = faulty(&bench);
    let fault = fault(&mut broken, "effect_without_event", &json!({}));
    assert_eq!(fault.kind, FaultKind::Error);
    assert!(fault.message.contains("effects belong to an event"));
}

#[test]
fn large_replies_and_states_cross_whole() {
    const BYTES: usize = 4 << 20;
    let bench = Bench::new();
    let (plugin, mut large, _) = faulty(&bench);
    let reply = large.send("big_reply", &json!({ "bytes": BYTES })).unwrap();
    assert_eq!(reply.as_str().unwrap().len(), BYTES);
    large.send("grow", &json!({ "bytes": BYTES })).unwrap();
    large.check();
    let imported = plugin.import(&large.export()).unwrap();
    let query = large.message("summary", b"{}");
    let summary = imported.query(&query).unwrap().unwrap();
    assert_eq!(crate::actor::json(&summary)["bytes"], BYTES);
}

#[test]
fn bytes_that_are_no_state_and_no_event() {
    let bench = Bench::new();
    let (plugin, mut broken, mut other) = faulty(&bench);
    let donations = bench.open("donations-v0-1-0");
    let foreign = donations.new_state("k").unwrap().export().unwrap();
    for bytes in [&b"\xc1"[..], b"", &foreign] {
        let fault = plugin.import(bytes).unwrap_err();
        assert_eq!((fault.kind, &*fault.function), (FaultKind::Codec, "import"));
    }
    for bytes in [&b"{"[..], br#"{"unheard_of":{}}"#, b""] {
        let fault = broken.state.apply(bytes).unwrap_err();
        assert_eq!((fault.kind, &*fault.function), (FaultKind::Codec, "apply"));
    }
    still_counts(&mut other, 2);
}

#[test]
fn invariants_that_are_broken_are_named() {
    let bench = Bench::new();
    let (_, mut broken, mut other) = faulty(&bench);
    broken.send("break_invariant", &json!({})).unwrap();
    let violation = broken.state.check().unwrap().unwrap_err();
    let told = "the invariant \"not broken\": broken, as it was told to";
    assert_eq!(violation.to_string(), told);
    still_counts(&mut other, 2);
}

#[test]
fn refusals_are_no_faults_and_change_nothing() {
    let bench = Bench::new();
    let (_, _, mut actor) = faulty(&bench);
    let before = actor.export();
    let max = json!({ "by": i64::MAX });
    for (event, payload, reason) in [
        ("refuse", json!({}), "refused"),
        ("add", max, "too_large"),
        ("add", json!({ "by": "x" }), "bad_payload"),
        ("add", json!([1]), "bad_payload"),
        ("unheard_of", json!({}), "unknown_event"),
        ("summary", json!({}), "unknown_event"),
    ] {
        assert_eq!(actor.send(event, &payload), Err(reason.to_owned()));
    }
    assert_eq!(actor.export(), before);
}
