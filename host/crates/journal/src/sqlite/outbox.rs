//! Webhooks that wait.

use std::borrow::Cow;

use bytes::Bytes;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::beside::intact;
use super::pool::Pool;
use super::reader::{bytes, parsed, position, rows_max};
use super::rows::Failed;
use crate::error::StoreError;
use crate::sums;
use crate::tables::Value;
use crate::{OutboxChange, OutboxId, OutboxRow, Tried, Webhook};

/// What a row has beside its body.
const COLUMNS: &str = "attempts, due_ms, error, position, idx, actor, version, name, url";

/// Puts a webhook into the outbox. One that is there stays: two operators may want
/// the same dead letter sent again.
pub(super) fn write(
    connection: &Connection,
    id: OutboxId,
    webhook: &Webhook,
    tried: &Tried,
) -> Result<(), Failed> {
    let insert = "INSERT INTO outbox
         (position, idx, actor, version, name, url, body, attempts, due_ms, error, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
    let row = sums::webhook(id, webhook);
    let state = [
        Value::Number(tried.attempts.into()),
        Value::Number(tried.due_ms),
        Value::Text(Cow::Borrowed(&tried.error)),
        Value::Number(sums::sum(&row)),
    ];
    connection
        .prepare_cached(insert)?
        .execute(params_from_iter(row.iter().chain(&state)))?;
    Ok(())
}

pub(super) fn change(connection: &Connection, change: &OutboxChange) -> Result<(), Failed> {
    match change {
        OutboxChange::Again(id, webhook, tried) => write(connection, *id, webhook, tried),
        OutboxChange::Tried(id, tried) => {
            connection
                .prepare_cached(
                    "UPDATE outbox SET attempts = ?3, due_ms = ?4, error = ?5
                     WHERE position = ?1 AND idx = ?2",
                )?
                .execute(params![
                    id.position.0.cast_signed(),
                    id.index,
                    tried.attempts,
                    tried.due_ms,
                    tried.error,
                ])?;
            Ok(())
        }
    }
}

pub(super) fn delete(connection: &Connection, id: OutboxId) -> Result<(), Failed> {
    connection
        .prepare_cached("DELETE FROM outbox WHERE position = ?1 AND idx = ?2")?
        .execute(params![id.position.0.cast_signed(), id.index])?;
    Ok(())
}

pub(super) fn list(
    pool: &Pool,
    after: Option<OutboxId>,
    limit: usize,
) -> Result<Vec<OutboxRow>, StoreError> {
    let (above, index) = after.map_or((-1, 0), |id| (id.position.0.cast_signed(), id.index));
    pool.rows(
        "read the outbox",
        &format!(
            "SELECT {COLUMNS} FROM outbox WHERE (position, idx) > (?1, ?2)
             ORDER BY position, idx LIMIT ?3"
        ),
        params![above, index, rows_max(limit)],
        row,
    )
}

pub(super) fn due(
    pool: &Pool,
    now_ms: i64,
    after: Option<(i64, OutboxId)>,
    limit: usize,
) -> Result<Vec<OutboxRow>, StoreError> {
    let (due_ms, above, index) = after.map_or((i64::MIN, -1, 0), |(due_ms, id)| {
        (due_ms, id.position.0.cast_signed(), id.index)
    });
    pool.rows(
        "read what is due of the outbox",
        &format!(
            "SELECT {COLUMNS} FROM outbox
             WHERE due_ms <= ?1 AND (due_ms, position, idx) > (?2, ?3, ?4)
             ORDER BY due_ms, position, idx LIMIT ?5"
        ),
        params![now_ms, due_ms, above, index, rows_max(limit)],
        row,
    )
}

pub(super) fn read(pool: &Pool, id: OutboxId) -> Result<Option<(OutboxRow, Bytes)>, StoreError> {
    pool.row(
        "read a webhook",
        &format!(
            "SELECT {COLUMNS}, body, {} FROM outbox WHERE position = ?1 AND idx = ?2",
            pool.sum()
        ),
        params![id.position.0.cast_signed(), id.index],
        |found| {
            intact(found, 3..10)?;
            Ok((row(found)?, bytes(found, 9)?))
        },
    )
}

pub(super) fn next(pool: &Pool) -> Result<Option<i64>, StoreError> {
    let due = pool.row(
        "read the next webhook",
        "SELECT min(due_ms) FROM outbox",
        [],
        |row| row.get(0),
    )?;
    Ok(due.flatten())
}

fn row(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        tried: Tried {
            attempts: row.get(0)?,
            due_ms: row.get(1)?,
            error: row.get(2)?,
        },
        id: OutboxId {
            position: position(row, 3)?,
            index: row.get(4)?,
        },
        actor: parsed(row, 5)?,
        version: parsed(row, 6)?,
        name: row.get(7)?,
        url: row.get(8)?,
    })
}
