//! Old groups go, and what stays is proven; a pin holds it, and so does a way back.

use std::fs;

use e2e::{Home, faulty, wait};
use host_model::control::Outcome;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::hostile::{self, add, summary};

/// How much is counted on an actor before anything is looked at.
const COUNTED: i64 = 20;

/// A home in which no group stays for its age: the host looks every second.
fn home() -> Home {
    let home = hostile::home();
    home.configure("RETENTION=0").unwrap();
    home
}

fn count(port: u16, key: &str) {
    (0..COUNTED).for_each(|_| add(port, key, 1));
}

fn proof(home: &Home) -> Value {
    home.answer(&["audit", "verify", "--json"]).unwrap()
}

/// Behind which position the chain begins; 0 where nothing was removed.
fn anchored(home: &Home) -> u64 {
    proof(home)["anchor"]["position"].as_u64().unwrap_or(0)
}

fn wait_until_gone(home: &Home, position: u64) {
    wait::until("old groups are removed", || {
        (anchored(home) >= position).then_some(())
    })
    .unwrap();
}

/// Where the records of an actor stand that are there.
fn positions(home: &Home, actor: &str) -> Vec<u64> {
    let ran = home.done(&["audit", "export", "--actor", actor]).unwrap();
    let records = ran.stdout.lines();
    let records = records.map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|it| it["position"].as_u64().unwrap()).collect()
}

fn pins(home: &Home) -> Value {
    home.answer(&["store", "pins", "--json"]).unwrap()
}

/// How often the log says that old groups stay for a way back.
fn told(home: &Home) -> usize {
    home.log().matches("old groups stay").count()
}

fn wait_until_told(home: &Home, times: usize) {
    wait::until_is("how often it was told", &times, || told(home)).unwrap();
}

#[test]
fn old_groups_go_but_what_a_pin_holds_and_the_rest_is_proven_from_a_signed_anchor() {
    let home = home();
    let port = home.start().unwrap().port;
    home.done(&["store", "pin", "audit-2026"]).unwrap();
    count(port, "a");
    let written = positions(&home, "faulty:a");
    assert_eq!(written.len(), 20);
    let line = ["store", "pin", "audit-2026", &written[10].to_string()];
    home.done(&line).unwrap();
    wait_until_gone(&home, written[9]);
    assert_eq!(positions(&home, "faulty:a"), written[10..]);
    let proven = proof(&home);
    assert_eq!(proven["anchor"]["public_key"], proven["public_key"]);
    assert!(proven["anchor"]["records"].as_u64() >= Some(10), "{proven}");

    home.done(&["store", "unpin", "audit-2026"]).unwrap();
    wait_until_gone(&home, written[19]);
    assert!(positions(&home, "faulty:a").is_empty());
    home.done(&["store", "check"]).unwrap();
    home.stop().unwrap();
    assert_eq!(proof(&home)["public_key"], proven["public_key"]);
    let port = home.start().unwrap().port;
    assert_eq!(summary(port, "a")["count"], COUNTED);
    home.stop().unwrap();
}

#[test]
fn a_look_that_finds_only_what_the_last_one_wrote_writes_nothing() {
    let home = home();
    let port = home.start().unwrap().port;
    count(port, "a");
    let end = || proof(&home)["position"].clone();
    let uptime_s = || home.status().unwrap().uptime_s;
    // Twice the same, further apart than two looks.
    wait::until("nothing is written any more", || {
        let (before, since) = (end(), uptime_s());
        let passed = || (uptime_s() > since + 2).then_some(());
        wait::until("two looks have passed", passed).unwrap();
        (end() == before && anchored(&home) > 0).then_some(())
    })
    .unwrap();
    home.stop().unwrap();
}

