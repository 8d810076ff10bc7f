//! Opening again: after an orderly end, after a crash, beside a living owner,
//! and on a store that is damaged.

use std::path::PathBuf;

use rusqlite::Connection;

use super::*;
use crate::OpenError;

/// The database as a crash at this moment would leave it.
pub(super) fn copy_while_open(path: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("copy.db");
    std::fs::copy(path, &copy).unwrap();
    let wal = |path: &Path| path.with_extension("db-wal");
    if wal(path).exists() {
        std::fs::copy(wal(path), wal(&copy)).unwrap();
    }
    copy
}

fn open_error(path: &Path) -> OpenError {
    let options = Options {
        path: path.to_owned(),
    };
    let opened = Journal::<u64>::open(options, drop);
    opened.expect_err("it must be refused")
}

#[test]
fn everything_is_there_after_an_orderly_end_and_after_a_crash() {
    let (folder, path) = store();
    let (ali, sara) = (actor("ali"), actor("sara"));
    let bench = Bench::open(&path);
    bench.commit(of_record(record(&ali, 1)));
    bench.commit(of_record(record(&sara, 1)));
    bench.commit(of_snapshot(snapshot(&ali, 1)));
    let last = bench.commit(of_record(record(&ali, 2)));
    let (store_id, epoch) = (bench.journal.store_id().to_owned(), bench.journal.epoch());

    let copy = copy_while_open(&path, folder.path());
    drop(bench);
    for path in [path, copy] {
        let bench = Bench::open(&path);
        assert_eq!(bench.journal.durable(), last);
        assert_eq!(bench.journal.store_id(), store_id);
        assert_eq!(bench.journal.epoch(), epoch + 1);
        assert_eq!(bench.seqs(&ali), (Some(1), vec![2]));
        assert_eq!(bench.seqs(&sara), (None, vec![1]));
        assert_eq!(bench.journal.known(), 2);
        assert_eq!(
            bench.journal.oldest_tails(0, 9),
            [ali.clone(), sara.clone()]
        );
        let next = bench.commit(of_record(record(&ali, 3)));
        assert_eq!(next.0, last.0 + 1);
        assert_eq!(bench.seqs(&ali), (Some(1), vec![2, 3]));
    }
}

#[test]
fn a_second_host_is_refused_while_the_first_lives() {
    let (_folder, path) = store();
    let bench = Bench::open(&path);
    let error = open_error(&path);
    assert!(
        matches!(&error, OpenError::Held { pid, .. } if *pid == std::process::id().to_string()),
        "{error}"
    );
    drop(bench);
    Bench::open(&path);
}

#[test]
fn recovery_reads_only_what_some_replay_needs() {
    let (_folder, path) = store();
    let (ali, sara) = (actor("ali"), actor("sara"));
    let bench = Bench::open(&path);
    for seq in 1..=20 {
        bench.commit(of_record(record(&ali, seq)));
    }
    bench.commit(of_snapshot(snapshot(&ali, 20)));
    bench.commit(of_record(record(&sara, 1)));
    bench.commit(of_record(record(&sara, 2)));
    drop(bench);
    // A record before the tail is damaged: the start does not look at it.
    sql(&path, "UPDATE groups SET body = x'00' WHERE first_pos = 3");
    let bench = Bench::open(&path);
    assert_eq!(bench.seqs(&sara), (None, vec![1, 2]));
    assert_eq!(bench.seqs(&ali), (Some(20), vec![]));
}

#[test]
fn a_damaged_group_is_named_and_nothing_is_overwritten() {
    let damages = [
        (
            "UPDATE groups SET body = substr(body, 1, 40) WHERE first_pos = 2",
            "position",
        ),
        ("UPDATE groups SET body = x'' WHERE first_pos = 2", "bytes"),
        (
            "UPDATE groups SET time_ms = time_ms + 1 WHERE first_pos = 2",
            "hash",
        ),
        (
            "UPDATE groups SET hash = zeroblob(32) WHERE first_pos = 2",
            "hash",
        ),
        (
            "UPDATE groups SET records = 2 WHERE first_pos = 2",
            "announces",
        ),
        (
            "UPDATE groups SET last_pos = 3 WHERE first_pos = 2",
            "announces",
        ),
    ];
    for (damage, word) in damages {
        let (_folder, path) = three_records();
        sql(&path, damage);
        let before = dump(&path);
        let error = open_error(&path);
        assert!(
            matches!(&error, OpenError::Damaged(group) if group.first.0 <= 3),
            "{damage}: {error}"
        );
        assert!(error.to_string().contains(word), "{damage}: {error}");
        assert_eq!(dump(&path), before, "{damage}");
    }
}

#[test]
fn a_missing_group_is_noticed() {
    for (gone, named) in [(2, 3), (3, 3)] {
        let (_folder, path) = three_records();
        sql(
            &path,
            &format!("DELETE FROM groups WHERE first_pos = {gone}"),
        );
        let error = open_error(&path);
        assert!(
            matches!(&error, OpenError::Damaged(group) if group.first.0 == named),
            "{gone}: {error}"
        );
    }
}

#[test]
fn other_databases_and_newer_schemas_are_refused() {
    let (_folder, path) = store();
    sql(&path, "CREATE TABLE accounts (id)");
    assert!(matches!(open_error(&path), OpenError::NotOurs { .. }));

    let (_folder, path) = three_records();
    sql(&path, "PRAGMA user_version = 99");
    assert!(matches!(
        open_error(&path),
        OpenError::NewerSchema { found: 99, .. }
    ));

    let (_folder, path) = store();
    std::fs::write(&path, vec![7; 8192]).unwrap();
    assert!(matches!(open_error(&path), OpenError::Store(_)));
}

#[test]
fn a_damaged_snapshot_is_named_when_it_is_read() {
    let (_folder, path) = three_records();
    let bench = Bench::open(&path);
    bench.commit(of_snapshot(snapshot(&actor("ali"), 3)));
    drop(bench);
    sql(&path, "UPDATE snapshots SET body = x'0102030405'");
    let bench = Bench::open(&path);
    let error = bench.journal.read(&actor("ali")).unwrap_err().to_string();
    assert!(error.contains("the snapshot of donations:ali"), "{error}");
}

/// A closed store with positions 1 to 3, one group each.
fn three_records() -> (TempDir, PathBuf) {
    let (folder, path) = store();
    let bench = Bench::open(&path);
    for seq in 1..=3 {
        bench.commit(of_record(record(&actor("ali"), seq)));
    }
    (folder, path)
}

/// All that is in the store but the owner's epoch.
fn dump(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut dump = Vec::new();
    for table in ["groups", "snapshots", "casts", "timers", "kv"] {
        let mut rows = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|column| row.get_ref(column).unwrap());
            dump.push(format!("{table}: {:?}", values.collect::<Vec<_>>()));
        }
    }
    dump
}

fn sql(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}
