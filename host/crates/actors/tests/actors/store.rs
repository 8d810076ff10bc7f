//! A store that does not take a group: what callers are told, and that nobody sees
//! anything of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use host_actors::{Answer, CallError, Limits};
use host_journal::store::{AppendError, Group, Store};
use host_journal::{Lost, StoreError};
use host_model::ActorId;
use host_model::limits::{SWEEP_BYTES_MAX, UNDURABLE_BYTES_MAX};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::home::{Home, Host, request, until};

const TAKE: u8 = 0;
const REFUSE: u8 = 1;
const FAIL: u8 = 2;
const PANIC: u8 = 3;

/// A store that does as a test wants.
struct Wilful {
    inner: Box<dyn Store>,
    will: Arc<AtomicU8>,
    /// It hangs while this is held.
    gate: Arc<Mutex<()>>,
}

impl Store for Wilful {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        let _open = self.gate.blocking_lock();
        match self.will.load(Ordering::SeqCst) {
            TAKE => self.inner.append(group),
            REFUSE => Err(AppendError::NotApplied("injected".into())),
            PANIC => {
                self.inner.append(group)?;
                panic!("injected");
            }
            _ => {
                self.inner.append(group)?;
                Err(AppendError::Unknown("injected".into()))
            }
        }
    }

    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError> {
        self.inner.without_snapshot(actors)
    }

    fn maintain(&mut self) {
        self.inner.maintain();
    }

    fn close(self: Box<Self>) {
        self.inner.close();
    }

    fn abandon(self: Box<Self>) {
        self.inner.abandon();
    }
}

fn start(home: &Home) -> (Host, Arc<AtomicU8>) {
    let (host, will, _) = start_at(home, 1);
    (host, will)
}

/// As [`Home::start`], on a store that does as it is told, and hangs while it is locked.
pub(crate) fn start_at(home: &Home, minor: u64) -> (Host, Arc<AtomicU8>, Arc<Mutex<()>>) {
    let will = Arc::new(AtomicU8::new(TAKE));
    let gate = Arc::default();
    let wilful = |inner| {
        Box::new(Wilful {
            inner,
            will: Arc::clone(&will),
            gate: Arc::clone(&gate),
        }) as Box<dyn Store>
    };
    let host = home.start_on(minor, Limits::default(), wilful);
    (host, will, gate)
}

/// Adds under a key of its own and asks, many times at once; what came of each.
async fn many(host: &Host) -> Vec<(&'static str, Result<Answer, CallError>)> {
    let mut callers = JoinSet::new();
    for n in 0..60 {
        let actors = Arc::clone(&host.0);
        let (what, event, payload) = match n % 4 {
            0 | 1 => ("add", "add", json!({ "by": 1 })),
            2 => ("ask", "summary", Value::Null),
            _ => ("refuse", "refuse", json!({})),
        };
        let mut request = request("faulty:a", event, payload);
        // Two callers share each.
        request.idempotency_key = Some(format!("k{}", n / 4));
        callers.spawn(async move { (what, actors.call(request).await) });
    }
    callers.join_all().await
}

