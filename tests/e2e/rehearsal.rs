//! Rehearsals, seen from outside: what is found, what is refused, and that nobody
//! notices.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use e2e::command::{Ran, Running};
use e2e::{Home, http, wait};
use host_model::control::{FieldRow, Outcome, RehearsalOutcome, RehearsalReport};
use host_model::limits::BUSY_DEADLINE;
use serde_json::{Value, json};

use crate::hostile::{home, post, summary};

/// `host rehearse V`: what it found.
fn rehearse(home: &Home, version: &str, more: &[&str]) -> (Ran, RehearsalReport) {
    let line = [&["rehearse", version, "--json"], more].concat();
    let ran = home.host(&line).unwrap();
    let report = ran.json().unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (ran, report)
}

fn upgrade(home: &Home, more: &[&str]) -> (Ran, Value) {
    let line = ["upgrade", "0.2.0", "--probation", "0s", "--json"];
    let ran = home.host(&[&line[..], more].concat()).unwrap();
    let report = ran.json().unwrap();
    (ran, report)
}

/// Gives and declares a little on the example platform.
fn give(home: &Home) {
    for campaign in ["a", "b", "c"] {
        let actor = format!("donations:{campaign}");
        let open = json!({"title": "T", "currency": "USD", "goal": "9.00"});
        home.rpc(&actor, "open", &open).unwrap();
        for gift in ["d1", "d2"] {
            let gift = json!({"donation_id": gift, "amount": "1.00", "currency": "USD"});
            home.rpc(&actor, "donate", &gift).unwrap();
        }
    }
    let asset = json!({"asset_id": "a", "kind": "cash", "amount": "100.00", "currency": "USD"});
    home.rpc("zakat:ali", "declare", &asset).unwrap();
}

pub(crate) fn plan_trouble(port: u16, key: &str, what: &str) {
    let trouble = json!({ "what": what, "ms": 150 });
    let (status, answer) = post(port, key, "plan_trouble", &trouble);
    assert_eq!(status, 200, "{answer}");
}

/// As before: the old release, no debris, and who asks is answered.
pub(crate) fn nothing_has_changed(home: &Home, port: u16) {
    let status = home.settled().unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    let releases: Value = home.answer(&["releases", "--json"]).unwrap();
    assert_eq!(releases[1]["status"], "unpacked", "{releases}");
    let pins: Vec<Value> = home.answer(&["store", "pins", "--json"]).unwrap();
    assert_eq!(pins, [] as [Value; 0]);
    assert_eq!(left(home), [] as [String; 0]);
    assert_eq!(summary(port, "good")["version"], "0.1.0");
}

/// Folders of rehearsals that are left.
pub(crate) fn left(home: &Home) -> Vec<String> {
    let images = fs::read_dir(home.data().join("images")).unwrap();
    let names = images.map(|it| it.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|it| it.starts_with("rehearsal-")).collect()
}

/// Someone who counts all the while, and waits for each answer.
struct Caller {
    stop: Arc<AtomicBool>,
    counted: Arc<AtomicI64>,
    thread: JoinHandle<()>,
}

