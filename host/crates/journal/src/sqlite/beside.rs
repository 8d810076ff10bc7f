//! The rows beside the groups, as they are read: each is held against its sum, see
//! [`crate::sums`].

use std::ops::Range;

use bytes::Bytes;
use host_model::ActorId;
use rusqlite::Row;

use super::copy;
use super::pool::Pool;
use super::reader::{bytes, parsed, position, unreadable};
use crate::sums::{self, DEAD_LETTERS, Summed};
use crate::tables::Value;
use crate::{CastId, CastRow, DeadLetter, DeadLetterKind, Letter, TimerRow};

pub(super) fn cast(row: &Row<'_>) -> rusqlite::Result<CastRow> {
    intact(row, 0..8)?;
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
}

pub(super) fn timer(row: &Row<'_>) -> rusqlite::Result<TimerRow> {
    intact(row, 0..6)?;
    Ok(TimerRow {
        actor: parsed(row, 0)?,
        name: row.get(1)?,
        due_ms: row.get(2)?,
        set_at: position(row, 3)?,
        version: parsed(row, 4)?,
        payload: bytes(row, 5)?,
    })
}

/// The column of a dead letter's number, behind its sum.
pub(super) const LETTER_ID: usize = 11;

impl Pool {
    pub(super) fn letters(&self, rest: &str) -> String {
        let Summed { table, columns, .. } = DEAD_LETTERS;
        format!("SELECT {columns}, {}, id FROM {table} {rest}", self.sum())
    }
}

pub(super) fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    intact(row, 0..10)?;
    let origin: String = row.get(9)?;
    Ok(DeadLetter {
        kind: kind(row, 1)?,
        actor: parsed(row, 2)?,
        version: parsed(row, 3)?,
        event: row.get(4)?,
        payload: bytes(row, 5)?,
        reason: row.get(6)?,
        message: row.get(7)?,
        time_ms: row.get(8)?,
        origin: serde_json::from_str(&origin).map_err(|e| unreadable(9, e.to_string()))?,
    })
}

pub(super) fn quarantined(row: &Row<'_>) -> rusqlite::Result<(ActorId, String)> {
    intact(row, 0..3)?;
    Ok((parsed(row, 0)?, row.get(2)?))
}

pub(super) fn value(row: &Row<'_>) -> rusqlite::Result<(String, Bytes)> {
    intact(row, 0..2)?;
    Ok((row.get(0)?, bytes(row, 1)?))
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<DeadLetterKind> {
    let name: String = row.get(column)?;
    DeadLetterKind::named(&name)
        .ok_or_else(|| unreadable(column, format!("{name:?} is no kind of dead letter")))
}

/// Holds the values in these columns against the sum in the next, if there is one.
pub(super) fn intact(row: &Row<'_>, columns: Range<usize>) -> rusqlite::Result<()> {
    let (values, sum) = summed(row, columns)?;
    // Taken out again by the pool.
    sums::check(&values, sum).map_err(|bad| rusqlite::Error::ToSqlConversionFailure(Box::new(bad)))
}

/// The values in these columns, and the sum in the next.
pub(super) fn summed<'r>(
    row: &'r Row<'_>,
    columns: Range<usize>,
) -> rusqlite::Result<(Vec<Value<'r>>, Option<i64>)> {
    let end = columns.end;
    let values = columns.map(|it| copy::value(row.get_ref(it)?));
    let values = values.collect::<Result<_, _>>();
    let values = values.map_err(|problem| unreadable(end, problem.to_string()))?;
    Ok((values, row.get(end)?))
}
