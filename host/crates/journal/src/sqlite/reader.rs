//! The reading side: each question to the store is one statement, and so sees one
//! state of it.

use std::collections::HashSet;

use bytes::Bytes;
use host_model::ActorId;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Row, params};

use super::beside::{LETTER_ID, cast, letter, quarantined, timer, value};
use super::pool::Pool;
use super::{answers, outbox, pieces};
use crate::error::StoreError;
use crate::files::beside;
use crate::group::Hash;
use crate::own::{OwnRow, Summed};
use crate::store::{
    Copier, GroupRow, Inspect, Listed, Meta, Reader, SnapshotKey, SnapshotRow, TimerMark,
};
use crate::store::{listed_between, timers_behind};
use crate::sums::{CASTS, QUARANTINE, TIMERS, VALUES};
use crate::{
    AnswerKey, CastId, CastRow, DeadLetter, KeptAnswer, OutboxId, OutboxRow, PieceId, Position,
    TimerRow,
};

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

    fn snapshots(
        &self,
        actors: &[ActorId],
        bytes_max: usize,
    ) -> Result<Vec<Option<SnapshotRow>>, StoreError> {
        let named: Vec<_> = actors.iter().map(ActorId::as_str).collect();
        let named = serde_json::to_string(&named).expect("text is plain data");
        let mut bytes = 0;
        let rows = self.rows_until(
            "read snapshots",
            "SELECT wanted.key, position, seq, body FROM json_each(?1) AS wanted
             CROSS JOIN snapshots ON position =
                 (SELECT max(position) FROM snapshots WHERE actor = wanted.value)",
            [named],
            |row| {
                let found = SnapshotRow {
                    position: position(row, 1)?,
                    seq: unsigned(row, 2)?,
                    body: row.get(3)?,
                };
                Ok((row.get::<_, u32>(0)? as usize, found))
            },
            |(_, found)| {
                bytes += found.body.len();
                bytes >= bytes_max
            },
        )?;
        Ok(SnapshotRow::in_place(rows, actors.len(), bytes_max))
    }

    fn piece(&self, id: PieceId) -> Result<Option<Vec<u8>>, StoreError> {
        pieces::read(self, id)
    }

    fn stray_pieces(&self, through: Position, limit: usize) -> Result<Vec<PieceId>, StoreError> {
        pieces::stray(self, through, limit)
    }

    fn snapshot_seqs(&self, actors: &[&str]) -> Result<Vec<(ActorId, u64)>, StoreError> {
        let actors = serde_json::to_string(actors).expect("text is plain data");
        // The sequence is of the row with the highest position: SQLite, "Bare columns in an
        // aggregate query".
        self.rows(
            "read the sequences of snapshots",
            "SELECT actor, seq, max(position) FROM snapshots
             WHERE actor IN (SELECT value FROM json_each(?1)) GROUP BY actor",
            [actors],
            |row| Ok((parsed(row, 0)?, unsigned(row, 1)?)),
        )
    }

    fn groups(&self, from: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        let exact = if self.has_sums() { "exact" } else { "0" };
        self.rows(
            "read groups",
            &format!(
                "SELECT first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body, {exact}
                 FROM groups
                 WHERE last_pos >= ?1 AND first_pos >= coalesce(
                     (SELECT first_pos FROM groups WHERE first_pos <= ?1
                      ORDER BY first_pos DESC LIMIT 1), 0)
                 ORDER BY first_pos LIMIT ?2"
            ),
            params![from.0.cast_signed(), rows_max(limit)],
            group,
        )
    }

    fn groups_before(&self, before: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        self.rows(
            "read groups backwards",
            "SELECT first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body, 0
             FROM groups WHERE first_pos < ?1 ORDER BY first_pos DESC LIMIT ?2",
            params![before.0.cast_signed(), rows_max(limit)],
            group,
        )
    }

    fn kept(&self, actor: &ActorId) -> Result<Vec<SnapshotKey>, StoreError> {
        self.rows(
            "list an actor's snapshots",
            "SELECT position, actor, seq, version FROM snapshots WHERE actor = ?1
             ORDER BY position DESC",
            [actor.as_str()],
            snapshot_key,
        )
    }

    fn snapshots_by_actor(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<SnapshotKey>, StoreError> {
        self.rows(
            "list the snapshots of actors",
            "SELECT position, actor, seq, version FROM snapshots WHERE actor > ?1
             ORDER BY actor, position LIMIT ?2",
            params![after, rows_max(limit)],
            snapshot_key,
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

    fn needed(&self, limit: usize) -> Result<Option<Vec<(Position, ActorId)>>, StoreError> {
        // The last but one of each actor: behind it stands one, and no more.
        let needed = self.rows(
            "look for what the kept snapshots need",
            "SELECT position, actor FROM
             (SELECT position, actor, seq, lead(seq) OVER its AS last, lead(seq, 2) OVER its AS more
              FROM snapshots WINDOW its AS (PARTITION BY actor ORDER BY position))
             WHERE last > seq AND more IS NULL ORDER BY position LIMIT ?1",
            [rows_max(limit)],
            |row| Ok((position(row, 0)?, parsed(row, 1)?)),
        )?;
        Ok(Some(needed))
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    fn copier(&self) -> &dyn Copier {
        self
    }

    fn own(&self) -> Result<Option<OwnRow>, StoreError> {
        let sums = match self.has_sums() {
            true => "sum, summed_epoch",
            false => "NULL, NULL",
        };
        self.row(
            "read the store's own row",
            &format!(
                "SELECT last_pos, last_hash, known, tail_start, store_id, epoch, {sums}
                 FROM store WHERE id = 0"
            ),
            [],
            |row| {
                let sum: Option<i64> = row.get(6)?;
                let of: Option<i64> = row.get(7)?;
                Ok(OwnRow {
                    store_id: row.get(4)?,
                    epoch: unsigned(row, 5)?,
                    meta: Meta {
                        last: position(row, 0)?,
                        hash: hash_of(row, 1)?,
                        known: unsigned(row, 2)?,
                        tail_start: position(row, 3)?,
                    },
                    summed: sum.zip(of).map(|(sum, of)| Summed {
                        sum,
                        epoch: of.cast_unsigned(),
                    }),
                })
            },
        )
    }

    fn list(
        &self,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let (above, below) = listed_between(plugin, after);
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
            &self.select(
                &CASTS,
                "WHERE (position, idx) > (?1, ?2) ORDER BY position, idx LIMIT ?3",
            ),
            params![above, index, rows_max(limit)],
            cast,
        )
    }

    fn timers_due(
        &self,
        now_ms: i64,
        after: Option<&TimerMark>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let (due_ms, actor, name) = timers_behind(after);
        self.rows(
            "read timers",
            &self.select(
                &TIMERS,
                "WHERE due_ms <= ?1 AND (due_ms, actor, name) > (?2, ?3, ?4)
                 ORDER BY due_ms, actor, name LIMIT ?5",
            ),
            params![now_ms, due_ms, actor, name, rows_max(limit)],
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

    fn timer(&self, actor: &ActorId, name: &str) -> Result<Option<TimerRow>, StoreError> {
        self.row(
            "read a timer",
            &self.select(&TIMERS, "WHERE actor = ?1 AND name = ?2"),
            [actor.as_str(), name],
            timer,
        )
    }

    fn timers_of(&self, actor: &ActorId) -> Result<Vec<TimerRow>, StoreError> {
        self.rows(
            "read an actor's timers",
            &self.select(&TIMERS, "WHERE actor = ?1 ORDER BY name"),
            [actor.as_str()],
            timer,
        )
    }

    fn with_timers(&self, actors: &[&str]) -> Result<HashSet<ActorId>, StoreError> {
        let actors = serde_json::to_string(actors).expect("text is plain data");
        let actors = self.rows(
            "look for timers",
            "SELECT DISTINCT actor FROM timers
             WHERE actor IN (SELECT value FROM json_each(?1))",
            [actors],
            |row| parsed(row, 0),
        )?;
        Ok(actors.into_iter().collect())
    }

    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        self.rows(
            "read dead letters",
            &self.letters("WHERE id > ?1 ORDER BY id LIMIT ?2"),
            params![i64::try_from(after).unwrap_or(i64::MAX), rows_max(limit)],
            |row| Ok((unsigned(row, LETTER_ID)?, letter(row)?)),
        )
    }

    fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, StoreError> {
        self.row(
            "read a dead letter",
            &self.letters("WHERE id = ?1"),
            [i64::try_from(id).unwrap_or(i64::MAX)],
            letter,
        )
    }

    fn answer(&self, key: &AnswerKey) -> Result<Option<KeptAnswer>, StoreError> {
        answers::read(self, key)
    }

    fn oldest_answer(&self) -> Result<Option<i64>, StoreError> {
        answers::oldest(self)
    }

    fn outbox(&self, after: Option<OutboxId>, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        outbox::list(self, after, limit)
    }

    fn outbox_due(
        &self,
        now_ms: i64,
        after: Option<(i64, OutboxId)>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        outbox::due(self, now_ms, after, limit)
    }

    fn outbox_row(&self, id: OutboxId) -> Result<Option<(OutboxRow, Bytes)>, StoreError> {
        outbox::read(self, id)
    }

    fn next_outbox(&self) -> Result<Option<i64>, StoreError> {
        outbox::next(self)
    }

    fn quarantine(&self, actor: &ActorId) -> Result<Option<String>, StoreError> {
        self.row(
            "read an actor's quarantine",
            &self.select(&QUARANTINE, "WHERE actor = ?1"),
            [actor.as_str()],
            |row| Ok(quarantined(row)?.1),
        )
    }

    fn quarantined(&self) -> Result<Vec<(ActorId, String)>, StoreError> {
        self.rows(
            "read the quarantine",
            &self.select(&QUARANTINE, "ORDER BY actor"),
            [],
            quarantined,
        )
    }

    fn value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.row(
            "read a value",
            &self.select(&VALUES, "WHERE key = ?1"),
            [key],
            |row| Ok(value(row)?.1),
        )
    }

    fn values(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.rows(
            "read values",
            &self.select(
                &VALUES,
                "WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 ORDER BY key",
            ),
            [prefix],
            value,
        )
    }

    fn bytes(&self) -> u64 {
        [self.path().to_owned(), beside(self.path(), "-wal")]
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|file| file.len())
            .sum()
    }

    fn snapshot_bytes(&self, actors: u64) -> Result<Option<u64>, StoreError> {
        // Of a small body the row's page is read with it: all of them are the whole table. Of
        // a piece it is the length alone.
        let sample = self.row(
            "look how long snapshots are",
            "WITH RECURSIVE
             spots (spot) AS (SELECT 0 UNION ALL SELECT spot + 1 FROM spots WHERE spot < 31),
             ends (lowest, highest) AS (SELECT (SELECT min(position) FROM snapshots),
                                               (SELECT max(position) FROM snapshots))
             SELECT CAST(coalesce(avg((SELECT avg(bytes) FROM
                         (SELECT length(body) AS bytes FROM snapshots
                          WHERE position >= lowest + (highest - lowest) * spot / 32
                          ORDER BY position LIMIT 32))), 0) AS INTEGER),
                    (SELECT coalesce(sum(length(body)), 0) FROM snapshot_pieces)
             FROM spots, ends",
            [],
            |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)),
        )?;
        let (small, pieces) = sample.unwrap_or_default();
        Ok(Some(actors.saturating_mul(small).saturating_add(pieces)))
    }
}

/// A group from its columns.
fn group(row: &Row<'_>) -> rusqlite::Result<GroupRow> {
    Ok(GroupRow {
        first: position(row, 0)?,
        last: position(row, 1)?,
        epoch: unsigned(row, 2)?,
        records: row.get(3)?,
        time_ms: row.get(4)?,
        prev_hash: hash_of(row, 5)?,
        hash: hash_of(row, 6)?,
        body: row.get(7)?,
        exact: row.get(8)?,
    })
}

pub(super) fn snapshot_key(row: &Row<'_>) -> rusqlite::Result<SnapshotKey> {
    Ok(SnapshotKey {
        position: position(row, 0)?,
        actor: row.get(1)?,
        seq: unsigned(row, 2)?,
        version: row.get(3)?,
    })
}

pub(super) fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    unsigned(row, column).map(Position)
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

/// A hash in a column.
pub(super) fn hash_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    Hash::column_result(row.get_ref(column)?).map_err(|error| unreadable(column, error.to_string()))
}

/// A text in a column, as what it means.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|error: T::Err| unreadable(column, error.to_string()))
}

pub(super) fn unreadable(column: usize, problem: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem.into())
}

/// SQLite takes a negative limit for none.
pub(super) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
