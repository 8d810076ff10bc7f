//! Who may do what: the version that the actor is in is asked, once for each message.

use std::time::{Duration, Instant};

use bytes::Bytes;
use host_actors::{CallError, Only, Request};
use serde_json::{Value, json};

use crate::home::{Home, request};

/// A request of somebody who may have one event.
fn of(may: &str, event: &str, payload: Value) -> Request {
    let mut request = request("faulty:a", event, payload);
    request.claims = json!({ "may": may }).to_string().into();
    request.principal = "sara".to_owned();
    request
}

fn by(n: i64) -> Value {
    json!({ "by": n })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_or_query_needs_leave_and_an_operator_none() {
    let home = Home::new();
    let host = home.start(1);
    let call = |may: &str, event: &str, payload| host.0.call(of(may, event, payload));
    call("add", "add", by(1)).await.unwrap();
    let refused = call("add_and_stop", "add", by(2)).await.unwrap_err();
    let why = "it may \"add_and_stop\", and not \"add\"";
    assert_eq!(refused, CallError::Forbidden(why.to_owned()));
    assert_eq!(refused.reason(), "forbidden");
    call("summary", "summary", Value::Null).await.unwrap();
    // The short way of a query that is proven fast asks, too.
    for _ in 0..300 {
        call("summary", "summary", Value::Null).await.unwrap();
        let refused = call("add", "summary", Value::Null).await.unwrap_err();
        assert_eq!(refused.reason(), "forbidden");
    }
    // Without claims nobody asks.
    host.ask("faulty:a", "add", by(4)).await;
    assert_eq!(host.count("faulty:a").await, 5);
    let mut nobody = of("", "add", by(8));
    nobody.claims = Bytes::from_static(b"{}");
    // This plugin lets everybody do everything whose token says nothing of it.
    host.0.call(nobody).await.unwrap();
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_answer_is_given_again_to_who_may_still_have_it() {
    let home = Home::new();
    let host = home.start(1);
    let keyed = |may: &str| {
        let mut request = of(may, "add", by(1));
        request.idempotency_key = Some("k".to_owned());
        host.0.call(request)
    };
    assert!(!keyed("add").await.unwrap().replayed);
    assert!(keyed("add").await.unwrap().replayed);
    assert_eq!(keyed("nothing").await.unwrap_err().reason(), "forbidden");
    assert_eq!(host.count("faulty:a").await, 1);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_needs_leave_for_that_and_for_what_it_is_shown() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", by(7)).await;
    let join = async |may: &str| {
        let mut request = of(may, "summary", Value::Null);
        request.only = Only::Join;
        host.0.call(request).await
    };
    let refused = join("summary").await;
    assert_eq!(refused.unwrap_err().reason(), "forbidden");
    // It may listen; what it may not look at, it is not shown.
    let blind = join("phx_join").await;
    assert!(matches!(blind, Err(CallError::Rejected(_))), "{blind:?}");
    let shown = join("sleep").await.unwrap();
    let shown: Value = serde_json::from_slice(&shown.reply).unwrap();
    assert_eq!(shown["count"], json!(7));
    // A plugin that has nothing to show is asked as well.
    let mut request = of("phx_join", "no_such_query", Value::Null);
    request.only = Only::Join;
    let answer = host.0.call(request).await.unwrap();
    assert_eq!((&answer.reply[..], answer.seq), (&b""[..], 1));
    let mut request = of("nothing", "no_such_query", Value::Null);
    request.only = Only::Join;
    let refused = host.0.call(request).await;
    assert_eq!(refused.unwrap_err().reason(), "forbidden");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_that_the_actor_is_in_decides() {
    let home = Home::new();
    let host = home.start(1);
    let add = || host.0.call(of("nothing", "add", by(1)));
    assert_eq!(add().await.unwrap_err().reason(), "forbidden");
    // Version 0.2.0 asks nobody.
    host.0.install(home.release(2));
    add().await.unwrap();
    let mut old = of("nothing", "add", by(1));
    old.version = Some(host_model::Version::new(0, 1, 0));
    host.0.call(old).await.unwrap();
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_it_is_a_fault_as_a_handlers_is_and_a_slow_one_holds_up_nobody() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", by(1)).await;
    for (event, payload) in [("add", by(1)), ("summary", Value::Null)] {
        let crashed = host.0.call(of("panic", event, payload)).await.unwrap_err();
        assert_eq!(crashed.reason(), "actor_crashed", "{event}");
        assert_eq!(host.count("faulty:a").await, 1);
    }
    let slow = host.0.call(of("sleep", "add", by(1)));
    let others = async {
        let began = Instant::now();
        for number in 0..20 {
            host.ask(&format!("faulty:{number}"), "add", by(1)).await;
        }
        began.elapsed()
    };
    let (slow, others) = tokio::join!(slow, others);
    slow.unwrap();
    assert!(others < Duration::from_secs(5), "{others:?}");
    host.stop();
}
