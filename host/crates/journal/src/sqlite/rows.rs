//! What a group becomes in the tables. Rows are written in the order of the
//! entries; a transaction is open around all of it.

use host_model::{ActorId, Version};
use rusqlite::{Connection, params, params_from_iter};

use super::reader::position;
use super::{answers, outbox, pieces};
use crate::sealed::{Placed, Rest, SealedSnapshot};
use crate::store::{FENCED, Group, Records};
use crate::sums;
use crate::tables::Value;
use crate::thin::not_kept;
use crate::{CastId, Consumed, DeadLetter, OutboxId, Position, Rows, Tried};

/// A statement's failure within a group.
pub(super) enum Failed {
    /// SQLite's own.
    Sqlite(rusqlite::Error),
    /// Something that must be there was not, or the other way round.
    Invariant(String),
    /// Another host has taken the store over.
    Fenced,
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Sqlite(error) => format!("SQLite refused a statement: {error}"),
            Failed::Invariant(text) => text,
            Failed::Fenced => FENCED.to_owned(),
        }
    }
}

/// Writes all of a group. `sum` is that of the store's own row, see [`crate::own`].
pub(super) fn write(connection: &Connection, group: &Group<'_>, sum: i64) -> Result<(), Failed> {
    let tables = Tables { connection };
    tables.write_meta(group, sum)?;
    if let Some(records) = &group.records {
        tables.write_records(group, records)?;
    }
    group
        .entries
        .iter()
        .try_for_each(|entry| tables.write_entry(entry, group.time_ms))
}

struct Tables<'a> {
    connection: &'a Connection,
}

