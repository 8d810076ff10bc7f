//! The reading side: each question to the store is one statement, and so sees one
//! state of it.

use bytes::Bytes;
use host_model::ActorId;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Row, params};

use super::beside;
use super::pool::Pool;
use crate::error::StoreError;
use crate::group::Hash;
use crate::store::{GroupRow, Listed, Reader, SnapshotRow};
use crate::{CastId, CastRow, DeadLetter, DeadLetterKind, Letter, Position, TimerRow};

impl Reader for Pool {
    fn snapshot(&self, actor: &ActorId) -> Result<Option<SnapshotRow>, StoreError> {
        self.row(
            "read a snapshot",
            "SELECT position, seq, body FROM snapshots WHERE actor = ?1
             ORDER BY position DESC LIMIT 1",
            [actor.as_str()],
            |row| {
                Ok(SnapshotRow {
                    position: position(row, 0)?,
                    seq: unsigned(row, 1)?,
                    body: row.get(2)?,
                })
            },
        )
    }

    fn snapshot_seq(&self, actor: &ActorId) -> Result<Option<u64>, StoreError> {
        self.row(
            "read a snapshot's sequence",
            "SELECT seq FROM snapshots WHERE actor = ?1 ORDER BY position DESC LIMIT 1",
            [actor.as_str()],
            |row| unsigned(row, 0),
        )
    }

    fn groups(&self, from: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        self.rows(
            "read groups",
            "SELECT first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body
             FROM groups
             WHERE last_pos >= ?1 AND first_pos >= coalesce(
                 (SELECT first_pos FROM groups WHERE first_pos <= ?1
                  ORDER BY first_pos DESC LIMIT 1), 0)
             ORDER BY first_pos LIMIT ?2",
            params![from.0.cast_signed(), rows_max(limit)],
            |row| {
                Ok(GroupRow {
                    first: position(row, 0)?,
                    last: position(row, 1)?,
                    epoch: unsigned(row, 2)?,
                    records: row.get(3)?,
                    time_ms: row.get(4)?,
                    prev_hash: hash_of(row, 5)?,
                    hash: hash_of(row, 6)?,
                    body: row.get(7)?,
                })
            },
        )
    }

    fn hash_before(&self, before: Position) -> Result<Option<Hash>, StoreError> {
        self.row(
            "read a hash",
            "SELECT hash FROM groups WHERE first_pos < ?1 AND last_pos < ?1
             ORDER BY first_pos DESC LIMIT 1",
            [before.0.cast_signed()],
            |row| hash_of(row, 0),
        )
    }

    fn list(
        &self,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        // ';' follows ':' in the order of bytes; no text is above U+10FFFF.
        let (mut above, below) = match plugin {
            "" => (String::new(), "\u{10ffff}".to_owned()),
            plugin => (format!("{plugin}:"), format!("{plugin};")),
        };
        if let Some(after) = after
            && after.as_str() > above.as_str()
        {
            above = after.as_str().to_owned();
        }
        // Beside max() SQLite takes the other columns from the row that has it.
        self.rows(
            "list actors",
            "SELECT actor, max(position), seq, version FROM snapshots
             WHERE actor > ?1 AND actor < ?2 GROUP BY actor ORDER BY actor LIMIT ?3",
            params![above, below, rows_max(limit)],
            |row| {
                Ok(Listed {
                    id: parsed(row, 0)?,
                    seq: unsigned(row, 2)?,
                    version: parsed(row, 3)?,
                })
            },
        )
    }

    fn casts(&self, after: Option<CastId>, limit: usize) -> Result<Vec<CastRow>, StoreError> {
        let (above, index) = after.map_or((-1, 0), |id| (id.position.0.cast_signed(), id.index));
        self.rows(
            "read casts",
            "SELECT position, idx, sender, target, version, event, payload, hops FROM casts
             WHERE (position, idx) > (?1, ?2) ORDER BY position, idx LIMIT ?3",
            params![above, index, rows_max(limit)],
            |row| {
                Ok(CastRow {
                    id: CastId {
                        position: position(row, 0)?,
                        index: row.get(1)?,
                    },
                    letter: Letter {
                        from: parsed(row, 2)?,
                        to: parsed(row, 3)?,
                        version: parsed(row, 4)?,
                        event: row.get(5)?,
                        payload: bytes(row, 6)?,
                        hops: row.get(7)?,
                    },
                })
            },
        )
    }

