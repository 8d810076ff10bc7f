//! Copies, checks and damages: a copy is whole, what is damaged is named, and nobody
//! overwrites it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;

use rusqlite::Connection;

use super::*;
use crate::{Archive, Checked, OpenError, migrate, sealed::open_snapshot};

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
    }
}

fn archive(path: &Path) -> Archive {
    Archive::open(&options(path)).unwrap()
}

fn checked(path: &Path) -> Checked {
    archive(path).check(|_, _| {}).unwrap()
}

/// A closed store in a file: see [`fill`].
fn some_actors() -> (TempDir, PathBuf) {
    let (folder, path) = store();
    fill(&Sqlite::at(&path));
    (folder, path)
}

/// Two actors with snapshots and tails, and a timer.
pub(super) fn fill(place: &dyn Place) {
    let bench = Bench::open(place);
    for seq in 1..=20 {
        bench.commit(of_record(record(&actor("ali"), seq)));
        bench.commit(of_record(record(&actor("sara"), seq)));
        if seq % 8 == 0 {
            bench.commit(of_snapshot(snapshot(&actor("ali"), seq)));
        }
    }
    let mut rows = of_record(record(&actor("ali"), 21));
    rows.timers_set = vec![("close".to_owned(), 5, Bytes::from_static(b"{}"))];
    bench.commit(rows);
}

/// What the files of a store hold. Whoever reads it leaves an empty log beside it.
fn bytes(path: &Path) -> Vec<u32> {
    let files = [path.to_owned(), path.with_extension("db-wal")];
    let files = files.iter().filter_map(|file| fs::read(file).ok());
    let files = files.filter(|bytes| !bytes.is_empty());
    files.map(|bytes| crc32c::crc32c(&bytes)).collect()
}

/// Inverts a byte of the file where `needle` stands, `offset` behind its beginning.
fn flip(path: &Path, needle: &[u8], offset: usize) {
    let content = fs::read(path).unwrap();
    let found = content.windows(needle.len()).position(|it| it == needle);
    flip_at(path, found.expect("it is in the file") + offset);
}

fn flip_at(path: &Path, at: usize) {
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[!byte[0]]).unwrap();
}

