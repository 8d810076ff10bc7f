//! Opening again: after an orderly end, after a crash, beside a living owner,
//! and on a store that is damaged.

use std::ops::ControlFlow;

use super::place::Postgres;
use super::*;

fn open_error(place: &dyn Place) -> OpenError {
    match Bench::try_open(place) {
        Ok(_) => panic!("it must be refused"),
        Err(error) => error,
    }
}

pub(super) fn everything_is_there_after_an_orderly_end_and_after_a_crash(place: &dyn Place) {
    for crash in [false, true] {
        is_there_again(&*place.another(), crash);
    }
}

fn is_there_again(place: &dyn Place, crash: bool) {
    let (ali, sara) = (actor("ali"), actor("sara"));
    let bench = Bench::open(place);
    bench.commit(of_record(record(&ali, 1)));
    bench.commit(of_record(record(&sara, 1)));
    bench.commit(of_snapshot(snapshot(&ali, 1)));
    let last = bench.commit(of_record(record(&ali, 2)));
    let (store_id, epoch) = (bench.journal.store_id().to_owned(), bench.journal.epoch());

    let crashed = crash.then(|| place.crashed());
    drop(bench);
    let place = crashed.as_deref().unwrap_or(place);
    let bench = Bench::open(place);
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

#[test]
fn a_second_host_is_refused_while_the_first_lives() {
    let place = &Sqlite::new();
    let bench = Bench::open(place);
    let error = open_error(place);
    assert!(
        matches!(&error, OpenError::Held { pid, .. } if *pid == std::process::id().to_string()),
        "{error}"
    );
    drop(bench);
    Bench::open(place);
}

#[test]
fn a_second_host_is_refused_by_whatever_name_it_knows_the_store() {
    let place = &Sqlite::new();
    let link = place.path.with_file_name("link.db");
    std::os::unix::fs::symlink(&place.path, &link).unwrap();
    // A link that leads to nothing yet makes the store where it leads.
    let bench = Bench::open(&Sqlite::at(&link));
    bench.commit(of_record(record(&actor("ali"), 1)));
    let error = open_error(place);
    assert!(matches!(error, OpenError::Held { .. }), "{error}");
    drop(bench);
    let bench = Bench::open(place);
    assert_eq!(bench.seqs(&actor("ali")), (None, vec![1]));
    let error = open_error(&Sqlite::at(&link));
    assert!(matches!(error, OpenError::Held { .. }), "{error}");
}

pub(super) fn recovery_reads_only_what_some_replay_needs(place: &dyn Place) {
    let (ali, sara) = (actor("ali"), actor("sara"));
    let bench = Bench::open(place);
    for seq in 1..=20 {
        bench.commit(of_record(record(&ali, seq)));
    }
    bench.commit(of_snapshot(snapshot(&ali, 20)));
    bench.commit(of_record(record(&sara, 1)));
    bench.commit(of_record(record(&sara, 2)));
    drop(bench);
    // A record before the tail is damaged: the start does not look at it.
    place.sql("UPDATE groups SET body = substr(body, 1, 1) WHERE first_pos = 3");
    let bench = Bench::open(place);
    assert_eq!(bench.seqs(&sara), (None, vec![1, 2]));
    assert_eq!(bench.seqs(&ali), (Some(20), vec![]));
}

pub(super) fn a_damaged_group_is_named_and_nothing_is_overwritten(place: &dyn Place) {
    let damages = [
        (
            "UPDATE groups SET body = substr(body, 1, 40) WHERE first_pos = 2",
            "position",
        ),
        (
            "UPDATE groups SET body = substr(body, 1, 0) WHERE first_pos = 2",
            "bytes",
        ),
        (
            "UPDATE groups SET time_ms = time_ms + 1 WHERE first_pos = 2",
            "hash",
        ),
        (
            "UPDATE groups SET hash = prev_hash WHERE first_pos = 2",
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
        let place = &*three_records(place);
        place.sql(damage);
        let before = place.dump();
        let error = open_error(place);
        assert!(
            matches!(&error, OpenError::Damaged(group) if group.first.0 <= 3),
            "{damage}: {error}"
        );
        assert!(error.to_string().contains(word), "{damage}: {error}");
        assert_eq!(place.dump(), before, "{damage}");
    }
}

pub(super) fn a_missing_group_is_noticed(place: &dyn Place) {
    for (gone, named) in [(2, 3), (3, 3)] {
        let place = &*three_records(place);
        place.sql(&format!("DELETE FROM groups WHERE first_pos = {gone}"));
        let error = open_error(place);
        assert!(
            matches!(&error, OpenError::Damaged(group) if group.first.0 == named),
            "{gone}: {error}"
        );
    }
}

#[test]
fn other_databases_and_newer_schemas_are_refused_by_sqlite() {
    let place = &Sqlite::new();
    place.sql("CREATE TABLE accounts (id)");
    assert!(matches!(open_error(place), OpenError::NotOurs { .. }));

    let place = &Sqlite::new();
    drop(Bench::open(place));
    place.sql("PRAGMA user_version = 99");
    assert!(matches!(
        open_error(place),
        OpenError::NewerSchema { found: 99, .. }
    ));

    let place = &Sqlite::new();
    std::fs::write(&place.path, vec![7; 8192]).unwrap();
    assert!(matches!(open_error(place), OpenError::Store(_)));
}

#[test]
fn other_databases_and_newer_schemas_are_refused_by_postgres() {
    let place = &Postgres::new();
    place.sql("CREATE TABLE store (name TEXT)");
    assert!(matches!(open_error(place), OpenError::NotOursAt { .. }));

    let place = &Postgres::new();
    drop(Bench::open(place));
    let newer = |schema: i64| {
        place.sql(&format!(
            "INSERT INTO host_schema_history (version, name, applied_on, checksum)
             SELECT {schema}, 'later', applied_on, checksum FROM host_schema_history WHERE version = 1"
        ));
    };
    let known = 4;
    newer(known + 1);
    // The next schema only adds to this one.
    drop(Bench::open(place));
    newer(known + 2);
    let error = open_error(place);
    assert!(
        matches!(error, OpenError::NewerSchema { found, .. } if found == known + 2),
        "{error}"
    );
}

/// Of schema 4, in PostgreSQL: they depend on columns.
const WITHOUT_TRIGGERS: &str = "DROP FUNCTION host_forget_sum CASCADE";

/// What makes schema 1 of an empty store of schema 4.
const BACK_TO_1: &str = "
    DROP TABLE answers;
    DROP TABLE outbox;
    ALTER TABLE dead_letters DROP COLUMN origin;
    DROP INDEX timers_in_order;
    CREATE INDEX timers_by_due ON timers (due_ms);
    DROP TABLE snapshot_pieces;
    DROP INDEX snapshots_by_piece;
    ALTER TABLE snapshots DROP COLUMN first_piece;
    ALTER TABLE store DROP COLUMN sum;
    ALTER TABLE store DROP COLUMN summed_epoch;
    ALTER TABLE groups DROP COLUMN exact;
    ALTER TABLE casts DROP COLUMN sum;
    ALTER TABLE timers DROP COLUMN sum;
    ALTER TABLE dead_letters DROP COLUMN sum;
    ALTER TABLE quarantine DROP COLUMN sum;
    ALTER TABLE kv DROP COLUMN sum;
    DELETE FROM host_schema_history WHERE version >= 2;";

#[test]
fn a_store_of_schema_1_is_brought_up_to_date_and_used_on() {
    let places: [(Box<dyn Place>, &str, &[&str]); 3] = [
        (Box::new(Postgres::new()), WITHOUT_TRIGGERS, &[]),
        (Box::new(Sqlite::new()), "", &["PRAGMA user_version = 1"]),
        // As hosts left it that had no table of migrations.
        (
            Box::new(Sqlite::new()),
            "",
            &["PRAGMA user_version = 1", "DROP TABLE host_schema_history"],
        ),
    ];
    for (place, before, more) in places {
        let place = three_records(&*place);
        place.sql(before);
        place.sql(BACK_TO_1);
        more.iter().for_each(|sql| place.sql(sql));
        // Beforehand, or by whoever opens it.
        if more.is_empty() {
            let migrated = place.migrate().unwrap();
            assert_eq!((migrated.from, migrated.to), (1, 4));
            let migrated = place.migrate().unwrap();
            assert_eq!((migrated.from, migrated.to), (4, 4));
        }
        let bench = Bench::open(&*place);
        assert_eq!(bench.seqs(&actor("ali")), (None, vec![1, 2, 3]));
        assert_eq!(bench.journal.oldest_answer().unwrap(), None);
        assert_eq!(bench.journal.outbox(None, 9).unwrap(), []);
        bench.commit(of_record(record(&actor("ali"), 4)));
    }
}

#[test]
fn a_store_of_the_schema_before_is_read_as_it_is() {
    for (place, before, more) in [
        (
            Box::new(Postgres::new()) as Box<dyn Place>,
            WITHOUT_TRIGGERS,
            "",
        ),
        (Box::new(Sqlite::new()), "", "PRAGMA user_version = 3"),
    ] {
        let place = three_records(&*place);
        place.sql(before);
        place.sql(
            "ALTER TABLE casts DROP COLUMN sum;
             ALTER TABLE timers DROP COLUMN sum;
             ALTER TABLE outbox DROP COLUMN sum;
             ALTER TABLE answers DROP COLUMN sum;
             ALTER TABLE dead_letters DROP COLUMN sum;
             ALTER TABLE quarantine DROP COLUMN sum;
             ALTER TABLE kv DROP COLUMN sum;
             DELETE FROM host_schema_history WHERE version = 4;",
        );
        place.sql(more);
        let archive = place.archive().unwrap();
        assert_eq!(archive.schema(), 3);
        assert_eq!(archive.check(|_, _| {}).unwrap().findings, []);
        let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
        assert_eq!(verified.unwrap().records, 3);
        let bench = Bench::open(&*place);
        bench.commit(of_record(record(&actor("ali"), 4)));
        assert_eq!(bench.journal.verify().unwrap().records, 4);
    }
}

#[test]
fn a_sqlite_store_of_before_the_migrations_table_is_used_on() {
    let place = three_records(&Sqlite::new());
    place.sql("DROP TABLE host_schema_history");
    let bench = Bench::open(&*place);
    assert_eq!(bench.seqs(&actor("ali")), (None, vec![1, 2, 3]));
    bench.commit(of_record(record(&actor("ali"), 4)));
}

pub(super) fn a_damaged_snapshot_is_named_when_it_is_read(place: &dyn Place) {
    let place = &*three_records(place);
    let bench = Bench::open(place);
    bench.commit(of_snapshot(snapshot(&actor("ali"), 3)));
    drop(bench);
    place.sql("UPDATE snapshots SET body = substr(body, 2, 5)");
    let bench = Bench::open(place);
    let error = bench.journal.read(&actor("ali")).unwrap_err().to_string();
    assert!(error.contains("the snapshot of donations:ali"), "{error}");
}

/// A closed store like this one, with positions 1 to 3, one group each.
fn three_records(place: &dyn Place) -> Box<dyn Place> {
    let place = place.another();
    let bench = Bench::open(&*place);
    for seq in 1..=3 {
        bench.commit(of_record(record(&actor("ali"), seq)));
    }
    drop(bench);
    place
}