impl Caller {
    fn start(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counted = Arc::new(AtomicI64::new(0));
        let thread = thread::spawn({
            let (stop, counted) = (Arc::clone(&stop), Arc::clone(&counted));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    let (status, answer) = post(port, "caller", "add", &json!({"by": 1}));
                    assert_eq!(status, 200, "{answer}");
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self {
            stop,
            counted,
            thread,
        }
    }

    /// Waits until so many more calls are answered.
    fn more(&self, calls: i64) {
        let wanted = self.counted.load(Ordering::SeqCst) + calls;
        wait::until("calls are answered", || {
            (self.counted.load(Ordering::SeqCst) >= wanted).then_some(())
        })
        .unwrap();
    }

    /// How many were answered.
    fn stop(self) -> i64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.counted.load(Ordering::SeqCst)
    }
}

#[test]
fn the_platform_passes_and_nothing_is_changed_by_it() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    give(&home);
    let (ran, report) = rehearse(&home, "0.2.0", &[]);
    assert_eq!(ran.code, Some(0), "{report:#?}");
    assert_eq!(report.outcome, RehearsalOutcome::Passed);
    assert_eq!((report.rehearsed, report.known), (4, 4));
    assert_eq!((&report.confidence, report.commands), (&None, 10));
    assert!(report.samples > 0);
    let asked: Vec<_> = report.laws.iter().map(|law| law.asked).collect();
    assert_eq!(asked, [4, 4, 4, 4, 4], "{:?}", report.laws);
    let declared: Vec<_> = report.declared.iter().map(|it| it.field.as_str()).collect();
    assert!(declared.contains(&"summary.funds"), "{declared:?}");
    assert_eq!(report.plugins.len(), 2);
    assert!(
        report
            .plugins
            .iter()
            .all(|it| it.pause_us.max > 0 && it.budget_ms == 100)
    );
    assert_eq!(home.settled().unwrap().version.to_string(), "0.1.0");
    assert_eq!(left(&home), [] as [String; 0]);
    // For people, too.
    let text = home
        .done(&["rehearse", "0.2.0", "--sample", "2"])
        .unwrap()
        .stdout;
    assert!(text.contains("passed: nothing speaks against it"), "{text}");
    assert!(text.contains("with 99 % confidence"), "{text}");
    // However few are wanted, somebody is taken of each plugin.
    let (_, one) = rehearse(&home, "0.2.0", &["--sample", "1"]);
    assert_eq!((one.outcome, one.known), (RehearsalOutcome::Passed, 4));
    assert!(one.plugins.iter().all(|it| it.rehearsed > 0), "{one:#?}");

    let report = home.upgrade("0.2.0").unwrap();
    let rehearsal = report.rehearsal.unwrap();
    assert_eq!(rehearsal.outcome, RehearsalOutcome::Passed);
    assert_eq!(rehearsal.rehearsed, 4);
    // The way back, by itself; what is new is in the states by now.
    let allocate =
        json!({"fund": "sadaqah", "category": "food", "amount": "0.50", "currency": "USD"});
    home.rpc("donations:a", "allocate", &allocate).unwrap();
    let (ran, report) = rehearse(&home, "0.1.0", &["--all"]);
    assert_eq!(ran.code, Some(0), "{report:#?}");
    assert_eq!(report.rehearsed, 4);
    let report = home.rollback().unwrap();
    let rehearsal = report.rehearsal.unwrap();
    assert_eq!(rehearsal.outcome, RehearsalOutcome::Skipped);
    assert!(rehearsal.reason.unwrap().contains("--rehearse"));
    // With a carry beside each state.
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let back: Value = home.answer(&["rollback", "--rehearse", "--json"]).unwrap();
    assert_eq!(back["rehearsal"]["outcome"], "passed", "{back}");
    home.stop().unwrap();
}

#[test]
fn whatever_the_new_version_does_wrong_is_refused_and_named_and_nobody_notices() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "good", "add", &json!({"by": 1})).0, 200);
    let caller = Caller::start(port);
    let mut planned = 0;
    for (trouble, words) in [
        (
            "up_segfaults",
            &["faulty:bad", "up to 0.2.0", "SIGSEGV"][..],
        ),
        ("up_loops", &["faulty:bad", "up to 0.2.0", "endless loop"]),
        ("up_hogs", &["faulty:bad", "up to 0.2.0", "memory"]),
        ("up_connects", &["faulty:bad", "up to 0.2.0", "SIGSYS"]),
        ("up_slow", &["faulty:bad", "pause_budget_ms", "100 ms"]),
        ("up_panics", &["faulty:bad", "panicked"]),
        ("down_loses", &["faulty:bad", "state.notes"]),
        ("none", &[]),
    ] {
        // Half of an actor's commands stand for the past that it may have gone back to: that has
        // this trouble, and no longer the one before.
        for _ in 0..planned + 2 {
            plan_trouble(port, "bad", trouble);
        }
        planned = 2 * planned + 2;
        let (ran, report) = upgrade(&home, &["--deadline", "4s"]);
        if words.is_empty() {
            assert_eq!(ran.code, Some(0), "{report:#}");
            continue;
        }
        assert_eq!(ran.code, Some(1), "{trouble}: {report:#}");
        assert_eq!(report["outcome"], "refused", "{trouble}");
        assert_eq!(report["rehearsal"]["outcome"], "failed", "{trouble}");
        let reason = report["reason"].as_str().unwrap();
        for word in words {
            assert!(reason.contains(word), "{trouble}: {reason}");
        }
        nothing_has_changed(&home, port);
    }
    let counted = caller.stop();
    assert!(counted > 0);
    let after = summary(port, "caller");
    assert_eq!(
        (&after["count"], &after["version"]),
        (&json!(counted), &json!("0.2.0"))
    );
    home.stop().unwrap();
}