impl Tables<'_> {
    fn write_meta(&self, group: &Group<'_>, sum: i64) -> Result<(), Failed> {
        let meta = &group.meta;
        let updated = self
            .connection
            .prepare_cached(
                "UPDATE store SET last_pos = ?1, last_hash = ?2, known = ?3, tail_start = ?4,
                 sum = ?6, summed_epoch = epoch WHERE id = 0 AND epoch = ?5",
            )?
            .execute(params![
                sql(meta.last),
                meta.hash,
                meta.known.cast_signed(),
                sql(meta.tail_start),
                group.epoch.cast_signed(),
                sum,
            ])?;
        if updated == 1 {
            Ok(())
        } else {
            Err(Failed::Fenced)
        }
    }

    fn write_records(&self, group: &Group<'_>, records: &Records) -> rusqlite::Result<()> {
        let (first, last) = group.recorded();
        self.connection
            .prepare_cached(
                "INSERT INTO groups
                 (first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body, exact)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)",
            )?
            .execute(params![
                sql(first),
                sql(last),
                group.epoch.cast_signed(),
                records.count,
                group.time_ms,
                records.prev_hash,
                records.hash,
                records.body,
            ])
            .map(drop)
    }

    fn write_entry(&self, entry: &Placed, time_ms: i64) -> Result<(), Failed> {
        let (position, sealed) = (entry.position, &entry.sealed);
        let rows = sealed.rest.as_deref().map(|rest| &rest.rows);
        if let Some(consumed) = rows.and_then(|rows| rows.consumed.as_ref()) {
            self.consume(consumed)?;
        }
        if let Some(snapshot) = &sealed.snapshot {
            self.write_snapshot(position, snapshot)?;
            if !sealed.leaves_older {
                self.thin(&snapshot.actor)?;
            }
        }
        match &sealed.rest {
            Some(rest) => self.write_rest(position, rest, time_ms),
            None => Ok(()),
        }
    }

    fn consume(&self, consumed: &Consumed) -> Result<(), Failed> {
        match consumed {
            Consumed::Cast(id) => {
                let deleted = self
                    .connection
                    .prepare_cached("DELETE FROM casts WHERE position = ?1 AND idx = ?2")?
                    .execute(params![sql(id.position), id.index])?;
                if deleted == 0 {
                    return Err(Failed::Invariant(format!(
                        "cast {}/{} is used up a second time",
                        id.position.0, id.index
                    )));
                }
            }
            Consumed::Timer {
                actor,
                name,
                set_at,
            } => {
                self.connection
                    .prepare_cached(
                        "DELETE FROM timers WHERE actor = ?1 AND name = ?2 AND set_at = ?3",
                    )?
                    .execute(params![actor.as_str(), name, sql(*set_at)])?;
            }
            Consumed::DeadLetter(id) => {
                self.connection
                    .prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?
                    .execute([id.cast_signed()])?;
            }
            Consumed::Outbox(id) => outbox::delete(self.connection, *id)?,
        }
        Ok(())
    }

    fn write_snapshot(&self, position: Position, snapshot: &SealedSnapshot) -> Result<(), Failed> {
        let first_piece = match snapshot.pieces {
            Some((first, count)) => {
                pieces::must_be_there(self.connection, first, count)?;
                Some(sql(first))
            }
            None => None,
        };
        self.connection
            .prepare_cached(
                "INSERT INTO snapshots (position, actor, seq, version, time_ms, body, first_piece)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                sql(position),
                snapshot.actor.as_str(),
                snapshot.seq.cast_signed(),
                snapshot.version.to_string(),
                snapshot.time_ms,
                snapshot.body,
                first_piece,
            ])?;
        Ok(())
    }

    /// Removes the snapshots of an actor that are not kept. They are looked for in the index
    /// alone: a statement that both looked and removed would note the pages that it changes,
    /// to undo half of itself.
    fn thin(&self, actor: &ActorId) -> Result<(), Failed> {
        let mut listed = self.connection.prepare_cached(
            "SELECT position, version FROM snapshots WHERE actor = ?1 ORDER BY position DESC",
        )?;
        let listed = listed.query_map([actor.as_str()], |row| Ok((position(row, 0)?, row.get(1)?)));
        let listed = listed?.collect::<rusqlite::Result<Vec<(_, String)>>>()?;
        self.remove_snapshots(&not_kept(&listed))
    }

    fn remove_snapshots(&self, positions: &[Position]) -> Result<(), Failed> {
        for position in positions {
            self.connection
                .prepare_cached("DELETE FROM snapshots WHERE position = ?1")?
                .execute([sql(*position)])?;
        }
        Ok(())
    }

    fn write_casts(&self, position: Position, rows: &Rows) -> rusqlite::Result<()> {
        for (index, cast) in (0_u32..).zip(&rows.casts) {
            let insert = "INSERT INTO casts
                 (position, idx, sender, target, version, event, payload, hops, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let row = sums::cast(CastId { position, index }, cast);
            summed(self.connection, insert, &row)?;
        }
        Ok(())
    }

    /// They are due from the commit on.
    fn write_webhooks(&self, position: Position, rows: &Rows, time_ms: i64) -> Result<(), Failed> {
        for (index, webhook) in (0_u32..).zip(&rows.outbox) {
            let tried = Tried {
                due_ms: time_ms,
                ..Tried::default()
            };
            outbox::write(
                self.connection,
                OutboxId { position, index },
                webhook,
                &tried,
            )?;
        }
        Ok(())
    }

    /// Cancels first: a decision may cancel a timer and start it anew.
    fn write_timers(
        &self,
        position: Position,
        actor: &ActorId,
        version: &Version,
        rows: &Rows,
    ) -> rusqlite::Result<()> {
        for name in &rows.timers_cancelled {
            self.connection
                .prepare_cached("DELETE FROM timers WHERE actor = ?1 AND name = ?2")?
                .execute(params![actor.as_str(), name])?;
        }
        let set = rows.timers_set.iter();
        let set = set.map(|(name, due_ms, payload)| (name, *due_ms, version, payload));
        let returned = rows.timers_returned.iter();
        let returned = returned.map(|it| (&it.name, it.due_ms, &it.version, &it.payload));
        for (name, due_ms, version, payload) in set.chain(returned) {
            let insert = "INSERT OR REPLACE INTO timers
                 (actor, name, due_ms, set_at, version, payload, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let row = sums::timer((actor, name), due_ms, position, version, payload);
            summed(self.connection, insert, &row)?;
        }
        Ok(())
    }

    fn write_dead_letter(&self, position: Position, letter: &DeadLetter) -> Result<(), Failed> {
        let insert = "INSERT INTO dead_letters
             (position, kind, actor, version, event, payload, reason, message, time_ms,
              origin, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let row = sums::dead_letter(position, letter);
        summed(self.connection, insert, &row)?;
        Ok(())
    }

    /// All but what the entry uses up, which goes first.
    fn write_rest(&self, position: Position, rest: &Rest, time_ms: i64) -> Result<(), Failed> {
        let rows = &rest.rows;
        if let Some(piece) = &rows.piece {
            pieces::write(self.connection, position, piece)?;
        }
        pieces::remove(self.connection, &rows.pieces_removed)?;
        self.remove_snapshots(&rows.snapshots_removed)?;
        self.write_casts(position, rows)?;
        self.write_webhooks(position, rows, time_ms)?;
        if let Some(answer) = &rows.answer {
            answers::write(self.connection, &answer.0, &answer.1)?;
        }
        if let Some((actor, version)) = &rest.owner {
            self.write_timers(position, actor, version, rows)?;
        }
        self.write_values(position, rows)
    }

    fn write_values(&self, position: Position, rows: &Rows) -> Result<(), Failed> {
        if let Some(change) = &rows.outbox_change {
            outbox::change(self.connection, change)?;
        }
        if let Some(before_ms) = rows.answers_before_ms {
            answers::forget(self.connection, before_ms)?;
        }
        if let Some(letter) = &rows.dead_letter {
            self.write_dead_letter(position, letter)?;
        }
        match &rows.quarantine {
            Some((actor, Some(reason))) => {
                let insert = "INSERT OR REPLACE INTO quarantine (actor, position, reason, sum)
                     VALUES (?1, ?2, ?3, ?4)";
                let row = sums::quarantined(actor, position, reason);
                summed(self.connection, insert, &row).map(drop)?;
            }
            Some((actor, None)) => self
                .connection
                .prepare_cached("DELETE FROM quarantine WHERE actor = ?1")?
                .execute([actor.as_str()])
                .map(drop)?,
            None => {}
        }
        if let Some(through) = rows.removed_through {
            // By the key: groups do not overlap.
            self.connection
                .prepare_cached("DELETE FROM groups WHERE first_pos <= ?1")?
                .execute([sql(through)])?;
        }
        for (key, value) in &rows.values {
            match value {
                Some(value) => write_value(self.connection, key, value)?,
                None => self
                    .connection
                    .prepare_cached("DELETE FROM kv WHERE key = ?1")?
                    .execute([key])?,
            };
        }
        Ok(())
    }
}

/// One of the host's own values.
pub(super) fn write_value(
    connection: &Connection,
    key: &str,
    value: &[u8],
) -> rusqlite::Result<usize> {
    let insert = "INSERT OR REPLACE INTO kv (key, value, sum) VALUES (?1, ?2, ?3)";
    summed(connection, insert, &sums::value(key, value))
}

/// Writes a row with the sum over its values, which comes last; how many there were.
pub(super) fn summed(
    connection: &Connection,
    insert: &str,
    row: &[Value<'_>],
) -> rusqlite::Result<usize> {
    let sum = Value::Number(sums::sum(row));
    let values = params_from_iter(row.iter().chain([&sum]));
    connection.prepare_cached(insert)?.execute(values)
}

pub(super) fn sql(position: Position) -> i64 {
    position.0.cast_signed()
}
