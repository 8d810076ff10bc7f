//! Actors that are busy, and code that never returns, while an upgrade waits.

use std::fs;
use std::thread::{self, JoinHandle};

use e2e::{Home, release, wait};
use host_model::control::{Outcome, UpgradeReport};
use serde_json::{Value, json};

use crate::canary::reached;
use crate::hostile::{add, home, post, summary};

/// Longer than any test.
pub(crate) const FOR_EVER_MS: u64 = 3_600_000;

/// Actors that are not busy.
const OTHERS: i64 = 20;

/// A home that runs, with some actors.
fn running(home: &Home) -> u16 {
    let port = home.start().unwrap().port;
    for n in 0..OTHERS {
        add(port, &n.to_string(), n);
    }
    port
}

/// Keeps an actor busy that has not been heard of; returns when it is.
pub(crate) fn busy(home: &Home, port: u16, key: &str, ms: u64) -> JoinHandle<()> {
    let awake = home.status().unwrap().actors.awake;
    let key = key.to_owned();
    // The host may end before it answers.
    let sleeper = thread::spawn(move || {
        let path = format!("/api/v1/faulty/{key}/sleep");
        let _ = e2e::http::request(port, "POST", &path, &json!({ "ms": ms }).to_string());
    });
    wait::until("the actor is busy", || {
        (home.status().unwrap().actors.awake > awake).then_some(())
    })
    .unwrap();
    sleeper
}

fn all_are(port: u16, version: &str) {
    for n in 0..OTHERS {
        let summary = summary(port, &n.to_string());
        assert_eq!(summary["count"], n, "{summary}");
        assert_eq!(summary["version"], version, "{summary}");
    }
}

fn status_of(home: &Home, release: &str) -> String {
    let releases: Vec<Value> = home.answer(&["releases", "--json"]).unwrap();
    let row = releases.iter().find(|row| row["version"] == release);
    row.unwrap()["status"].as_str().unwrap().to_owned()
}

fn last_reason(home: &Home) -> String {
    let history: Vec<Value> = home.answer(&["history", "--limit", "1", "--json"]).unwrap();
    assert_eq!(history[0]["outcome"], "rolled_back", "{history:?}");
    history[0]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn old_code_that_is_busy_past_the_deadline_rolls_back_and_is_not_waited_for() {
    let home = home();
    let port = running(&home);
    let sleeper = busy(&home, port, "busy", 25_000);
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "0s",
        "--deadline",
        "2s",
    ];
    let ran = home.host(&[&line[..], &["--json"]].concat()).unwrap();
    let report: Value = ran.ends_with(4).unwrap().json().unwrap();
    assert!(!sleeper.is_finished(), "{report}");
    let reason = report["reason"].as_str().unwrap();
    let named = "faulty:busy has been in sleep of faulty 0.1.0";
    assert!(reason.contains(named), "{reason}");
    all_are(port, "0.1.0");
    // The release can do nothing for it.
    assert_eq!(status_of(&home, "0.2.0"), "unpacked");
    sleeper.join().unwrap();
    wait::until("the actor is at rest", || {
        home.status().unwrap().slow.is_empty().then_some(())
    })
    .unwrap();
    let report = home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    all_are(port, "0.2.0");
    home.stop().unwrap();
}

#[test]
fn old_code_outside_a_canary_is_as_busy_as_it_likes() {
    let home = home();
    let port = running(&home);
    let sleeper = busy(&home, port, "busy", 8_000);
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--canary",
        "0.001%",
        "--probation",
        "300s",
        "--deadline",
        "2s",
    ];
    home.done(&[&line[..], &["--detach", "--json"]].concat())
        .unwrap();
    sleeper.join().unwrap();
    let upgrade = home.status().unwrap().upgrade.unwrap();
    assert_eq!((&*upgrade.state, upgrade.reason), ("canary", None));
    all_are(port, "0.1.0");
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    home.stop().unwrap();
}

