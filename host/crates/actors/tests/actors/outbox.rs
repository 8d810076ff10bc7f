//! Webhooks: sent when what caused them is durable, until they are taken.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use host_actors::{Limits, Patience};
use host_journal::DeadLetterKind;
use serde_json::{Value, json};

use crate::home::{Home, Host, until};

const URL: &str = "http://receiver/hook";

fn impatient() -> Limits {
    Limits {
        patience: Patience {
            attempts_max: 3,
            wait_min: Duration::from_millis(2),
            wait_max: Duration::from_millis(8),
        },
        ..Limits::default()
    }
}

async fn post(host: &Host, n: i64) {
    let webhook = json!({ "url": URL, "body": { "n": n } });
    host.ask("faulty:a", "webhook", webhook).await;
}

async fn until_empty(host: &Host) {
    until("the outbox is empty", || async {
        host.0.journal().next_outbox().unwrap().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_webhook_is_sent_under_a_key_of_its_own() {
    let home = Home::new();
    home.server.takes.store(true, Ordering::SeqCst);
    let host = home.start(1);
    for n in 0..100 {
        post(&host, n).await;
    }
    until_empty(&host).await;
    let sent = home.server.sent();
    let keys: BTreeSet<_> = sent.iter().map(|delivery| delivery.key.clone()).collect();
    assert_eq!((sent.len(), keys.len()), (100, 100));
    let store = host.0.journal().store_id().to_owned();
    assert!(keys.iter().all(|key| key.starts_with(&store)), "{keys:?}");
    assert_eq!((&*sent[0].url, &*sent[0].name), (URL, "hook"));
    let numbers = sent.iter().map(|delivery| {
        let body: Value = serde_json::from_slice(&delivery.body).unwrap();
        body["n"].as_i64().unwrap()
    });
    assert_eq!(numbers.collect::<BTreeSet<_>>().len(), 100);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_is_sent_again_also_after_a_restart_under_the_same_key() {
    let home = Home::new();
    let host = home.start(1);
    post(&host, 1).await;
    until("it was tried", || async { !home.server.sent().is_empty() }).await;
    host.stop();
    home.server.takes.store(true, Ordering::SeqCst);
    let host = home.start(1);
    until_empty(&host).await;
    let sent = home.server.sent();
    assert!(sent.len() >= 2);
    assert!(sent.iter().all(|delivery| *delivery == sent[0]), "{sent:?}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_is_a_dead_letter_and_comes_back_as_what_it_was() {
    let home = Home::new();
    let host = home.start_with(1, impatient());
    post(&host, 1).await;
    let letters = || host.0.journal().dead_letters(0, 9).unwrap();
    until("it is a dead letter", || async { letters().len() == 1 }).await;
    let (id, letter) = letters().remove(0);
    assert_eq!(
        (letter.kind, &*letter.event),
        (DeadLetterKind::Outbox, "hook")
    );
    assert!(letter.message.contains("503"), "{}", letter.message);
    assert_eq!(home.server.sent().len(), 3);
    assert!(host.0.journal().next_outbox().unwrap().is_none());

    home.server.takes.store(true, Ordering::SeqCst);
    host.0.retry_dead_letter(id).await.unwrap();
    assert!(letters().is_empty());
    until_empty(&host).await;
    let sent = home.server.sent();
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[3], sent[0], "under the same key");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_need_not_wait_for_the_next_attempt() {
    let home = Home::new();
    let limits = Limits {
        patience: Patience {
            wait_min: Duration::from_secs(600),
            ..Patience::default()
        },
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    post(&host, 1).await;
    let rows = || host.0.journal().outbox(None, 9).unwrap();
    until("it has failed once", || async {
        rows()[0].tried.attempts == 1
    })
    .await;
    assert!(rows()[0].tried.error.contains("503"));
    home.server.takes.store(true, Ordering::SeqCst);
    let id = rows()[0].id;
    host.0.retry_webhook(id).await.unwrap();
    until_empty(&host).await;
    assert_eq!(home.server.sent().len(), 2);
    let gone = host.0.retry_webhook(id).await.unwrap_err();
    assert_eq!(gone.reason(), "unknown_webhook");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_to_nowhere_is_the_plugins_fault() {
    let home = Home::new();
    let host = home.start(1);
    let nowhere = json!({ "url": "ftp://receiver/", "body": {} });
    let refused = host.refused("faulty:a", "webhook", nowhere).await;
    assert_eq!(refused, "actor_crashed");
    assert!(home.server.sent().is_empty());
    host.stop();
}
