//! A store becomes another one, of either kind: nothing of it is missing or changed, and
//! of a copy that was not finished nothing is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;

use rusqlite::Connection;
use test_postgres::{Proxy, Trouble, shared};

use super::keep::fill;
use super::once::{answer, key, webhook};
use super::place::{Postgres, database};
use super::*;
use crate::postgres::{PutBackError, put_back, vacant};
use crate::tables::{self, Kind, OWN};
use crate::{
    Archive, BackupError, CastId, Consumed, DeadLetter, DeadLetterKind, Letter, Origin,
    OutboxChange, OutboxId, Tried,
};

/// A key that PostgreSQL cannot store as a text.
pub(super) const ZERO: &str = "k\0\u{fffd}";

fn archive(path: &Path) -> Archive {
    let path = path.to_owned();
    Archive::open(&Options { path }).unwrap()
}

fn describe(_: &Archive) -> Result<(String, Bytes), String> {
    Ok(("backup/manifest".to_owned(), Bytes::from_static(b"{}")))
}

/// A copy in a file of its own, of a store that nobody needs to own.
fn copy(place: &dyn Place) -> (TempDir, PathBuf) {
    let (folder, to) = store();
    let reader = place.archive().unwrap().reader;
    crate::backup::backup(&*reader, &to, describe).unwrap();
    (folder, to)
}

fn dead_letter(message: &str) -> Rows {
    Rows {
        dead_letter: Some(DeadLetter {
            kind: DeadLetterKind::Cast,
            actor: actor("ali"),
            version: version("0.1.0"),
            event: "pay".into(),
            payload: Bytes::from_static(b"{}"),
            reason: "panic".into(),
            message: message.into(),
            time_ms: 7,
            origin: Origin::default(),
        }),
        ..Rows::default()
    }
}

/// Something in every table.
pub(super) fn fill_all(place: &dyn Place) {
    fill(place);
    let bench = Bench::open(place);
    let mut rows = of_record(record(&actor("ali"), 22));
    rows.casts = vec![Letter {
        from: actor("ali"),
        to: actor("sara"),
        version: version("0.1.0"),
        event: "pay".into(),
        payload: Bytes::from_static(b"{}"),
        hops: u32::MAX,
    }];
    rows.outbox = vec![webhook("https://a/"), webhook("https://b/")];
    rows.answer = Some(Box::new((key(ZERO), answer(70))));
    let position = bench.commit(rows);
    bench.commit(Rows {
        outbox_change: Some(OutboxChange::Tried(
            OutboxId { position, index: 1 },
            Tried {
                attempts: 3,
                due_ms: -5,
                error: "refused".into(),
            },
        )),
        ..Rows::default()
    });
    bench.commit(dead_letter("kept"));
    bench.commit(dead_letter("dropped"));
    bench.commit(Rows {
        consumed: Some(Consumed::DeadLetter(2)),
        ..Rows::default()
    });
    bench.commit(Rows {
        quarantine: Some((actor("omar"), Some("three faults".to_owned()))),
        values: vec![
            ("empty".into(), Some(Bytes::new())),
            ("large".into(), Some(Bytes::from(vec![0xff; 9 << 20]))),
        ],
        ..Rows::default()
    });
    pieces::with_large(&bench, "huda", 1, 3);
}