#[test]
fn new_code_that_never_returns_is_contained_by_a_restart_into_the_old_release() {
    let home = home();
    let port = running(&home);
    let pid = home.host_pid().unwrap();
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "300s",
        "--deadline",
        "2s",
    ];
    home.done(&[&line[..], &["--detach", "--json"]].concat())
        .unwrap();
    // Accepted by the new version, before and while its code hangs.
    add(port, "new", 40);
    let sleeper = busy(&home, port, "stuck", FOR_EVER_MS);
    add(port, "new", 2);
    home.rebooted(pid).unwrap();
    sleeper.join().unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.1.0");
    assert_eq!(settled.actors.quarantined, 0);
    all_are(port, "0.1.0");
    assert_eq!(summary(port, "new")["count"], 42);
    let reason = last_reason(&home);
    let named = "faulty:stuck has been in sleep of faulty 0.2.0";
    assert!(reason.contains(named), "{reason}");
    assert!(reason.contains("the host was restarted"), "{reason}");
    assert_eq!(status_of(&home, "0.2.0"), "failed");
    home.stop().unwrap();
}

#[test]
fn a_migration_that_never_returns_is_contained_and_its_actor_whole() {
    let home = home();
    let port = running(&home);
    let pid = home.host_pid().unwrap();
    let trouble = json!({ "what": "up_slow", "ms": FOR_EVER_MS });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "0s",
        "--deadline",
        "2s",
    ];
    let ran = home.host(&[&line[..], &["--json"]].concat()).unwrap();
    let report: Value = ran.ends_with(4).unwrap().json().unwrap();
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.contains("faulty:7 has been in (migration)"),
        "{reason}"
    );
    home.rebooted(pid).unwrap();
    home.settled().unwrap();
    all_are(port, "0.1.0");
    let reason = last_reason(&home);
    assert!(reason.ends_with("the host was restarted"), "{reason}");
    assert_eq!(reason.matches("does not return").count(), 1, "{reason}");
    add(port, "7", 1);
    assert_eq!(summary(port, "7")["count"], 8);
    home.stop().unwrap();
}

/// So many that the migration is taken for a fast one before the last of them comes over.
const MANY: i64 = 200;

#[test]
fn a_migration_that_never_returns_keeps_no_thread_from_clients() {
    let home = home();
    home.configure("RUNTIME_THREADS=1").unwrap();
    let port = home.start().unwrap().port;
    for n in 0..MANY {
        add(port, &format!("a{n}"), n);
    }
    // The last in the order of a sweep.
    add(port, "z", 1);
    let trouble = json!({ "what": "up_slow", "ms": FOR_EVER_MS });
    assert_eq!(post(port, "z", "plan_trouble", &trouble).0, 200);
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--deadline", "20s"];
    let upgrade = home.begin(&line).unwrap();
    wait::until("all but one have come over", || {
        let under_way = home.status().unwrap().upgrade?;
        (!under_way.busy.is_empty() && under_way.migrated >= MANY.unsigned_abs()).then_some(())
    })
    .unwrap();
    // There is one thread for handlers, and code that does not return.
    add(port, "a1", 1);
    let found = summary(port, "a1");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(2), &json!("0.2.0"))
    );
    let health = e2e::http::request(port, "GET", "/healthz", "").unwrap();
    assert_eq!(health.json().unwrap()["data_threads"], "ok");
    let pid = home.host_pid().unwrap();
    home.host(&["rollback", "--json"]).unwrap();
    home.rebooted(pid).unwrap();
    upgrade.end().unwrap();
    home.settled().unwrap();
    assert_eq!(summary(port, "a1")["count"], 2);
    home.stop().unwrap();
}

