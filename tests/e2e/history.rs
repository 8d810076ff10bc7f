//! The flight record of an upgrade, as an operator reads it when all is over.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::faulty::mark;
use e2e::wait;
use serde_json::{Value, json};

use crate::canary::{flight, states};
use crate::hostile::{UPGRADE, add, home};

fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Its transitions follow one another without a gap, the first not before `from_ms`.
fn is_without_a_gap(record: &Value, from_ms: i64) {
    let transitions = record["transitions"].as_array().unwrap();
    let at = |n: usize| transitions[n]["at_ms"].as_i64().unwrap();
    assert!(at(0) >= from_ms, "{record:#}");
    for n in 1..transitions.len() {
        let lasted = transitions[n - 1]["lasted_ms"].as_i64().unwrap();
        assert_eq!(at(n - 1) + lasted, at(n), "{record:#}");
    }
    assert_eq!(transitions[transitions.len() - 1]["lasted_ms"], Value::Null);
}

/// It was asked for once, by whom an operator is known as, from `from_ms` on.
fn was_asked_for(record: &Value, from_ms: i64) {
    let [asked] = &record["asked"].as_array().unwrap()[..] else {
        panic!("{record:#}");
    };
    assert_eq!(
        (&asked["what"], &asked["arguments"]["to"]),
        (&json!("upgrade"), &json!("0.2.0"))
    );
    let by = asked["by"].as_str().unwrap();
    assert!(by.starts_with("operator:"), "{by}");
    assert!(asked["at_ms"].as_i64().unwrap() >= from_ms, "{asked}");
}

#[test]
fn a_record_outlives_a_crash_and_says_what_was_planned_rehearsed_and_asked_and_who_failed() {
    let home = home();
    let port = home.start().unwrap().port;
    for key in ["a", "b", "c"] {
        add(port, key, 1);
    }
    let planned: Value = home.answer(&["plan", "0.2.0", "--json"]).unwrap();
    let from_ms = unix_ms();
    let line = ["upgrade", "0.2.0", "--probation", "300s", "--detach"];
    let left: Value = home.answer(&[&line[..], &["--json"]].concat()).unwrap();
    let flying = flight(&home, 1);
    let way = [
        "planned",
        "verified",
        "rehearsed",
        "staged",
        "switching",
        "probation",
    ];
    assert_eq!(states(&flying), way);
    assert_eq!(flying["report"], Value::Null);
    assert_eq!(flying["actors_migrated"], 3);
    let known = ["state", "outcome", "actors_migrated", "rehearsal"].map(|it| &left[it]);
    let rehearsal = &flying["rehearsal"];
    assert_eq!(
        known,
        [
            &json!("probation"),
            &json!("probation"),
            &json!(3),
            rehearsal
        ]
    );
    assert!(left["duration_ms"].as_u64() > Some(0), "{left:#}");

    let killed = home.kill_host().unwrap();
    home.rebooted(killed).unwrap();
    home.settled().unwrap();
    let crashed = flight(&home, 1);
    for known in ["asked", "plan", "rehearsal"] {
        assert_eq!(crashed[known], flying[known], "{known}");
    }
    assert_eq!(
        states(&crashed),
        [&way[..], &["rolling_back", "rolled_back"]].concat()
    );
    let transitions = |record: &Value| record["transitions"].as_array().unwrap().clone();
    let before_it = way.len() - 1;
    assert_eq!(
        transitions(&crashed)[..before_it],
        transitions(&flying)[..before_it]
    );
    is_without_a_gap(&crashed, from_ms);
    was_asked_for(&crashed, from_ms);
    // As planned, but for the probation that was asked for.
    let mut asked = planned.clone();
    asked["probation_s"] = json!(300);
    for step in asked["steps"].as_array_mut().unwrap() {
        if step["step"] == "watch" {
            step["timeout_ms"] = json!(300_000);
        }
    }
    for part in [
        "from",
        "to",
        "plugins",
        "steps",
        "back",
        "reversible",
        "probation_s",
    ] {
        assert_eq!(crashed["plan"][part], asked[part], "{part}");
    }
    let rehearsal = &crashed["rehearsal"];
    assert_eq!(rehearsal["outcome"], "passed", "{rehearsal:#}");
    assert_eq!(
        (&rehearsal["rehearsed"], &rehearsal["known"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(crashed["failures"], json!([]));
    assert_eq!(crashed["report"]["outcome"], "rolled_back");
    let died = crashed["transitions"][way.len()]["reason"].as_str();
    assert!(died.unwrap().contains("the host ended"), "{crashed:#}");

    mark(port, "b", "up_panics", 0).unwrap();
    let from_ms = unix_ms();
    home.host(&UPGRADE).unwrap().ends_with(4).unwrap();
    home.settled().unwrap();
    let failed = flight(&home, 2);
    let plan = &failed["plan"];
    let done = plan["steps"].as_array().unwrap().iter();
    let done: Vec<_> = done.map(|step| &step["step"]).collect();
    assert!(!done.contains(&&json!("rehearse")), "{plan:#}");
    assert_eq!(plan["probation_s"], 0);
    assert_eq!(
        states(&failed),
        [
            "planned",
            "verified",
            "staged",
            "switching",
            "rolling_back",
            "rolled_back"
        ]
    );
    is_without_a_gap(&failed, from_ms);
    was_asked_for(&failed, from_ms);
    assert_eq!(failed["rehearsal"]["outcome"], "skipped");
    let [who] = &failed["failures"].as_array().unwrap()[..] else {
        panic!("{failed:#}");
    };
    assert_eq!(
        (&who["actor"], &who["from"], &who["to"]),
        (&json!("faulty:b"), &json!("0.1.0"), &json!("0.2.0"))
    );
    let why = who["why"].as_str().unwrap();
    assert!(why.contains("panicked"), "{why}");
    assert_eq!(failed["failures_more"], 0);
    // It has never come to its probation.
    assert_eq!(failed["waits"]["after"]["count"], 0);

    home.stop().unwrap();
    home.start().unwrap();
    assert_eq!(flight(&home, 1), crashed);
    assert_eq!(flight(&home, 2), failed);
    home.stop().unwrap();
}

#[test]
fn who_had_come_over_is_counted_also_where_another_process_brings_the_last_of_them_back() {
    let home = home();
    let port = home.start().unwrap().port;
    for key in ["a", "b", "c", "d"] {
        add(port, key, 1);
    }
    mark(port, "slow", "down_slow", 4_000).unwrap();
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
    home.done(&[&line[..], &["--detach"]].concat()).unwrap();
    let rollback = home.begin(&["rollback"]).unwrap();
    let others = json!(4);
    wait::until("all others are back", || {
        let status: Value = home.answer(&["status", "--json"]).ok()?;
        let upgrade = &status["upgrade"];
        (upgrade["state"] == "rolling_back" && upgrade["migrated"] == others).then_some(())
    })
    .unwrap();
    let killed = home.kill_host().unwrap();
    home.rebooted(killed).unwrap();
    home.settled().unwrap();
    drop(rollback);
    assert_eq!(flight(&home, 1)["actors_migrated"], 5);
    home.stop().unwrap();
}
