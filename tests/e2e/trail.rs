//! What operators did is in the audit trail, with who asked for it and how it ended.

use e2e::home::signal;
use e2e::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::keep::{exported, total, with_gifts};

#[test]
fn what_operators_did_is_in_the_chain_with_who_and_how_it_ended() {
    let home = with_gifts();
    home.upgrade("0.2.0").unwrap();
    home.rollback().unwrap();
    home.host(&["commit"]).unwrap().ends_with(1).unwrap();
    home.stop().unwrap();
    let actions = exported(&home, &["--actor", "host:operator"]);
    let phase = |it: &Value, phase: &str| it["fields"]["phase"] == phase;
    for intent in actions.iter().filter(|it| phase(it, "intended")) {
        assert!(
            intent["principal"]
                .as_str()
                .unwrap()
                .starts_with("operator:"),
            "{intent}"
        );
        let uid = u64::from(rustix::process::getuid().as_raw());
        assert_eq!(intent["fields"]["peer"]["uid"], uid);
        let ends = actions
            .iter()
            .filter(|it| it["fields"]["intent"] == intent["position"]);
        assert_eq!(ends.count(), 1, "{intent}");
    }
    let ended = |name: &str| {
        let mut found = actions
            .iter()
            .filter(|it| it["event"] == name && phase(it, "ended"));
        found.next_back().map(|it| it["fields"]["outcome"].clone())
    };
    for (name, outcome) in [
        ("rpc", "done"),
        ("upgrade", "committed"),
        ("commit", "nothing_to_commit"),
        ("stop", "done"),
    ] {
        assert_eq!(ended(name), Some(json!(outcome)), "{name}");
    }
    assert!(ended("rollback").is_some());
    let mut of_upgrade = actions.iter().filter(|it| it["event"] == "upgrade");
    assert_eq!(
        of_upgrade.next().unwrap()["fields"]["arguments"]["to"],
        "0.2.0"
    );
    // The replay of actors knows nothing of all that.
    home.start().unwrap();
    assert_eq!(total(&home), "15.00");
}

#[test]
fn every_start_and_every_end_is_in_the_trail_with_who_asked_for_it() {
    let home = with_gifts();
    home.done(&["restart"]).unwrap();
    let old = home.kill_host().unwrap();
    wait::until("the keeper has booted it again", || {
        home.status().ok().filter(|it| it.pid != old)
    })
    .unwrap();
    let host = home.host_pid().unwrap();
    assert!(signal(host, Signal::TERM));
    wait::until("it has stopped", || {
        home.keeper_pid().is_none().then_some(())
    })
    .unwrap();
    let actions = exported(&home, &["--actor", "host:operator"]);
    let intents = actions
        .iter()
        .filter(|it| it["fields"]["phase"] == "intended");
    let seen: Vec<_> = intents
        .filter(|it| ["start", "restart", "stop"].contains(&it["event"].as_str().unwrap()))
        .map(|it| {
            let by = it["principal"].as_str().unwrap();
            let by = by.split(':').next().unwrap();
            (
                it["event"].as_str().unwrap(),
                by,
                &it["fields"]["arguments"],
            )
        })
        .collect();
    let (permanent, signal) = (json!({"why": "permanent"}), json!({"signal": "SIGTERM"}));
    let asked = json!({});
    let wanted = [
        ("start", "operator", &permanent),
        ("restart", "operator", &asked),
        ("start", "host", &permanent),
        // Behind the kill.
        ("start", "host", &permanent),
        ("stop", "operator", &signal),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn a_start_that_goes_on_as_another_release_is_still_who_asked_for_it() {
    let home = with_gifts();
    home.upgrade("0.2.0").unwrap();
    home.stop().unwrap();
    // The store knows better, and the host boots again.
    std::fs::write(home.path().join("data/permanent"), "0.1.0\n").unwrap();
    home.start().unwrap();
    assert_eq!(home.status().unwrap().version.to_string(), "0.2.0");
    assert!(home.log().contains("exit code 75"), "{}", home.log());
    let actions = exported(&home, &["--actor", "host:operator"]);
    let mut starts = actions.iter().filter(|it| it["event"] == "start");
    let last = starts.next_back().unwrap();
    let by = last["principal"].as_str().unwrap();
    assert!(by.starts_with("operator:"), "{last}");
}
