//! A store that another host has written: of the schema before, kept in `fixtures` as that
//! host left it, and of schemas that are yet to come.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::{Home, wait};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::hostile::{home, post, summary};
use crate::once::keyed;

/// The schema of this host.
const SCHEMA: i64 = 4;

const VERIFY: [&str; 3] = ["audit", "verify", "--json"];
const CHECK: [&str; 4] = ["store", "check", "--replay", "--json"];
const MIGRATE: [&str; 3] = ["store", "migrate", "--json"];

/// A home with the store that the host before this one has left, as if just now.
fn older() -> Home {
    let home = home();
    let name = format!("fixtures/schema-{}.db", SCHEMA - 1);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::copy(fixture, store(&home)).unwrap();
    fs::write(home.path().join("data/permanent"), "0.2.0\n").unwrap();
    renew(&home);
    home
}

fn store(home: &Home) -> PathBuf {
    home.path().join("data/host.db")
}

fn schema(home: &Home) -> i64 {
    let store = Connection::open(store(home)).unwrap();
    let version = store.pragma_query_value(None, "user_version", |row| row.get(0));
    version.unwrap()
}

/// Makes the store one of another schema, which has only added to this one.
fn set_schema(home: &Home, schema: i64) {
    let store = Connection::open(store(home)).unwrap();
    store.pragma_update(None, "user_version", schema).unwrap();
}

/// What is of the day and of the machine, and in no record: the answers under keys were
/// given now, for none is kept as long as a fixture; the first timer is due, whatever this
/// clock says; and the plugins are those that were built here.
fn renew(home: &Home) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let store = Connection::open(store(home)).unwrap();
    for (sql, rows) in [
        ("UPDATE answers SET time_ms = ?1", 2),
        ("UPDATE timers SET due_ms = ?1 WHERE name = 'due'", 1),
    ] {
        assert_eq!(store.execute(sql, [now]).unwrap(), rows, "{sql}");
    }
    for version in ["0.1.0", "0.2.0"] {
        let manifest = format!("releases/{version}/manifest.json");
        let manifest = fs::read(home.path().join(manifest)).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let digest = manifest["plugins"][0]["sha256"].to_string().into_bytes();
        let key = format!("plugin/digest/faulty/{version}");
        let sql = "UPDATE kv SET value = ?2 WHERE key = ?1";
        assert_eq!(store.execute(sql, params![key, digest]).unwrap(), 1);
    }
}

/// The chain is proven, and everything in the store comes to the same again. How many
/// records there are.
fn is_whole(home: &Home) -> u64 {
    let proof: Value = home.answer(&VERIFY).unwrap();
    assert_eq!(proof["kind"], "verified", "{proof}");
    let checked: Value = home.answer(&CHECK).unwrap();
    assert_eq!(checked["ok"], true, "{checked}");
    proof["records"].as_u64().unwrap()
}

fn trail(home: &Home) -> String {
    home.done(&["audit", "export"]).unwrap().stdout
}

/// All that the older host has written is there, and is gone on with.
fn has_it_all(home: &Home) {
    let port = home.start().unwrap().port;
    let found = summary(port, "a");
    let wanted = (&json!(11), &json!(["by the older host"]), &json!("0.2.0"));
    assert_eq!(
        (&found["count"], &found["notes"], &found["version"]),
        wanted
    );
    wait::until_is("the timer that was due has fired, once", &json!(1), || {
        summary(port, "b")["ticks"].clone()
    })
    .unwrap();
    assert_eq!(summary(port, "b")["count"], 4);
    // Under keys of before and behind the snapshots that an upgrade wrote.
    for (key, by, count) in [("first", 5, 5), ("second", 4, 11)] {
        assert_eq!(keyed(port, key, by), (200, json!({"count": count}), true));
    }
    let letters: Value = home.answer(&["dead-letters", "list", "--json"]).unwrap();
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    assert_eq!(letters[0]["actor"], "faulty:b", "{letters}");
    let outbox: Value = home.answer(&["outbox", "list", "--json"]).unwrap();
    assert_eq!(outbox[0]["url"], "http://127.0.0.1:9/hook", "{outbox}");
    let history: Value = home.answer(&["history", "--json"]).unwrap();
    assert_eq!(history[0]["outcome"], "committed", "{history}");
    let (status, answer) = post(port, "a", "add", &json!({"by": 1}));
    assert_eq!((status, &answer["count"]), (200, &json!(12)));
    is_whole(home);
    home.stop().unwrap();
}

#[test]
fn a_store_of_the_schema_before_is_read_as_it_is_and_migrated_on_demand() {
    let home = older();
    let before = fs::read(store(&home)).unwrap();
    let (records, events) = (is_whole(&home), trail(&home));
    assert_eq!(fs::read(store(&home)).unwrap(), before, "it is only read");
    assert_eq!(schema(&home), SCHEMA - 1);

    let migrated: Value = home.answer(&MIGRATE).unwrap();
    assert_eq!(migrated, json!({"from": SCHEMA - 1, "to": SCHEMA}));
    assert_eq!(schema(&home), SCHEMA);
    // The migration is an action of an operator's, intended and ended.
    assert_eq!(is_whole(&home), records + 2);
    let now = trail(&home);
    assert!(now.starts_with(&events), "{events}\nand now\n{now}");

    let before = fs::read(store(&home)).unwrap();
    let again = home.done(&MIGRATE[..2]).unwrap().stdout;
    let told = format!("the store has schema {SCHEMA} already: nothing was to be done");
    assert!(again.contains(&told), "{again}");
    assert_eq!(fs::read(store(&home)).unwrap(), before, "and nothing was");
    has_it_all(&home);
}

#[test]
fn a_start_migrates_a_store_of_the_schema_before() {
    let home = older();
    let events = trail(&home);
    has_it_all(&home);
    assert_eq!(schema(&home), SCHEMA);
    assert!(trail(&home).starts_with(&events));
}

#[test]
fn a_store_of_the_next_schema_is_used_and_left_at_that() {
    let home = older();
    home.done(&MIGRATE).unwrap();
    set_schema(&home, SCHEMA + 1);
    let left: Value = home.answer(&MIGRATE).unwrap();
    assert_eq!(left, json!({"from": SCHEMA + 1, "to": SCHEMA + 1}));
    is_whole(&home);
    has_it_all(&home);
    assert_eq!(schema(&home), SCHEMA + 1);
}

#[test]
fn a_store_of_a_schema_behind_the_next_is_refused_and_left_as_it_is() {
    let home = older();
    home.done(&MIGRATE).unwrap();
    set_schema(&home, SCHEMA + 2);
    let before = fs::read(store(&home)).unwrap();
    let file = home.path().join("backup.db");
    let backup = ["store", "backup", file.to_str().unwrap()];
    let told = format!(
        "the store has schema {}, this host knows {SCHEMA}: start the newer host",
        SCHEMA + 2
    );
    // Who only reads it says that an operator must look.
    let lines: [(&[&str], i32); 5] = [
        (&["start"], 1),
        (&MIGRATE[..2], 1),
        (&VERIFY[..2], 5),
        (&CHECK[..2], 5),
        (&backup, 5),
    ];
    for (line, code) in lines {
        let ran = home.host(line).unwrap().ends_with(code).unwrap();
        assert!(ran.stderr.contains(&told), "{ran:?}");
        assert_eq!(fs::read(store(&home)).unwrap(), before, "{line:?}");
    }
    assert!(!file.exists());
}