/// A blob of the store.
fn blob(path: &Path, sql: &str) -> Vec<u8> {
    let connection = Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_a_backup_that_was_killed_has_left_is_of_no_account() {
    let (folder, path) = some_actors();
    let bench = Bench::open(&Sqlite::at(&path));
    let to = folder.path().join("copy.db");
    let partial = folder.path().join("copy.db.partial");
    // A rollback journal that is hot: SQLite plays it onto the file beside it.
    let other = Connection::open(&partial).unwrap();
    other
        .execute_batch(
            "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000));
             PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN;
             UPDATE t SET x = zeroblob(200000); INSERT INTO t VALUES (zeroblob(4000000));",
        )
        .unwrap();
    let journal = folder.path().join("copy.db.partial-journal");
    let hot = fs::read(&journal).unwrap();
    assert!(hot.len() > 4096);
    drop(other);
    fs::write(&partial, "half a copy").unwrap();
    fs::write(&journal, hot).unwrap();
    let describe = |_: &Archive| Ok(("m".to_owned(), Bytes::new()));
    bench.journal.backup(&to, describe).unwrap();
    assert_eq!(checked(&to).findings, []);
    assert_eq!(checked(&to).records, 41);
    assert!(!partial.exists() && !journal.exists());
}

#[test]
fn a_look_at_a_file_changes_nothing_of_it() {
    let (_folder, path) = some_actors();
    let before = bytes(&path);
    assert_eq!(checked(&path).findings, []);
    assert_eq!(bytes(&path), before);
}

pub(super) fn a_whole_store_is_found_whole_running_and_stopped(place: &dyn Place) {
    fill(place);
    let before = place.dump();
    let archive = place.archive().unwrap();
    let found = archive.check(|_, _| {}).unwrap();
    assert_eq!(found.findings, []);
    assert_eq!((found.groups, found.records, found.snapshots), (41, 41, 2));
    assert_eq!(place.dump(), before);

    // Beside its owner, too, and as it was at one moment.
    let bench = Bench::open(place);
    assert_eq!(archive.store_id(), bench.journal.store_id());
    bench.commit(of_record(record(&actor("new"), 1)));
    let found = bench.journal.check(|position, _| {
        // Within the look, and not in it.
        if position == Position(1) {
            bench.commit(of_record(record(&actor("new"), 2)));
        }
    });
    let found = found.unwrap();
    assert_eq!((found.findings.as_slice(), found.records), (&[][..], 42));
    let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
    assert_eq!(verified.unwrap().records, 43);
    assert_eq!(archive.check(|_, _| {}).unwrap().records, 43);
}

pub(super) fn all_that_a_store_has_of_each_actor_is_handed_on(place: &dyn Place) {
    fill(place);
    let mut lives = BTreeMap::new();
    let archive = place.archive().unwrap();
    let told = archive.lives(|life| {
        let seqs: Vec<_> = life.snapshots.iter().map(|it| it.seq).collect();
        lives.insert(life.actor.to_string(), (life.records.len(), seqs));
    });
    told.unwrap();
    let expected = [
        ("donations:ali".to_owned(), (21, vec![8, 16])),
        ("donations:sara".to_owned(), (20, vec![])),
    ];
    assert_eq!(lives, BTreeMap::from(expected));
    let versions = archive.versions().unwrap();
    assert_eq!(versions.len(), 2, "{versions:?}");
}

/// Each damage: what is done, and what must be named by the check.
pub(super) fn what_is_damaged_is_named(place: &dyn Place) {
    for (damage, what, problem) in [
        (
            "UPDATE groups SET body = substr(body, 1, 1) WHERE first_pos = 7",
            "the group of position 7",
            "bytes",
        ),
        (
            "UPDATE groups SET epoch = 9 WHERE first_pos = 7",
            "the group of position 7",
            "hash",
        ),
        (
            "DELETE FROM groups WHERE first_pos = 7",
            "the group of position 8",
            "missing",
        ),
        (
            "UPDATE snapshots SET body = substr(body, 1, 5) WHERE seq = 8",
            "the snapshot of donations:ali at position 17",
            "checksum",
        ),
        (
            "UPDATE snapshots SET seq = 7 WHERE seq = 8",
            "the snapshot of donations:ali at position 17",
            "row says",
        ),
        (
            "UPDATE snapshots SET actor = 'donations:sara' WHERE seq = 8",
            "the snapshot of donations:sara",
            "row says",
        ),
        ("UPDATE timers SET actor = 'nobody'", "the timers", "nobody"),
        (
            "UPDATE timers SET set_at = 999, sum = NULL",
            "the timer close of donations:ali",
            "end",
        ),
        (
            "INSERT INTO quarantine (actor, position, reason) VALUES ('x', 1, '')",
            "the quarantine",
            "x",
        ),
        (
            "UPDATE store SET known = 3",
            "the store's own row",
            "checksum",
        ),
        (
            "UPDATE store SET known = 3, sum = NULL",
            "the store's own row",
            "3 actors",
        ),
        (
            "UPDATE store SET tail_start = 40",
            "the store's own row",
            "checksum",
        ),
        (
            "UPDATE store SET last_pos = last_pos + 7",
            "the store's own row",
            "checksum",
        ),
        (
            "UPDATE store SET last_pos = 40, sum = NULL",
            "the group that ends at position",
            "behind the position",
        ),
        (
            "DELETE FROM groups WHERE first_pos = 6; UPDATE groups SET first_pos = 6 WHERE first_pos = 7",
            "the group of positions 6 to 7",
            "announces",
        ),
        (
            "UPDATE groups SET last_pos = 99 WHERE last_pos = (SELECT max(last_pos) FROM groups)",
            "to 99",
            "announces",
        ),
    ] {
        let place = &*place.another();
        fill(place);
        place.sql(damage);
        let before = place.dump();
        let archive = place.archive().unwrap();
        let found = archive.check(|_, _| {}).unwrap().findings;
        let named = found
            .iter()
            .any(|it| it.what.contains(what) && it.problem.contains(problem));
        assert!(named, "{damage}: {found:?}");
        assert_eq!(place.dump(), before, "{damage}");
    }
}

pub(super) fn several_damages_are_told_apart(place: &dyn Place) {
    fill(place);
    place.sql(
        "UPDATE groups SET body = substr(body, 1, 1) WHERE first_pos IN (5, 9);
         UPDATE snapshots SET body = substr(body, 1, 1) WHERE seq = 16;",
    );
    let found = place.archive().unwrap().check(|_, _| {}).unwrap();
    let what: Vec<_> = found.findings.into_iter().map(|it| it.what).collect();
    assert_eq!(
        what,
        [
            "the group of position 5",
            "the group of position 9",
            "the snapshot of donations:ali at position 34"
        ]
    );
}

#[test]
fn a_flipped_byte_in_a_group_is_named_by_check_verify_and_start() {
    let (_folder, path) = some_actors();
    let body = blob(&path, "SELECT body FROM groups WHERE first_pos = 40");
    flip(&path, &body, body.len() / 2);
    let before = bytes(&path);
    let found = checked(&path).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.contains("position 40"), "{found:?}");
    let verified = archive(&path).trail().verify(|_| ControlFlow::Continue(()));
    assert!(verified.unwrap_err().to_string().contains("40 to 40"));
    assert_eq!(bytes(&path), before);
    let error = Journal::<u64>::open(options(&path), drop).unwrap_err();
    assert!(
        matches!(&error, OpenError::Damaged(group) if group.first.0 == 40),
        "{error}"
    );
    assert_eq!(
        blob(&path, "SELECT body FROM groups WHERE first_pos = 40").len(),
        body.len()
    );
}

