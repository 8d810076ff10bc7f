//! A release that nothing leads back from, taken back before it is committed: each actor goes
//! by its commands since, and who cannot is set aside alone.

use std::fs;

use e2e::{Home, release, wait};
use host_model::control::{Outcome, UpgradeReport};
use serde_json::{Value, json};

use crate::better_than_otp::NEWEST;
use crate::hostile::{APPUP, add, post, summary};

const CODE: &str = r#"load = "code""#;
const STATE: &str = r#"update = "state""#;

/// An appup without a way down, from these versions to that of `plugin`, as its file and text.
fn appup(plugin: &str, from: &str, up: &str) -> (String, String) {
    let version = plugin.rsplit('/').next().unwrap();
    let text = format!(
        "plugin = \"faulty\"\nversion = \"{version}\"\n\n[[path]]\nfrom = \"{from}\"\nup = [{{ {up} }}]\n"
    );
    (format!("faulty-{version}.toml"), text)
}

/// A home of release 0.1.0, with one of these plugins in each release behind it: from which
/// versions its appup leads, and by what.
fn home(behind: &[(&str, &str, &str)]) -> Home {
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &["plugins/hostile/faulty/0.1.0"], &[]).unwrap();
    let written = behind
        .iter()
        .map(|(plugin, from, up)| appup(plugin, from, up));
    let written: Vec<_> = written.collect();
    let appups: Vec<_> = written
        .iter()
        .map(|(file, text)| (&**file, &**text))
        .collect();
    for (n, (plugin, ..)) in behind.iter().enumerate() {
        let release = format!("0.{}.0", n + 2);
        release::assemble(&home, &release, &[*plugin], &appups[..=n]).unwrap();
    }
    home
}

/// Goes to `release` where the plan says that nothing but commands leads back, and stays in
/// its probation.
fn upgrade(home: &Home, release: &str) {
    let plan = home.host(&["plan", release]).unwrap().ends_with(1).unwrap();
    assert!(
        plan.stdout.contains("NOTHING BUT ITS COMMANDS")
            && plan.stdout.contains("by downcast of the commands since"),
        "{}",
        plan.stdout
    );
    let line = [
        "upgrade",
        release,
        "--one-way",
        "--no-rehearsal",
        "--detach",
    ];
    home.done(&line).unwrap();
}

#[test]
fn commands_lead_back_over_several_steps_and_who_cannot_go_is_set_aside_alone() {
    let home = home(&[
        ("plugins/hostile/faulty/0.2.0", "~0.1", STATE),
        (NEWEST, "=0.2.0", STATE),
    ]);
    let port = home.start().unwrap().port;
    for key in ["a", "b", "c"] {
        add(port, key, 7);
    }
    upgrade(&home, "0.3.0");
    // It is called so by now.
    for key in ["a", "c", "d"] {
        let (status, answer) = post(port, key, "count", &json!({ "by": 1 }));
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(
        post(port, "c", "tag", &json!({ "text": "only here" })).0,
        200
    );

    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    let way_back = &report.way_back;
    assert_eq!(way_back.set_aside, 1, "{way_back:?}");
    let why = &way_back.named[0].reason;
    assert!(
        why.contains("no way leads from faulty 0.3.0 to 0.1.0") && why.contains("tag"),
        "{why}"
    );
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.1.0");
    assert_eq!(settled.actors.quarantined, 1);
    for (key, count) in [("a", 8), ("b", 7), ("d", 1)] {
        let found = summary(port, key);
        assert_eq!(
            (&found["count"], &found["version"]),
            (&json!(count), &json!("0.1.0")),
            "{key}"
        );
    }
    let set_aside = home.state("faulty:c").unwrap();
    assert_eq!(set_aside.version.to_string(), "0.3.0", "whole");
    // So it is for the next process, and the release may be tried again.
    home.stop().unwrap();
    let port = home.start().unwrap().port;
    add(port, "a", 2);
    assert_eq!(summary(port, "a")["count"], 10);
    let line = [
        "upgrade",
        "0.3.0",
        "--one-way",
        "--no-rehearsal",
        "--probation",
        "0s",
    ];
    home.done(&line).unwrap();
    home.done(&["quarantine", "release", "faulty:c"]).unwrap();
    let found = summary(port, "c");
    assert_eq!(
        (&found["count"], &found["tags"]),
        (&json!(8), &json!(["only here"]))
    );
    assert_eq!(summary(port, "a")["count"], 10);
    home.stop().unwrap();
    home.done(&["store", "check", "--replay"]).unwrap();
}

#[test]
fn a_change_of_code_alone_is_taken_back_and_loses_no_command() {
    let home = home(&[("plugins/hostile/faulty/0.1.1", "=0.1.0", CODE)]);
    let port = home.start().unwrap().port;
    add(port, "a", 7);
    upgrade(&home, "0.2.0");
    add(port, "a", 1);
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    assert_eq!(report.way_back.set_aside, 0, "{report:?}");
    let is_back = |port| {
        let found = summary(port, "a");
        assert_eq!(
            (&found["count"], &found["version"]),
            (&json!(8), &json!("0.1.0"))
        );
    };
    is_back(port);
    home.stop().unwrap();
    is_back(home.start().unwrap().port);
    home.stop().unwrap();
    home.done(&["store", "check", "--replay"]).unwrap();
}

#[test]
fn a_share_that_went_first_comes_back_and_so_does_everyone_behind_a_death_in_probation() {
    let home = home(&[("plugins/hostile/faulty/0.2.0", "~0.1", STATE)]);
    let port = home.start().unwrap().port;
    let keys: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let add_to_all = || keys.iter().for_each(|key| add(port, key, 1));
    let are_all_back = |count: i64| {
        for key in &keys {
            let found = summary(port, key);
            assert_eq!(
                (&found["count"], &found["version"]),
                (&json!(count), &json!("0.1.0")),
                "{key}"
            );
        }
    };
    add_to_all();
    let line = [
        "upgrade",
        "0.2.0",
        "--one-way",
        "--no-rehearsal",
        "--detach",
    ];
    let ahead = [&line[..], &["--canary", "50%"]].concat();
    home.done(&ahead).unwrap();
    add_to_all();
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    assert_eq!(report.way_back.set_aside, 0, "{report:?}");
    are_all_back(2);

    home.done(&line).unwrap();
    add_to_all();
    let died = home.kill_host().unwrap();
    home.rebooted(died).unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.permanent.to_string(), "0.1.0");
    assert_eq!(settled.actors.quarantined, 0);
    are_all_back(3);
    home.stop().unwrap();
    home.done(&["store", "check", "--replay"]).unwrap();
}