#[test]
fn a_way_back_that_never_returns_costs_one_restart_and_sets_its_actor_aside() {
    let home = home();
    let port = running(&home);
    let pid = home.host_pid().unwrap();
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "300s",
        "--deadline",
        "2s",
    ];
    home.done(&[&line[..], &["--detach", "--json"]].concat())
        .unwrap();
    let trouble = json!({ "what": "down_slow", "ms": FOR_EVER_MS });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    let ran = home.host(&["rollback", "--json"]).unwrap();
    let report: Value = ran.json().unwrap();
    assert_eq!(report["outcome"], "rolled_back", "{report}");
    let rebooted = home.rebooted(pid).unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.pid, rebooted.pid);
    assert_eq!(settled.version.to_string(), "0.1.0");
    assert_eq!(settled.actors.quarantined, 1);
    let stuck = home.state("faulty:7").unwrap();
    assert_eq!(stuck.version.to_string(), "0.2.0");
    let why = stuck.quarantined.unwrap();
    assert!(why.contains("its way back does not return"), "{why}");
    let reason = last_reason(&home);
    assert!(
        reason.ends_with("does not return, so the host was restarted"),
        "{reason}"
    );
    assert_eq!(summary(port, "8")["version"], "0.1.0");
    home.stop().unwrap();
}

#[test]
fn a_way_back_that_ends_the_process_sets_its_actor_aside_before_the_keeper_gives_up() {
    let home = home();
    let port = running(&home);
    home.done(&[
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "300s",
        "--detach",
        "--json",
    ])
    .unwrap();
    wait::until("everyone has come over", || {
        let upgrade = home.status().ok()?.upgrade?;
        (upgrade.state == "probation").then_some(())
    })
    .unwrap();
    let trouble = json!({ "what": "down_aborts" });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    // Three processes die of it: one by surprise, two with the actor's name on their lips.
    home.host(&["rollback", "--json"]).unwrap();
    wait::until("the actor is set aside", || {
        let status = home.status().ok()?;
        (status.actors.quarantined == 1 && status.upgrade.is_none()).then_some(())
    })
    .unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.1.0");
    let aside = home.state("faulty:7").unwrap();
    assert_eq!(aside.version.to_string(), "0.2.0");
    let why = aside.quarantined.unwrap();
    assert!(why.contains("its way back ended the host, twice"), "{why}");
    for key in ["6", "8"] {
        assert_eq!(summary(port, key)["version"], "0.1.0");
    }
    home.stop().unwrap();
    // Nor does the next process try it: not to show it, and not when it serves again.
    let port = home.start().unwrap().port;
    let aside = home.state("faulty:7").unwrap();
    assert_eq!(aside.version.to_string(), "0.2.0");
    home.done(&["quarantine", "release", "faulty:7"]).unwrap();
    assert_eq!(summary(port, "7")["version"], "0.2.0");
    home.stop().unwrap();
}

#[test]
fn a_rollback_that_ends_the_process_is_open_again_once_that_has_been_seen_twice() {
    let home = home();
    let port = running(&home);
    home.upgrade("0.2.0").unwrap();
    let trouble = json!({ "what": "down_aborts" });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    // Three processes die of it, as in a way back by itself; but here an operator asks anew.
    for quarantined in [0, 0, 1] {
        let pid = home.host_pid().unwrap();
        home.host(&["rollback", "--json"]).unwrap();
        home.rebooted(pid).unwrap();
        let settled = home.settled().unwrap();
        assert_eq!(settled.version.to_string(), "0.2.0");
        assert_eq!(settled.actors.quarantined, quarantined);
    }
    home.rollback().unwrap();
    let aside = home.state("faulty:7").unwrap();
    assert_eq!(aside.version.to_string(), "0.2.0");
    let why = aside.quarantined.unwrap();
    assert!(why.contains("its way back ended the host, twice"), "{why}");
    for key in ["6", "8"] {
        assert_eq!(summary(port, key)["version"], "0.1.0");
    }
    assert!(!home.path().join("data/way-back").exists());
    home.stop().unwrap();
}

