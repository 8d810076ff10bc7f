//! The tables, and how they came about: one migration for each schema version, see
//! [`crate::migrations`]. The number of the last is in `user_version` too, so that the
//! file's header tells it without a query.

use std::error::Error;
use std::path::Path;

use refinery::Target;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::reader::hash_of;
use super::rows::write_value;
use crate::Position;
use crate::error::{OpenError, StoreError};
use crate::migrations::{accepts, runner};
use crate::store::Meta;
use crate::timeline::{TIMELINES, Timelines};

/// "HOST": marks the file as ours.
const APPLICATION_ID: i64 = 0x484f_5354;

/// Migrations; the first makes schema 1.
const MIGRATIONS: &[(&str, &str)] = &[
    ("journal", SCHEMA_1),
    ("answers", SCHEMA_2),
    ("sums", SCHEMA_3),
    ("row_sums", SCHEMA_4),
];

/// There is one owner, one epoch and one chain for a store, whatever its shards;
/// `shard` is 0 in every row until an actor's shard matters.
///
/// - `groups` has no index on records: each names the one before it, and the
///   newest of each actor is known in memory.
/// - `snapshots_by_actor` covers listing, which so reads no body.
const SCHEMA_1: &str = "
CREATE TABLE store (
    id          INTEGER PRIMARY KEY CHECK (id = 0),
    shard       INTEGER NOT NULL DEFAULT 0,
    store_id    TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    last_pos    INTEGER NOT NULL,
    last_hash   BLOB    NOT NULL,
    known       INTEGER NOT NULL,
    tail_start  INTEGER NOT NULL
);
CREATE TABLE groups (
    first_pos   INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL DEFAULT 0,
    last_pos    INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    records     INTEGER NOT NULL,
    time_ms     INTEGER NOT NULL,
    prev_hash   BLOB    NOT NULL,
    hash        BLOB    NOT NULL,
    body        BLOB    NOT NULL
);
CREATE TABLE snapshots (
    position    INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL DEFAULT 0,
    actor       TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    version     TEXT    NOT NULL,
    time_ms     INTEGER NOT NULL,
    body        BLOB    NOT NULL
);
CREATE UNIQUE INDEX snapshots_by_actor ON snapshots (actor, position, seq, version);
CREATE TABLE casts (
    position    INTEGER NOT NULL,
    idx         INTEGER NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    sender      TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    hops        INTEGER NOT NULL,
    PRIMARY KEY (position, idx)
);
CREATE TABLE timers (
    actor       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    shard       INTEGER NOT NULL DEFAULT 0,
    due_ms      INTEGER NOT NULL,
    set_at      INTEGER NOT NULL,
    version     TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    PRIMARY KEY (actor, name)
);
CREATE INDEX timers_by_due ON timers (due_ms);
CREATE TABLE dead_letters (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    shard       INTEGER NOT NULL DEFAULT 0,
    position    INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    reason      TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    time_ms     INTEGER NOT NULL
);
CREATE TABLE quarantine (
    actor       TEXT    PRIMARY KEY,
    shard       INTEGER NOT NULL DEFAULT 0,
    position    INTEGER NOT NULL,
    reason      TEXT    NOT NULL
);
CREATE TABLE kv (
    key         TEXT    PRIMARY KEY,
    shard       INTEGER NOT NULL DEFAULT 0,
    value       BLOB    NOT NULL
);
INSERT INTO store (id, store_id, epoch, last_pos, last_hash, known, tail_start)
VALUES (0, lower(hex(randomblob(16))), 0, 0, zeroblob(32), 0, 1);
";

const SCHEMA_2: &str = include_str!("schema_2.sql");

const SCHEMA_3: &str = include_str!("schema_3.sql");

const SCHEMA_4: &str = include_str!("schema_4.sql");

/// The schema from which on the store's own row has a sum.
pub(super) const SUMS: i64 = 3;

/// The schema from which on the rows beside the groups have sums.
pub(super) const ROW_SUMS: i64 = 4;

/// What taking a store over gave.
pub(super) struct Owner {
    pub(super) epoch: u64,
    pub(super) store_id: String,
    pub(super) meta: Meta,
}

/// The schema of a database of ours, 0 of an empty one; changes nothing.
pub(super) fn found(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let found = identify(connection).map_err(StoreError::of("read the database's header"))?;
    match found {
        Found::Foreign => Err(OpenError::NotOurs {
            path: path.to_owned(),
        }),
        Found::Schema(version) => accepts(version, MIGRATIONS.len()).map(|_| version),
    }
}