#[test]
fn a_chain_whose_anchor_is_gone_or_forged_is_refused() {
    let home = home();
    let port = home.start().unwrap().port;
    count(port, "a");
    wait::until("something was removed", || {
        (anchored(&home) > 0).then_some(())
    })
    .unwrap();
    home.stop().unwrap();
    let store = home.path().join("data/host.db");
    let whole = fs::read(&store).unwrap();
    for (forgery, said) in [
        ("DELETE FROM kv WHERE key = 'audit/anchor'", "position"),
        (
            "UPDATE kv SET sum = NULL, value =
             CAST(json_set(CAST(value AS TEXT), '$.records', 1000000) AS BLOB)
             WHERE key = 'audit/anchor'",
            "signature",
        ),
        (
            "DELETE FROM groups WHERE first_pos = (SELECT min(first_pos) FROM groups)",
            "position",
        ),
    ] {
        let connection = Connection::open(&store).unwrap();
        connection.execute_batch(forgery).unwrap();
        connection.close().unwrap();
        for line in [&["audit", "verify"][..], &["store", "check"]] {
            let ran = home.host(line).unwrap().ends_with(5).unwrap();
            let all = ran.stdout + &ran.stderr;
            assert!(all.contains(said), "{line:?} of {forgery}: {all}");
        }
        fs::write(&store, &whole).unwrap();
    }
    proof(&home);
    let port = home.start().unwrap().port;
    assert_eq!(summary(port, "a")["count"], COUNTED);
    home.stop().unwrap();
}

/// A host in 0.2.0, with an actor that cannot go down and has much behind it; and from
/// which position on the way back is held.
fn come_over(home: &Home) -> (u16, u64) {
    let port = home.start().unwrap().port;
    add(port, "a", 7);
    faulty::mark(port, "a", "down_fails", 0).unwrap();
    assert_eq!(pins(home), json!([]));
    home.upgrade_unrehearsed("0.2.0").unwrap();
    count(port, "a");
    wait_until_told(home, 1);
    let pins = pins(home);
    assert_eq!(pins[0]["name"], "host:way-back-to-0.1.0", "{pins}");
    (port, pins[0]["position"].as_u64().unwrap())
}

#[test]
fn what_a_way_back_by_commands_needs_stays_while_its_release_is_installed() {
    let home = home();
    let (_, held) = come_over(&home);
    let line = ["store", "unpin", "host:way-back-to-0.1.0", "--json"];
    let refused = home.host(&line).unwrap().ends_with(1).unwrap();
    assert_eq!(refused.reason().unwrap(), "way_back");
    home.stop().unwrap();
    // Told again by another process: it has looked at all that is there.
    let port = home.start().unwrap().port;
    wait_until_told(&home, 2);
    assert!(anchored(&home) < held);

    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.way_back.rebuilt, 1, "{report:?}");
    let found = summary(port, "a");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(7 + COUNTED), &json!("0.1.0"))
    );
    // Nothing leads further back.
    assert_eq!(pins(&home), json!([]));
    wait_until_gone(&home, held);
    assert_eq!(told(&home), 2, "once by each process");
    home.stop().unwrap();
}

#[test]
fn what_a_way_back_by_commands_needs_goes_with_its_release() {
    let home = home();
    let (port, held) = come_over(&home);
    let written = positions(&home, "faulty:a");
    assert!(anchored(&home) < held);
    let release = home.path().join("releases/0.1.0");
    let elsewhere = home.path().join("0.1.0");
    fs::rename(&release, &elsewhere).unwrap();
    assert_eq!(pins(&home), json!([]));
    wait_until_gone(&home, *written.last().unwrap());

    // Who brings it back has a way back without them.
    fs::rename(&elsewhere, &release).unwrap();
    let report = home.rollback().unwrap();
    assert_eq!(report.way_back.set_aside, 1, "{report:?}");
    let why = &report.way_back.named[0].reason;
    assert!(why.contains("is not kept any more"), "{why}");
    home.done(&["quarantine", "release", "faulty:a"]).unwrap();
    assert_eq!(summary(port, "a")["count"], 7 + COUNTED);
    home.stop().unwrap();
}
