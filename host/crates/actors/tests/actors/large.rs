//! Large snapshots: written piece by piece, while their actor waits and no one else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use host_actors::{Answer, CallError, Limits};
use host_journal::store::{AppendError, Group, Store};
use host_journal::{Snapshot, StoreError};
use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;
use host_model::{ActorId, Version};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::home::{DEADLINE, Home, Host, request, until};

/// A state of five pieces.
const BYTES: usize = 4 * SNAPSHOT_PIECE_BYTES_MAX + 1_000;
const PIECES: usize = 5;

/// What a group has of a large snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Piece(u32),
    Whole,
}

/// A store that shows the test each group with a part of a large snapshot, while the
/// gate is shut, and takes it when it is told to.
struct Gated {
    inner: Box<dyn Store>,
    is_shut: Arc<AtomicBool>,
    shown: Sender<(Part, usize)>,
    take: Receiver<bool>,
}

impl Store for Gated {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        let part = group.entries.iter().find_map(|entry| {
            let whole = entry.sealed.snapshot.as_ref().and_then(|it| it.pieces);
            let rest = entry.sealed.rest.as_ref();
            let piece = rest.and_then(|rest| rest.rows.piece.as_ref());
            let piece = piece.map(|piece| Part::Piece(piece.index));
            piece.or(whole.map(|_| Part::Whole))
        });
        if let Some(part) = part.filter(|_| self.is_shut.load(Ordering::SeqCst)) {
            let bytes = group.entries.iter().map(|entry| entry.sealed.bytes);
            let _ = self.shown.send((part, bytes.sum()));
            match self.take.recv_timeout(DEADLINE) {
                Ok(true) => {}
                Ok(false) => return Err(AppendError::NotApplied("injected".into())),
                Err(_) => return Err(AppendError::Unknown("the test has ended".into())),
            }
        }
        self.inner.append(group)
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

struct Gate {
    is_shut: Arc<AtomicBool>,
    shown: Receiver<(Part, usize)>,
    take: Sender<bool>,
}

impl Gate {
    fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_shut.store(false, Ordering::SeqCst);
    }

    /// The next group with a part of a large snapshot, which waits in the store.
    fn next(&self) -> (Part, usize) {
        tokio::task::block_in_place(|| self.shown.recv_timeout(DEADLINE)).unwrap()
    }

    fn decide(&self, take: bool) {
        self.take.send(take).unwrap();
    }

    /// Lets parts pass until the next one is this.
    fn pass_until(&self, part: Part) {
        while self.next().0 != part {
            self.decide(true);
        }
    }
}

fn start(home: &Home, minor: u64) -> (Host, Gate) {
    let is_shut = Arc::new(AtomicBool::new(false));
    let (shown, show) = channel();
    let (take, taken) = channel();
    let gated = |inner| {
        Box::new(Gated {
            inner,
            is_shut: Arc::clone(&is_shut),
            shown,
            take: taken,
        }) as Box<dyn Store>
    };
    let host = home.start_on(minor, Limits::default(), gated);
    let gate = Gate {
        is_shut: Arc::clone(&is_shut),
        shown: show,
        take,
    };
    (host, gate)
}

type Call = JoinHandle<Result<Answer, CallError>>;

fn call(host: &Host, actor: &str, event: &str, payload: Value) -> Call {
    let actors = Arc::clone(&host.0);
    let request = request(actor, event, payload);
    tokio::spawn(async move { actors.call(request).await })
}

async fn reply(call: Call) -> Value {
    let answer = tokio::time::timeout(DEADLINE, call).await.unwrap();
    serde_json::from_slice(&answer.unwrap().unwrap().reply).unwrap()
}

fn stored(host: &Host, actor: &str) -> (Option<Snapshot>, usize) {
    let stored = host.0.journal().read(&actor.parse().unwrap());
    let stored = stored.unwrap().unwrap();
    (stored.snapshot, stored.tail.len())
}

fn version_of(host: &Host, actor: &str) -> Option<Version> {
    stored(host, actor).0.map(|snapshot| snapshot.version)
}

