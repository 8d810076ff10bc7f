//! Casts and timers: once, whatever happens in between.

use host_actors::Limits;
use serde_json::{Value, json};

use crate::home::{Home, Host, until};

fn cast(to: &str, event: &str, payload: Value) -> Value {
    json!({ "to": to, "event": event, "payload": payload })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_arrives_once_and_in_order() {
    let home = Home::new();
    let host = home.start(1);
    for by in 1..=200 {
        host.ask(
            "faulty:a",
            "cast",
            cast("faulty:b", "add", json!({ "by": by })),
        )
        .await;
    }
    all_have_come_in_order(&home, &host, 200).await;
    host.stop();
}

/// What adds 1, 2, 3 and so on to an actor has come to it, each once.
async fn all_have_come_in_order(home: &Home, host: &Host, last: u64) {
    let added = || -> Vec<String> {
        let heard = home.heard.all().into_iter();
        let added = heard.filter_map(|line| {
            let added = line.strip_prefix("faulty:b added ")?;
            Some(added.split(" at ").next()?.to_owned())
        });
        added.collect()
    };
    let expected: Vec<_> = (1..=last)
        .map(|n| format!("{{\"count\":{}}}", n * (n + 1) / 2))
        .collect();
    until("all have arrived", async || added().len() >= expected.len()).await;
    assert_eq!(added(), expected);
    until("no row is left", || async {
        host.0.journal().casts(None, 10).unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_that_find_a_full_mailbox_come_in_order_all_the_same() {
    let home = Home::new();
    let limits = Limits {
        mailbox_max: 4,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    let mut last = 0_u64;
    // More and more come while its handler is busy, and some when it is no more.
    for (ms, casts) in [(100, 10), (300, 20), (50, 70)] {
        host.ask(
            "faulty:a",
            "cast",
            cast("faulty:b", "sleep", json!({ "ms": ms })),
        )
        .await;
        for _ in 0..casts {
            last += 1;
            let add = cast("faulty:b", "add", json!({ "by": last }));
            host.ask("faulty:a", "cast", add).await;
        }
    }
    all_have_come_in_order(&home, &host, last).await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_that_comes_to_nothing_is_a_dead_letter() {
    let home = Home::new();
    let host = home.start(1);
    for (to, event, payload) in [
        ("faulty:b", "refuse", json!({})),
        ("faulty:b", "panic", json!({})),
        ("faulty:b", "fly", json!({})),
        ("nothing:b", "add", json!({ "by": 1 })),
    ] {
        host.ask("faulty:a", "cast", cast(to, event, payload)).await;
    }
    until("all are dead letters", || async {
        host.0.journal().dead_letters(0, 10).unwrap().len() == 4
    })
    .await;
    let mut reasons: Vec<String> = host
        .0
        .journal()
        .dead_letters(0, 10)
        .unwrap()
        .into_iter()
        .map(|(_, letter)| letter.reason)
        .collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "actor_crashed",
            "refused",
            "unknown_event",
            "unknown_plugin"
        ]
    );
    assert!(host.0.journal().casts(None, 10).unwrap().is_empty());
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_in_a_circle_end() {
    let home = Home::new();
    let host = home.start(1);
    // Each of the nested casts goes to the other one of two actors, 70 deep.
    let mut payload = json!({ "by": 1 });
    let mut event = "add";
    for n in 0..70 {
        let to = if n % 2 == 0 { "faulty:b" } else { "faulty:a" };
        payload = cast(to, event, payload);
        event = "cast";
    }
    host.ask("faulty:a", "cast", payload).await;
    until("the chain is cut", || async {
        !host.0.journal().dead_letters(0, 10).unwrap().is_empty()
    })
    .await;
    let letters = host.0.journal().dead_letters(0, 10).unwrap();
    assert_eq!(letters[0].1.reason, "too_many_hops");
    assert_eq!(host.count("faulty:b").await, 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_fires_once_also_after_a_restart() {
    let home = Home::new();
    let host = home.start(1);
    let timer = |name: &str, in_ms: i64| json!({ "name": name, "in_ms": in_ms });
    host.ask("faulty:a", "set_timer", timer("soon", 10)).await;
    until("it has fired", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == 1
    })
    .await;
    host.ask("faulty:a", "set_timer", timer("later", 300)).await;
    host.ask("faulty:a", "set_timer", timer("never", 200)).await;
    host.ask("faulty:a", "cancel_timer", json!({ "name": "never" }))
        .await;
    host.ask("faulty:a", "set_timer", timer("refused", 1)).await;
    host.stop();
    let host = home.start(1);
    until("the one that waited has fired", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == 2
    })
    .await;
    until("the refused one is a dead letter", || async {
        host.0.journal().dead_letters(0, 10).unwrap().len() == 1
    })
    .await;
    until("no timer is left", || async {
        host.0.journal().next_timer().unwrap().is_none()
    })
    .await;
    assert_eq!(
        host.ask("faulty:a", "summary", Value::Null).await["ticks"],
        2
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overdue_timer_waits_until_the_actors_begin() {
    let home = Home::new();
    let host = home.start(1);
    let timer = json!({ "name": "later", "in_ms": 100 });
    host.ask("faulty:a", "set_timer", timer).await;
    host.stop();
    let host = home.open_on(1, Limits::default(), |store| store);
    let due_ms = host.0.journal().next_timer().unwrap().expect("it waits");
    until("it is due, and messages are handled", || async {
        let summary = host.ask("faulty:a", "summary", Value::Null).await;
        assert_eq!(summary["ticks"], 0);
        host_journal::unix_ms() > due_ms + 50
    })
    .await;
    host.0.begin();
    until("it has fired", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == 1
    })
    .await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_sets_itself_goes_on() {
    let home = Home::new();
    let host = home.start(1);
    let timer = json!({ "name": "tick", "in_ms": 5, "payload": { "every_ms": 5 } });
    host.ask("faulty:a", "set_timer", timer).await;
    until("it has ticked five times", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"].as_i64() >= Some(5)
    })
    .await;
    host.ask("faulty:a", "cancel_timer", json!({ "name": "tick" }))
        .await;
    assert!(host.0.journal().next_timer().unwrap().is_none());
    host.stop();
}