/// Nobody is set aside for being slow there, and who does not come down goes by its commands.
#[test]
fn a_way_back_is_judged_as_a_rollback_goes() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "bad", "add", &json!({"by": 1})).0, 200);
    assert_eq!(upgrade(&home, &[]).0.code, Some(0));
    let slow = json!({ "what": "down_slow", "ms": 500 });
    assert_eq!(post(port, "bad", "plan_trouble", &slow).0, 200);
    let (ran, report) = rehearse(&home, "0.1.0", &[]);
    assert_eq!(ran.code, Some(0), "{report:#?}");
    let [faulty] = &report.plugins[..] else {
        panic!("{report:#?}");
    };
    assert_eq!(faulty.budget_ms, 0);
    assert!(faulty.pause_us.max >= 500_000, "{faulty:?}");
    plan_trouble(port, "bad", "down_fails");
    let (ran, report) = rehearse(&home, "0.1.0", &[]);
    assert_eq!(ran.code, Some(1), "{report:#?}");
    let reason = report.reason.unwrap();
    for word in ["faulty:bad", "down fails", "`host rollback` itself"] {
        assert!(reason.contains(word), "{reason}");
    }
    home.rollback().unwrap();
    assert_eq!(summary(port, "bad")["version"], "0.1.0");
    home.stop().unwrap();
}

/// What a host would bear is not refused: its pause is, where that is longer than allowed.
#[test]
fn what_takes_its_time_is_no_endless_loop_and_a_deadline_says_how_much_that_is() {
    let home = home();
    let port = home.start().unwrap().port;
    let trouble = json!({ "what": "up_slow", "ms": 6_000 });
    assert_eq!(post(port, "bad", "plan_trouble", &trouble).0, 200);
    let (ran, report) = rehearse(&home, "0.2.0", &[]);
    assert_eq!(ran.code, Some(1), "{report:#?}");
    assert_eq!(report.ended, [], "{report:#?}");
    let reason = report.reason.unwrap();
    assert!(
        reason.contains("the migration to 0.2.0 took 6") && reason.contains("(timeout_ms)"),
        "{reason}"
    );
    let (ran, report) = rehearse(&home, "0.2.0", &["--deadline", "2s"]);
    assert_eq!(ran.code, Some(1), "{report:#?}");
    let reason = report.reason.unwrap();
    assert!(reason.contains("endless loop"), "{reason}");
    home.stop().unwrap();
}

#[test]
fn a_reply_that_is_never_the_same_is_refused_by_its_field() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "good", "add", &json!({"by": 1})).0, 200);
    plan_trouble(port, "bad", "reply_random");
    assert_eq!(post(port, "bad", "add", &json!({"by": 1})).0, 200);
    let (ran, report) = rehearse(&home, "0.2.0", &[]);
    assert_eq!(ran.code, Some(1));
    let [problem] = &report.problems[..] else {
        panic!("{:#?}", report.problems);
    };
    let named = (&*problem.law, &*problem.field, problem.example.as_str());
    assert_eq!(named, ("shadow", "add.nonce", "faulty:bad"));
    nothing_has_changed(&home, port);
    home.stop().unwrap();
}