/// All rows of a copy, in no order of theirs, and which numbers were given.
fn rows(copy: &Path) -> BTreeMap<&'static str, BTreeSet<String>> {
    let connection = Connection::open(copy).unwrap();
    let rows = |sql: &str| {
        let mut select = connection.prepare(sql).unwrap();
        let columns = 0..select.column_count();
        let rows = select.query_map([], |row| {
            let values = columns.clone().map(|column| row.get_ref(column).unwrap());
            Ok(format!("{:?}", values.collect::<Vec<_>>()))
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    let tables = tables::all().map(|table| {
        let sql = format!("SELECT {} FROM {}", table.names(), table.name);
        (table.name, rows(&sql))
    });
    let numbers = rows("SELECT name, seq FROM sqlite_sequence");
    tables.chain([("numbers", numbers)]).collect()
}

fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (rows(one), rows(other));
    for (table, rows) in &one {
        assert!(!rows.is_empty(), "{table} has nothing to compare");
        assert!(other[table] == *rows, "{table} differs");
    }
}

pub(super) fn a_copy_made_beside_commits_is_whole_and_says_what_it_is(place: &dyn Place) {
    fill(place);
    let (_folder, to) = store();
    let bench = Bench::open(place);
    let journal = &bench.journal;
    let describe = |copy: &Archive| {
        assert_eq!(copy.store_id(), journal.store_id());
        let versions = copy.versions().map_err(|error| error.to_string())?;
        let names: Vec<_> = versions
            .iter()
            .map(|(name, v)| format!("{name} {v}"))
            .collect();
        assert_eq!(names, ["donations 0.1.0", "donations 0.2.0"]);
        // Comes in between, and is not in the copy.
        bench.commit(of_record(record(&actor("sara"), 21)));
        Ok(("backup/manifest".to_owned(), Bytes::from_static(b"{}")))
    };
    let copied = journal.backup(&to, describe).unwrap();
    assert_eq!(copied.bytes, to.metadata().unwrap().len());
    let copy = archive(&to);
    assert_eq!(copy.check(|_, _| {}).unwrap().findings, []);
    assert_eq!(
        copy.value("backup/manifest").unwrap().as_deref(),
        Some(&b"{}"[..])
    );
    let verified = copy.trail().verify(|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(verified.records, 41);
    assert_eq!(bench.journal.verify().unwrap().records, 42);
    drop(copy);
    assert_eq!(
        Bench::open(&Sqlite::at(&to)).seqs(&actor("sara")),
        (None, (1..=20).collect())
    );
}

pub(super) fn a_copy_replaces_nothing_and_a_failed_one_leaves_nothing(place: &dyn Place) {
    fill(place);
    let (folder, to) = store();
    let bench = Bench::open(place);
    fs::write(&to, "mine").unwrap();
    let error = bench.journal.backup(&to, describe).unwrap_err();
    assert!(matches!(error, BackupError::Exists(_)), "{error}");
    assert_eq!(fs::read(&to).unwrap(), b"mine");
    fs::remove_file(&to).unwrap();

    let error = bench.journal.backup(&to, |_| Err("no".to_owned()));
    let error = error.unwrap_err();
    assert!(matches!(error, BackupError::Store(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let nowhere = folder.path().join("nowhere/copy.db");
    let error = bench.journal.backup(&nowhere, describe).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

pub(super) fn a_damaged_store_gives_no_copy(place: &dyn Place) {
    fill(place);
    let (folder, to) = store();
    let bench = Bench::open(place);
    place.sql(
        "UPDATE groups SET records = records + 1
         WHERE first_pos = (SELECT min(first_pos) FROM groups)",
    );
    let error = bench.journal.backup(&to, describe).unwrap_err();
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("store check"), "{error}");
    let left = fs::read_dir(folder.path()).unwrap();
    let left: Vec<_> = left.map(|it| it.unwrap().path()).collect();
    assert_eq!(left, [crate::files::beside(&to, ".damaged")]);
}

pub(super) fn a_copy_becomes_a_store_of_either_kind(place: &dyn Place) {
    fill_all(place);
    let (_folder, first) = copy(place);
    let whole = archive(&first).check(|_, _| {}).unwrap();
    assert_eq!(whole.findings, []);

    let there = Postgres::new();
    put_back(&there.options.address, &first).unwrap();
    let (_folder, second) = copy(&there);
    assert_same(&first, &second);
    for place in [&there as &dyn Place, &Sqlite::at(&second)] {
        let archive = place.archive().unwrap();
        let found = archive.check(|_, _| {}).unwrap();
        assert_eq!(found.findings, []);
        assert_eq!(found.records, whole.records);
        let mut lives = 0;
        archive.lives(|_| lives += 1).unwrap();
        assert_eq!(lives, 3);
        drop(archive);
        let bench = Bench::open(place);
        assert_eq!(bench.seqs(&actor("ali")), (Some(16), (17..=22).collect()));
        assert_eq!(bench.seqs(&actor("huda")), (Some(1), vec![]));
        assert_eq!(bench.journal.answer(&key(ZERO)).unwrap(), Some(answer(70)));
        let none = bench.journal.answer(&key("k\u{fffd}\u{fffd}")).unwrap();
        assert_eq!(none, None);
        // The number that was dropped is not given again.
        bench.commit(dead_letter("new"));
        let letters = bench.journal.dead_letters(0, 9).unwrap();
        let letters: Vec<_> = letters.iter().map(|(id, it)| (*id, &*it.message)).collect();
        assert_eq!(letters, [(1, "kept"), (3, "new")]);
        let casts = bench.journal.casts(None, 9).unwrap();
        let CastId { position, .. } = casts[0].id;
        assert_eq!(casts[0].letter.hops, u32::MAX);
        let webhooks = bench.journal.outbox(None, 9).unwrap();
        assert_eq!((webhooks.len(), webhooks[1].id.position), (2, position));
        bench.commit(of_record(record(&actor("sara"), 21)));
        assert_eq!(bench.journal.check(|_, _| {}).unwrap().findings, []);
    }
}

/// Table, name, type, and whether it may lack: of all columns that are a store's content.
type Columns = BTreeSet<(String, String, String, bool)>;

fn listed(type_of: impl Fn(Kind) -> &'static str) -> Columns {
    let columns = tables::all().flat_map(|table| table.columns.iter().map(move |it| (table, it)));
    let columns = columns.map(|(table, column)| {
        (
            table.name.to_owned(),
            column.name.to_owned(),
            type_of(column.kind).to_owned(),
            column.may_lack,
        )
    });
    columns.collect()
}

/// A column that a later schema adds, and that is not in the list, is in no copy.
#[test]
fn the_tables_that_are_copied_are_all_that_both_stores_have() {
    let (_folder, path) = store();
    drop(Bench::open(&Sqlite::at(&path)));
    let connection = Connection::open(&path).unwrap();
    let sql = "SELECT it.name, its.name, its.type, its.\"notnull\" = 0 AND its.pk = 0
               FROM sqlite_schema AS it, pragma_table_info(it.name) AS its
               WHERE it.type = 'table' AND it.name NOT LIKE 'sqlite_%'
               AND it.name <> 'host_schema_history'";
    let mut select = connection.prepare(sql).unwrap();
    let found = select.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    let found: Columns = found.unwrap().map(Result::unwrap).collect();
    let ours = listed(|kind| match kind {
        Kind::Number | Kind::Count | Kind::Flag => "INTEGER",
        Kind::Text => "TEXT",
        Kind::Bytes => "BLOB",
    });
    assert_eq!(found, ours);

    let place = Postgres::new();
    drop(Bench::open(&place));
    let found = place.run(
        "SELECT table_name, column_name, data_type, is_nullable = 'YES'
         FROM information_schema.columns WHERE table_schema = current_schema()
         AND table_name NOT IN ('host_schema_history', 'lease')",
    );
    let found = found.lines().map(|line| {
        let fields: Vec<_> = line.split('|').collect();
        let field = |at: usize| fields[at].to_owned();
        (field(0), field(1), field(2), fields[3] == "t")
    });
    let mut ours = listed(|kind| match kind {
        Kind::Number => "bigint",
        Kind::Count => "integer",
        Kind::Flag => "boolean",
        Kind::Text => "text",
        Kind::Bytes => "bytea",
    });
    // What it has for itself.
    for (table, column, kind) in [(OWN.name, "owner", "text"), ("answers", "id", "bytea")] {
        ours.insert((table.to_owned(), column.to_owned(), kind.to_owned(), false));
    }
    assert_eq!(found.collect::<Columns>(), ours);
}

#[test]
fn a_database_with_a_store_takes_no_other() {
    let source = Sqlite::new();
    fill(&source);
    let (_folder, file) = copy(&source);
    let place = Postgres::new();
    vacant(&place.options.address).unwrap();
    let bench = Bench::open(&place);
    bench.commit(of_record(record(&actor("ali"), 1)));
    let before = place.dump();
    for tried in [
        vacant(&place.options.address),
        put_back(&place.options.address, &file),
    ] {
        let error = tried.unwrap_err();
        assert!(matches!(error, PutBackError::Occupied { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains(bench.journal.store_id()), "{said}");
        assert!(said.contains("DATABASE_URL"), "{said}");
    }
    assert_eq!(place.dump(), before);
    bench.commit(of_record(record(&actor("ali"), 2)));

    // Rows without a store are somebody's, too.
    let place = Postgres::new();
    drop(Bench::open(&place));
    place.sql("UPDATE store SET owner = '', epoch = 0; INSERT INTO kv VALUES ('k', 0, '')");
    vacant(&place.options.address).unwrap();
    let error = put_back(&place.options.address, &file).unwrap_err();
    assert!(matches!(error, PutBackError::Store(_)), "{error}");
    assert_eq!(place.run("SELECT count(*) FROM groups"), "0");

    let place = Postgres::new();
    place.sql("CREATE TABLE store (id INTEGER)");
    let error = vacant(&place.options.address).unwrap_err();
    let is_foreign = matches!(&error, PutBackError::Open(OpenError::NotOursAt { .. }));
    assert!(is_foreign, "{error}");
}

#[test]
fn a_store_that_was_put_back_half_way_is_not_there_and_is_put_back_again() {
    let source = Sqlite::new();
    fill_all(&source);
    let (_folder, file) = copy(&source);
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let place = Postgres::at(&proxy.url(database(&address)));
    let put = || put_back(&place.options.address, &file);
    // Among the groups, and when all was sent.
    for cut in ["gift-15", "ANALYZE", "COMMIT"] {
        proxy.make(Trouble::SwallowRequest(cut.into()));
        let before = proxy.struck();
        let error = put().unwrap_err();
        assert_eq!(proxy.struck(), before + 1, "{cut}");
        assert!(
            matches!(&error, PutBackError::Store(error) if error.is_away),
            "{error}"
        );
        vacant(&place.options.address).unwrap();
        assert!(place.dump().iter().all(String::is_empty), "{cut}");
    }
    // It is there, and nobody has heard of it.
    proxy.make(Trouble::SwallowAnswer(b"COMMIT".to_vec()));
    put().unwrap();
    let (_folder, copied) = copy(&place);
    assert_same(&file, &copied);
    let error = put().unwrap_err();
    assert!(matches!(error, PutBackError::Occupied { .. }), "{error}");
}

#[test]
fn a_copy_whose_server_goes_away_leaves_nothing_and_is_made_again() {
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let place = Postgres::at(&proxy.url(database(&address)));
    fill_all(&place);
    let (folder, to) = store();
    let reader = place.archive().unwrap().reader;
    for cut in ["FROM groups", "FROM kv"] {
        proxy.make(Trouble::SwallowRequest(cut.into()));
        let error = crate::backup::backup(&*reader, &to, describe).unwrap_err();
        assert!(
            matches!(&error, BackupError::Store(error) if error.is_away),
            "{error}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    crate::backup::backup(&*reader, &to, describe).unwrap();
    assert_eq!(archive(&to).check(|_, _| {}).unwrap().findings, []);
}

#[test]
fn a_copy_is_of_one_moment_and_outlasts_a_take_over() {
    let place = Postgres::new();
    fill(&place);
    let bench = Bench::open(&place);
    let moment = bench.journal.reader.inspect().frozen().unwrap();
    let mut other = place.for_another_home();
    other.options.take_over = true;
    let other = Bench::open(&other);
    other.commit(of_record(record(&actor("sara"), 21)));
    let (_folder, to) = store();
    crate::backup::backup(&*moment, &to, describe).unwrap();
    let copied = archive(&to).check(|_, _| {}).unwrap();
    assert_eq!((copied.findings.as_slice(), copied.records), (&[][..], 41));
}

#[test]
fn what_only_a_newer_host_knows_is_neither_copied_nor_put_back() {
    let place = Postgres::new();
    fill(&place);
    let (_folder, file) = copy(&place);
    place.sql("UPDATE host_schema_history SET version = 5 WHERE version = 4");
    let (folder, to) = store();
    let reader = place.archive().unwrap().reader;
    let error = crate::backup::backup(&*reader, &to, describe).unwrap_err();
    let said = anyhow::Error::from(error);
    assert!(format!("{said:#}").contains("newer host"), "{said:#}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let connection = Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 5).unwrap();
    drop(connection);
    let empty = Postgres::new();
    let error = put_back(&empty.options.address, &file).unwrap_err();
    assert!(error.to_string().contains("newer host"), "{error}");
    assert_eq!(empty.run("SELECT to_regclass('store') IS NULL"), "t");
}

#[test]
fn a_role_that_may_not_make_tables_is_told_so() {
    let source = Sqlite::new();
    fill(&source);
    let (_folder, file) = copy(&source);
    let place = Postgres::new();
    place.sql("CREATE ROLE guest LOGIN");
    let address = shared().url(&place.database).replace("//host@", "//guest@");
    let guest = Postgres::at(&address);
    let error = put_back(&guest.options.address, &file).unwrap_err();
    let said = format!("{:#}", anyhow::Error::from(error));
    place.sql("DROP ROLE guest");
    assert!(said.contains("permission denied"), "{said}");
    put_back(&place.options.address, &file).unwrap();
}