/// Makes the database ours, which has schema `version`: pragmas, and the schema of today.
pub(super) fn prepare(connection: &mut Connection, version: i64) -> Result<(), OpenError> {
    let is_behind = accepts(version, MIGRATIONS.len())?;
    configure(connection).map_err(StoreError::of("configure the database"))?;
    if is_behind {
        migrate(connection, version).map_err(StoreError::of("bring the schema up to date"))?;
    }
    Ok(())
}

/// The newest schema.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful")
}

/// The schema of a database of ours that is only read, if this host can.
pub(super) fn readable(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let found = identify(connection).map_err(StoreError::of("read the database's header"))?;
    let known = newest();
    match found {
        Found::Schema(found) if found > known + 1 => Err(OpenError::NewerSchema { found, known }),
        Found::Schema(found) if found > 0 && found >= known - 1 => Ok(found),
        Found::Schema(found) if found > 0 => Err(OpenError::OlderSchema { found, known }),
        Found::Schema(_) | Found::Foreign => Err(OpenError::NotOurs {
            path: path.to_owned(),
        }),
    }
}

/// Raises the epoch, and reads what the last owner left. With a `new_timeline` this home
/// knows nothing of the store, see [`crate::timeline`].
pub(super) fn take_ownership(
    connection: &mut Connection,
    new_timeline: bool,
) -> Result<Owner, StoreError> {
    // A transaction of its own: a statement that gives rows commits when it is put
    // away, and what goes wrong with that would be told to no one.
    let take = |transaction: &Transaction<'_>| {
        transaction.query_row(
            "UPDATE store SET epoch = epoch + 1, summed_epoch =
             CASE WHEN summed_epoch = epoch THEN epoch + 1 ELSE summed_epoch END WHERE id = 0
             RETURNING epoch, store_id, last_pos, last_hash, known, tail_start",
            [],
            |row| {
                Ok(Owner {
                    epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                    store_id: row.get(1)?,
                    meta: Meta {
                        last: Position(row.get::<_, i64>(2)?.cast_unsigned()),
                        hash: hash_of(row, 3)?,
                        known: row.get::<_, i64>(4)?.cast_unsigned(),
                        tail_start: Position(row.get::<_, i64>(5)?.cast_unsigned()),
                    },
                })
            },
        )
    };
    let mut taken = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let owner = take(&transaction)?;
        if new_timeline && owner.meta.last > Position(0) {
            begin_timeline(&transaction, owner.meta.last)?;
        }
        transaction.commit()?;
        Ok(owner)
    };
    taken().map_err(StoreError::of::<Box<dyn Error + Send + Sync>>(
        "take ownership",
    ))
}

fn begin_timeline(
    transaction: &Transaction<'_>,
    last: Position,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let sql = "SELECT value FROM kv WHERE key = ?1";
    let value = transaction.query_row(sql, [TIMELINES], |row| row.get::<_, Vec<u8>>(0));
    let value = Timelines::open(value.optional()?.as_deref())?.begin_behind(last)?;
    write_value(transaction, TIMELINES, &value)?;
    Ok(())
}

enum Found {
    /// 0: an empty file.
    Schema(i64),
    Foreign,
}

fn identify(connection: &Connection) -> rusqlite::Result<Found> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    Ok(match (id, tables) {
        (APPLICATION_ID, _) => Found::Schema(version),
        (0, 0) if version == 0 => Found::Schema(0),
        _ => Found::Foreign,
    })
}

pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        // A file system without shared memory, for example a network share.
        return Err(rusqlite::Error::InvalidParameterName(format!(
            "journal_mode is {mode}, and WAL is not possible here: use a local disk"
        )));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "memory")
}

/// KiB of pages kept by the writer.
const CACHE_KIB: i64 = 16 << 10;

/// Brings the tables from schema `version` to that of today; 0: there are none.
pub(super) fn migrate(
    connection: &mut Connection,
    version: i64,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    // Marked before anything is in it: a start that ends half-way leaves a file of ours.
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    let migrations = || {
        runner(MIGRATIONS, |sql, number| {
            format!("{sql}\nPRAGMA user_version = {number};")
        })
    };
    // Hosts before this one counted in `user_version` only: what it says is done is
    // noted as done.
    let done = Target::FakeVersion(i32::try_from(version)?);
    migrations().set_target(done).run(connection)?;
    migrations().run(connection)?;
    Ok(())
}
