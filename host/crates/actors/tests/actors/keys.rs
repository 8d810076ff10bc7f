//! Idempotency keys: the first answer again, whatever happens in between.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::home::{Home, request, until};

fn by(n: i64) -> Value {
    json!({ "by": n })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_gets_the_first_answer_also_after_restart_and_upgrade() {
    let home = Home::new();
    let host = home.start(1);
    let first = host.keyed("k", "faulty:a", "add", by(5)).await.unwrap();
    assert!(!first.replayed);
    host.ask("faulty:a", "add", by(7)).await;
    let again = |answer: host_actors::Answer| {
        assert_eq!((&answer.reply, answer.seq), (&first.reply, first.seq));
        assert!(answer.replayed);
    };
    again(host.keyed("k", "faulty:a", "add", by(5)).await.unwrap());
    host.stop();

    let host = home.start(1);
    again(host.keyed("k", "faulty:a", "add", by(5)).await.unwrap());
    host.0.install(home.release(2));
    again(host.keyed("k", "faulty:a", "add", by(5)).await.unwrap());
    assert_eq!(host.count("faulty:a").await, 12);
    host.stop();

    let host = home.start(2);
    again(host.keyed("k", "faulty:a", "add", by(5)).await.unwrap());
    assert_eq!(host.count("faulty:a").await, 12);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_belongs_to_one_actor_event_and_principal() {
    let home = Home::new();
    let host = home.start(1);
    host.keyed("k", "faulty:a", "add", by(1)).await.unwrap();
    let other = host.keyed("k", "faulty:b", "add", by(2)).await.unwrap();
    assert!(!other.replayed);
    let other = host.keyed("k", "faulty:a", "add_and_stop", by(2)).await;
    assert!(!other.unwrap().replayed);
    let mut of_sara = request("faulty:a", "add", by(3));
    of_sara.idempotency_key = Some("k".to_owned());
    of_sara.principal = "sara".to_owned();
    assert!(!host.0.call(of_sara.clone()).await.unwrap().replayed);
    assert!(host.0.call(of_sara).await.unwrap().replayed);
    assert_eq!(host.count("faulty:a").await, 6);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_body_under_the_same_key_is_a_conflict() {
    let home = Home::new();
    let host = home.start(1);
    host.keyed("k", "faulty:a", "add", by(1)).await.unwrap();
    let refused = host.keyed("k", "faulty:a", "add", by(2)).await.unwrap_err();
    assert_eq!(refused.reason(), "conflict");
    assert!(refused.to_string().contains("\"k\""), "{refused}");
    assert_eq!(host.count("faulty:a").await, 1);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_accepted_takes_no_key() {
    let home = Home::new();
    let host = home.start(1);
    for event in ["refuse", "panic"] {
        let refused = host.keyed("k", "faulty:a", event, json!({})).await;
        assert!(refused.is_err());
        let again = host.keyed("k", "faulty:a", event, json!({ "x": 1 })).await;
        assert_ne!(again.unwrap_err().reason(), "conflict");
    }
    // A query has no use for one.
    for _ in 0..2 {
        let asked = host.keyed("k", "faulty:a", "summary", json!({})).await;
        assert!(!asked.unwrap().replayed);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_with_one_key_are_one_command() {
    let home = Home::new();
    let host = home.start(1);
    for round in 0..20 {
        let mut callers = JoinSet::new();
        for _ in 0..50 {
            let actors = Arc::clone(&host.0);
            let mut add = request("faulty:a", "add", by(1));
            add.idempotency_key = Some(format!("k{round}"));
            callers.spawn(async move { actors.call(add).await.unwrap() });
        }
        let answers = callers.join_all().await;
        let first = answers.iter().filter(|answer| !answer.replayed).count();
        assert_eq!(first, 1, "round {round}");
        assert!(answers.iter().all(|it| it.reply == answers[0].reply));
    }
    assert_eq!(host.count("faulty:a").await, 20);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_at_once_are_each_their_own_command() {
    // More than are remembered for one actor before they are durable.
    const CALLERS: usize = 3_000;
    let home = Home::new();
    let limits = host_actors::Limits {
        mailbox_max: CALLERS,
        ..host_actors::Limits::default()
    };
    let host = home.start_with(1, limits);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let actors = Arc::clone(&host.0);
        let mut add = request("faulty:a", "add", by(1));
        add.idempotency_key = Some(format!("k{}", caller / 2));
        callers.spawn(async move { actors.call(add).await.unwrap().replayed });
    }
    let replayed = callers
        .join_all()
        .await
        .into_iter()
        .filter(|it| *it)
        .count();
    assert_eq!(replayed, CALLERS / 2);
    assert_eq!(
        host.count("faulty:a").await,
        i64::try_from(CALLERS / 2).unwrap()
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_field_is_recorded_and_left_to_the_plugin() {
    let home = Home::new();
    let host = home.start(1);
    let add = json!({ "by": 1, "id": "gift-1" });
    for _ in 0..2 {
        let answer = host.send("faulty:a", "add", add.clone()).await.unwrap();
        assert!(!answer.replayed);
    }
    let stored = host.0.journal().read(&"faulty:a".parse().unwrap()).unwrap();
    let keys: Vec<_> = stored
        .unwrap()
        .tail
        .into_iter()
        .map(|record| record.idempotency_key)
        .collect();
    assert_eq!(keys, [Some("gift-1".to_owned()), Some("gift-1".to_owned())]);
    assert_eq!(host.0.journal().oldest_answer().unwrap(), None);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_stops_leaves_memory_with_its_last_command_durable() {
    let home = Home::new();
    let host = home.start(1);
    for n in 1..=20 {
        let reply = host.ask("faulty:a", "add_and_stop", by(1)).await;
        assert_eq!(reply["count"], n);
        until("it has left memory", || async { host.0.awake() == 0 }).await;
    }
    // It left a snapshot: nothing is to be replayed.
    let stored = host.0.journal().read(&"faulty:a".parse().unwrap()).unwrap();
    assert!(stored.unwrap().tail.is_empty());
    assert_eq!(host.count("faulty:a").await, 20);
    host.stop();
}
