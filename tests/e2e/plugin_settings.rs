//! What plugins are configured by: told of like the host's own settings, there before they
//! rule, and changed with the release.

use std::collections::BTreeSet;
use std::fs;

use e2e::{Home, http, release, wait};
use serde_json::{Value, json};

use crate::cold::{Dies, fails_to_start};

const APPUP: &str = r#"
plugin = "picky"
version = "0.2.0"

[[path]]
from = "~0.1"
up = [{ update = "state" }]
down = [{ update = "state" }]
declared = ["summary.largest", "summary.has_token"]
"#;

/// A home with `picky`, which in 0.2.0 needs a token.
fn home() -> Home {
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &["plugins/hostile/picky/0.1.0"], &[]).unwrap();
    let new = ["plugins/hostile/picky/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("picky-0.2.0.toml", APPUP)]).unwrap();
    fs::remove_dir_all(home.path().join("releases/0.3.0")).unwrap();
    home
}

fn summary(port: u16) -> Value {
    let answer = http::request(port, "GET", "/api/v1/picky/a/summary", "").unwrap();
    answer.json().unwrap()
}

fn add(port: u16, by: i64) -> String {
    let body = json!({ "by": by }).to_string();
    let answer = http::request(port, "POST", "/api/v1/picky/a/add", &body).unwrap();
    answer.reason()
}

fn row(home: &Home, key: &str) -> Value {
    let rows: Vec<Value> = home.answer(&["config", "show", "--json"]).unwrap();
    rows.into_iter().find(|row| row["key"] == key).unwrap()
}

#[test]
fn values_come_from_the_strongest_layer_and_are_shown_with_it() {
    let mut home = home();
    let show = |home: &Home, value: &str, from: &str| {
        let row = row(home, "PICKY_LARGEST");
        assert_eq!(row["value"], value, "{row}");
        assert!(row["from"].as_str().unwrap().ends_with(from), "{row}");
    };
    show(&home, "10", "default");
    let write = |file: &str, text: &str| fs::write(home.path().join(file), text).unwrap();
    write(
        "releases/0.1.0/host.toml",
        "[plugins.picky]\nlargest = 11\n",
    );
    show(&home, "11", "releases/0.1.0/host.toml");
    write(
        "etc/host.toml",
        "[plugins.picky]\nlargest = 12\ngreeting = \"marhaba\"\n",
    );
    show(&home, "12", "etc/host.toml");
    home.configure("PICKY_LARGEST=13").unwrap();
    show(&home, "13", "etc/env");
    home.set("PICKY_LARGEST", Some("14"));
    show(&home, "14", "the environment");
    let port = home.start().unwrap().port;
    let found = summary(port);
    assert_eq!(
        (&found["largest"], &found["greeting"]),
        (&json!(14), &json!("marhaba"))
    );
    assert_eq!(
        (add(port, 15), add(port, 14)),
        ("too_much".to_owned(), String::new())
    );
    home.stop().unwrap();
}

#[test]
fn what_is_wrong_stops_the_start_with_the_hosts_own_faults_in_one_report() {
    let home = home();
    home.configure("PICKY_LARGEST=many\nPOOL_SIZE=1").unwrap();
    for line in [&["config", "check"][..], &["start"]] {
        let told = home.host(line).unwrap().ends_with(1).unwrap().stderr;
        assert!(told.contains("POOL_SIZE ("), "{told}");
        assert!(told.contains("PICKY_LARGEST ("), "{told}");
        assert!(
            told.contains("etc/env): \"many\" is not a whole number, 1 to 1000"),
            "{told}"
        );
    }
    // What is there for another release, or misspelt, is warned of.
    home.configure("PICKY_LARGEST=5\nPOOL_SIZE=5\nPICKY_LARGST=1")
        .unwrap();
    let told = home.done(&["config", "check"]).unwrap().stderr;
    assert!(told.contains("did you mean PICKY_LARGEST?"), "{told}");
}