#[test]
fn a_flipped_byte_in_a_snapshot_is_named_by_check_and_by_who_reads_it() {
    let (_folder, path) = some_actors();
    let body = blob(&path, "SELECT body FROM snapshots WHERE seq = 16");
    open_snapshot(&body).unwrap();
    flip(&path, &body, body.len() - 3);
    let before = bytes(&path);
    let found = checked(&path).findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].what,
        "the snapshot of donations:ali at position 34"
    );
    assert_eq!(bytes(&path), before);
    let bench = Bench::open(&Sqlite::at(&path));
    let error = bench.journal.read(&actor("ali")).unwrap_err().to_string();
    assert!(
        error.contains("the snapshot of donations:ali at position 34"),
        "{error}"
    );
    assert_eq!(bench.seqs(&actor("sara")).1.len(), 20, "the others work");
}

/// Every byte of the database's header in turn: what is opened all the same is as it
/// was, and what is refused is not written to.
#[test]
fn a_flipped_byte_in_the_header_is_refused_or_harmless() {
    let (_folder, path) = some_actors();
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 0..100 {
        fs::write(&path, &whole).unwrap();
        flip_at(&path, at);
        let before = bytes(&path);
        let Ok(archive) = Archive::open(&options(&path)) else {
            refused += 1;
            assert_eq!(bytes(&path), before, "byte {at}");
            let error = Journal::<u64>::open(options(&path), drop);
            assert!(error.is_err(), "byte {at} is refused for reading only");
            assert_eq!(
                bytes(&path),
                before,
                "byte {at}: a start overwrites nothing"
            );
            continue;
        };
        let found = archive.check(|_, _| {});
        let harmless = found.is_ok_and(|found| found.findings.is_empty() && found.records == 41);
        let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
        assert!(
            harmless || checked_names_the_file(&archive) || verified.is_ok(),
            "byte {at}"
        );
        drop(archive);
        assert_eq!(bytes(&path), before, "byte {at}: a look changes nothing");
    }
    assert!(refused >= 16, "the magic alone: {refused}");
}

fn checked_names_the_file(archive: &Archive) -> bool {
    match archive.check(|_, _| {}) {
        Ok(found) => found
            .findings
            .iter()
            .any(|it| it.what == "the database's pages"),
        Err(error) => !error.to_string().is_empty(),
    }
}

#[test]
fn a_store_of_this_schema_needs_no_migration_and_none_is_made_where_none_is() {
    let (folder, path) = some_actors();
    let migrated = migrate(&options(&path), None).unwrap();
    assert_eq!(migrated.from, migrated.to);
    let nowhere = folder.path().join("none.db");
    assert!(matches!(
        migrate(&options(&nowhere), None),
        Err(OpenError::Missing { .. })
    ));
    assert!(!nowhere.exists());
    let bench = Bench::open(&Sqlite::at(&path));
    assert!(matches!(
        migrate(&options(&path), None),
        Err(OpenError::Held { .. })
    ));
    drop(bench);
}
