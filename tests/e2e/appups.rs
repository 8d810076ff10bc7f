//! What an appup asks for, seen from outside: plans, hooks, gates, and what is said of
//! one that is wrong.

use std::thread;
use std::time::{Duration, Instant};

use e2e::faulty::{Counting, Shape};
use e2e::{Home, http, release, wait};
use serde_json::{Value, json};

use crate::hostile::{UPGRADE, post, summary};

const BOTH: [(&str, &str); 2] = [
    ("0.1.0", "plugins/hostile/faulty/0.1.0"),
    ("0.2.0", "plugins/hostile/faulty/0.2.0"),
];

/// An appup of faulty 0.2.0 with these ways.
fn appup(up: &str, down: &str) -> String {
    format!(
        "plugin = \"faulty\"\nversion = \"0.2.0\"\n\n[[path]]\nfrom = \"~0.1\"\nup = [{up}]\ndown = [{down}]\n"
    )
}

/// Lays out release 0.2.0 with this appup.
fn lay_new(home: &Home, appup: &str) -> anyhow::Result<()> {
    let scripts = [("faulty-0.2.0.toml", appup)];
    release::assemble(home, "0.2.0", &[BOTH[1].1], &scripts)
}

pub(crate) fn home(up: &str, down: &str) -> Home {
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &[BOTH[0].1], &[]).unwrap();
    lay_new(&home, &appup(up, down)).unwrap();
    home
}