/// Makes an actor's state large, and waits until its snapshot is there.
async fn grow(host: &Host, actor: &str, bytes: usize) {
    host.ask(actor, "add", json!({ "by": 7 })).await;
    host.ask(actor, "grow", json!({ "bytes": bytes })).await;
    until("its snapshot is valid", || async {
        stored(host, actor).1 == 0
    })
    .await;
}

async fn is_whole(host: &Host, actor: &str, version: &str) {
    let summary = host.ask(actor, "summary", Value::Null).await;
    let seen = (&summary["count"], &summary["bytes"], &summary["version"]);
    assert_eq!(seen, (&json!(7), &json!(BYTES), &json!(version)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn others_are_answered_between_the_pieces_and_the_actor_itself_behind_them() {
    let home = Home::new();
    let (host, gate) = start(&home, 1);
    // Due for its tail, then for coming over.
    for round in 1..=2 {
        gate.shut();
        let own = match round {
            1 => {
                host.ask("faulty:big", "add", json!({ "by": 7 })).await;
                host.ask("faulty:big", "grow", json!({ "bytes": BYTES }))
                    .await;
                call(&host, "faulty:big", "summary", Value::Null)
            }
            _ => {
                host.0.install(home.release(2));
                call(&host, "faulty:big", "summary", Value::Null)
            }
        };
        let mut others = std::collections::VecDeque::new();
        for index in 0..PIECES {
            let (part, bytes) = gate.next();
            assert_eq!(part, Part::Piece(u32::try_from(index).unwrap()));
            assert!(bytes < SNAPSHOT_PIECE_BYTES_MAX + (64 << 10), "{bytes}");
            others.push_back(call(&host, "faulty:small", "add", json!({ "by": 1 })));
            if index >= 2 {
                // Asked two pieces ago: answered while this one waits in the store.
                reply(others.pop_front().unwrap()).await;
            }
            // Nobody's bytes count against what others may execute.
            assert_eq!(host.0.journal().admit(), Ok(()));
            gate.decide(true);
        }
        assert_eq!(gate.next().0, Part::Whole);
        assert!(!own.is_finished(), "it waits for its own snapshot");
        gate.open();
        gate.decide(true);
        assert_eq!(reply(own).await["bytes"], BYTES);
        for other in others {
            reply(other).await;
        }
        let version = if round == 1 { "0.1.0" } else { "0.2.0" };
        is_whole(&host, "faulty:big", version).await;
        assert_eq!(
            version_of(&host, "faulty:big").unwrap().to_string(),
            version
        );
        assert_eq!(host.count("faulty:small").await, 5 * round);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_that_fails_on_the_way_loses_nothing() {
    let home = Home::new();
    for part in [Part::Piece(0), Part::Piece(2), Part::Whole] {
        let (host, gate) = start(&home, 1);
        let actor = &format!("faulty:{part:?}").replace(['(', ')'], "-");
        grow(&host, actor, BYTES).await;
        host.0.install(home.release(2));
        gate.shut();
        let own = call(&host, actor, "summary", Value::Null);
        gate.pass_until(part);
        gate.open();
        gate.decide(false);
        // It is built anew, and comes over again.
        match own.await.unwrap() {
            Ok(answer) => assert!(answer.reply.ends_with(b"\"version\":\"0.2.0\"}")),
            // The answer stood behind the entry that makes the snapshot valid.
            Err(error) => assert!(part == Part::Whole && error.reason() == "not_applied"),
        }
        is_whole(&host, actor, "0.2.0").await;
        assert_eq!(version_of(&host, actor), Some(Version::new(0, 2, 0)));
        host.stop();
    }
    // What the failures have left is removed at the next start.
    let host = home.start(1);
    let journal = host.0.journal();
    until("no piece is left over", || async {
        let strays = journal.stray_pieces(journal.durable(), 9);
        strays.unwrap().is_empty()
    })
    .await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_between_two_pieces_the_next_start_has_it_as_it_was() {
    for part in [Part::Piece(0), Part::Piece(3), Part::Whole] {
        let mut home = Home::new();
        let (host, gate) = start(&home, 1);
        grow(&host, "faulty:big", BYTES).await;
        host.0.install(home.release(2));
        gate.shut();
        let own = call(&host, "faulty:big", "summary", Value::Null);
        gate.pass_until(part);
        home.killed();
        let next = home.start(1);
        assert!(!own.is_finished(), "nobody was told of the new version");
        assert_eq!(
            version_of(&next, "faulty:big"),
            Some(Version::new(0, 1, 0)),
            "{part:?}"
        );
        is_whole(&next, "faulty:big", "0.1.0").await;
        next.0.install(home.release(2));
        is_whole(&next, "faulty:big", "0.2.0").await;
        until("no piece is left over", || async {
            let journal = next.0.journal();
            let strays = journal.stray_pieces(journal.durable(), 9);
            strays.unwrap().is_empty()
        })
        .await;
        next.stop();
        gate.open();
        gate.decide(true);
        host.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sweep_brings_over_many_large_ones_and_ends_behind_the_last() {
    let home = Home::new();
    let (host, gate) = start(&home, 1);
    let bytes = SNAPSHOT_PIECE_BYTES_MAX + 1_000;
    for n in 0..6 {
        grow(&host, &format!("faulty:big-{n}"), bytes).await;
        host.ask(&format!("faulty:{n}"), "add", json!({ "by": n }))
            .await;
    }
    for minor in [2, 1] {
        host.0.migrations().reset();
        host.0.install(home.release(minor));
        gate.shut();
        let own = call(&host, "faulty:big-0", "summary", Value::Null);
        gate.pass_until(Part::Whole);
        let actors = Arc::clone(&host.0);
        let sweep = tokio::spawn(async move { actors.sweep(true).await.unwrap() });
        tokio::task::yield_now().await;
        assert!(!sweep.is_finished(), "one of them is not durable yet");
        gate.open();
        gate.decide(true);
        tokio::time::timeout(DEADLINE, sweep)
            .await
            .unwrap()
            .unwrap();
        reply(own).await;
        assert_eq!(host.0.migrations().failed(), 0);
        assert_eq!(host.0.migrations().migrated(), 12);
        for n in 0..6 {
            let big = format!("faulty:big-{n}");
            assert_eq!(version_of(&host, &big), Some(Version::new(0, minor, 0)));
            assert_eq!(host.count(&big).await, 7);
            assert_eq!(host.count(&format!("faulty:{n}")).await, n);
        }
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_actor_leaves_memory_and_comes_back() {
    let home = Home::new();
    let limits = Limits {
        idle: Duration::ZERO,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    grow(&host, "faulty:big", BYTES).await;
    host.ask("faulty:big", "add", json!({ "by": 0 })).await;
    host.ask("faulty:stops", "grow", json!({ "bytes": BYTES }))
        .await;
    host.ask("faulty:stops", "add_and_stop", json!({ "by": 7 }))
        .await;
    until("both have left memory", || async { host.0.awake() == 0 }).await;
    assert_eq!(host.0.journal().stats().tail_actors, 0);
    is_whole(&host, "faulty:big", "0.1.0").await;
    is_whole(&host, "faulty:stops", "0.1.0").await;
    host.stop();
    let host = home.start(1);
    is_whole(&host, "faulty:big", "0.1.0").await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_asked_for_a_snapshot_writes_one_though_few_do_at_once() {
    let home = Home::new();
    let host = home.start(1);
    let mut ids: Vec<ActorId> = Vec::new();
    for n in 0..6 {
        let actor = format!("faulty:big-{n}");
        grow(&host, &actor, SNAPSHOT_PIECE_BYTES_MAX + 1_000).await;
        ids.push(actor.parse().unwrap());
    }
    let head = |id: &ActorId| host.0.journal().read(id).unwrap().unwrap().head;
    let before: Vec<_> = ids.iter().map(head).collect();
    // On a slow disk it may say that some hang: they write all the same.
    let _ = host.0.refresh(ids.clone()).await;
    until("each has written another one", || async {
        let now = ids.iter().map(head);
        now.zip(&before).all(|(now, before)| now > *before)
    })
    .await;
    until("nobody is at it any more", || async {
        let large = host.0.large_snapshots();
        (large.under_way, large.waiting) == (0, 0)
    })
    .await;
    for id in &ids {
        assert_eq!(host.count(id.as_str()).await, 7);
    }
    host.stop();
}