#[test]
fn a_reload_gives_a_plugin_what_is_new_and_keeps_what_was_where_it_is_wrong() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(summary(port)["largest"], 10);
    home.configure("PICKY_LARGEST=7").unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    let change = &answer["config"][0];
    assert_eq!(
        (&change["key"], &change["applies"]),
        (&json!("PICKY_LARGEST"), &json!("now"))
    );
    assert_eq!(summary(port)["largest"], 7);
    home.configure("PICKY_LARGEST=0").unwrap();
    let told = home.host(&["reload"]).unwrap().ends_with(1).unwrap().stderr;
    assert!(told.contains("PICKY_LARGEST ("), "{told}");
    assert_eq!(summary(port)["largest"], 7);
    home.stop().unwrap();
}

#[test]
fn a_reload_that_one_plugin_refuses_leaves_the_others_what_they_had() {
    let home = Home::new().unwrap();
    let both = [
        "plugins/hostile/fickle/0.1.0",
        "plugins/hostile/picky/0.2.0",
    ];
    release::assemble(&home, "0.1.0", &both, &[]).unwrap();
    home.configure("FICKLE_LABEL=a\nPICKY_TOKEN=tok-1").unwrap();
    let port = home.start().unwrap().port;
    let label = || {
        let answer = http::request(port, "GET", "/api/v1/fickle/a/summary", "").unwrap();
        answer.json().unwrap()["label"].clone()
    };
    assert_eq!(label(), "a");
    home.configure("FICKLE_LABEL=b\nPICKY_TOKEN=hunter2")
        .unwrap();
    let told = home.host(&["reload"]).unwrap().ends_with(1).unwrap().stderr;
    assert!(told.contains("does not begin with tok-"), "{told}");
    assert_eq!(label(), "a");
    assert_eq!(summary(port)["has_token"], true);
    home.configure("FICKLE_LABEL=c\nPICKY_TOKEN=tok-2").unwrap();
    home.done(&["reload"]).unwrap();
    assert_eq!(label(), "c");
    home.stop().unwrap();
}

#[test]
fn an_upgrade_resolves_what_the_new_version_needs_and_a_way_back_restores() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(add(port, 10), "");
    let plan: Value = home
        .answer(&["plan", "0.2.0", "--json"])
        .unwrap_or_else(|_| {
            let ran = home.host(&["plan", "0.2.0", "--json"]).unwrap();
            ran.ends_with(1).unwrap().json().unwrap()
        });
    let problems = plan["problems"].to_string();
    assert!(
        problems.contains(
            "PICKY_TOKEN is not set, and the plugin picky needs it (what it shows to the bank)"
        ),
        "{plan}"
    );
    let refused = home
        .host(&["upgrade", "0.2.0", "--json"])
        .unwrap()
        .ends_with(1)
        .unwrap();
    assert!(
        refused.stdout.contains("PICKY_TOKEN is not set"),
        "{}",
        refused.stdout
    );
    assert_eq!(summary(port)["total"], 10);

    // What only the plugin itself can know refuses it, too, and shows no secret.
    home.configure("PICKY_TOKEN=hunter2").unwrap();
    let refused = home.host(&["upgrade", "0.2.0", "--json"]).unwrap();
    assert!(
        refused.stdout.contains("<secret> does not begin with tok-"),
        "{}",
        refused.stdout
    );
    assert!(!refused.stdout.contains("hunter2"), "{}", refused.stdout);
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    assert_eq!(add(port, 1), "");

    home.configure("PICKY_TOKEN=tok-hunter2").unwrap();
    let shown = home.done(&["plan", "0.2.0"]).unwrap().stdout;
    assert!(
        shown.contains("PICKY_TOKEN") && !shown.contains("hunter2"),
        "{shown}"
    );
    let line = ["upgrade", "0.2.0", "--probation", "0s", "--retry-failed"];
    home.done(&line).unwrap();
    let found = summary(port);
    assert_eq!(
        (&found["largest"], &found["has_token"]),
        (&json!(20), &json!(true))
    );
    assert_eq!(found["total"], 11);
    assert_eq!(row(&home, "PICKY_TOKEN")["value"], "<secret>");
    assert!(!home.log().contains("hunter2"), "{}", home.log());

    home.rollback().unwrap();
    let found = summary(port);
    assert_eq!(
        (&found["largest"], &found["total"]),
        (&json!(10), &json!(11))
    );
    assert_eq!(add(port, 20), "too_much");
    home.stop().unwrap();
}

