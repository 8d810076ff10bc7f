//! Old groups go, the chain stays provable, and nothing that a replay needs is gone.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::*;
use crate::{Anchor, AnchorKey, OpenError, ReadError, Removal};

const LATE: i64 = i64::MAX;

fn key() -> AnchorKey {
    let folder = tempfile::tempdir().unwrap();
    AnchorKey::read_or_make(&folder.path().join("anchor.key")).unwrap()
}

/// By the store's check.
fn nothing_is_found(bench: &Bench) {
    assert_eq!(bench.journal.check(|_, _| {}).unwrap().findings, []);
}

/// All steps there are; how many groups went.
fn remove(bench: &Bench, key: &AnchorKey, before_ms: i64) -> u64 {
    let bound = bench.journal.needed_from().unwrap().unwrap();
    let mut groups = 0;
    while let Some(removal) = step(bench, key, bound, before_ms) {
        assert!(removal.anchor.position < bound);
        groups += removal.groups;
        bench.commit(removal.rows());
    }
    groups
}

fn step(bench: &Bench, key: &AnchorKey, bound: Position, before_ms: i64) -> Option<Removal> {
    bench.journal.removal(key, bound, before_ms, 7).unwrap()
}

fn anchor(bench: &Bench) -> Option<Anchor> {
    bench.journal.trail().unwrap().anchor().unwrap()
}

fn sql(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// 100 records and every ten a snapshot: positions 1 to 110.
fn fill(bench: &Bench, actor: &ActorId) {
    for seq in 1..=100 {
        bench.commit(of_record(record(actor, seq)));
        if seq % 10 == 0 {
            bench.commit(of_snapshot(snapshot(actor, seq)));
        }
    }
}

pub(super) fn what_the_last_two_snapshots_need_stays_and_the_rest_goes(place: &dyn Place) {
    let key = key();
    let bench = Bench::open(place);
    let ali = actor("ali");
    fill(&bench, &ali);
    bench.commit(of_record(record(&ali, 101)));
    let whole = bench.journal.verify().unwrap();
    assert_eq!((whole.groups, whole.anchor), (101, None));

    // The older of the two snapshots is at position 99, behind 90 records.
    assert_eq!(bench.journal.needed_from().unwrap(), Some(Position(99)));
    assert_eq!(remove(&bench, &key, LATE), 90);
    assert_eq!(
        remove(&bench, &key, LATE),
        0,
        "again there is nothing to do"
    );
    let rest = bench.journal.verify().unwrap();
    let anchor = anchor(&bench).expect("it has been signed");
    assert_eq!((rest.groups, rest.records, rest.hash), (11, 11, whole.hash));
    assert_eq!(
        (anchor.position, anchor.groups, anchor.records),
        (Position(98), 90, 90)
    );
    assert_eq!(rest.anchor, Some(anchor));
    nothing_is_found(&bench);

    drop(bench);
    let bench = Bench::open(place);
    assert_eq!(bench.seqs(&ali), (Some(100), vec![101]));
    bench.commit(of_record(record(&ali, 102)));
    assert_eq!(bench.journal.verify().unwrap().groups, 12);
}

/// Sweeps leave older snapshots standing: what they are is told apart, and they hold back no
/// groups.
pub(super) fn snapshots_that_were_left_are_found_page_by_page_and_removed(place: &dyn Place) {
    let bench = Bench::open(place);
    let actors = [actor("ali"), actor("omar"), actor("sara")];
    let mut positions = Vec::new();
    for seq in 1..=5 {
        for actor in &actors {
            bench.commit(of_record(record(actor, seq)));
            positions.push(bench.commit(Rows {
                leaves_older: true,
                ..of_snapshot(snapshot(actor, seq))
            }));
        }
    }
    let (left, kept) = positions.split_at(3 * actors.len());
    assert_eq!(bench.journal.needed_from().unwrap(), Some(kept[0]));
    for limit in [1, 3, 5, 7, 15, 16] {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let page = bench.journal.not_kept(&after, limit).unwrap();
            found.extend(page.positions);
            let Some(through) = page.through else { break };
            assert!(through > after, "it goes on");
            after = through;
        }
        found.sort_unstable();
        // A page that is shorter than what an actor has says less, and nothing wrong.
        let wanted = if limit >= 5 {
            left
        } else {
            &left[..found.len()]
        };
        assert_eq!(found, wanted, "{limit} at once");
    }
    bench.commit(Rows {
        snapshots_removed: left.to_vec(),
        ..Rows::default()
    });
    assert_eq!(bench.journal.not_kept("", 99).unwrap().positions, []);
    for actor in &actors {
        let stored = bench.journal.read(actor).unwrap().unwrap();
        assert_eq!(stored.snapshot, Some(snapshot(actor, 5)));
    }
    nothing_is_found(&bench);
    // One that leaves none removes what others have left.
    for seq in 6..=8 {
        bench.commit(of_record(record(&actors[0], seq)));
        bench.commit(Rows {
            leaves_older: seq < 8,
            ..of_snapshot(snapshot(&actors[0], seq))
        });
        let left = bench.journal.not_kept("", 99).unwrap().positions;
        assert_eq!(left.len(), [1, 2, 0][seq as usize - 6], "at {seq}");
    }
}

