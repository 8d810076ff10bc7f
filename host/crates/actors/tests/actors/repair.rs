//! Dead letters that an operator has delivered again, and timers that cannot fire.

use host_journal::{DeadLetter, DeadLetterKind, Record, Rows};
use host_model::ActorId;
use serde_json::{Value, json};

use crate::home::{Home, Host, until};

fn letters(host: &Host) -> Vec<(u64, DeadLetter)> {
    host.0.journal().dead_letters(0, 99).unwrap()
}

async fn until_letters(host: &Host, count: usize) -> Vec<(u64, DeadLetter)> {
    until("the dead letters are there", || async {
        letters(host).len() == count
    })
    .await;
    letters(host)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_that_was_buried_is_delivered_again_in_another_version() {
    let home = Home::new();
    let host = home.start(1);
    // 0.1.0 knows no notes.
    let note = json!({ "to": "faulty:b", "event": "note", "payload": { "text": "t" } });
    host.ask("faulty:a", "cast", note).await;
    let (id, letter) = until_letters(&host, 1).await.remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Cast);
    assert_eq!(letter.origin.principal, "actor:faulty:a");
    let refused = host.0.retry_dead_letter(id).await.unwrap_err();
    assert_eq!(refused.reason(), "unknown_event");
    assert_eq!(letters(&host), [(id, letter)], "it stays what it is");

    host.0.install(home.release(2));
    host.0.retry_dead_letter(id).await.unwrap();
    assert_eq!(letters(&host), []);
    let summary = host.ask("faulty:b", "summary", Value::Null).await;
    assert_eq!(summary["notes"], json!(["t"]));
    let gone = host.0.drop_dead_letter(id).await.unwrap_err();
    assert_eq!(gone.reason(), "unknown_dead_letter");
    let gone = host.0.retry_dead_letter(id).await.unwrap_err();
    assert_eq!(gone.reason(), "unknown_dead_letter");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_two_operators_retry_happens_once() {
    let home = Home::new();
    let host = home.start(1);
    let max = json!({ "by": i64::MAX });
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    // It would overflow, and is refused: no letter, its caller was told.
    assert_eq!(
        host.refused("faulty:a", "add", max.clone()).await,
        "too_large"
    );
    assert_eq!(letters(&host), []);
    // As a cast it is one, and comes back when there is room for it.
    let cast = json!({ "to": "faulty:a", "event": "add", "payload": max });
    host.ask("faulty:b", "cast", cast).await;
    let (id, _) = until_letters(&host, 1).await.remove(0);
    host.ask("faulty:a", "add", json!({ "by": -1 })).await;
    let (one, two) = tokio::join!(host.0.retry_dead_letter(id), host.0.retry_dead_letter(id));
    assert_eq!(one.is_ok() as u8 + two.is_ok() as u8, 1, "{one:?} {two:?}");
    assert_eq!(host.count("faulty:a").await, i64::MAX);
    assert_eq!(letters(&host), []);
    let stored = host.0.journal().read(&"faulty:a".parse().unwrap()).unwrap();
    let last = stored.unwrap().tail.pop().unwrap();
    assert_eq!(last.principal, "actor:faulty:b");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_command_keeps_its_key() {
    let home = Home::new();
    let host = home.start(1);
    let crashed = host.keyed("k", "faulty:a", "panic", json!({})).await;
    assert_eq!(crashed.unwrap_err().reason(), "actor_crashed");
    let (id, letter) = until_letters(&host, 1).await.remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Command);
    assert_eq!(letter.origin.idempotency_key.as_deref(), Some("k"));
    // It crashes again: the operator is told, and it is no second letter.
    let crashed = host.0.retry_dead_letter(id).await.unwrap_err();
    assert_eq!(crashed.reason(), "actor_crashed");
    assert_eq!(letters(&host), [(id, letter)]);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_was_refused_can_be_tried_again() {
    let home = Home::new();
    let host = home.start(1);
    let timer = json!({ "name": "refuse", "in_ms": 1 });
    host.ask("faulty:a", "set_timer", timer).await;
    let (id, letter) = until_letters(&host, 1).await.remove(0);
    assert_eq!(letter.kind, DeadLetterKind::Timer);
    let refused = host.0.retry_dead_letter(id).await.unwrap_err();
    assert_eq!(refused.reason(), "refused");
    host.stop();
}

/// More timers than may be in flight are due before the one that can fire: of an actor
/// in quarantine, and of one that cannot be woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_that_cannot_fire_keep_no_other_from_its_turn() {
    const STUCK: usize = 5_000;
    let home = Home::new();
    home.write(|write| {
        let timers = |due_ms| {
            let timer = move |n| (format!("t{n:05}"), due_ms, "{}".into());
            (0..STUCK).map(timer).collect::<Vec<_>>()
        };
        let noted = "{\"noted\":{}}";
        let aside: ActorId = "faulty:aside".parse().unwrap();
        write(Rows {
            timers_set: timers(1),
            quarantine: Some((aside, Some("it was told to".to_owned()))),
            ..record("faulty:aside", noted)
        });
        write(Rows {
            timers_set: timers(2),
            ..record("faulty:broken", "this is no event")
        });
        write(Rows {
            timers_set: vec![("t".to_owned(), 3, "{}".into())],
            ..record("faulty:well", noted)
        });
    });
    let host = home.start(1);
    until("the one that can fires", || async {
        host.ask("faulty:well", "summary", Value::Null).await["ticks"] == 1
    })
    .await;
    let aside = "faulty:aside".parse().unwrap();
    assert_eq!(host.0.journal().timers_of(&aside).unwrap().len(), STUCK);
    // Released, its own fire.
    host.0.quarantine_release(&aside).await.unwrap().unwrap();
    until("more have fired than are handed over at once", || async {
        let summary = host.ask("faulty:aside", "summary", Value::Null).await;
        summary["ticks"].as_i64() >= Some(20)
    })
    .await;
    host.stop();
}

pub(crate) fn record(actor: &str, event: &'static str) -> Rows {
    Rows {
        record: Some(Record {
            actor: actor.parse().unwrap(),
            seq: 1,
            version: "0.1.0".parse().unwrap(),
            time_ms: 1,
            command: "set_timer".to_owned(),
            payload: "{}".into(),
            event: event.into(),
            principal: String::new(),
            idempotency_key: None,
            effects: bytes::Bytes::new(),
        }),
        ..Rows::default()
    }
}