#[test]
fn what_does_not_rule_and_hangs_in_configure_holds_no_start_up_and_is_used_once_it_is_mended() {
    let home = home();
    home.configure("PICKY_TOKEN=tok-hangs").unwrap();
    let port = home.start().unwrap().port;
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    assert_eq!(add(port, 10), "");
    let log = home.log();
    let warns = |line: &&str| line.contains("does not return from `configure`");
    let told: Vec<_> = log.lines().filter(warns).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(
        told[0].contains("picky") && told[0].contains("0.2.0"),
        "{told:?}"
    );
    // The call of the start is still out, and another is made in place.
    home.configure("PICKY_TOKEN=tok-1").unwrap();
    home.upgrade("0.2.0").unwrap();
    let found = summary(port);
    assert_eq!(
        (&found["total"], &found["has_token"]),
        (&json!(10), &json!(true))
    );
    home.stop().unwrap();
}

/// What 0.2.0 is to run with, where 0.1.0 runs with a largest of 7.
const THEN: &str = "PICKY_LARGEST=9\nPICKY_TOKEN=tok-1\nRUNTIME_LIMITS_IDLE_S=77";

/// A host of 0.1.0 whose files are changed for 0.2.0, which rules.
fn switched(home: &Home, probation: &[&str]) -> u16 {
    home.configure("PICKY_LARGEST=7").unwrap();
    let port = home.start().unwrap().port;
    assert_eq!(summary(port)["largest"], 7);
    home.configure(THEN).unwrap();
    home.done(&[&["upgrade", "0.2.0"], probation].concat())
        .unwrap();
    assert_eq!(summary(port)["largest"], 9);
    port
}

/// What the release runs with that rules: as its plugin knows it, and as the host does.
fn runs_with(home: &Home) -> (Value, Value) {
    let port = home.settled().unwrap().port;
    let row = row(home, "RUNTIME_LIMITS_IDLE_S");
    (summary(port)["largest"].clone(), row["value"].clone())
}

const IN_PROBATION: [&str; 3] = ["--probation", "300s", "--detach"];

#[test]
fn in_probation_the_settings_of_the_release_that_rules_are_shown_and_the_permanent_ones_beside() {
    let home = home();
    switched(&home, &IN_PROBATION);
    let largest = row(&home, "PICKY_LARGEST");
    assert_eq!(
        (&largest["value"], &largest["release"]),
        (&json!("9"), &json!("0.2.0"))
    );
    assert_eq!(largest["permanent"]["value"], "7", "{largest}");
    let token = row(&home, "PICKY_TOKEN");
    assert_eq!(token["value"], "<secret>");
    assert_eq!(token["permanent"]["value"], Value::Null, "{token}");
    assert!(row(&home, "PORT").get("permanent").is_none());
    let told = home.done(&["config", "show"]).unwrap().stdout;
    assert!(
        told.contains("release 0.2.0 rules, and 0.1.0 is permanent"),
        "{told}"
    );
    home.done(&["rollback"]).unwrap();
    let largest = row(&home, "PICKY_LARGEST");
    assert_eq!(largest["value"], "7");
    assert!(largest.get("release").is_none(), "{largest}");
    home.stop().unwrap();
}