/// Each trouble is that of an actor of its own, and lasts: what is found of it is what was
/// not found before.
#[test]
fn each_law_that_does_not_hold_is_named_with_its_field_and_an_actor() {
    let home = home();
    let port = home.start().unwrap().port;
    let mut known = BTreeSet::new();
    for (trouble, wanted) in [
        ("query_gone", &[("shadow", "gone")][..]),
        ("reply_differs", &[("shadow", "add.count")]),
        (
            "down_loses",
            &[("samples", "state.notes"), ("carry", "state.notes")],
        ),
        ("up_loses", &[("round_trip", "state.count")]),
    ] {
        // Half of its commands stand for the past, and the mark is among them.
        let add = json!({"by": 3});
        assert_eq!(post(port, trouble, "add", &add).0, 200);
        plan_trouble(port, trouble, trouble);
        for _ in 0..2 {
            assert_eq!(post(port, trouble, "add", &add).0, 200);
        }
        let (ran, report) = rehearse(&home, "0.2.0", &["--all"]);
        assert_eq!(ran.code, Some(1), "{trouble}: {report:#?}");
        assert_eq!(report.outcome, RehearsalOutcome::Failed, "{trouble}");
        let mut found = Vec::new();
        for row in report.problems {
            if known.insert((row.law.clone(), row.field.clone())) {
                assert_eq!(row.example.key(), trouble, "{row:?}");
                found.push(row);
            }
        }
        for (law, field) in wanted {
            let is_it = |row: &&FieldRow| row.law == *law && row.field.starts_with(field);
            assert!(found.iter().any(|row| is_it(&row)), "{trouble}: {found:#?}");
            let of_law = report.laws.iter().find(|row| row.law == *law).unwrap();
            assert!(of_law.failed > 0 && of_law.asked >= of_law.failed);
        }
    }
    let status = home.settled().unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    assert_eq!(left(&home), [] as [String; 0]);
    home.stop().unwrap();
}

#[test]
fn one_way_goes_without_a_proven_way_back_and_no_rehearsal_says_so() {
    let home = home();
    let port = home.start().unwrap().port;
    plan_trouble(port, "bad", "down_loses");
    let (ran, report) = rehearse(&home, "0.2.0", &[]);
    assert_eq!(
        (ran.code, report.outcome),
        (Some(1), RehearsalOutcome::Failed)
    );
    let (ran, report) = rehearse(&home, "0.2.0", &["--one-way"]);
    assert_eq!(
        (ran.code, report.outcome),
        (Some(0), RehearsalOutcome::Passed)
    );
    assert!(!report.problems.is_empty(), "it is told all the same");
    let (ran, _) = upgrade(&home, &[]);
    assert_eq!(ran.code, Some(1));
    let (ran, report) = upgrade(&home, &["--one-way"]);
    assert_eq!(ran.code, Some(0), "{report:#}");
    assert_eq!(report["outcome"], "committed", "{report:#}");
    let rehearsal = &report["rehearsal"];
    assert_eq!(rehearsal["outcome"], "passed", "{rehearsal:#}");
    let problems = rehearsal["problems"].as_array().unwrap();
    assert!(!problems.is_empty(), "here, too: {rehearsal:#}");
    assert_eq!(summary(port, "bad")["version"], "0.2.0");
    home.rollback().unwrap();
    let line = ["upgrade", "0.2.0", "--probation", "0s", "--no-rehearsal"];
    let text = home.done(&line).unwrap().stdout;
    assert!(
        text.contains("rehearsal     NONE: it was asked to go without"),
        "{text}"
    );
    home.stop().unwrap();
}

/// Begins an upgrade whose rehearsal does not end by itself.
fn stuck_in_rehearsal(home: &Home) -> (u16, Running) {
    let port = home.start().unwrap().port;
    (port, stuck(home, port, &[]))
}

/// As [`stuck_in_rehearsal`], of a host that runs.
fn stuck(home: &Home, port: u16, more: &[&str]) -> Running {
    assert_eq!(post(port, "good", "add", &json!({"by": 1})).0, 200);
    plan_trouble(port, "bad", "up_loops");
    let line = ["upgrade", "0.2.0", "--probation", "0s", "--json"];
    let upgrade = home.begin(&[&line[..], more].concat()).unwrap();
    wait::until("it is rehearsed", || (left(home).len() == 1).then_some(())).unwrap();
    upgrade
}