pub(super) fn a_tail_that_begins_in_the_first_group_left_is_recovered(place: &dyn Place) {
    let key = key();
    let bench = Bench::open(place);
    let ali = actor("ali");
    fill(&bench, &ali);
    bench.commit(of_snapshot(snapshot(&ali, 100)));
    bench.commit(of_record(record(&actor("sara"), 1)));
    bench.commit(of_record(record(&actor("sara"), 2)));
    // All but what Sara's replay needs: the chain goes on behind the anchor only.
    assert_eq!(remove(&bench, &key, LATE), 100);
    drop(bench);
    let bench = Bench::open(place);
    assert_eq!(bench.seqs(&actor("sara")), (None, vec![1, 2]));
    assert_eq!(bench.seqs(&ali), (Some(100), vec![]));
    assert_eq!(bench.journal.verify().unwrap().groups, 2);
    nothing_is_found(&bench);
}

pub(super) fn steps_are_bounded_and_young_groups_stay(place: &dyn Place) {
    let key = key();
    let bench = Bench::open(place);
    fill(&bench, &actor("ali"));
    let bound = bench.journal.needed_from().unwrap().unwrap();
    assert_eq!(step(&bench, &key, bound, 0), None, "nothing is that old");
    assert_eq!(
        step(&bench, &key, Position(1), LATE),
        None,
        "a pin holds all"
    );
    let first = step(&bench, &key, bound, LATE).unwrap();
    assert_eq!((first.groups, first.records), (16, 16));
    assert_eq!(
        bench.journal.verify().unwrap().groups,
        100,
        "only worked out"
    );
}

pub(super) fn who_holds_groups_back_is_named_and_a_snapshot_lets_go(place: &dyn Place) {
    let key = key();
    let bench = Bench::open(place);
    let (ali, sara) = (actor("ali"), actor("sara"));
    fill(&bench, &ali);
    bench.commit(of_record(record(&sara, 1)));
    let held_back = |bench: &Bench| {
        let old = bench.journal.first_since(LATE).unwrap();
        bench.journal.held_back(old, 9).unwrap()
    };
    assert_eq!(held_back(&bench), [ali.clone(), sara.clone()]);
    let first = bench.journal.first_since(0).unwrap();
    assert_eq!(first, Position(1));
    assert_eq!(bench.journal.held_back(first, 9).unwrap(), []);
    bench.commit(of_snapshot(snapshot(&ali, 100)));
    assert_eq!(held_back(&bench), std::slice::from_ref(&sara));
    bench.commit(of_snapshot(snapshot(&sara, 1)));
    assert_eq!(held_back(&bench), []);
    // The last group stays: the next one is chained to it.
    assert_eq!(remove(&bench, &key, LATE), 100);
    assert_eq!(bench.journal.verify().unwrap().groups, 1);
    assert_eq!(bench.seqs(&ali), (Some(100), vec![]));
}

