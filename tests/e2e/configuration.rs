//! A release's own settings: they come and go with it.

use std::fs;
use std::thread;

use e2e::{Home, http, wait};
use host_model::control::Outcome;
use serde_json::{Value, json};

use crate::hostile::{UPGRADE, home};

/// Settings of release 0.2.0 that are not those of 0.1.0.
const THEN: &str =
    "rust_log = \"warn\"\n[runtime]\nthreads = 3\n[runtime.limits]\nmailbox_messages = 1\n";

fn write(home: &Home, file: &str, text: &str) {
    fs::write(home.path().join("releases/0.2.0").join(file), text).unwrap();
}

/// Whether a busy actor turns messages away of which only a few wait.
fn turns_away(port: u16, key: &str) -> bool {
    const CALLS: usize = 6;
    let path = format!("/api/v1/faulty/{key}/sleep");
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || {
                let body = json!({ "ms": 400 }).to_string();
                http::request(port, "POST", &path, &body).unwrap().body
            })
        })
        .collect();
    let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    answers.iter().any(|answer| answer.contains("mailbox_full"))
}

/// Log lines of the level INFO.
fn infos(home: &Home) -> usize {
    home.log().matches("INFO").count()
}

#[test]
fn a_releases_settings_take_effect_with_it_and_go_back_with_it() {
    let home = home();
    let port = home.start().unwrap().port;
    write(&home, "host.toml", THEN);
    write(
        &home,
        "env",
        "SECRET_KEY_BASE=nobody-sees-this\nPOOL_SIZE=7\n",
    );
    let plan: Value = home.answer(&["plan", "0.2.0", "--json"]).unwrap();
    assert_eq!(plan["problems"], json!([]), "{plan}");
    let changes: Vec<String> = plan["config"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let (key, applies) = (it["key"].as_str(), it["applies"].as_str());
            let then = it["after"]["value"].as_str();
            format!("{} {} {}", key.unwrap(), then.unwrap(), applies.unwrap())
        })
        .collect();
    // The home's own SECRET_KEY_BASE wins, so that one does not change.
    assert_eq!(
        changes,
        [
            "POOL_SIZE 7 after a restart",
            "RUNTIME_LIMITS_MAILBOX_MESSAGES 1 at the switch",
            "RUNTIME_THREADS 3 after a restart",
            "RUST_LOG warn at the switch",
        ]
    );
    let shown = home.done(&["plan", "0.2.0"]).unwrap().stdout;
    assert!(shown.contains("after a restart"), "{shown}");
    assert!(!shown.contains("nobody-sees-this"), "{shown}");

    assert!(!turns_away(port, "before"));
    // The commands that take their time would take it in a rehearsal, too.
    let line = [
        "upgrade",
        "0.2.0",
        "--probation",
        "300s",
        "--no-rehearsal",
        "--detach",
    ];
    let _: Value = home.answer(&[&line[..], &["--json"]].concat()).unwrap();
    assert!(turns_away(port, "during"));
    let before = infos(&home);
    let back: Value = home.answer(&["rollback", "--json"]).unwrap();
    assert_eq!(back["outcome"], "rolled_back", "{back}");
    assert!(!turns_away(port, "after"));
    wait::until("lines of the level INFO are logged again", || {
        (infos(&home) > before).then_some(())
    })
    .unwrap();

    let report = home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.config.len(), 4, "{report:?}");
    // What had to wait for a restart is there after one.
    let restarted: Value = home.answer(&["restart", "--json"]).unwrap();
    assert_eq!(restarted["version"], "0.2.0");
    let rows: Vec<Value> = home.answer(&["config", "show", "--json"]).unwrap();
    let threads = rows.iter().find(|row| row["key"] == "RUNTIME_THREADS");
    assert_eq!(threads.unwrap()["value"], "3");
    assert!(turns_away(port, "restarted"));
    home.stop().unwrap();
}

#[test]
fn a_configuration_that_is_wrong_refuses_the_upgrade_and_keeps_the_old_one() {
    let home = home();
    let port = home.start().unwrap().port;
    for (text, word) in [
        ("[runtime.limits\n", "host.toml"),
        (
            "[runtime.limits]\nmailbox_messages = 0\n",
            "MAILBOX_MESSAGES",
        ),
        ("rust_log = \"host=loud=er\"\n", "RUST_LOG"),
    ] {
        write(&home, "host.toml", text);
        let ran = home.host(&UPGRADE).unwrap().ends_with(1).unwrap();
        let report: Value = ran.json().unwrap();
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.contains("its configuration: "), "{reason}");
        assert!(reason.contains(word), "{word}: {reason}");
        let status = home.status().unwrap();
        assert_eq!(status.version.to_string(), "0.1.0");
    }
    assert!(!turns_away(port, "kept"));
    home.stop().unwrap();
}