pub(crate) fn add(port: u16, key: &str) {
    let (status, answer) = post(port, key, "add", &json!({ "by": 1 }));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn hooks_run_around_the_switch_both_ways_and_the_plan_says_so() {
    let up = r#"{ run = "a" }, { update = "state", suspend = true }, { run = "b" }"#;
    let down = r#"{ run = "c" }, { update = "state" }, { run = "d" }"#;
    let home = home(up, down);
    let port = home.start().unwrap().port;
    add(port, "k");
    let plan = home.done(&["plan", "0.2.0"]).unwrap().stdout;
    for line in [
        "the hook `a` of faulty 0.2.0",
        "faulty: messages queue, handlers inside end",
        "release 0.2.0 rules, for all plugins at once",
        "where it goes back: run `c` of faulty 0.2.0, switch to release 0.1.0, sweep faulty by down, or where that fails by downcast of the commands since, run `d`",
    ] {
        assert!(plan.contains(line), "{line:?} is not in\n{plan}");
    }
    let plan: Value = home.answer(&["plan", "0.2.0", "--json"]).unwrap();
    let steps: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    let wanted = "verify rehearse stage run suspend switch resume sweep run watch commit";
    assert_eq!(steps.join(" "), wanted);

    home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(summary(port, "k")["hooks"], json!(["a", "b"]));
    home.rollback().unwrap();
    assert_eq!(summary(port, "k")["version"], "0.1.0");
    home.upgrade_unrehearsed("0.2.0").unwrap();
    let found = summary(port, "k");
    assert_eq!(found["hooks"], json!(["a", "b", "c", "d", "a", "b"]));
    assert_eq!(found["count"], 1);
    home.stop().unwrap();
}

#[test]
fn a_hook_that_fails_before_the_switch_cancels_and_takes_back_what_ran() {
    let down = r#"{ update = "state" }, { run = "undone" }"#;
    let up = |hook: &str| format!(r#"{{ run = "first" }}, {hook}, {{ update = "state" }}"#);
    let home = home(&up(r#"{ run = "refuse" }"#), down);
    let status = home.start().unwrap();
    let port = status.port;
    add(port, "k");
    for (hook, words) in [
        (
            r#"{ run = "refuse" }"#,
            "the hook `refuse` of faulty 0.2.0 was refused: this hook is never accepted",
        ),
        (
            r#"{ run = "panic" }"#,
            "the hook `panic` broke: faulty 0.2.0 panicked in run",
        ),
        (
            r#"{ run = "sleep-2000", timeout_ms = 100 }"#,
            "had not ended after the 100 ms",
        ),
    ] {
        lay_new(&home, &appup(&up(hook), down)).unwrap();
        let ran = home.host(&UPGRADE).unwrap().ends_with(1).unwrap();
        let report: Value = ran.json().unwrap();
        assert_eq!(report["outcome"], "failed", "{report}");
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
        assert_eq!(summary(port, "k")["version"], "0.1.0");
        add(port, "k");
    }
    // Nothing stands in the way of one that goes well, and each has taken itself back.
    lay_new(&home, &appup(&up(r#"{ run = "second" }"#), down)).unwrap();
    let again: Vec<&str> = UPGRADE.into_iter().chain(["--retry-failed"]).collect();
    home.host(&again).unwrap().ends_with(0).unwrap();
    let found = summary(port, "k");
    let ran: Vec<&str> = found["hooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .filter(|it| !it.starts_with("sleep"))
        .collect();
    let each = ["first", "undone"];
    let all: Vec<&str> = [each, each, each, ["first", "second"]].concat();
    assert_eq!(ran, all);
    assert_eq!(found["count"], 4);
    home.stop().unwrap();
}

#[test]
fn an_operator_is_heard_while_a_hook_runs() {
    let up = r#"{ run = "sleep-20000", timeout_ms = 60000 }, { update = "state" }"#;
    let home = home(up, r#"{ update = "state" }, { run = "undone" }"#);
    let port = home.start().unwrap().port;
    add(port, "k");
    let upgrade = home.begin(&UPGRADE).unwrap();
    wait::until("the hook runs", || {
        home.log().contains("a hook runs").then_some(())
    })
    .unwrap();
    let began = Instant::now();
    home.done(&["rollback", "--json"]).unwrap();
    let report: Value = upgrade.end().unwrap().ends_with(1).unwrap().json().unwrap();
    // The hook goes on, and is not waited for.
    assert!(began.elapsed() < Duration::from_secs(20), "{report}");
    assert_eq!(report["outcome"], "failed", "{report}");
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.starts_with("an operator rolled it back"), "{reason}");
    assert_eq!(summary(port, "k")["version"], "0.1.0");
    home.stop().unwrap();
}

#[test]
fn a_hook_that_fails_behind_the_switch_brings_everyone_back() {
    let up = r#"{ update = "state" }, { run = "panic" }"#;
    let down = r#"{ run = "refuse" }, { update = "state" }"#;
    let home = home(up, down);
    let port = home.start().unwrap().port;
    for n in 0..20 {
        add(port, &n.to_string());
    }
    let ran = home.host(&UPGRADE).unwrap().ends_with(4).unwrap();
    let report: Value = ran.json().unwrap();
    assert_eq!(report["outcome"], "rolled_back", "{report}");
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.starts_with("the hook `panic` broke"), "{reason}");
    let also = "; on the way back the hook `refuse` of faulty 0.2.0 was refused";
    assert!(reason.contains(also), "{reason}");
    for n in 0..20 {
        let found = summary(port, &n.to_string());
        assert_eq!(
            (&found["count"], &found["version"]),
            (&json!(1), &json!("0.1.0"))
        );
    }
    // The next one works.
    lay_new(
        &home,
        &appup(r#"{ update = "state" }"#, r#"{ update = "state" }"#),
    )
    .unwrap();
    let report = home
        .host(&[
            "upgrade",
            "0.2.0",
            "--no-rehearsal",
            "--retry-failed",
            "--probation",
            "0s",
            "--json",
        ])
        .unwrap();
    let report: Value = report.ends_with(0).unwrap().json().unwrap();
    assert_eq!(report["outcome"], "committed", "{report}");
    home.stop().unwrap();
}

#[test]
fn a_hook_that_ends_the_process_costs_a_restart_in_the_old_release() {
    // As if all were well, too: no keeper and no systemd may take it for a stop.
    for how in ["abort", "exit"] {
        let up = format!(r#"{{ run = "{how}" }}, {{ update = "state" }}"#);
        goes_on_in_the_old_release(&home(&up, r#"{ update = "state" }"#));
    }
}

fn goes_on_in_the_old_release(home: &Home) {
    let status = home.start().unwrap();
    add(status.port, "k");
    let upgrade = home.begin(&UPGRADE).unwrap();
    home.rebooted(status.pid).unwrap();
    drop(upgrade.end());
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.1.0");
    assert_eq!(settled.permanent.to_string(), "0.1.0");
    let history: Value = home.answer(&["history", "--json"]).unwrap();
    assert_eq!(history[0]["outcome"], "failed", "{history}");
    assert_eq!(summary(status.port, "k")["count"], 1);
    home.stop().unwrap();
}

/// It would end each process that goes on with the way back, and nobody could say it to
/// stop.
#[test]
fn a_hook_of_the_way_back_that_ends_the_process_is_left_out_in_the_end() {
    let home = home(
        r#"{ update = "state" }"#,
        r#"{ run = "abort" }, { update = "state" }"#,
    );
    let status = home.start().unwrap();
    add(status.port, "k");
    let line = ["--no-rehearsal", "--probation", "300s", "--detach"];
    home.done(&[&["upgrade", "0.2.0"], &line[..]].concat())
        .unwrap();
    add(status.port, "k");
    // The host ends under it.
    drop(home.host(&["rollback", "--json"]).unwrap());
    home.rebooted(status.pid).unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.1.0");
    let history: Value = home.answer(&["history", "--json"]).unwrap();
    assert_eq!(history[0]["outcome"], "rolled_back", "{history}");
    let reason = history[0]["reason"].as_str().unwrap();
    let left_out =
        "the hook `abort` of faulty 0.2.0 was left out, for the host ended in it 2 times";
    assert!(reason.contains(left_out), "{reason}");
    let found = summary(status.port, "k");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(2), &json!("0.1.0"))
    );
    home.stop().unwrap();
}

#[test]
fn a_busy_actor_ends_a_suspension_that_waits_for_too_little_and_queues_none_for_long() {
    let suspend = |ms: u64| format!(r#"{{ update = "state", suspend = true, timeout_ms = {ms} }}"#);
    let home = home(&suspend(200), r#"{ update = "state" }"#);
    let port = home.start().unwrap().port;
    add(port, "k");
    let asleep = thread::spawn(move || post(port, "slow", "sleep", &json!({ "ms": 8_500 })));
    wait::until("the handler is inside", || {
        let status: Value = home.answer(&["status", "--json"]).ok()?;
        let slow = status["slow"].as_array()?;
        slow.iter()
            .any(|it| it["actor"] == "faulty:slow")
            .then_some(())
    })
    .unwrap();
    let ran = home.host(&UPGRADE).unwrap().ends_with(1).unwrap();
    let report: Value = ran.json().unwrap();
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("faulty:slow was still inside `sleep`"),
        "{reason}"
    );
    assert_eq!(report["outcome"], "failed");
    assert_eq!(summary(port, "k")["version"], "0.1.0");
    // With more patience it waits until the handler has ended, and so do the others.
    lay_new(&home, &appup(&suspend(30_000), r#"{ update = "state" }"#)).unwrap();
    let upgrade = home.begin(&UPGRADE).unwrap();
    add(port, "k");
    let report: Value = upgrade.end().unwrap().ends_with(0).unwrap().json().unwrap();
    assert_eq!(report["outcome"], "committed", "{report}");
    let (status, answer) = asleep.join().unwrap();
    assert_eq!(status, 200, "{answer}");
    assert_eq!(summary(port, "k")["count"], 2);
    home.stop().unwrap();
}

#[test]
fn a_gate_closes_on_the_way_back_too_and_holds_it_up_for_no_longer_than_it_may() {
    let suspend = |ms: u64| format!(r#"{{ update = "state", suspend = true, timeout_ms = {ms} }}"#);
    for (patience_ms, is_held) in [(30_000, true), (200, false)] {
        let home = home(r#"{ update = "state" }"#, &suspend(patience_ms));
        let port = home.start().unwrap().port;
        add(port, "k");
        let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
        home.done(&[&line[..], &["--detach"]].concat()).unwrap();
        let asleep = thread::spawn(move || post(port, "slow", "sleep", &json!({ "ms": 14_000 })));
        let is_inside = |status: &Value| {
            let slow = status["slow"].as_array().unwrap().iter();
            slow.into_iter().any(|it| it["actor"] == "faulty:slow")
        };
        let status = || -> Value { home.answer(&["status", "--json"]).unwrap() };
        wait::until("the handler is inside", || {
            is_inside(&status()).then_some(())
        })
        .unwrap();
        let back = home.begin(&["rollback", "--json"]).unwrap();
        wait::until("the older release rules", || {
            (status()["version"] == "0.1.0").then_some(())
        })
        .unwrap();
        assert_eq!(is_inside(&status()), !is_held);
        let report: Value = back.end().unwrap().json().unwrap();
        assert_eq!(report["outcome"], "rolled_back", "{report}");
        let reason = report["reason"].as_str().unwrap();
        let told = "a gate did not close: faulty:slow was still inside `sleep`";
        assert_eq!(reason.contains(told), !is_held, "{reason}");
        // Its caller has waited for as long as one waits.
        assert_eq!(asleep.join().unwrap().1["reason"], "timeout");
        add(port, "k");
        assert_eq!(summary(port, "k")["count"], 2);
        home.stop().unwrap();
    }
}

#[test]
fn an_appup_that_is_wrong_is_said_with_its_lines_and_a_handover_is_refused() {
    let home = home(r#"{ update = "state" }"#, r#"{ update = "state" }"#);
    let wrong = appup(r#"{ updat = "state" }"#, r#"{ load = "cod" }"#);
    let said = format!("{:#}", lay_new(&home, &wrong).unwrap_err());
    assert!(
        said.contains("faulty-0.2.0.toml:6: `updat` is no instruction; did you mean `update`?"),
        "{said}"
    );
    assert!(
        said.contains("faulty-0.2.0.toml:7: load = \"cod\""),
        "{said}"
    );
    let handover = r#"{ restart_host = true }, { update = "state" }"#;
    lay_new(&home, &appup(handover, handover)).unwrap();
    let port = home.start().unwrap().port;
    for line in [&["plan", "0.2.0", "--json"][..], &UPGRADE] {
        let ran = home.host(line).unwrap().ends_with(1).unwrap();
        assert_eq!(ran.reason().unwrap(), "restart_host");
    }
    // Mangled where it lies: what is asked for says which line.
    let file = home
        .path()
        .join("releases/0.2.0/upgrade-scripts/faulty-0.2.0.toml");
    std::fs::write(&file, wrong).unwrap();
    let ran = home.host(&["plan", "0.2.0"]).unwrap().ends_with(1).unwrap();
    let said = format!("{}:6: `updat`", file.display());
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    let answer = http::request(port, "GET", "/healthz", "").unwrap();
    assert_eq!(answer.status, 200);
    home.stop().unwrap();
}

#[test]
fn a_handover_is_done_as_its_refusal_says_by_a_start_of_the_other_release() {
    let handover = r#"{ restart_host = true }, { update = "state" }"#;
    let home = home(handover, handover);
    let declares = format!(
        "{}declared = [\"summary.notes\", \"summary.version\"]\n",
        appup(handover, handover)
    );
    lay_new(&home, &declares).unwrap();
    let port = home.start().unwrap().port;
    add(port, "k");
    let ran = home.host(&UPGRADE).unwrap().ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "restart_host");
    assert!(
        ran.stdout.contains("write 0.2.0 into releases/own"),
        "{}",
        ran.stdout
    );
    for version in ["0.2.0", "0.1.0"] {
        home.stop().unwrap();
        let own = home.path().join("releases/own");
        std::fs::write(own, format!("{version}\n")).unwrap();
        let status = home.start().unwrap();
        assert_eq!(status.version.to_string(), version);
        assert_eq!(status.permanent.to_string(), version);
        let summary = summary(status.port, "k");
        assert_eq!(summary["count"], 1, "{summary}");
        assert_eq!(summary["version"], version, "{summary}");
    }
    home.stop().unwrap();
}

/// The other versions of a release that loads code, adds a plugin, and restarts another.
#[test]
fn code_is_loaded_a_plugin_comes_and_goes_and_actors_restart() {
    let faulty = "plugin = \"faulty\"\nversion = \"0.1.1\"\n\n[[path]]\nfrom = \"~0.1\"\n\
        up = [{ load = \"code\" }]\ndown = [{ restart = \"plugin\" }]\n\
        declared = [\"summary.version\"]\n";
    let minimal = "plugin = \"minimal\"\nversion = \"0.1.0\"\n\n[[path]]\n\
        up = [{ add = \"plugin\" }]\ndown = [{ remove = \"plugin\" }]\n";
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &[BOTH[0].1], &[]).unwrap();
    release::assemble(
        &home,
        "0.2.0",
        &["plugins/hostile/faulty/0.1.1", "plugins/minimal/0.1.0"],
        &[
            ("faulty-0.1.1.toml", faulty),
            ("minimal-0.1.0.toml", minimal),
        ],
    )
    .unwrap();
    let port = home.start().unwrap().port;
    let counting = Counting::start(Shape {
        port,
        actors: 20,
        pace: Duration::from_millis(5),
        mark: None,
    })
    .unwrap();
    let touch = || {
        let path = "/api/v1/minimal/k/touch";
        http::request(port, "POST", path, "{}").unwrap()
    };
    assert_eq!(touch().reason(), "unknown_plugin");

    home.upgrade("0.2.0").unwrap();
    assert_eq!(summary(port, "0")["version"], "0.1.1");
    assert_eq!(touch().status, 200);

    home.rollback().unwrap();
    assert_eq!(summary(port, "0")["version"], "0.1.0");
    assert_eq!(touch().reason(), "unknown_plugin");

    // Its actor has slept on in the journal.
    home.upgrade("0.2.0").unwrap();
    assert_eq!(home.state("minimal:k").unwrap().seq, 1);
    assert_eq!(counting.end(port).unwrap(), 0, "nobody was refused");
    home.stop().unwrap();
}

#[test]
fn plugins_that_wait_for_one_another_are_named_and_nothing_begins() {
    let appup = |plugin: &str, on: &str| {
        format!(
            "plugin = {plugin:?}\nversion = \"0.2.0\"\ndepends_on = [{on:?}]\n\n[[path]]\nfrom = \"~0.1\"\n\
             up = [{{ update = \"state\" }}]\ndown = [{{ update = \"state\" }}]\n"
        )
    };
    let home = Home::new().unwrap();
    let plugins = ["plugins/donations/0.2.0", "plugins/zakat/0.2.0"];
    let (donations, zakat) = (appup("donations", "zakat"), appup("zakat", "donations"));
    let appups = [
        ("donations-0.2.0.toml", &*donations),
        ("zakat-0.2.0.toml", &*zakat),
    ];
    release::assemble(&home, "0.2.0", &plugins, &appups).unwrap();
    home.start().unwrap();
    for line in [["plan", "0.2.0"], ["upgrade", "0.2.0"]] {
        let ran = home.host(&line).unwrap().ends_with(1).unwrap();
        let circle = "donations -> zakat -> donations";
        assert!(ran.stderr.contains(circle), "{}", ran.stderr);
    }
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    home.stop().unwrap();
}
