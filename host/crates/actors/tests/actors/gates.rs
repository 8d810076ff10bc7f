//! A plugin's gate, closed for a change of its version.

use std::sync::Arc;
use std::time::Duration;

use host_actors::Limits;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::home::{Home, Host, request, until};

const LONG: Duration = Duration::from_secs(30);

/// Sends a command that holds its thread, and waits until its handler is inside.
async fn inside(host: &Host, actor: &str, ms: u64) -> JoinHandle<bool> {
    let (actors, slow) = (
        Arc::clone(&host.0),
        request(actor, "sleep", json!({ "ms": ms })),
    );
    let sleeper = tokio::spawn(async move { actors.call(slow).await.is_ok() });
    until("the handler runs", || async {
        let running = host.0.running(Duration::ZERO);
        running.iter().any(|run| run.actor.as_str() == actor)
    })
    .await;
    sleeper
}

/// Sends a message, for whose answer nobody waits yet.
fn sent(host: &Host, actor: &str, event: &str, payload: Value) -> JoinHandle<Value> {
    let (actors, request) = (Arc::clone(&host.0), request(actor, event, payload));
    tokio::spawn(async move {
        let answer = actors.call(request).await.unwrap();
        serde_json::from_slice(&answer.reply).unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_to_a_closed_gate_waits_and_runs_in_the_new_version() {
    let home = Home::new();
    let host = home.start(1);
    for actor in ["faulty:slow", "faulty:a", "faulty:b"] {
        host.ask(actor, "add", json!({ "by": 1 })).await;
    }
    // Proven fast, a query takes the short way: that is closed, too.
    for _ in 0..80 {
        host.count("faulty:a").await;
    }
    let sleeper = inside(&host, "faulty:slow", 300).await;
    host.0.migrations().reset();
    host.0.suspend("faulty", LONG).await.unwrap();
    assert!(
        sleeper.await.unwrap(),
        "who was inside has ended as it would"
    );
    let query = sent(&host, "faulty:a", "summary", Value::Null);
    let commands: Vec<_> = (0..5)
        .map(|_| sent(&host, "faulty:b", "add", json!({ "by": 1 })))
        .collect();
    let new = sent(&host, "faulty:new", "add", json!({ "by": 1 }));
    // Whether they would have been answered: as long as the sleeper took.
    let waits = tokio::time::timeout(Duration::from_millis(300), async {
        until("one is answered", || async {
            query.is_finished() || new.is_finished() || commands.iter().any(|it| it.is_finished())
        })
        .await;
    });
    assert!(waits.await.is_err(), "nothing runs behind a closed gate");
    host.0.install(home.release(2));
    host.0.resume("faulty");
    assert_eq!(query.await.unwrap()["version"], "0.2.0");
    for command in commands {
        command.await.unwrap();
    }
    new.await.unwrap();
    let summary = host.ask("faulty:b", "summary", Value::Null).await;
    assert_eq!(
        (&summary["count"], &summary["version"]),
        (&json!(6), &json!("0.2.0"))
    );
    let waited = host.0.migrations().pauses_us().max;
    assert!(waited >= 250_000, "a wait at the gate is a pause: {waited}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_does_not_end_in_time_is_named_and_the_gate_opens() {
    let home = Home::new();
    let host = home.start(1);
    let sleeper = inside(&host, "faulty:slow", 2_000).await;
    let waiting = sent(&host, "faulty:a", "add", json!({ "by": 1 }));
    let refused = host.0.suspend("faulty", Duration::from_millis(50)).await;
    let still = refused.unwrap_err();
    assert_eq!(still.actor.as_str(), "faulty:slow");
    let shown = still.to_string();
    assert!(shown.contains("`sleep`, for"), "{shown}");
    assert!(shown.contains("after the 50 ms"), "{shown}");
    // Long before the sleeper ends.
    assert_eq!(waiting.await.unwrap()["count"], 1);
    assert_eq!(host.count("faulty:a").await, 1);
    assert!(!sleeper.is_finished());
    assert!(sleeper.await.unwrap());
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_wait_than_a_mailbox_holds_and_casts_and_timers_are_not_lost() {
    let home = Home::new();
    let limits = Limits {
        mailbox_max: 4,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let cast = |to: &str| json!({ "to": to, "event": "add", "payload": { "by": 10 } });
    let timer = json!({ "name": "later", "in_ms": 100 });
    host.ask("faulty:a", "set_timer", timer).await;
    host.0.suspend("faulty", LONG).await.unwrap();
    host.0.suspend("faulty", LONG).await.unwrap();
    let asked: Vec<_> = (0..8)
        .map(|_| {
            let (actors, add) = (
                Arc::clone(&host.0),
                request("faulty:b", "add", json!({ "by": 1 })),
            );
            tokio::spawn(async move { actors.call(add).await })
        })
        .collect();
    until("the others are refused", || async {
        asked.iter().filter(|it| it.is_finished()).count() >= 3
    })
    .await;
    host.0.resume("faulty");
    let mut done = 0;
    for asked in asked {
        match asked.await.unwrap() {
            Ok(_) => done += 1,
            Err(refused) => assert_eq!(refused.reason(), "mailbox_full"),
        }
    }
    assert!(
        done == 4 || done == 5,
        "as many as wait, and who came to the gate: {done}"
    );
    host.ask("faulty:a", "cast", cast("faulty:b")).await;
    until("cast and timer have arrived", || async {
        let ticks = host.ask("faulty:a", "summary", Value::Null).await;
        ticks["ticks"] == 1 && host.count("faulty:b").await == 10 + done
    })
    .await;
    host.stop();
}
