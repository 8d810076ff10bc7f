//! Webhooks that wait.

use bytes::Bytes;
use rusqlite::{Connection, Row, params};

use super::pool::Pool;
use super::reader::{bytes, parsed, position, rows_max};
use super::rows::Failed;
use crate::error::StoreError;
use crate::{OutboxChange, OutboxId, OutboxRow, Tried, Webhook};

/// What a row has beside its body.
const COLUMNS: &str = "position, idx, actor, version, name, url, attempts, due_ms, error";

/// Puts a webhook into the outbox. One that is there stays: two operators may want
/// the same dead letter sent again.
pub(super) fn write(
    connection: &Connection,
    id: OutboxId,
    webhook: &Webhook,
    tried: &Tried,
) -> Result<(), Failed> {
    connection
        .prepare_cached(
            "INSERT INTO outbox
             (position, idx, actor, version, name, url, attempts, due_ms, error, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            id.position.0.cast_signed(),
            id.index,
            webhook.actor.as_str(),
            webhook.version.to_string(),
            webhook.name,
            webhook.url,
            tried.attempts,
            tried.due_ms,
            tried.error,
            &webhook.body[..],
        ])?;
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
        &format!("SELECT {COLUMNS}, body FROM outbox WHERE position = ?1 AND idx = ?2"),
        params![id.position.0.cast_signed(), id.index],
        |found| Ok((row(found)?, bytes(found, 9)?)),
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
        id: OutboxId {
            position: position(row, 0)?,
            index: row.get(1)?,
        },
        actor: parsed(row, 2)?,
        version: parsed(row, 3)?,
        name: row.get(4)?,
        url: row.get(5)?,
        tried: Tried {
            attempts: row.get(6)?,
            due_ms: row.get(7)?,
            error: row.get(8)?,
        },
    })
}
