//! The audit trail: what is proven, what is named when it is not, and what
//! operators did.

use std::ops::ControlFlow;

use rusqlite::Connection;
use serde_json::{Value, json};

use super::*;
use crate::{Action, Archive, Audited, OPERATOR, OpenError, Outcome, ReadError, Trail};

fn archive(path: &Path) -> Archive {
    let options = Options {
        path: path.to_owned(),
    };
    Archive::open(&options).unwrap()
}

fn all(trail: &Trail<'_>, actor: Option<&ActorId>) -> Vec<Audited> {
    let mut found = Vec::new();
    let each = |audited| {
        found.push(audited);
        ControlFlow::Continue(())
    };
    trail.each(actor, each).unwrap();
    found
}

fn verify(path: &Path) -> Result<crate::Verified, ReadError> {
    archive(path).trail().verify(|_| ControlFlow::Continue(()))
}

/// A closed store with positions 1 to 40 of two actors, one group each.
fn forty_records() -> (TempDir, PathBuf) {
    let (folder, path) = store();
    drop(with_forty_records(&Sqlite::at(&path)));
    (folder, path)
}

fn with_forty_records(place: &dyn Place) -> Bench {
    let bench = Bench::open(place);
    for seq in 1..=20 {
        bench.commit(of_record(record(&actor("ali"), seq)));
        bench.commit(of_record(record(&actor("sara"), seq)));
    }
    bench
}

fn sql(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_stopped_store_is_proven_and_read_without_being_changed() {
    let (_folder, path) = forty_records();
    let before = std::fs::read(&path).unwrap();
    let verified = verify(&path).unwrap();
    assert_eq!(
        (
            verified.groups,
            verified.records,
            verified.last,
            verified.anchor
        ),
        (40, 40, Position(40), None)
    );
    let archive = archive(&path);
    let audited = all(&archive.trail(), None);
    assert_eq!(audited.len(), 40);
    assert_eq!(audited[39].hash, verified.hash);
    let of_sara = all(&archive.trail(), Some(&actor("sara")));
    let seqs: Vec<_> = of_sara.iter().map(|audited| audited.record.seq).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    drop(archive);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn what_a_crash_left_in_the_log_is_part_of_the_trail() {
    let place = Sqlite::new();
    let bench = Bench::open(&place);
    bench.commit(of_record(record(&actor("ali"), 1)));
    let crashed = place.copied();
    assert_eq!(verify(&crashed.path).unwrap().records, 1);
    // Beside its owner, too.
    assert_eq!(verify(&place.path).unwrap().records, 1);
}

#[test]
fn a_reader_may_end_it_early() {
    let (_folder, path) = forty_records();
    let mut seen = 0;
    let each = |_| {
        seen += 1;
        match seen {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    archive(&path).trail().each(None, each).unwrap();
    assert_eq!(seen, 3);
}

pub(super) fn the_first_broken_group_is_named(place: &dyn Place) {
    for (damage, first) in [
        (
            "UPDATE groups SET body = substr(body, 1, 1) WHERE first_pos = 7",
            7,
        ),
        (
            "UPDATE groups SET time_ms = 1 WHERE first_pos IN (9, 30)",
            9,
        ),
        ("DELETE FROM groups WHERE first_pos = 1", 2),
        ("DELETE FROM groups WHERE first_pos = 11", 12),
        ("DELETE FROM groups WHERE first_pos > 38", 39),
        ("DELETE FROM groups", 1),
        ("UPDATE groups SET records = 0 WHERE first_pos = 40", 40),
    ] {
        let place = &*place.another();
        let bench = with_forty_records(place);
        place.sql(damage);
        match bench.journal.verify() {
            Err(ReadError::Chain(broken)) => assert_eq!(broken.first.0, first, "{damage}"),
            other => panic!("{damage}: {other:?}"),
        }
    }
}

pub(super) fn an_action_is_in_the_chain_and_in_no_replay(place: &dyn Place) {
    let action = Action {
        name: "quarantine/release".to_owned(),
        principal: "operator:ali".to_owned(),
        peer: json!({"uid": 1000}),
        arguments: json!({"actor": "donations:ali"}),
        release: version("0.1.0"),
    };
    let bench = Bench::open(place);
    bench.commit(of_record(record(&actor("ali"), 1)));
    let intent = bench.commit(of_record(action.intended(5)));
    bench.commit(of_record(action.ended(6, intent, &Outcome::done())));
    bench.commit(of_record(record(&actor("ali"), 2)));
    let operator: ActorId = OPERATOR.parse().unwrap();
    for _ in 0..2 {
        assert_eq!(bench.journal.read(&operator).unwrap(), None);
        assert_eq!(bench.journal.known(), 1);
        assert_eq!(bench.seqs(&actor("ali")), (None, vec![1, 2]));
        assert_eq!(bench.journal.oldest_tails(0, 9), [actor("ali")]);
    }
    drop(bench);
    let bench = Bench::open(place);
    assert_eq!(bench.journal.read(&operator).unwrap(), None);
    assert_eq!(bench.seqs(&actor("ali")), (None, vec![1, 2]));
    assert_eq!(bench.journal.stats().tail_actors, 1);

    assert_eq!(bench.journal.verify().unwrap().records, 4);
    let actions = all(&bench.journal.trail().unwrap(), Some(&operator));
    let said: Vec<Value> = actions
        .iter()
        .map(|it| serde_json::from_slice(&it.record.event).unwrap())
        .collect();
    assert_eq!(
        said,
        [
            json!({"quarantine/release": {"phase": "intended",
                "arguments": {"actor": "donations:ali"}, "peer": {"uid": 1000}}}),
            json!({"quarantine/release": {"phase": "ended", "intent": 2, "outcome": "done"}}),
        ]
    );
    assert!(actions.iter().all(|it| it.record.is_action()));
}

#[test]
fn what_is_no_store_of_ours_is_told_apart() {
    let (_folder, path) = store();
    let options = Options { path: path.clone() };
    assert!(matches!(
        Archive::open(&options),
        Err(OpenError::Missing { .. })
    ));
    sql(&path, "CREATE TABLE accounts (id)");
    assert!(matches!(
        Archive::open(&options),
        Err(OpenError::NotOurs { .. })
    ));
    let (_folder, path) = forty_records();
    sql(&path, "PRAGMA user_version = 99");
    let options = Options { path };
    assert!(matches!(
        Archive::open(&options),
        Err(OpenError::NewerSchema { found: 99, .. })
    ));
}
