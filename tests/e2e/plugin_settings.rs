//! What plugins are configured by: told of like the host's own settings, there before they
//! rule, and changed with the release.

use std::fs;

use e2e::{Home, http, release};
use serde_json::{Value, json};

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