    fn timers_due(&self, now_ms: i64, limit: usize) -> Result<Vec<TimerRow>, StoreError> {
        self.rows(
            "read timers",
            "SELECT actor, name, due_ms, set_at, version, payload FROM timers
             WHERE due_ms <= ?1 ORDER BY due_ms, rowid LIMIT ?2",
            params![now_ms, rows_max(limit)],
            timer,
        )
    }

    fn next_timer(&self) -> Result<Option<i64>, StoreError> {
        let due = self.row(
            "read the next timer",
            "SELECT min(due_ms) FROM timers",
            [],
            |row| row.get(0),
        )?;
        Ok(due.flatten())
    }

    fn timers_of(&self, actor: &ActorId) -> Result<Vec<TimerRow>, StoreError> {
        self.rows(
            "read an actor's timers",
            "SELECT actor, name, due_ms, set_at, version, payload FROM timers
             WHERE actor = ?1 ORDER BY name",
            [actor.as_str()],
            timer,
        )
    }

    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        self.rows(
            "read dead letters",
            "SELECT id, kind, actor, version, event, payload, reason, message, time_ms
             FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2",
            params![i64::try_from(after).unwrap_or(i64::MAX), rows_max(limit)],
            |row| {
                let letter = DeadLetter {
                    kind: kind(row, 1)?,
                    actor: parsed(row, 2)?,
                    version: parsed(row, 3)?,
                    event: row.get(4)?,
                    payload: bytes(row, 5)?,
                    reason: row.get(6)?,
                    message: row.get(7)?,
                    time_ms: row.get(8)?,
                };
                Ok((unsigned(row, 0)?, letter))
            },
        )
    }

    fn quarantine(&self, actor: &ActorId) -> Result<Option<String>, StoreError> {
        self.row(
            "read an actor's quarantine",
            "SELECT reason FROM quarantine WHERE actor = ?1",
            [actor.as_str()],
            |row| row.get(0),
        )
    }

    fn quarantined(&self) -> Result<Vec<(ActorId, String)>, StoreError> {
        self.rows(
            "read the quarantine",
            "SELECT actor, reason FROM quarantine ORDER BY actor",
            [],
            |row| Ok((parsed(row, 0)?, row.get(1)?)),
        )
    }

    fn value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.row(
            "read a value",
            "SELECT value FROM kv WHERE key = ?1",
            [key],
            |row| bytes(row, 0),
        )
    }

    fn values(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.rows(
            "read values",
            "SELECT key, value FROM kv
             WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 ORDER BY key",
            [prefix],
            |row| Ok((row.get(0)?, bytes(row, 1)?)),
        )
    }

    fn bytes(&self) -> u64 {
        [self.path().to_owned(), beside(self.path(), "-wal")]
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|file| file.len())
            .sum()
    }
}

fn timer(row: &Row<'_>) -> rusqlite::Result<TimerRow> {
    Ok(TimerRow {
        actor: parsed(row, 0)?,
        name: row.get(1)?,
        due_ms: row.get(2)?,
        set_at: position(row, 3)?,
        version: parsed(row, 4)?,
        payload: bytes(row, 5)?,
    })
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<DeadLetterKind> {
    let name: String = row.get(column)?;
    kind_of(&name).ok_or_else(|| unreadable(column, format!("{name:?} is no kind of dead letter")))
}

/// What [`kind_name`](super::kind_name) gave.
pub(crate) fn kind_of(name: &str) -> Option<DeadLetterKind> {
    [
        DeadLetterKind::Command,
        DeadLetterKind::Cast,
        DeadLetterKind::Timer,
    ]
    .into_iter()
    .find(|kind| super::kind_name(*kind) == name)
}

fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    unsigned(row, column).map(Position)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

/// A hash in a column.
pub(super) fn hash_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    Hash::column_result(row.get_ref(column)?).map_err(|error| unreadable(column, error.to_string()))
}

fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: T::Err| unreadable(column, error.to_string()))
}

fn unreadable(column: usize, problem: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem.into())
}

/// SQLite takes a negative limit for none.
fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
