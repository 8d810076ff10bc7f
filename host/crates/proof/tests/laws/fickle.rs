//! Each way to be fickle is caught, and named.

use host_proof::{Violation, Way};
use serde_json::json;

use super::*;

/// What is found of these commands behind some that are harmless.
fn violation(commands: &[(&str, Value)]) -> Violation {
    let bench = Bench::with(&["fickle-v0-1-0"]);
    let mut actor = Actor::new(bench.plugin(0), "a");
    (0..5).for_each(|_| actor.send("count", &json!({})));
    assert!(
        bench.judge(&actor.course).is_ok(),
        "so far it is not fickle"
    );
    for (command, payload) in commands {
        actor.send(command, payload);
    }
    match bench.judge(&actor.course).unwrap_err() {
        LawError::Violated(violation) => *violation,
        error => panic!("{error}"),
    }
}

#[test]
fn a_map_without_an_order_is_caught() {
    let put = |at: usize| ("put", json!({"name": format!("name-{at}")}));
    let puts: Vec<_> = (0..30).map(put).collect();
    let found = violation(&puts);
    assert_eq!(found.way, Way::Twice, "{found}");
    assert_eq!(found.difference.field, "unordered", "{found}");
    // Of one entry there is one order; of two there may be two.
    assert!((7..=35).contains(&found.seq), "{found}");
    assert!(found.to_string().contains("fickle:a"), "{found}");
}

#[test]
fn a_clock_is_caught_at_the_event_that_reads_it() {
    let found = violation(&[
        ("count", json!({})),
        ("stamp", json!({})),
        ("count", json!({})),
    ]);
    assert_eq!(found.way, Way::Twice, "{found}");
    assert_eq!(found.difference.field, "stamps.stamp-0", "{found}");
    assert_eq!(found.seq, 7, "{found}");
}

#[test]
fn what_only_another_process_has_is_caught() {
    let found = violation(&[("home", json!({})), ("count", json!({}))]);
    assert_eq!(found.way, Way::InAnotherProcess, "{found}");
    assert_eq!(found.difference.field, "process", "{found}");
    assert_eq!(found.seq, 6, "{found}");
    assert_eq!(found.difference.one, std::process::id().to_string());
}

#[test]
fn what_a_written_state_does_not_have_is_caught() {
    let hides = vec![("hide", json!({})); 7];
    let found = violation(&hides);
    assert_eq!(found.way, Way::FromTheMiddle, "{found}");
    assert_eq!(found.difference.field, "seen", "{found}");
    // Half of twelve events lie before the middle, one of which was hidden.
    assert_eq!(found.seq, 7, "{found}");
}
