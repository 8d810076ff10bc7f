//! The reading side: each question to the store is one statement, and so sees one
//! state of it.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use host_model::ActorId;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::beside::{
    LETTER_ID, cast, letter, letters, quarantined, summed, timer, timer_columns, value,
};
use super::pool::{Pool, Unreadable};
use super::session::hash_of;
use super::{answers, outbox, owner, pieces};
use crate::error::StoreError;
use crate::group::Hash;
use crate::own::OwnRow;
use crate::store::{
    Copier, GroupRow, Inspect, Listed, Reader, SnapshotKey, SnapshotRow, TimerMark,
};
use crate::store::{listed_between, timers_behind};
use crate::{
    AnswerKey, CastId, CastRow, DeadLetter, KeptAnswer, OutboxId, OutboxRow, PieceId, Position,
    TimerRow,
};

/// Reads groups; what is named says whether their positions are those of records.
macro_rules! groups {
    ($exact:literal) => {
        concat!(
            "SELECT first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body, ",
            $exact,
            " FROM groups
             WHERE last_pos >= $1 AND first_pos >= coalesce(
                 (SELECT first_pos FROM groups WHERE first_pos <= $1
                  ORDER BY first_pos DESC LIMIT 1), 0)
             ORDER BY first_pos LIMIT $2"
        )
    };
}

impl Reader for Pool {
    fn lost(&self) -> Option<Arc<str>> {
        self.truth().lost()
    }

    fn away(&self) -> Option<Arc<str>> {
        self.truth().away()
    }

    fn snapshot(&self, actor: &ActorId) -> Result<Option<SnapshotRow>, StoreError> {
        self.row(
            "read a snapshot",
            "SELECT position, seq, body FROM snapshots WHERE actor = $1
             ORDER BY position DESC LIMIT 1",
            vec![Box::new(actor.as_str().to_owned())],
            |row| {
                Ok(SnapshotRow {
                    position: position(row, 0)?,
                    seq: unsigned(row, 1)?,
                    body: get(row, 2)?,
                })
            },
        )
    }

