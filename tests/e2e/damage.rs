//! Rows beside the groups, and tables, that are not what the host left: it does not act on
//! them, and does not go on.

use e2e::{Home, wait};
use rusqlite::Connection;
use serde_json::json;

use crate::hostile;

/// A webhook that waits, with its host stopped.
fn with_a_webhook() -> Home {
    let home = hostile::home();
    let port = home.start().unwrap().port;
    let hook = json!({"url": "http://127.0.0.1:9/hook", "body": {"n": 1}});
    assert_eq!(hostile::post(port, "a", "webhook", &hook).0, 200);
    let later = json!({"name": "later", "in_ms": 3_600_000});
    assert_eq!(hostile::post(port, "a", "set_timer", &later).0, 200);
    home.stop().unwrap();
    home
}

fn damage(home: &Home, sql: &str) {
    let connection = Connection::open(home.path().join("data/host.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_host_that_would_act_on_a_changed_row_ends_and_names_it() {
    for (sql, named) in [
        (
            "UPDATE outbox SET url = 'http://127.0.0.1:9/evil', due_ms = 0",
            "is damaged: its checksum does not hold",
        ),
        (
            "UPDATE timers SET due_ms = 0, payload = CAST('7' AS BLOB)",
            r#"the row "faulty:a", "later" is damaged"#,
        ),
    ] {
        let home = with_a_webhook();
        damage(&home, sql);
        let checked = home.host(&["store", "check"]).unwrap();
        let checked = checked.ends_with(5).unwrap().stdout;
        assert!(checked.contains("is damaged"), "{checked}");
        // It may find the row before it has said that it is ready, or behind that.
        home.host(&["start"]).unwrap();
        wait::until("the host and its keeper have ended", || {
            (home.host_pid().is_none() && home.keeper_pid().is_none()).then_some(())
        })
        .unwrap();
        let log = home.log();
        assert!(log.contains(named), "{sql}: {log}");
        assert!(log.contains("the host has ended: exit code 5"), "{log}");
    }
}

#[test]
fn a_start_on_a_store_whose_values_were_changed_or_that_lacks_a_table_ends_with_5() {
    for (sql, named) in [
        (
            "UPDATE kv SET value = CAST('7' AS BLOB) WHERE key LIKE 'plugin/digest/%'",
            "is damaged: its checksum does not hold",
        ),
        ("DROP TABLE casts", "no such table: casts"),
        ("DROP TABLE answers", "no such table: answers"),
    ] {
        let home = with_a_webhook();
        damage(&home, sql);
        let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
        assert!(ran.stderr.contains(named), "{sql}: {}", ran.stderr);
    }
}
