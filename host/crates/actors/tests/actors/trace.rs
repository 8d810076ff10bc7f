//! Traces: what is told, and that no actor waits for who reads it.

use host_actors::{Trace, TraceError};
use host_model::ActorId;
use host_model::control::{Traced, TracedMessage, TracedOutcome, TracedSource};
use host_model::limits::{TRACE_BEHIND_MAX, TRACES_MAX};
use serde_json::{Value, json};

use crate::home::{Home, Host};

fn actor() -> ActorId {
    "faulty:a".parse().unwrap()
}

async fn traced(host: &Host) -> Trace {
    let mut trace = host.0.trace(&actor()).unwrap();
    assert_eq!(trace.next().await, Some(Traced::Began { actor: actor() }));
    trace
}

/// The next message; what was sent before it is passed over.
async fn message(trace: &mut Trace) -> TracedMessage {
    loop {
        match trace.next().await {
            Some(Traced::Message(message)) => return message,
            Some(Traced::Sent(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_of_a_message_is_told_and_of_no_other_actors() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let mut trace = traced(&host).await;
    host.ask("faulty:b", "add", json!({ "by": 1 })).await;
    host.ask("faulty:a", "add", json!({ "by": 2 })).await;
    // Often enough to be proven fast, had nobody looked.
    host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        host.refused("faulty:a", "nonsense", Value::Null).await,
        "unknown_event"
    );

    let add = message(&mut trace).await;
    assert_eq!(
        (add.source, add.outcome, add.event.as_str()),
        (TracedSource::Call, TracedOutcome::Accepted, "add")
    );
    assert_eq!(
        (add.payload.text.as_str(), add.seq),
        (r#"{"by":2}"#, Some(2))
    );
    assert!(
        add.position.is_some() && add.duration_us.is_some(),
        "{add:?}"
    );
    assert_eq!(add.version.unwrap().to_string(), "0.1.0");
    let summary = message(&mut trace).await;
    assert_eq!(
        (summary.outcome, summary.event.as_str(), summary.position),
        (TracedOutcome::Answered, "summary", None)
    );
    assert!(summary.answer.text.contains("count"), "{summary:?}");
    let nonsense = message(&mut trace).await;
    assert_eq!(nonsense.outcome, TracedOutcome::Rejected);
    assert_eq!(nonsense.reason.as_deref(), Some("unknown_event"));

    // A host that stops says so, once, behind what it has handled.
    host.0.stop();
    assert_eq!(trace.next().await, Some(Traced::Ended));
    assert_eq!(trace.next().await, None);
    let late = host.0.trace(&actor());
    assert!(matches!(late, Err(TraceError::Call(_))), "{late:?}");
    host.stop();
}

/// Reads until `asked` messages were told or are said to be missing; how many are.
async fn all(trace: &mut Trace, asked: usize) -> u64 {
    let (mut told, mut lost) = (0, 0);
    while told + lost < asked as u64 {
        match trace.next().await {
            Some(Traced::Message(_)) => told += 1,
            Some(Traced::Lost { lines }) => lost += lines,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told + lost, asked as u64);
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_up_nobody_and_is_told_how_much_is_missing() {
    let home = Home::new();
    let host = home.start(1);
    let mut trace = host.0.trace(&actor()).unwrap();
    let asked = TRACE_BEHIND_MAX + 50;
    for _ in 0..asked {
        host.ask("faulty:a", "summary", Value::Null).await;
    }
    assert!(matches!(trace.next().await, Some(Traced::Began { .. })));
    // A line may be told a moment after its answer. What is missing is told at once, though
    // no line comes behind it.
    let lost = all(&mut trace, asked).await;
    assert!((1..=50).contains(&lost), "{lost} are lost");
    host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(message(&mut trace).await.event, "summary");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_are_bounded_and_make_room_when_they_end() {
    let home = Home::new();
    let host = home.start(1);
    let mut traces = Vec::new();
    for _ in 0..TRACES_MAX {
        traces.push(host.0.trace(&actor()).unwrap());
    }
    let one_more = host.0.trace(&"faulty:b".parse().unwrap());
    assert!(matches!(one_more, Err(TraceError::TooMany)), "{one_more:?}");
    traces.pop();
    traces.push(host.0.trace(&actor()).unwrap());
    let unknown = host.0.trace(&"nobody:a".parse().unwrap()).unwrap_err();
    assert!(unknown.to_string().contains("faulty"), "{unknown}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_on_over_an_upgrade() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let mut trace = traced(&host).await;
    host.0.install(home.release(2));
    host.ask("faulty:a", "summary", Value::Null).await;
    match trace.next().await {
        Some(Traced::Migrated {
            from, to, reason, ..
        }) => assert_eq!(
            (from.to_string(), to.to_string(), reason),
            ("0.1.0".to_owned(), "0.2.0".to_owned(), None)
        ),
        other => panic!("{other:?}"),
    }
    let summary = message(&mut trace).await;
    assert_eq!(summary.version.unwrap().to_string(), "0.2.0");
    host.stop();
}