#[test]
fn a_chain_without_its_anchor_or_with_a_forged_one_does_not_hold() {
    let (_folder, path) = store();
    let key = key();
    let bench = Bench::open(&Sqlite::at(&path));
    fill(&bench, &actor("ali"));
    remove(&bench, &key, LATE);
    drop(bench);
    let whole = std::fs::read(&path).unwrap();
    let verify = || {
        let options = Options { path: path.clone() };
        let archive = crate::Archive::open(&options).unwrap();
        archive.trail().verify(|_| ControlFlow::Continue(()))
    };
    verify().unwrap();
    sql(&path, "DELETE FROM kv WHERE key = 'audit/anchor'");
    assert!(matches!(verify(), Err(ReadError::Chain(_))));

    std::fs::write(&path, &whole).unwrap();
    sql(
        &path,
        "UPDATE kv SET sum = NULL, value = CAST(replace(CAST(value AS TEXT), '\"groups\":90', '\"groups\":91') AS BLOB)
         WHERE key = 'audit/anchor'",
    );
    let error = verify().unwrap_err().to_string();
    assert!(
        error.contains("anchor") && error.contains("signature"),
        "{error}"
    );

    // More is gone than the anchor says.
    std::fs::write(&path, &whole).unwrap();
    sql(
        &path,
        "DELETE FROM groups WHERE first_pos = (SELECT min(first_pos) FROM groups)",
    );
    assert!(matches!(verify(), Err(ReadError::Chain(_))));
}

#[test]
fn an_anchor_of_another_key_is_not_built_upon_unless_the_home_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchor.key");
    AnchorKey::read_or_make(&path).unwrap();
    let own = AnchorKey::read(&path).unwrap().unwrap();
    let bench = Bench::open(&Sqlite::new());
    fill(&bench, &actor("ali"));
    let bound = bench.journal.needed_from().unwrap().unwrap();
    let removal = step(&bench, &key(), bound, LATE).unwrap();
    bench.commit(removal.rows());
    let refused = bench.journal.removal(&own, bound, LATE, 7).unwrap_err();
    assert!(refused.to_string().contains("another key"), "{refused}");
    assert_eq!(anchor(&bench), Some(removal.anchor));
    // Taken for its own, the anchor says the same.
    let (name, value) = bench.journal.signed_anew(&own).unwrap().unwrap();
    bench.commit(Rows {
        values: vec![(name, value)],
        ..Rows::default()
    });
    assert_eq!(anchor(&bench).unwrap().position, Position(17));
    assert!(remove(&bench, &own, LATE) > 0);
    bench.journal.verify().unwrap();
}

pub(super) fn a_damaged_group_is_not_removed(place: &dyn Place) {
    let key = key();
    let bench = Bench::open(place);
    fill(&bench, &actor("ali"));
    drop(bench);
    place.sql("UPDATE groups SET epoch = 9 WHERE first_pos = 5");
    let bench = Bench::open(place);
    let bound = bench.journal.needed_from().unwrap().unwrap();
    let error = bench.journal.removal(&key, bound, LATE, 7).unwrap_err();
    assert!(
        matches!(&error, ReadError::Chain(group) if group.first.0 == 5),
        "{error}"
    );
    drop(bench);
    place.sql(
        "INSERT INTO kv (key, value)
         SELECT 'audit/anchor', body FROM groups WHERE first_pos = 6",
    );
    place.sql("DELETE FROM groups WHERE first_pos < 99");
    place.sql("UPDATE store SET tail_start = 99, sum = NULL");
    let opened = Bench::try_open(place);
    assert!(matches!(opened, Err(OpenError::Anchor { .. })));
}