#[test]
fn a_death_in_probation_brings_back_what_the_old_release_ran_with() {
    let home = home();
    switched(&home, &IN_PROBATION);
    let old = home.kill_host().unwrap();
    let status = home.rebooted(old).unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    assert_eq!(runs_with(&home), (json!(7), json!("600")));
    let from = row(&home, "PICKY_LARGEST")["from"].clone();
    assert!(
        from.as_str().unwrap().ends_with("(as 0.1.0 ran with it)"),
        "{from}"
    );
    let told = home.done(&["config", "check"]).unwrap().stderr;
    assert!(
        told.contains("etc/ says what it said when that was left"),
        "{told}"
    );
    // Whoever restarts it has not changed his mind; whoever reads it anew has.
    home.done(&["restart"]).unwrap();
    assert_eq!(runs_with(&home), (json!(7), json!("600")));
    home.done(&["reload"]).unwrap();
    assert_eq!(runs_with(&home), (json!(9), json!("77")));
    home.done(&["restart"]).unwrap();
    assert_eq!(runs_with(&home), (json!(9), json!("77")));
    home.stop().unwrap();
}

#[test]
fn a_fault_in_the_files_keeps_no_way_back_from_coming_up() {
    let home = home();
    switched(&home, &IN_PROBATION);
    let file = home.path().join("etc/host.toml");
    fs::write(&file, "[runtime\n").unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    assert_eq!(runs_with(&home).0, json!(7));
    assert!(
        home.log().contains("etc/ cannot be taken now"),
        "{}",
        home.log()
    );
    // From here on a start is an operator's own, and what is wrong is told as ever.
    let told = home
        .host(&["restart"])
        .unwrap()
        .ends_with(1)
        .unwrap()
        .stderr;
    assert!(told.contains("this is no TOML"), "{told}");
    assert_eq!(runs_with(&home).0, json!(7));
    fs::remove_file(&file).unwrap();
    home.stop().unwrap();
}

