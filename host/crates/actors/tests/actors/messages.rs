//! Commands, queries, and what is refused.

use std::sync::Arc;

use host_actors::{Limits, Only};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::home::{Home, request, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_a_restart() {
    let home = Home::new();
    let host = home.start(1);
    for by in 1..=100 {
        host.ask("faulty:a", "add", json!({ "by": by })).await;
    }
    let answer = host.send("faulty:a", "summary", Value::Null).await.unwrap();
    assert_eq!(answer.seq, 100);
    host.stop();
    let host = home.start(1);
    assert_eq!(host.0.awake(), 0, "it sleeps until someone asks");
    assert_eq!(host.count("faulty:a").await, 5_050);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_are_handled_one_after_the_other() {
    let home = Home::new();
    let host = home.start(1);
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let actors = Arc::clone(&host.0);
        callers.spawn(async move {
            let added = actors
                .call(request("faulty:a", "add", json!({ "by": 1 })))
                .await;
            let reply: Value = serde_json::from_slice(&added.unwrap().reply).unwrap();
            reply["count"].as_i64().unwrap()
        });
    }
    let mut counts = callers.join_all().await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=200).collect::<Vec<i64>>());
    let heard = home.heard.all();
    let seqs: Vec<usize> = (1..=200)
        .map(|seq| {
            heard
                .iter()
                .position(|line| line.ends_with(&format!(" at {seq}")))
                .unwrap()
        })
        .collect();
    assert!(
        seqs.is_sorted(),
        "broadcasts come in the order of the sequence"
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_about_nobody_leaves_nothing_behind() {
    let home = Home::new();
    let host = home.start(1);
    assert_eq!(host.count("faulty:nobody").await, 0);
    assert_eq!(
        host.refused("faulty:nobody", "refuse", json!({})).await,
        "refused"
    );
    assert_eq!(host.0.journal().known(), 0);
    until("it has left memory", || async { host.0.awake() == 0 }).await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_with_its_reason() {
    let home = Home::new();
    let limits = Limits {
        payload_bytes_max: 64,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    for (actor, event, payload, reason) in [
        ("faulty:a", "fly", json!({}), "unknown_event"),
        ("faulty:a", "add", json!({ "by": "one" }), "bad_payload"),
        ("faulty:a", "add", json!([1]), "bad_payload"),
        ("nothing:a", "add", json!({ "by": 1 }), "unknown_plugin"),
        (
            "faulty:a",
            "grow",
            json!({ "bytes": 1, "why": "x".repeat(64) }),
            "payload_too_large",
        ),
    ] {
        assert_eq!(
            host.refused(actor, event, payload.clone()).await,
            reason,
            "{event} {payload}"
        );
    }
    let mut command = request("faulty:a", "add", json!({ "by": 1 }));
    command.only = Only::Query;
    let refused = host.0.call(command).await.unwrap_err();
    assert_eq!(refused.reason(), "unknown_query");
    assert!(refused.to_string().contains("summary"), "{refused}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_actor_holds_up_its_own_mailbox_only() {
    let home = Home::new();
    let limits = Limits {
        mailbox_max: 2,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    // More than there are threads.
    let mut sleepers = JoinSet::new();
    for n in 0..8 {
        let actors = Arc::clone(&host.0);
        let sleep = request(&format!("faulty:slow-{n}"), "sleep", json!({ "ms": 3_000 }));
        sleepers.spawn(async move { actors.call(sleep).await });
    }
    until("all of them sleep", || async {
        host.0.running(std::time::Duration::ZERO).len() == 8
    })
    .await;
    assert_eq!(
        host.count("faulty:quick").await,
        0,
        "others are served meanwhile"
    );
    for n in 0..2 {
        let actors = Arc::clone(&host.0);
        let add = request("faulty:slow-0", "add", json!({ "by": n }));
        sleepers.spawn(async move { actors.call(add).await });
    }
    // One of them is refused as soon as two wait.
    until("its mailbox is full", || async {
        let refused = host
            .0
            .call(request("faulty:slow-0", "add", json!({ "by": 0 })));
        let refused = tokio::time::timeout(std::time::Duration::from_millis(50), refused).await;
        matches!(refused, Ok(Err(error)) if error.reason() == "mailbox_full")
    })
    .await;
    for answer in sleepers.join_all().await {
        assert!(answer.is_ok() || answer.unwrap_err().reason() == "mailbox_full");
    }
    host.stop();
}