    fn snapshots(
        &self,
        actors: &[ActorId],
        bytes_max: usize,
    ) -> Result<Vec<Option<SnapshotRow>>, StoreError> {
        let named: Vec<_> = actors.iter().map(|it| it.as_str().to_owned()).collect();
        let rows = self.rows(
            "read snapshots",
            "SELECT place, position, seq, body FROM
             (SELECT place, position, seq, body,
                     sum(octet_length(body)) OVER (ORDER BY place) - octet_length(body) AS earlier
              FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
              CROSS JOIN LATERAL
                  (SELECT position, seq, body FROM snapshots WHERE actor = wanted.name
                   ORDER BY position DESC LIMIT 1) AS its) AS found
             WHERE earlier < $2 ORDER BY place",
            vec![Box::new(named), Box::new(rows_max(bytes_max.max(1)))],
            |row| {
                let found = SnapshotRow {
                    position: position(row, 1)?,
                    seq: unsigned(row, 2)?,
                    body: get(row, 3)?,
                };
                Ok((unsigned(row, 0)? as usize - 1, found))
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
        let actors: Vec<_> = actors.iter().map(|&actor| actor.to_owned()).collect();
        self.rows(
            "read the sequences of snapshots",
            "SELECT DISTINCT ON (actor) actor, seq FROM snapshots
             WHERE actor = ANY($1) ORDER BY actor, position DESC",
            vec![Box::new(actors)],
            |row| Ok((parsed(row, 0)?, unsigned(row, 1)?)),
        )
    }

    fn groups(&self, from: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        let sql = match self.has_sums() {
            true => groups!("exact"),
            false => groups!("false"),
        };
        self.rows(
            "read groups",
            sql,
            vec![Box::new(from.0.cast_signed()), Box::new(rows_max(limit))],
            group,
        )
    }

    fn groups_before(&self, before: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        self.rows(
            "read groups backwards",
            "SELECT first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body, false
             FROM groups WHERE first_pos < $1 ORDER BY first_pos DESC LIMIT $2",
            vec![Box::new(before.0.cast_signed()), Box::new(rows_max(limit))],
            group,
        )
    }

    fn kept(&self, actor: &ActorId) -> Result<Vec<SnapshotKey>, StoreError> {
        self.rows(
            "list an actor's snapshots",
            "SELECT position, actor, seq, version FROM snapshots WHERE actor = $1
             ORDER BY position DESC",
            vec![Box::new(actor.as_str().to_owned())],
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
            "SELECT position, actor, seq, version FROM snapshots WHERE actor > $1
             ORDER BY actor, position LIMIT $2",
            vec![Box::new(after.to_owned()), Box::new(rows_max(limit))],
            snapshot_key,
        )
    }

    fn hash_before(&self, before: Position) -> Result<Option<Hash>, StoreError> {
        self.row(
            "read a hash",
            "SELECT hash FROM groups WHERE first_pos < $1 AND last_pos < $1
             ORDER BY first_pos DESC LIMIT 1",
            vec![Box::new(before.0.cast_signed())],
            |row| Ok(hash_of(row, 0)?),
        )
    }

    fn inspect(&self) -> &dyn Inspect {
        self
    }

    fn copier(&self) -> &dyn Copier {
        self
    }

    fn own(&self) -> Result<Option<OwnRow>, StoreError> {
        let sql = owner::own_sql(self.has_sums());
        self.row("read the store's own row", sql, Vec::new(), |row| {
            Ok(owner::own(row)?)
        })
    }

    fn needed(&self, limit: usize) -> Result<Option<Vec<(Position, ActorId)>>, StoreError> {
        // See SQLite's.
        let needed = self.rows(
            "look for what the kept snapshots need",
            "SELECT position, actor FROM
             (SELECT position, actor, seq, lead(seq) OVER its AS last, lead(seq, 2) OVER its AS more
              FROM snapshots WINDOW its AS (PARTITION BY actor ORDER BY position)) AS its
             WHERE last > seq AND more IS NULL ORDER BY position LIMIT $1",
            vec![Box::new(rows_max(limit))],
            |row| Ok((position(row, 0)?, parsed(row, 1)?)),
        )?;
        Ok(Some(needed))
    }

    fn list(
        &self,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let (above, below) = listed_between(plugin, after);
        self.rows(
            "list actors",
            "SELECT DISTINCT ON (actor) actor, seq, version FROM snapshots
             WHERE actor > $1 AND actor < $2 ORDER BY actor, position DESC LIMIT $3",
            vec![Box::new(above), Box::new(below), Box::new(rows_max(limit))],
            |row| {
                Ok(Listed {
                    id: parsed(row, 0)?,
                    seq: unsigned(row, 1)?,
                    version: parsed(row, 2)?,
                })
            },
        )
    }

    fn casts(&self, after: Option<CastId>, limit: usize) -> Result<Vec<CastRow>, StoreError> {
        let (above, index) = after.map_or((-1, 0), |id| (id.position.0.cast_signed(), id.index));
        self.rows(
            "read casts",
            summed!(
                self,
                "position, idx, sender, target, version, event, payload, hops";
                "FROM casts WHERE (position, idx) > ($1, $2) ORDER BY position, idx LIMIT $3"
            ),
            vec![
                Box::new(above),
                Box::new(index.cast_signed()),
                Box::new(rows_max(limit)),
            ],
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
            summed!(
                self,
                timer_columns!();
                "FROM timers WHERE due_ms <= $1 AND (due_ms, actor, name) > ($2, $3, $4)
                 ORDER BY due_ms, actor, name LIMIT $5"
            ),
            vec![
                Box::new(now_ms),
                Box::new(due_ms),
                Box::new(actor.to_owned()),
                Box::new(name.to_owned()),
                Box::new(rows_max(limit)),
            ],
            timer,
        )
    }

    fn next_timer(&self) -> Result<Option<i64>, StoreError> {
        let due = self.row(
            "read the next timer",
            "SELECT min(due_ms) FROM timers",
            Vec::new(),
            |row| get::<Option<i64>>(row, 0),
        )?;
        Ok(due.flatten())
    }

    fn timer(&self, actor: &ActorId, name: &str) -> Result<Option<TimerRow>, StoreError> {
        self.row(
            "read a timer",
            summed!(
                self,
                timer_columns!();
                "FROM timers WHERE actor = $1 AND name = $2"
            ),
            vec![
                Box::new(actor.as_str().to_owned()),
                Box::new(name.to_owned()),
            ],
            timer,
        )
    }

    fn timers_of(&self, actor: &ActorId) -> Result<Vec<TimerRow>, StoreError> {
        self.rows(
            "read an actor's timers",
            summed!(
                self,
                timer_columns!();
                "FROM timers WHERE actor = $1 ORDER BY name"
            ),
            vec![Box::new(actor.as_str().to_owned())],
            timer,
        )
    }

    fn with_timers(&self, actors: &[&str]) -> Result<HashSet<ActorId>, StoreError> {
        let actors: Vec<_> = actors.iter().map(|&actor| actor.to_owned()).collect();
        let actors = self.rows(
            "look for timers",
            "SELECT DISTINCT actor FROM timers WHERE actor = ANY($1)",
            vec![Box::new(actors)],
            |row| parsed(row, 0),
        )?;
        Ok(actors.into_iter().collect())
    }

    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        self.rows(
            "read dead letters",
            letters!(self, "WHERE id > $1 ORDER BY id LIMIT $2"),
            vec![Box::new(number(after)), Box::new(rows_max(limit))],
            |row| Ok((unsigned(row, LETTER_ID)?, letter(row)?)),
        )
    }

    fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, StoreError> {
        self.row(
            "read a dead letter",
            letters!(self, "WHERE id = $1"),
            vec![Box::new(number(id))],
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
            summed!(
                self,
                "actor, position, reason";
                "FROM quarantine WHERE actor = $1"
            ),
            vec![Box::new(actor.as_str().to_owned())],
            |row| Ok(quarantined(row)?.1),
        )
    }

    fn quarantined(&self) -> Result<Vec<(ActorId, String)>, StoreError> {
        self.rows(
            "read the quarantine",
            summed!(
                self,
                "actor, position, reason";
                "FROM quarantine ORDER BY actor"
            ),
            Vec::new(),
            quarantined,
        )
    }

    fn value(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.row(
            "read a value",
            summed!(self, "key, value"; "FROM kv WHERE key = $1"),
            vec![Box::new(key.to_owned())],
            |row| Ok(value(row)?.1),
        )
    }

    fn values(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.rows(
            "read values",
            summed!(
                self,
                "key, value";
                "FROM kv WHERE key >= $1 AND starts_with(key, $1) ORDER BY key"
            ),
            vec![Box::new(prefix.to_owned())],
            value,
        )
    }

    /// As of some seconds ago: asking takes a look at every file.
    fn bytes(&self) -> u64 {
        self.truth().bytes()
    }
}

/// Of a dead letter: PostgreSQL's are signed.
fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// A group from its columns.
fn group(row: &Row) -> Result<GroupRow, Unreadable> {
    Ok(GroupRow {
        first: position(row, 0)?,
        last: position(row, 1)?,
        epoch: unsigned(row, 2)?,
        records: small(row, 3)?,
        time_ms: get(row, 4)?,
        prev_hash: hash_of(row, 5)?,
        hash: hash_of(row, 6)?,
        body: get(row, 7)?,
        exact: get(row, 8)?,
    })
}

pub(super) fn snapshot_key(row: &Row) -> Result<SnapshotKey, Unreadable> {
    Ok(SnapshotKey {
        position: position(row, 0)?,
        actor: get(row, 1)?,
        seq: unsigned(row, 2)?,
        version: get(row, 3)?,
    })
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Unreadable> {
    Ok(row.try_get(column)?)
}

pub(super) fn position(row: &Row, column: usize) -> Result<Position, Unreadable> {
    unsigned(row, column).map(Position)
}

pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Unreadable> {
    get::<i64>(row, column).map(i64::cast_unsigned)
}

pub(super) fn small(row: &Row, column: usize) -> Result<u32, Unreadable> {
    get::<i32>(row, column).map(i32::cast_unsigned)
}

pub(super) fn bytes(row: &Row, column: usize) -> Result<Bytes, Unreadable> {
    get::<Vec<u8>>(row, column).map(Bytes::from)
}

pub(super) fn parsed<T>(row: &Row, column: usize) -> Result<T, Unreadable>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    Ok(get::<&str>(row, column)?.parse::<T>()?)
}

/// PostgreSQL's limits are signed.
pub(super) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