#[test]
fn a_message_leads_back_before_the_way_back_is_taken_up() {
    // The second one has the library, too, so that it can be read without the first.
    let newer = ("plugins/hostile/faulty/0.2.0", "~0.1", STATE);
    let home = home(&[newer, newer]);
    let port = home.start().unwrap().port;
    add(port, "a", 7);
    upgrade(&home, "0.2.0");
    add(port, "a", 1);
    // Nobody takes up a way back from a release that cannot be read.
    let file = home.path().join("releases/0.2.0/manifest.json");
    let manifest = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    home.kill_host().unwrap();
    wait::until("the next host is stuck", || {
        let upgrade = home.status().ok()?.upgrade?;
        (upgrade.state == "stuck").then_some(())
    })
    .unwrap();
    let found = summary(port, "a");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(8), &json!("0.1.0"))
    );
    fs::write(&file, manifest).unwrap();
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    assert_eq!(report.way_back.rebuilt, 1, "{report:?}");
    assert_eq!(report.way_back.set_aside, 0, "{report:?}");
    home.stop().unwrap();
    home.done(&["store", "check", "--replay"]).unwrap();
}

#[test]
fn who_has_no_way_takes_an_upgrade_back_and_no_release_is_marked_for_it() {
    let home = home(&[]);
    let (file, newest) = appup(NEWEST, "=0.2.0", STATE);
    let appups = [("faulty-0.2.0.toml", APPUP), (&*file, &*newest)];
    let newer = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &newer, &appups[..1]).unwrap();
    release::assemble(&home, "0.3.0", &[NEWEST], &appups).unwrap();
    let port = home.start().unwrap().port;
    add(port, "a", 7);
    add(port, "b", 1);
    upgrade(&home, "0.3.0");
    let tag = json!({ "text": "only here" });
    assert_eq!(post(port, "a", "tag", &tag).0, 200);
    let report = home.rollback().unwrap();
    assert_eq!(report.way_back.set_aside, 1, "{report:?}");

    // It stays in 0.3.0, from which nothing leads on.
    let is_taken_back = |to: &str| {
        home.done(&["quarantine", "release", "faulty:a"]).unwrap();
        let line = ["upgrade", to, "--no-rehearsal", "--probation", "0s"];
        let ran = home.host(&[&line[..], &["--json"]].concat()).unwrap();
        let report: UpgradeReport = ran.ends_with(4).unwrap().json().unwrap();
        let reason = report.reason.unwrap();
        let no_way = format!("no way leads from faulty 0.3.0 to {to}");
        assert!(reason.contains(&no_way), "{reason}");
        let rows: Vec<Value> = home.answer(&["releases", "--json"]).unwrap();
        let row = rows.iter().find(|row| row["version"] == to).unwrap();
        assert_ne!(row["status"], "failed", "{row}");
    };
    is_taken_back("0.2.0");
    // Set aside, it holds nobody up.
    home.upgrade_unrehearsed("0.2.0").unwrap();
    assert_eq!(summary(port, "b")["version"], "0.2.0");
    is_taken_back("0.1.0");
    home.stop().unwrap();
}