fn count(answer: &Answer) -> i64 {
    let reply: Value = serde_json::from_slice(&answer.reply).unwrap();
    reply["count"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_applied_was_seen_by_no_one_and_may_be_tried_again() {
    let home = Home::new();
    let (host, will) = start(&home);
    host.ask("faulty:a", "add", json!({ "by": 100 })).await;
    for _ in 0..10 {
        will.store(REFUSE, Ordering::SeqCst);
        for (what, result) in many(&host).await {
            match (what, result) {
                ("add", Err(CallError::NotApplied(_))) => {}
                ("ask", Ok(answer)) => assert_eq!(count(&answer), 100),
                ("refuse", Err(CallError::Rejected(_))) => {}
                // It had seen what was not applied.
                ("ask" | "refuse", Err(CallError::NotApplied(_))) => {}
                (what, result) => panic!("{what}: {result:?}"),
            }
        }
        will.store(TAKE, Ordering::SeqCst);
        assert_eq!(host.count("faulty:a").await, 100);
    }
    assert_eq!(home.heard.all().len(), 1, "{:?}", home.heard.all());
    // The same keys, in the same way: each is one command now.
    for (what, result) in many(&host).await {
        assert!(what == "refuse" || result.is_ok(), "{what}: {result:?}");
    }
    assert_eq!(host.count("faulty:a").await, 115);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_not_known_nobody_is_told_that_it_did_or_did_not_happen() {
    let home = Home::new();
    let (host, will) = start(&home);
    host.ask("faulty:a", "add", json!({ "by": 100 })).await;
    will.store(FAIL, Ordering::SeqCst);
    let mut unknown = 0;
    for (what, result) in many(&host).await {
        match (what, result) {
            ("add" | "ask" | "refuse", Err(CallError::OutcomeUnknown)) => unknown += 1,
            ("ask", Ok(answer)) => assert_eq!(count(&answer), 100),
            ("refuse", Err(CallError::Rejected(_))) => {}
            // Behind the group that failed: for certain not there.
            ("add", Err(CallError::NotApplied(_))) => {}
            // Not executed any more.
            (_, Err(CallError::Stopping | CallError::NotWoken(_))) => {}
            (what, result) => panic!("{what}: {result:?}"),
        }
    }
    assert!(unknown > 0);
    assert_eq!(home.heard.all().len(), 1, "{:?}", home.heard.all());
    assert!(host.0.journal().poisoned().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_whose_writer_panics_may_have_been_written() {
    let home = Home::new();
    let (host, will) = start(&home);
    will.store(PANIC, Ordering::SeqCst);
    let value = vec![("k".to_owned(), Some("v".into()))];
    let lost = host.0.write_values(value).await.unwrap_err();
    assert!(matches!(lost, Lost::Unknown(_)), "{lost}");
    drop(host);
    let (host, _) = start(&home);
    let value = host.0.journal().value("k").unwrap();
    assert_eq!(value.as_deref(), Some(&b"v"[..]), "and it was");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_and_timers_that_a_failed_group_used_up_come_once_all_the_same() {
    let home = Home::new();
    let (host, will) = start(&home);
    let mut asked = 0;
    for round in 0..30 {
        let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": 1 } });
        let timer = json!({ "name": format!("t{round}"), "in_ms": 1 });
        host.ask("faulty:a", "cast", cast).await;
        host.ask("faulty:b", "set_timer", timer).await;
        asked += 1;
        will.store(REFUSE, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let _ = host.send("faulty:b", "add", json!({ "by": 0 })).await;
        will.store(TAKE, Ordering::SeqCst);
    }
    until("all have come", || async {
        let summary = host.ask("faulty:b", "summary", Value::Null).await;
        summary["count"] == asked && summary["ticks"] == asked
    })
    .await;
    until("no row is left", || async {
        let journal = host.0.journal();
        journal.casts(None, 9).unwrap().is_empty() && journal.next_timer().unwrap().is_none()
    })
    .await;
    let summary = host.ask("faulty:b", "summary", Value::Null).await;
    assert_eq!(
        (&summary["count"], &summary["ticks"]),
        (&json!(asked), &json!(asked))
    );
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_that_failed_groups_used_up_come_in_order_all_the_same() {
    let home = Home::new();
    let (host, will) = start(&home);
    let mut sent = 0_u64;
    for _ in 0..60 {
        for _ in 0..3 {
            sent += 1;
            let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": sent } });
            host.ask("faulty:a", "cast", cast).await;
        }
        // Refused may be what used up the first of them, or the last, or none.
        will.store(REFUSE, Ordering::SeqCst);
        let _ = host.send("faulty:c", "add", json!({ "by": 1 })).await;
        will.store(TAKE, Ordering::SeqCst);
    }
    until("all have come", || async {
        host.count("faulty:b").await.unsigned_abs() == sent * (sent + 1) / 2
    })
    .await;
    let heard = home.heard.all().into_iter();
    let counts: Vec<u64> = heard
        .filter_map(|line| {
            let added = line.strip_prefix("faulty:b added {\"count\":")?;
            added.split('}').next()?.parse().ok()
        })
        .collect();
    let in_order: Vec<_> = (1..=sent).map(|n| n * (n + 1) / 2).collect();
    assert_eq!(counts, in_order);
    host.stop();
}

/// Asks and goes away at once. What it was told by then.
async fn ask_and_go(host: &Host, event: &str, payload: Value) -> Option<Result<Answer, CallError>> {
    tokio::select! {
        biased;
        told = host.0.call(request("faulty:a", event, payload)) => Some(told),
        () = std::future::ready(()) => None,
    }
}

fn undurable_bytes(host: &Host) -> usize {
    host.0.journal().stats().undurable_bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_store_that_hangs_is_bounded() {
    const BYTES: usize = 900_000;
    let large = json!({ "event": "news", "payload": "x".repeat(BYTES) });
    for (minor, event, payload) in [
        (2, "summary", Value::Null),
        (1, "big_reply", json!({ "bytes": BYTES })),
        (1, "broadcast", large),
    ] {
        let home = Home::new();
        let (host, _, gate) = start_at(&home, minor);
        if minor == 2 {
            let note = json!({ "text": "x".repeat(BYTES) });
            host.ask("faulty:a", "note", note).await;
        }
        let hangs = gate.lock().await;
        // What is asked from here on has seen what is not durable.
        assert_eq!(ask_and_go(&host, "add", json!({ "by": 1 })).await, None);
        let mut overloaded = 0;
        for _ in 0..300 {
            match ask_and_go(&host, event, payload.clone()).await {
                None => {}
                Some(Err(CallError::Overloaded)) => overloaded += 1,
                Some(told) => panic!("{event}: {told:?}"),
            }
        }
        assert!(overloaded > 150, "{event}: {overloaded}");
        let held = undurable_bytes(&host);
        assert!(held < UNDURABLE_BYTES_MAX + 3 * BYTES, "{event}: {held}");
        drop(hangs);
        until("all is decided", || async { undurable_bytes(&host) == 0 }).await;
        assert_eq!(host.count("faulty:a").await, 1);
        host.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_is_not_held() {
    const BYTES: usize = 900_000;
    let home = Home::new();
    let (host, _, gate) = start_at(&home, 2);
    let note = json!({ "text": "x".repeat(BYTES) });
    host.ask("faulty:a", "note", note).await;
    let hangs = gate.lock().await;
    let asked = |event: &'static str, payload| {
        let actors = Arc::clone(&host.0);
        tokio::spawn(async move { actors.call(request("faulty:a", event, payload)).await })
    };
    let slow = asked("sleep", json!({ "ms": 1_500 }));
    // Nothing waits for the store yet: who is not answered at once waits for the handler.
    until("it is busy", || async {
        let running = host.0.running(Duration::ZERO);
        running.iter().any(|run| run.event == "sleep")
    })
    .await;
    assert_eq!(undurable_bytes(&host), 0);
    for _ in 0..40 {
        assert_eq!(ask_and_go(&host, "summary", Value::Null).await, None);
    }
    // Behind those that have gone.
    let last = asked("summary", Value::Null);
    until("the last answer waits", || async {
        undurable_bytes(&host) > BYTES
    })
    .await;
    let held = undurable_bytes(&host);
    assert!(held < 2 * BYTES, "{held}");
    drop(hangs);
    slow.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    host.stop();
}

/// A text that packing makes no shorter.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed | 1;
    let next = || {
        // Marsaglia, Xorshift RNGs, 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + u8::try_from(state % 90).unwrap())
    };
    let text: String = std::iter::repeat_with(next).take(bytes).collect();
    text.replace(['"', '\\'], " ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sweep_has_under_way_is_bounded_where_states_are_larger_than_its_parts() {
    /// More than what an actor counts for at most, which is a quarter of the room.
    const BYTES: usize = SWEEP_BYTES_MAX / 2;
    const AT_ONCE: usize = 4;
    let home = Home::new();
    let (host, _, gate) = start_at(&home, 2);
    let actors: Vec<_> = (0..4 * AT_ONCE).map(|n| format!("faulty:{n}")).collect();
    for (seed, actor) in (1..).zip(&actors) {
        let note = json!({ "text": noise(seed, BYTES) });
        host.ask(actor, "note", note).await;
    }
    host.0.install(home.release(3));
    let hangs = gate.lock().await;
    let sweep = tokio::spawn({
        let actors = Arc::clone(&host.0);
        async move { actors.sweep(true).await }
    });
    until("there is no more room", || async {
        undurable_bytes(&host) > (AT_ONCE - 1) * BYTES
    })
    .await;
    // Whoever could go on has had the time to.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let held = undurable_bytes(&host);
    assert!(held < (AT_ONCE + 1) * BYTES, "{held}");
    drop(hangs);
    sweep.await.unwrap().unwrap();
    assert_eq!(host.0.migrations().migrated(), actors.len() as u64);
    host.stop();
}
