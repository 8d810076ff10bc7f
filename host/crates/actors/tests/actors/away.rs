//! A store that cannot be read for a while: nobody's migration has failed by it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use host_actors::{CallError, Limits, RedeliverError, Redelivered};
use host_journal::group::Hash;
use host_journal::store::{Copier, GroupRow, Inspect, OwnRow, Reader, SnapshotKey, SnapshotRow};
use host_journal::{
    AnswerKey, CastId, CastRow, DeadLetter, KeptAnswer, Listed, OutboxId, OutboxRow, PieceId,
    Position, StoreError, TimerMark, TimerRow,
};
use host_model::ActorId;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::home::{Home, Host, until};

/// A store whose reads fail as long as a test wants.
struct Far {
    inner: Box<dyn Reader>,
    away: Arc<Away>,
}

/// What a test wants of the store.
#[derive(Default)]
pub(crate) struct Away {
    is_away: AtomicBool,
    /// Actors whose snapshots it does not give, and says so.
    unreadable: Mutex<HashSet<ActorId>>,
    /// Reads that have failed.
    failed: AtomicUsize,
    /// Times that what is due was gone through from the beginning.
    looks: AtomicUsize,
    /// Times that the groups before some position were asked for.
    searches: AtomicUsize,
}

impl Away {
    pub(crate) fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    pub(crate) fn searches(&self) -> usize {
        self.searches.load(Ordering::SeqCst)
    }

    fn set(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn hide(&self, actor: &str) {
        self.unreadable.lock().insert(actor.parse().unwrap());
    }

    fn failed(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    fn look(&self) -> Result<(), StoreError> {
        if !self.is_away.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(self.fail(true))
    }

    fn fail(&self, is_away: bool) -> StoreError {
        self.failed.fetch_add(1, Ordering::SeqCst);
        StoreError {
            attempted: "read",
            source: "injected".into(),
            is_away,
        }
    }
}

macro_rules! reads {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $read:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> Result<$read, StoreError> {
            self.away.look()?;
            self.inner.$name($($argument),*)
        })*
    };
}

impl Reader for Far {
    fn snapshot(&self, actor: &ActorId) -> Result<Option<SnapshotRow>, StoreError> {
        self.away.look()?;
        match self.away.unreadable.lock().contains(actor) {
            true => Err(self.away.fail(false)),
            false => self.inner.snapshot(actor),
        }
    }

    fn timers_due(
        &self,
        now_ms: i64,
        after: Option<&TimerMark>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.away.look()?;
        let begins = usize::from(after.is_none());
        self.away.looks.fetch_add(begins, Ordering::SeqCst);
        self.inner.timers_due(now_ms, after, limit)
    }

    fn groups_before(&self, before: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        self.away.look()?;
        self.away.searches.fetch_add(1, Ordering::SeqCst);
        self.inner.groups_before(before, limit)
    }

    reads! {
        fn piece(id: PieceId) -> Option<Vec<u8>>;
        fn stray_pieces(through: Position, limit: usize) -> Vec<PieceId>;
        fn snapshot_seqs(actors: &[&str]) -> Vec<(ActorId, u64)>;
        fn groups(position: Position, limit: usize) -> Vec<GroupRow>;
        fn kept(actor: &ActorId) -> Vec<SnapshotKey>;
        fn snapshots_by_actor(after: &str, limit: usize) -> Vec<SnapshotKey>;
        fn hash_before(position: Position) -> Option<Hash>;
        fn own() -> Option<OwnRow>;
        fn list(plugin: &str, after: Option<&ActorId>, limit: usize) -> Vec<Listed>;
        fn casts(after: Option<CastId>, limit: usize) -> Vec<CastRow>;
        fn next_timer() -> Option<i64>;
        fn timer(actor: &ActorId, name: &str) -> Option<TimerRow>;
        fn timers_of(actor: &ActorId) -> Vec<TimerRow>;
        fn with_timers(actors: &[&str]) -> HashSet<ActorId>;
        fn dead_letters(after: u64, limit: usize) -> Vec<(u64, DeadLetter)>;
        fn dead_letter(id: u64) -> Option<DeadLetter>;
        fn answer(key: &AnswerKey) -> Option<KeptAnswer>;
        fn oldest_answer() -> Option<i64>;
        fn outbox(after: Option<OutboxId>, limit: usize) -> Vec<OutboxRow>;
        fn outbox_due(now_ms: i64, after: Option<(i64, OutboxId)>, limit: usize) -> Vec<OutboxRow>;
        fn outbox_row(id: OutboxId) -> Option<(OutboxRow, Bytes)>;
        fn next_outbox() -> Option<i64>;
        fn quarantine(actor: &ActorId) -> Option<String>;
        fn quarantined() -> Vec<(ActorId, String)>;
        fn value(key: &str) -> Option<Bytes>;
        fn values(prefix: &str) -> Vec<(String, Bytes)>;
    }

