//! Panics, rebuilds, quarantine.

use host_model::limits::FAULTS_MAX;
use serde_json::{Value, json};

use crate::home::{Home, request, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_one_caller_an_error_and_nobody_anything_else() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    host.ask("faulty:b", "add", json!({ "by": 1 })).await;
    for event in ["panic", "panic_in_apply", "panic_payload"] {
        let crashed = host.send("faulty:a", event, json!({})).await.unwrap_err();
        assert_eq!(crashed.reason(), "actor_crashed", "{event}: {crashed}");
        assert_eq!(host.count("faulty:a").await, 7, "{event}");
    }
    assert_eq!(
        host.refused("faulty:b", "cast_bad_target", json!({})).await,
        "actor_crashed"
    );
    assert_eq!(
        host.refused("faulty:b", "effect_without_event", json!({}))
            .await,
        "actor_crashed"
    );
    assert_eq!(host.count("faulty:b").await, 1);
    assert_eq!(
        host.ask("faulty:a", "add", json!({ "by": 1 })).await["count"],
        8
    );
    let letters = host.0.journal().dead_letters(0, 10).unwrap();
    let events: Vec<&str> = letters
        .iter()
        .map(|(_, letter)| letter.event.as_str())
        .collect();
    assert_eq!(
        events,
        [
            "panic",
            "panic_in_apply",
            "panic_payload",
            "cast_bad_target",
            "effect_without_event"
        ]
    );
    let crashes = home
        .heard
        .all()
        .iter()
        .filter(|line| line.ends_with("crashed"))
        .count();
    assert_eq!(crashes, 5);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_that_cannot_make_a_state_has_failed_the_call_that_needed_one() {
    let home = Home::new();
    let host = home.start(2);
    let refused = host.refused("faulty:unborn", "add", json!({ "by": 1 }));
    assert_eq!(refused.await, "not_woken");
    let refused = host.refused("faulty:unborn", "summary", Value::Null);
    assert_eq!(refused.await, "not_woken");
    assert_eq!(host.0.faults(), 2);
    let counts = host.0.release().plugins["faulty"].code.counts();
    for event in ["add", "summary"] {
        let event = &counts.events[event];
        assert_eq!((event.calls, event.faults), (1, 1), "{event:?}");
        let said = event.last_fault.as_ref().unwrap();
        assert!(said.contains("panicked in new"), "{said}");
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_crashes_again_and_again_is_set_aside_alone() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    for _ in 0..=FAULTS_MAX {
        assert_eq!(
            host.refused("faulty:a", "panic", json!({})).await,
            "actor_crashed"
        );
    }
    assert_eq!(
        host.refused("faulty:a", "add", json!({ "by": 1 })).await,
        "quarantined"
    );
    assert_eq!(
        host.refused("faulty:a", "summary", Value::Null).await,
        "quarantined"
    );
    assert_eq!(
        host.ask("faulty:b", "add", json!({ "by": 1 })).await["count"],
        1
    );
    assert!(
        host.0.failed_plugins().is_empty(),
        "one actor is not the plugin"
    );
    host.stop();

    let host = home.start(1);
    let list = host.0.quarantine_list();
    assert_eq!(list.len(), 1, "it is set aside still");
    assert!(
        list[0].1.contains("more than 3 faults within"),
        "{}",
        list[0].1
    );
    let released = host
        .0
        .quarantine_release(&"faulty:a".parse().unwrap())
        .await;
    assert_eq!(released, Some(Ok(())));
    assert_eq!(
        host.ask("faulty:a", "add", json!({ "by": 1 })).await["count"],
        8
    );
    assert_eq!(
        host.0
            .quarantine_release(&"faulty:a".parse().unwrap())
            .await,
        None
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_one_version_count_against_no_other_and_are_not_forgotten_on_the_way() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    let panics = async |times: usize| {
        for _ in 0..times {
            let refused = host.refused("faulty:a", "panic", json!({})).await;
            assert_eq!(refused, "actor_crashed");
        }
    };
    for minor in [1, 2] {
        host.0.install(home.release(minor));
        panics(FAULTS_MAX).await;
        assert_eq!(host.count("faulty:a").await, 7, "0.{minor}.0");
    }
    // Back and forth gives it no new life.
    host.0.install(home.release(1));
    assert_eq!(host.count("faulty:a").await, 7);
    panics(1).await;
    let refused = host.refused("faulty:a", "summary", Value::Null).await;
    assert_eq!(refused, "quarantined");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_waits_for_what_was_accepted_before_it() {
    let home = Home::new();
    let host = home.start(1);
    // Sent without waiting for one another: the panic meets records that are not
    // durable yet, and the rebuild must not be without them.
    for round in 1..=3 {
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..=50 {
            let actors = std::sync::Arc::clone(&host.0);
            let event = if n == 50 { "panic" } else { "add" };
            let call = request("faulty:a", event, json!({ "by": 1 }));
            calls.spawn(async move { actors.call(call).await.is_ok() });
        }
        let accepted = calls.join_all().await.into_iter().filter(|ok| *ok).count();
        assert_eq!(accepted, 50);
        assert_eq!(host.count("faulty:a").await, 50 * round);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_to_an_actor_that_is_set_aside_waits_for_its_release() {
    let home = Home::new();
    let host = home.start(1);
    for _ in 0..=FAULTS_MAX {
        host.refused("faulty:aside", "panic", json!({})).await;
    }
    assert_eq!(
        host.refused("faulty:aside", "add", json!({ "by": 1 }))
            .await,
        "quarantined"
    );
    let refused = host.0.refusals().all();
    let cast = json!({ "to": "faulty:aside", "event": "add", "payload": { "by": 5 } });
    host.ask("faulty:a", "cast", cast).await;
    // One to somebody else, which the same look hands on, if it looks at all.
    let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": 6 } });
    host.ask("faulty:a", "cast", cast).await;
    until("the other cast has arrived", || async {
        host.count("faulty:b").await == 6
    })
    .await;
    assert_eq!(host.0.refusals().all(), refused, "it is not tried");
    let aside = "faulty:aside".parse().unwrap();
    host.0.quarantine_release(&aside).await.unwrap().unwrap();
    // Right behind its release, and behind those that waited for it all the same.
    for by in [7, 8] {
        let cast = json!({ "to": "faulty:aside", "event": "add", "payload": { "by": by } });
        host.ask("faulty:a", "cast", cast).await;
    }
    until("the casts have arrived", || async {
        host.count("faulty:aside").await == 20
    })
    .await;
    let heard = home.heard.all().into_iter();
    let added: Vec<_> = heard
        .filter_map(|line| {
            let added = line.strip_prefix("faulty:aside added ")?;
            Some(added.split(" at ").next()?.to_owned())
        })
        .collect();
    assert_eq!(
        added,
        [r#"{"count":5}"#, r#"{"count":12}"#, r#"{"count":20}"#]
    );
    host.stop();
}