#[test]
fn who_is_busy_while_an_operator_rolls_back_is_set_aside_and_goes_back_once_it_is_released() {
    let home = home();
    let port = running(&home);
    let report = home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let sleeper = thread::spawn(move || {
        let sleep = json!({ "ms": FOR_EVER_MS }).to_string();
        let _ = e2e::http::request(port, "POST", "/api/v1/faulty/7/sleep", &sleep);
    });
    wait::until("the actor is busy", || {
        (!home.status().unwrap().slow.is_empty()).then_some(())
    })
    .unwrap();
    // It takes the deadline, which is 30 s.
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.way_back.set_aside, 1, "{report:?}");
    assert_eq!(report.remark, None, "nothing is said of its way back");
    home.stop().unwrap();
    sleeper.join().unwrap();
    let port = home.start().unwrap().port;
    let aside = home.state("faulty:7").unwrap();
    assert_eq!(aside.version.to_string(), "0.2.0");
    home.done(&["quarantine", "release", "faulty:7"]).unwrap();
    all_are(port, "0.1.0");
    home.stop().unwrap();
}

#[test]
fn ways_back_that_never_return_keep_nobody_from_an_operators_rollback() {
    let home = home();
    home.configure("RUNTIME_THREADS=1").unwrap();
    let port = home.start().unwrap().port;
    // In the order of a sweep: as many large ones as are written at once and one more, so many
    // small ones that the migration is taken for a fast one, and one behind them.
    let large = ["a-1", "a-2", "a-3"];
    for key in large {
        assert_eq!(post(port, key, "grow", &json!({ "bytes": 2 << 20 })).0, 200);
    }
    let small: Vec<_> = (0..MANY).map(|n| format!("b{n}")).collect();
    for key in small.iter().map(String::as_str).chain(["c", "d"]) {
        add(port, key, 1);
    }
    let report = home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let trouble = json!({ "what": "down_slow", "ms": FOR_EVER_MS });
    let stuck = ["a-1", "a-2", "c"];
    for key in stuck {
        assert_eq!(post(port, key, "plan_trouble", &trouble).0, 200);
    }
    let pid = home.host_pid().unwrap();
    // It takes the deadline, which is 30 s.
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let aside = report.way_back.named.iter().map(|it| it.actor.key());
    assert_eq!(aside.collect::<Vec<_>>(), stuck);
    assert_eq!(
        home.host_pid().unwrap(),
        pid,
        "nothing was restarted for it"
    );
    for key in ["a-3", "b0", "d"] {
        assert_eq!(summary(port, key)["version"], "0.1.0", "{key}");
    }
    home.stop().unwrap();
}

#[test]
fn what_is_stuck_ends_for_all_who_follow_it_and_says_what_to_do() {
    let home = home();
    let port = running(&home);
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
    let upgrade = home.begin(&[&line[..], &["--json"]].concat()).unwrap();
    reached(&home, "probation", None);
    // There is no way back from a release that cannot be read.
    let file = home.path().join("releases/0.2.0/manifest.json");
    let manifest = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    let rollback = home.host(&["rollback", "--json"]).unwrap();
    for ran in [upgrade.end().unwrap(), rollback] {
        let report: UpgradeReport = ran.ends_with(5).unwrap().json().unwrap();
        assert_eq!(report.outcome, Outcome::Stuck, "{report:?}");
        let reason = report.reason.unwrap();
        let both = reason.starts_with("an operator rolled it back; ") && reason.contains("0.2.0");
        assert!(both, "{reason}");
    }
    // Tried again it is stuck again.
    let again = home.host(&["rollback", "0.1.0"]).unwrap();
    let told = again.ends_with(5).unwrap().stdout;
    for word in ["stuck: ", "reason", "`host rollback` tries again"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    fs::write(&file, manifest).unwrap();
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    all_are(port, "0.1.0");
    home.stop().unwrap();
}

/// The child that inspects it before the host opens it finds all well.
#[test]
fn a_plugin_that_hangs_while_the_host_opens_it_fails_the_start_by_name() {
    let home = home();
    release::add_raw(&home.path().join("releases/0.1.0"), "init_hangs_in_host").unwrap();
    let start = home.host(&["start", "--foreground"]).unwrap();
    let told = start.ends_with(1).unwrap().stderr;
    let wanted = "open raw 0.1.0: it has not returned for 45 s, so the start is given up";
    assert!(told.contains(wanted), "{told}");
    assert_eq!(home.host_pid(), None);
}