    fn inspect(&self) -> &dyn Inspect {
        self.inner.inspect()
    }

    fn copier(&self) -> &dyn Copier {
        self.inner.copier()
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }
}

pub(crate) fn start(home: &Home, minor: u64) -> (Host, Arc<Away>) {
    let away: Arc<Away> = Arc::default();
    let host = home.open_read_by(minor, Limits::default(), |inner| {
        let away = Arc::clone(&away);
        Box::new(Far { inner, away })
    });
    host.0.begin();
    (host, away)
}

/// One actor in memory that needs the store on its way back, and one asleep.
async fn awake_and_asleep(home: &Home) -> (Host, Arc<Away>) {
    let host = home.start(2);
    for (actor, by) in [("faulty:awake", 1), ("faulty:asleep", 2)] {
        host.ask(actor, "add", json!({ "by": by })).await;
    }
    host.stop();
    let (host, away) = start(home, 2);
    assert_eq!(host.count("faulty:awake").await, 1);
    host.0.migrations().reset();
    (host, away)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_for_a_while_fails_no_migration() {
    let home = Home::new();
    let (host, away) = awake_and_asleep(&home).await;
    away.set(true);
    host.0.install(home.release(1));
    let swept = {
        let actors = Arc::clone(&host.0);
        tokio::spawn(async move { actors.sweep(true).await })
    };
    // In each of some rounds at least once.
    until("the sweep has met it", || async { away.failed() >= 4 }).await;
    let refused = host.send("faulty:awake", "add", json!({ "by": 1 })).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CallError::NotWoken(_)), "{refused:?}");
    assert!(refused.retry_after().is_some());
    assert_eq!(host.0.migrations().first_failure(), None);
    assert!(!swept.is_finished());
    away.set(false);
    swept.await.unwrap().unwrap();
    assert_eq!(host.0.migrations().first_failure(), None);
    assert_eq!(host.0.migrations().migrated(), 2);
    for (actor, count) in [("faulty:awake", 1), ("faulty:asleep", 2)] {
        let summary = host.ask(actor, "summary", Value::Null).await;
        assert_eq!(
            (&summary["version"], &summary["count"]),
            (&json!("0.1.0"), &json!(count))
        );
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stays_away_ends_a_sweep_and_fails_no_migration() {
    let home = Home::new();
    let (host, away) = awake_and_asleep(&home).await;
    away.set(true);
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap_err();
    assert_eq!(host.0.migrations().first_failure(), None);
    away.set(false);
    host.0.sweep(false).await.unwrap();
    assert_eq!(host.0.migrations().migrated(), 2);
    host.stop();
}

type Redelivering = JoinHandle<Result<Redelivered, RedeliverError>>;

/// Starts anew once so many letters of `faulty:b` are there, which the store does not give
/// then, and delivers them again.
async fn redelivering(home: &Home, host: Host, many: usize) -> (Host, Arc<Away>, Redelivering) {
    until("they have come to nothing", || async {
        host.0.journal().dead_letters(0, 99).unwrap().len() == many
    })
    .await;
    host.stop();
    let (host, away) = start(home, 1);
    away.hide("faulty:b");
    let actors = Arc::clone(&host.0);
    let redelivered = tokio::spawn(async move { actors.redeliver().await });
    (host, away, redelivered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_whose_actor_is_not_read_for_a_moment_are_delivered_all_the_same_and_in_order() {
    let home = Home::new();
    let host = home.start(1);
    let trouble = json!({ "what": "add_panics" });
    host.ask("faulty:b", "plan_trouble", trouble).await;
    host.0.install(home.release(2));
    for by in 1..=3 {
        let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": by } });
        host.ask("faulty:a", "cast", cast).await;
    }
    let (host, away, redelivered) = redelivering(&home, host, 3).await;
    until("one has been tried", || async { away.failed() >= 2 }).await;
    away.unreadable.lock().clear();
    let done = redelivered.await.unwrap().unwrap();
    assert_eq!((done.tried, done.delivered), (3, 3));
    assert_eq!(host.count("faulty:b").await, 6);
    let b = "faulty:b".parse().unwrap();
    let stored = host.0.journal().read(&b).unwrap().unwrap();
    let added = stored.tail.iter().filter(|it| it.command == "add");
    let payloads: Vec<_> = added.map(|it| &it.payload[..]).collect();
    assert_eq!(payloads, [br#"{"by":1}"#, br#"{"by":2}"#, br#"{"by":3}"#]);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_letters_that_are_given_up_no_later_one_of_their_actor_is_tried() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:b", "add", json!({ "by": 1 })).await;
    host.0.install(home.release(2));
    // More than are taken up at once.
    for _ in 0..70 {
        let cast = json!({ "to": "faulty:b", "event": "nobody_knows", "payload": {} });
        host.ask("faulty:a", "cast", cast).await;
    }
    let (host, away, redelivered) = redelivering(&home, host, 70).await;
    // As often as is tried for all that were taken up.
    until("the first are given up", || async { away.failed() >= 25 }).await;
    away.unreadable.lock().clear();
    assert_eq!(redelivered.await.unwrap().unwrap().tried, 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_alone_is_not_read_holds_up_nobody_on_a_way_back() {
    let home = Home::new();
    let (host, away) = awake_and_asleep(&home).await;
    away.hide("faulty:asleep");
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    assert_eq!(host.0.migrations().migrated(), 1, "the other one has gone");
    let failures = host.0.migrations().take_failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].actor.as_str(), "faulty:asleep");
    let why = "the store could not be read";
    assert!(failures[0].why.contains(why), "{failures:?}");
    host.0.set_aside(&failures[0].actor, why).await;
    host.0.sweep(false).await.unwrap();
    let left = host.0.migrations().left_behind().unwrap();
    assert!(left.contains("faulty:asleep"), "{left}");
    // The next upgrade finds it as it was, and begins anew with it.
    away.unreadable.lock().clear();
    host.0.migrations().reset();
    host.0.sweep(false).await.unwrap();
    assert_eq!(host.0.migrations().migrated(), 1);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_alone_is_not_read_fails_no_release() {
    let home = Home::new();
    let (host, away) = awake_and_asleep(&home).await;
    away.hide("faulty:asleep");
    host.0.install(home.release(3));
    host.0.sweep(true).await.unwrap_err();
    assert_eq!(host.0.migrations().first_failure(), None);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_an_actor_is_told_whatever_the_store_says_of_those_with_one() {
    let home = Home::new();
    let (host, away) = awake_and_asleep(&home).await;
    away.hide("faulty:asleep");
    let joined = ["faulty:asleep", "faulty:awake", "faulty:nobody"];
    let joined = joined.map(|id| id.parse().unwrap());
    home.heard.joined.lock().extend(joined);
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    let told = |id: &str| {
        let told = format!("{id} switched to 0.1.0 of 0.1.0");
        let heard = home.heard.all();
        heard.into_iter().filter(|line| *line == told).count()
    };
    assert_eq!(told("faulty:nobody"), 1);
    until("the one in memory has told", || async {
        told("faulty:awake") > 0
    })
    .await;
    assert_eq!((told("faulty:awake"), told("faulty:asleep")), (1, 0));
    host.stop();
}