/// The rehearsal would go on for longer than any test, and takes all the processor time that
/// nobody else wants.
#[test]
fn who_calls_beside_a_rehearsal_does_not_wait_for_its_end() {
    let home = home();
    let port = home.start().unwrap().port;
    let caller = Caller::start(port);
    caller.more(20);
    let upgrade = stuck(&home, port, &["--deadline", "1h"]);
    let child = child_of(&home);
    caller.more(300);
    assert_eq!(child_of(&home), child, "it goes on");
    assert_eq!(left(&home).len(), 1);
    home.done(&["rollback", "--json"]).unwrap();
    upgrade.end().unwrap().ends_with(1).unwrap();
    nothing_has_changed(&home, port);
    let counted = caller.stop();
    assert_eq!(summary(port, "caller")["count"], counted);
    home.stop().unwrap();
}

#[test]
fn a_rollback_breaks_a_rehearsal_off_at_once() {
    let home = home();
    let (port, upgrade) = stuck_in_rehearsal(&home);
    let again = home.host(&["rehearse", "0.2.0", "--json"]).unwrap();
    assert_eq!(again.ends_with(1).unwrap().reason().unwrap(), "busy");
    let began = Instant::now();
    home.done(&["rollback", "--json"]).unwrap();
    let ran = upgrade.end().unwrap().ends_with(1).unwrap();
    // Its own end would take it twice as long.
    let took = began.elapsed();
    assert!(took < BUSY_DEADLINE, "{took:?}");
    let report: Value = ran.json().unwrap();
    assert_eq!(report["outcome"], "failed", "{report}");
    assert!(
        report["reason"].as_str().unwrap().contains("an operator"),
        "{report}"
    );
    nothing_has_changed(&home, port);
    home.stop().unwrap();
}

#[test]
fn a_host_that_is_killed_in_a_rehearsal_leaves_nothing_of_it() {
    let home = home();
    let (port, upgrade) = stuck_in_rehearsal(&home);
    let child = child_of(&home);
    let old = home.kill_host().unwrap();
    upgrade.end().unwrap();
    home.rebooted(old).unwrap();
    wait::until("its child has gone with it, and its pin and folder", || {
        let pins: Vec<Value> = home.answer(&["store", "pins", "--json"]).ok()?;
        let is_gone = !fs::exists(format!("/proc/{child}/exe")).ok()?;
        (pins.is_empty() && left(&home).is_empty() && is_gone).then_some(())
    })
    .unwrap();
    nothing_has_changed(&home, port);
    let health = http::request(port, "GET", "/readyz", "").unwrap();
    assert_eq!(health.status, 200);
    home.stop().unwrap();
}

/// The process of this home's rehearsal.
pub(crate) fn child_of(home: &Home) -> u32 {
    let folder = home.data().join("images").display().to_string();
    let is_ours = |line: &str| line.contains("\0rehearsal\0") && line.contains(&folder);
    wait::until("the rehearsal's child runs", || {
        let mut processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|it| {
            let pid = it.file_name().to_string_lossy().parse().ok()?;
            let line = fs::read(it.path().join("cmdline")).ok()?;
            is_ours(&String::from_utf8_lossy(&line)).then_some(pid)
        });
        processes.next()
    })
    .unwrap()
}

#[test]
fn the_child_of_a_rehearsal_is_shut_in() {
    let home = home();
    let (_, upgrade) = stuck_in_rehearsal(&home);
    let child = child_of(&home);
    let read = |name: &str| fs::read_to_string(format!("/proc/{child}/{name}")).unwrap();
    wait::until("it has shut itself in", || {
        read("status").contains("Seccomp:\t2\n").then_some(())
    })
    .unwrap();
    assert_eq!(read("oom_score_adj").trim(), "1000");
    assert!(read("status").contains("NoNewPrivs:\t1\n"));
    let limits = read("limits");
    let limit = |name: &str| limits.lines().find(|it| it.starts_with(name));
    for name in ["Max cpu time", "Max address space"] {
        assert!(!limit(name).unwrap().contains("unlimited"), "{limits}");
    }
    let core = limit("Max core file size").unwrap();
    assert!(core.contains(" 0 "), "{limits}");
    // Field 41: SCHED_IDLE is 5.
    let stat = read("stat");
    let policy = stat.rsplit(')').next().unwrap().split_whitespace().nth(38);
    assert_eq!(policy, Some("5"), "{stat}");
    home.host(&["rollback", "--json"]).unwrap();
    upgrade.end().unwrap();
    home.stop().unwrap();
}
