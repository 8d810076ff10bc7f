//! What a release could not handle, when the one before it rules again.

use host_journal::DeadLetterKind;
use host_model::Version;
use host_model::limits::{FAULTS_MAX, QUARANTINES_MAX};
use serde_json::{Value, json};

use crate::home::{Home, Host, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_broke_only_the_newer_version_is_delivered_again_in_the_older_one() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:b", "plan_trouble", json!({ "what": "add_panics" }))
        .await;
    host.ask(
        "faulty:c",
        "plan_trouble",
        json!({ "what": "timers_panic" }),
    )
    .await;
    host.0.install(home.release(2));
    let cast = |event: &str, payload: Value| json!({ "to": "faulty:b", "event": event, "payload": payload });
    host.ask("faulty:a", "cast", cast("add", json!({ "by": 1 })))
        .await;
    host.ask("faulty:a", "cast", cast("add", json!({ "by": 2 })))
        .await;
    // This one breaks either version.
    host.ask("faulty:a", "cast", cast("panic", json!({}))).await;
    for name in ["tick", "panic"] {
        host.ask("faulty:c", "set_timer", json!({ "name": name, "in_ms": 1 }))
            .await;
    }
    // A client has been told: it tries again itself.
    assert_eq!(
        host.refused("faulty:d", "panic", json!({})).await,
        "actor_crashed"
    );
    let letters = |host: &Host| host.0.journal().dead_letters(0, 9).unwrap();
    until("all have come to nothing", || async {
        letters(&host).len() == 6
    })
    .await;
    assert!(
        letters(&host)
            .iter()
            .all(|(_, it)| it.version == Version::new(0, 2, 0))
    );

    host.0.migrations().reset();
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    let done = host.0.redeliver().await.unwrap();
    assert_eq!((done.tried, done.delivered), (5, 3));
    assert_eq!(host.0.migrations().way_back().redelivered, 3);
    assert_eq!(host.count("faulty:b").await, 3);
    assert_eq!(
        host.ask("faulty:c", "summary", Value::Null).await["ticks"],
        1
    );
    let all = home.heard.all();
    let order: Vec<_> = all
        .iter()
        .filter(|it| it.starts_with("faulty:b added"))
        .collect();
    assert!(
        order[0].contains("\"count\":1") && order[1].contains("\"count\":3"),
        "{order:?}"
    );
    let left = letters(&host);
    let left: Vec<_> = left.iter().map(|(_, it)| (it.kind, &*it.event)).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&(DeadLetterKind::Command, "panic")));
    // Once is enough, in another process too.
    assert_eq!(host.0.redeliver().await.unwrap().tried, 0);
    host.stop();
    let host = home.start(1);
    assert_eq!(host.0.redeliver().await.unwrap().tried, 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_set_aside_for_faults_of_the_newer_version_serves_in_the_older_one() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:b", "plan_trouble", json!({ "what": "add_panics" }))
        .await;
    for _ in 0..4 {
        host.refused("faulty:own", "panic", json!({})).await;
    }
    host.0.install(home.release(2));
    for _ in 0..4 {
        host.refused("faulty:b", "add", json!({ "by": 1 })).await;
    }
    let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": 5 } });
    host.ask("faulty:a", "cast", cast).await;
    assert_eq!(
        host.refused("faulty:b", "summary", Value::Null).await,
        "quarantined"
    );
    host.0.migrations().reset();
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    assert_eq!(host.0.redeliver().await.unwrap().released, 1);
    until("the cast that was put off has come", || async {
        host.count("faulty:b").await == 5
    })
    .await;
    let left = host.0.quarantine_list();
    assert_eq!(
        left.len(),
        1,
        "its faults were those of the version that rules"
    );
    assert_eq!(left[0].0.as_str(), "faulty:own");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_in_a_quarantine_comes_behind_what_led_to_it() {
    let home = Home::new();
    let host = home.start(1);
    // The others are released behind it, which gives what was held time to come too early.
    let others: Vec<_> = (0..6).map(|n| format!("faulty:c{n}")).collect();
    for actor in others.iter().map(String::as_str).chain(["faulty:b"]) {
        host.ask(actor, "plan_trouble", json!({ "what": "add_panics" }))
            .await;
    }
    host.0.install(home.release(2));
    // The first four come to nothing, and the others to an actor that is set aside.
    for by in 1..=9 {
        let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": by } });
        host.ask("faulty:a", "cast", cast).await;
        until("a fault is counted", || async {
            host.0.faults() >= by.min(4)
        })
        .await;
    }
    for actor in &others {
        for _ in 0..4 {
            host.refused(actor, "add", json!({ "by": 1 })).await;
        }
    }
    until("all are set aside", || async {
        host.0.quarantine_list().len() == 7
    })
    .await;
    host.0.migrations().reset();
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    // By then whoever looks for casts waits to be rung for, and comes at once.
    let timer = json!({ "name": "tick", "in_ms": 400 });
    host.ask("faulty:z", "set_timer", timer).await;
    until("a moment is over", || async {
        host.ask("faulty:z", "summary", Value::Null).await["ticks"] == 1
    })
    .await;
    let done = host.0.redeliver().await.unwrap();
    assert_eq!((done.released, done.delivered), (7, 4));
    let added = || {
        let all = home.heard.all().into_iter();
        let added = all.filter(|it| it.starts_with("faulty:b added"));
        added.collect::<Vec<_>>()
    };
    until("all have come", || async { added().len() == 9 }).await;
    for (n, line) in (1..).zip(added()) {
        let count = format!("\"count\":{}}}", n * (n + 1) / 2);
        assert!(line.contains(&count), "{line}, and {count} was due");
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_for_a_plugin_that_was_gone_is_delivered_when_it_is_back() {
    let home = Home::new();
    let host = home.start(1);
    let timer = json!({ "name": "tick", "in_ms": 300 });
    host.ask("faulty:a", "set_timer", timer).await;
    let mut without = home.release(1);
    without.plugins.clear();
    host.0.install(without);
    let letters = || host.0.journal().dead_letters(0, 9).unwrap();
    until("the timer has come to nothing", || async {
        letters().len() == 1
    })
    .await;
    assert_eq!(letters()[0].1.reason, "unknown_plugin");
    let mut back = home.release(1);
    back.before.clear();
    host.0.install(back);
    assert_eq!(host.0.redeliver().await.unwrap().delivered, 1);
    assert_eq!(
        host.ask("faulty:a", "summary", Value::Null).await["ticks"],
        1
    );
    host.stop();
}

/// Sets so many actors aside for faults that their plugin is past its limit.
pub(crate) async fn fail_as_a_whole(host: &Host) {
    for n in 0..QUARANTINES_MAX {
        for _ in 0..=FAULTS_MAX {
            host.refused(&format!("faulty:{n}"), "panic", json!({}))
                .await;
        }
    }
    assert_eq!(host.0.failed_plugins().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_that_goes_again_did_is_not_held_against_the_host() {
    let home = Home::new();
    let without = || {
        let mut without = home.release(1);
        without.plugins.clear();
        without
    };
    let host = home.start(1);
    host.0.install(without());
    host.0.install(home.release(2));
    fail_as_a_whole(&host).await;
    host.0.redeliver().await.unwrap();
    let failed = host.0.failed_plugins();
    assert_eq!(failed[0].version, Some(Version::new(0, 2, 0)), "it rules");
    host.0.install(without());
    host.0.sweep(false).await.unwrap();
    host.0.redeliver().await.unwrap();
    assert_eq!(host.0.failed_plugins(), []);
    // Nor is it when the release is tried again: one more is not ten.
    host.0.install(home.release(2));
    for _ in 0..=FAULTS_MAX {
        host.refused("faulty:once-more", "panic", json!({})).await;
    }
    assert_eq!(host.0.failed_plugins(), []);
    host.stop();
}