#[test]
fn in_a_canary_each_release_runs_with_its_own_whatever_is_changed_meanwhile() {
    let home = home();
    home.configure("PICKY_LARGEST=7").unwrap();
    let port = home.start().unwrap().port;
    home.configure(THEN).unwrap();
    let line = ["--canary", "50%", "--probation", "300s", "--detach"];
    home.done(&[&["upgrade", "0.2.0"], &line[..]].concat())
        .unwrap();
    wait::until("a share has come over", || {
        let upgrade = home.status().ok()?.upgrade?;
        (upgrade.state == "canary").then_some(())
    })
    .unwrap();
    let seen = || {
        let actors = (0..40).map(|n| {
            let answer = format!("/api/v1/picky/{n}/summary");
            let answer = http::request(port, "GET", &answer, "").unwrap();
            let found: Value = answer.json().unwrap();
            (found["largest"].as_i64(), found["has_token"].as_bool())
        });
        actors.collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from([(Some(7), None), (Some(9), Some(true))]);
    assert_eq!(seen(), both);
    // For what comes, and not for what is under way.
    home.configure("PICKY_LARGEST=3\nPICKY_TOKEN=tok-1")
        .unwrap();
    let told = home.host(&["plan", "0.2.0"]).unwrap().ends_with(1).unwrap();
    let under_way = "an upgrade from 0.1.0 to 0.2.0 is under way (canary)";
    assert!(told.stdout.contains(under_way), "{}", told.stdout);
    assert_eq!(seen(), both);
    home.done(&["commit"]).unwrap();
    wait::until("it is committed", || {
        let status = home.status().ok()?;
        (status.upgrade.is_none() && status.permanent.to_string() == "0.2.0").then_some(())
    })
    .unwrap();
    assert_eq!(seen(), BTreeSet::from([(Some(9), Some(true))]));
    home.rollback().unwrap();
    assert_eq!(runs_with(&home).0, json!(3), "they were changed since");
    home.done(&["restart"]).unwrap();
    assert_eq!(runs_with(&home).0, json!(3));
    home.stop().unwrap();
}

#[test]
fn what_is_killed_before_the_switch_has_not_changed_what_the_old_release_runs_with() {
    let mut home = home();
    home.set("HOST_ABORT_AFTER", Some("verified"));
    home.configure("PICKY_LARGEST=7").unwrap();
    let old = home.start().unwrap().pid;
    home.configure(THEN).unwrap();
    let died = home.host(&["upgrade", "0.2.0"]).unwrap();
    assert_ne!(died.code, Some(0), "{died:?}");
    home.rebooted(old).unwrap();
    assert_eq!(runs_with(&home), (json!(7), json!("600")));
    home.stop().unwrap();
}

#[test]
fn a_release_that_never_comes_up_leaves_the_one_before_its_own_whatever_the_files_say() {
    for (file, fault) in [
        ("etc/host.toml", "[runtime\n"),
        ("etc/env", "PICKY_LARGEST=many\n"),
        ("etc/env", "PICKY_TOKEN=for-no-one\nPICKY_LARGEST=8\n"),
    ] {
        let home = home();
        switched(&home, &["--probation", "0s"]);
        home.stop().unwrap();
        fails_to_start(&home, "0.2.0", Dies::ByItself);
        let file = home.path().join(file);
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{before}{fault}")).unwrap();
        let status = home.start().unwrap();
        assert_eq!(status.version.to_string(), "0.1.0");
        // What it can read is an operator's word; what it cannot keeps it from nothing.
        let largest = if fault.contains("LARGEST=8") { 8 } else { 7 };
        assert_eq!(runs_with(&home).0, json!(largest), "{fault}");
        home.stop().unwrap();
    }
}

#[test]
fn a_rollback_behind_the_commit_brings_it_back_until_a_start_took_the_files() {
    let home = home();
    let port = switched(&home, &["--probation", "0s"]);
    let back = home.rollback().unwrap();
    let change = |key: &str| {
        let change = back.config.iter().find(|it| it.key == key);
        change.map(|it| it.after.clone().map(|it| it.value))
    };
    assert_eq!(
        change("PICKY_LARGEST"),
        Some(Some("7".to_owned())),
        "{back:?}"
    );
    assert_eq!(change("RUNTIME_LIMITS_IDLE_S"), Some(None), "{back:?}");
    assert_eq!(runs_with(&home), (json!(7), json!("600")));
    assert_eq!(add(port, 8), "too_much");
    home.stop().unwrap();
    home.start().unwrap();
    assert_eq!(runs_with(&home), (json!(7), json!("600")));
    // There again it is what the files say for it; and once it was started with that, no way
    // leads to what was before.
    home.upgrade("0.2.0").unwrap();
    assert_eq!(runs_with(&home), (json!(9), json!("77")));
    home.stop().unwrap();
    home.start().unwrap();
    home.rollback().unwrap();
    assert_eq!(runs_with(&home), (json!(9), json!("77")));
    home.stop().unwrap();
}

#[test]
fn an_upgrade_whose_way_back_cannot_be_written_is_not_begun() {
    let home = home();
    home.configure("PICKY_TOKEN=tok-1").unwrap();
    let port = home.start().unwrap().port;
    let kept = home.data().join("data/configuration.json");
    let in_its_way = home.data().join("data/configuration.json.new");
    fs::create_dir(&in_its_way).unwrap();
    let ran = home.host(&["upgrade", "0.2.0", "--json"]).unwrap();
    let report: Value = ran.json().unwrap();
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.contains("the way back of its configuration"),
        "{reason}"
    );
    assert_eq!(summary(port)["largest"], 10);
    fs::remove_dir(&in_its_way).unwrap();
    home.upgrade_again("0.2.0").unwrap();
    home.stop().unwrap();

    // A file that is damaged is told of with what to do.
    fs::write(&kept, "{").unwrap();
    let told = home.host(&["start"]).unwrap().ends_with(1).unwrap().stderr;
    assert!(
        told.contains("remove it, and etc/ holds as it stands"),
        "{told}"
    );
    fs::remove_file(&kept).unwrap();
    home.start().unwrap();
    home.stop().unwrap();
}
