//! An upgrade that an operator has paused.

use e2e::faulty::mark;
use e2e::wait;
use host_model::control::{Outcome, UpgradeReport, UpgradeStatus};
use host_model::limits::FAULTS_MAX;
use serde_json::{Value, json};

use crate::canary::{flight, home, reached, under_way, versions};
use crate::hostile::post;
use crate::stuck::busy;

#[test]
fn a_paused_upgrade_stands_still_and_its_actors_still_come_over() {
    let home = home();
    let port = home.start().unwrap().port;
    for key in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(post(port, key, "add", &json!({ "by": 1 })).0, 200);
    }
    let early = home.host(&["upgrade", "pause", "--json"]).unwrap();
    assert_eq!(
        early.ends_with(1).unwrap().reason().unwrap(),
        "nothing_to_pause"
    );
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--canary",
        "50%",
        "--probation",
        "300s",
        "--json",
    ];
    let upgrade = home.begin(&line).unwrap();
    reached(&home, "canary", Some("50%"));
    let paused: UpgradeStatus = home.answer(&["upgrade", "pause", "--json"]).unwrap();
    assert!(paused.paused, "{paused:?}");
    let left = under_way(&home).unwrap().probation_left_s.unwrap();
    let up_s = home.status().unwrap().uptime_s;
    wait::until("the host has gone on for more than two seconds", || {
        (home.status().ok()?.uptime_s >= up_s + 3).then_some(())
    })
    .unwrap();
    let later = under_way(&home).unwrap();
    assert_eq!(later.probation_left_s, Some(left), "the clock stands still");
    let shown = home.done(&["status"]).unwrap().stdout;
    assert!(shown.contains("50% of the actors ahead, paused"), "{shown}");
    // Said twice, it is said once.
    home.done(&["upgrade", "pause"]).unwrap();
    let resumed: UpgradeStatus = home.answer(&["upgrade", "resume", "--json"]).unwrap();
    assert!(!resumed.paused, "{resumed:?}");
    home.done(&["upgrade", "pause"]).unwrap();
    // A commit is the end of a pause, and of the canary.
    let report: UpgradeReport = home.answer(&["commit", "--json"]).unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert!(report.paused_ms >= 2_000, "{report:?}");
    upgrade.end().unwrap().ends_with(0).unwrap();
    let flight = flight(&home, 1);
    let asked = flight["asked"].as_array().unwrap();
    let asked: Vec<_> = asked
        .iter()
        .map(|it| it["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        asked,
        ["upgrade", "pause", "pause", "resume", "pause", "commit"]
    );
    assert_eq!(flight["watched"][0]["verdict"], "by_hand");
    home.stop().unwrap();
}

#[test]
fn a_rollback_works_in_a_paused_canary_and_blames_nobody() {
    let home = home();
    let port = home.start().unwrap().port;
    for n in 0..20 {
        assert_eq!(
            post(port, &n.to_string(), "add", &json!({ "by": n })).0,
            200
        );
    }
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--canary",
        "50%",
        "--probation",
        "300s",
        "--detach",
        "--json",
    ];
    let detached: Value = home.answer(&line).unwrap();
    assert_eq!(
        (&detached["to"], &detached["outcome"]),
        (&json!("0.2.0"), &json!("probation"))
    );
    home.done(&["upgrade", "pause"]).unwrap();
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    home.settled().unwrap();
    assert_eq!(versions(&home), [("0.1.0".to_owned(), 20)].into());
    let releases: Value = home.answer(&["releases", "--json"]).unwrap();
    assert_eq!(releases[1]["status"], "unpacked", "{releases}");
    home.stop().unwrap();
}

#[test]
fn what_faults_is_taken_back_while_the_upgrade_is_paused_before_all_have_come_over() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "a", "add", &json!({ "by": 7 })).0, 200);
    mark(port, "a", "add_panics", 0).unwrap();
    let sleeper = busy(&home, port, "busy", 20_000);
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
    let upgrade = home.begin(&[&line[..], &["--json"]].concat()).unwrap();
    reached(&home, "switching", None);
    home.done(&["upgrade", "pause"]).unwrap();
    for _ in 0..FAULTS_MAX {
        assert_eq!(post(port, "a", "add", &json!({ "by": 1 })).0, 500);
    }
    let ran = upgrade.end().unwrap().ends_with(4).unwrap();
    let report: UpgradeReport = ran.json().unwrap();
    let reason = report.reason.unwrap();
    assert!(reason.contains("calls of add faulted"), "{reason}");
    assert_eq!(post(port, "a", "add", &json!({ "by": 1 })).0, 200);
    sleeper.join().unwrap();
    home.stop().unwrap();
}

#[test]
fn who_is_busy_has_its_whole_time_when_a_paused_upgrade_goes_on() {
    let home = home();
    let port = home.start().unwrap().port;
    let sleeper = busy(&home, port, "busy", 20_000);
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "0s"];
    let upgrade = home
        .begin(&[&line[..], &["--deadline", "12s", "--json"]].concat())
        .unwrap();
    reached(&home, "switching", None);
    home.done(&["upgrade", "pause"]).unwrap();
    let up_s = home.status().unwrap().uptime_s;
    wait::until("it was paused for longer than the deadline", || {
        (home.status().ok()?.uptime_s >= up_s + 14).then_some(())
    })
    .unwrap();
    home.done(&["upgrade", "resume"]).unwrap();
    let ran = upgrade.end().unwrap().ends_with(0).unwrap();
    let report: UpgradeReport = ran.json().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    sleeper.join().unwrap();
    home.stop().unwrap();
}
