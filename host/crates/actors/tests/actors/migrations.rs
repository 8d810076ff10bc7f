//! Coming over to another release, and back.

use host_actors::{CallError, Only};
use host_model::Version;
use serde_json::{Value, json};

use crate::home::{Home, request, until};
use crate::store::start_at;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_comes_over_at_its_next_message_and_back_with_its_carry() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    host.0.install(home.release(2));
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        (summary["count"].clone(), summary["version"].clone()),
        (json!(7), json!("0.2.0"))
    );
    host.ask("faulty:a", "note", json!({ "text": "only here" }))
        .await;
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.0.install(home.release(1));
    host.ask("faulty:a", "add", json!({ "by": 2 })).await;
    assert_eq!(host.count("faulty:a").await, 10);
    let inspection = host.0.inspect(&"faulty:a".parse().unwrap()).await.unwrap();
    assert_eq!(inspection.carries, [Version::new(0, 2, 0)]);
    host.stop();

    let host = home.start(2);
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        summary["notes"],
        json!(["only here"]),
        "the carry came back after a restart"
    );
    assert_eq!(summary["count"], 10);
    until("the switches were told", || async {
        let heard = home.heard.all();
        let switched = heard
            .iter()
            .filter(|line| line.contains("switched to 0.2.0"));
        switched.count() == 2
    })
    .await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_brings_over_who_is_awake_and_who_sleeps() {
    let home = Home::new();
    let host = home.start(1);
    for n in 0..300 {
        host.ask(&format!("faulty:{n}"), "add", json!({ "by": n }))
            .await;
    }
    host.stop();
    let host = home.start(1);
    for n in 0..100 {
        assert_eq!(host.count(&format!("faulty:{n}")).await, n);
    }
    assert_eq!(host.0.awake(), 100);
    host.0.migrations().reset();
    host.0.install(home.release(2));
    host.0.sweep(true).await.unwrap();
    assert_eq!(host.0.migrations().migrated(), 300);
    assert_eq!(host.0.migrations().failed(), 0);
    until("who slept sleeps again", || async { host.0.awake() == 100 }).await;
    let listed = host.0.journal().list("faulty", None, 1_000).unwrap();
    assert!(
        listed
            .iter()
            .all(|actor| actor.version == Version::new(0, 2, 0))
    );
    host.0.sweep(true).await.unwrap();
    assert_eq!(host.0.migrations().migrated(), 300, "nobody was left");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_cannot_come_over_stays_whole_and_serves() {
    for (what, why) in [
        ("up_fails", "up fails, as it was told to"),
        ("up_panics", "panicked in up"),
        (
            "check_fails",
            "the migrated state breaks the invariant \"not broken\": broken, as it was told to",
        ),
    ] {
        let home = Home::new();
        let host = home.start(1);
        host.ask("faulty:a", "add", json!({ "by": 7 })).await;
        host.ask("faulty:a", "plan_trouble", json!({ "what": what }))
            .await;
        host.0.migrations().reset();
        host.0.install(home.release(2));
        let summary = host.ask("faulty:a", "summary", Value::Null).await;
        assert_eq!(
            summary["version"], "0.1.0",
            "{what}: the old version answers"
        );
        assert_eq!(
            host.ask("faulty:a", "add", json!({ "by": 1 })).await["count"],
            8
        );
        host.0.migrations().failure().await;
        assert_eq!(host.0.migrations().failed(), 1, "{what}");
        let failure = host.0.migrations().first_failure().unwrap();
        assert_eq!(failure.actor.as_str(), "faulty:a");
        assert!(failure.why.contains(why), "{}", failure.why);
        host.0.install(home.release(1));
        host.0.migrations().reset();
        host.0.sweep(true).await.unwrap();
        assert_eq!(
            host.0.migrations().failed(),
            0,
            "{what}: the way back is no way at all"
        );
        assert_eq!(host.count("faulty:a").await, 8);
        host.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_another_versions_shape_is_converted_or_refused() {
    let home = Home::new();
    let host = home.start(2);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let mut old = request("faulty:a", "add", json!({ "by": 1 }));
    old.version = Some(Version::new(0, 1, 0));
    host.0.call(old).await.unwrap();
    host.0.install(home.release(1));
    let mut new = request("faulty:a", "note", json!({ "text": "x" }));
    new.version = Some(Version::new(0, 2, 0));
    let refused = host.0.call(new).await.unwrap_err();
    assert!(matches!(refused, CallError::Rejected(_)), "{refused:?}");
    assert_eq!(host.count("faulty:a").await, 2);
    host.stop();
}

/// What a message is, a command or a query, the version says that handles it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_has_become_a_querys_and_a_query_of_another_name_are_converted_first() {
    let home = Home::new();
    let host = home.start(3);
    host.ask("faulty:a", "count", json!({ "by": 7 })).await;
    let of = || json!({ "of": "all" });
    let shaped = |version: &str, event: &str, payload: Value, only: Only| {
        let mut asked = request("faulty:a", event, payload);
        (asked.version, asked.only) = (Some(version.parse().unwrap()), only);
        asked
    };
    let ask = |version: &str, event: &str, payload: Value, only: Only| {
        host.0.call(shaped(version, event, payload, only))
    };
    for only in [Only::Either, Only::Query, Only::Join] {
        let asked = ask("0.2.0", "totals", of(), only).await.unwrap();
        assert_eq!((&*asked.reply, asked.seq), (&br#"{"count":7}"#[..], 1));
    }
    // What was a command has lent its name to a query since.
    for replayed in [false, true] {
        let text = json!({ "text": "of 0.2.0" });
        let mut note = shaped("0.2.0", "note", text, Only::Either);
        note.idempotency_key = Some("k".to_owned());
        let noted = host.0.call(note).await.unwrap();
        assert_eq!((noted.seq, noted.replayed), (2, replayed));
    }
    let refused = ask("0.2.0", "note", json!({}), Only::Query).await;
    assert_eq!(refused.unwrap_err().reason(), "unknown_query");
    let mut note = shaped("0.3.0", "note", of(), Only::Either);
    note.idempotency_key = Some("k".to_owned());
    let note = host.0.call(note).await.unwrap();
    assert_eq!(&*note.reply, br#"{"text":"of 0.2.0"}"#);

    // Back: the newer client's query is the older version's.
    host.0.install(home.release(2));
    let asked = ask("0.3.0", "overview", of(), Only::Either).await;
    assert_eq!(&*asked.unwrap().reply, br#"{"count":7}"#);
    let refused = ask("0.3.0", "note", of(), Only::Either).await;
    assert_eq!(refused.unwrap_err().reason(), "unknown_event");
    host.stop();
}

/// The library of a message's version may be gone: who migrates from it knows its shape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_version_that_is_gone_is_converted_by_who_migrates_from_it() {
    let home = Home::new();
    let host = home.start(3);
    host.ask("faulty:a", "count", json!({ "by": 7 })).await;
    let add = || {
        let mut add = request("faulty:a", "add", json!({ "by": 1 }));
        add.version = Some(Version::new(0, 1, 0));
        host.0.call(add)
    };
    host.0.install(home.release_beside(3, &[2]));
    let added = add().await.unwrap();
    assert_eq!(&*added.reply, br#"{"count":8}"#);
    host.0.install(home.release_beside(3, &[]));
    let refused = add().await.unwrap_err();
    assert!(refused.to_string().contains("no way leads"), "{refused}");
    host.stop();
}

/// Behind each sweep, not within it; and however many there are, no more stay than are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sweeps_leave_of_snapshots_is_removed_behind_them() {
    let home = Home::new();
    let host = home.start(1);
    for key in 0..300 {
        host.ask(&format!("faulty:{key}"), "add", json!({ "by": 1 }))
            .await;
    }
    let left = || host.0.journal().not_kept("", usize::MAX).unwrap().positions;
    for minor in [2, 1, 2, 1, 2] {
        host.0.migrations().reset();
        host.0.install(home.release(minor));
        host.0.sweep(true).await.unwrap();
        assert_eq!(host.0.migrations().migrated(), 300);
        assert!(left().len() <= 300, "one more than are kept, at most");
    }
    until("what was left is gone", || async { left().is_empty() }).await;
    assert_eq!(host.count("faulty:7").await, 1);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_an_actor_hears_once_of_each_change() {
    let home = Home::new();
    let host = home.start(1);
    home.heard
        .joined
        .lock()
        .push("faulty:nobody".parse().unwrap());
    let mut wanted = Vec::new();
    for minor in [2, 1, 2] {
        host.0.install(home.release(minor));
        // One when it switches, and one before it commits.
        for _ in 0..2 {
            host.0.sweep(true).await.unwrap();
        }
        wanted.push(format!(
            "faulty:nobody switched to 0.{minor}.0 of 0.{minor}.0"
        ));
        assert_eq!(home.heard.all(), wanted);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_over_to_a_release_that_rules_no_more_is_not_counted() {
    let home = Home::new();
    let (host, _, gate) = start_at(&home, 1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    until("the store has it", || async {
        host.0.journal().stats().undurable_bytes == 0
    })
    .await;
    host.0.migrations().reset();
    let shut = gate.lock().await;
    host.0.install(home.release(2));
    let asked = {
        let actors = std::sync::Arc::clone(&host.0);
        tokio::spawn(async move {
            actors
                .call(request("faulty:a", "summary", Value::Null))
                .await
        })
    };
    // It has come over, and the store does not say so yet.
    until("its snapshot is on the way", || async {
        host.0.journal().stats().undurable_bytes > 0
    })
    .await;
    host.0.migrations().reset();
    host.0.install(home.release(1));
    drop(shut);
    asked.await.unwrap().unwrap();
    host.0.sweep(true).await.unwrap();
    assert_eq!(host.0.migrations().migrated(), 1, "it went back");
    host.stop();
}

/// A version of code only writes no snapshot: what lies beside the state comes along in
/// memory, and again when the state is built anew from a snapshot of the version before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carry_comes_along_with_code_only_and_through_a_rebuild() {
    let home = Home::new();
    let [patch, behind] = home.patched();
    let host = home.start(2);
    host.ask("faulty:a", "note", json!({ "text": "only here" }))
        .await;
    host.0.install(home.release(1));
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.0.install(patch);
    host.ask("faulty:a", "add", json!({ "by": 2 })).await;
    host.refused("faulty:a", "panic", json!({})).await;
    assert_eq!(host.count("faulty:a").await, 3);
    host.0.install(behind);
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        (&summary["notes"], &summary["count"], &summary["version"]),
        (&json!(["only here"]), &json!(3), &json!("0.2.0"))
    );
    let inspection = host.0.inspect(&"faulty:a".parse().unwrap()).await.unwrap();
    assert_eq!(inspection.carries, Vec::<Version>::new());
    host.stop();
}
