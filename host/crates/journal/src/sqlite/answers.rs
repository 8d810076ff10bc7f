//! Answers under idempotency keys.

use host_model::limits::ANSWERS_STEP_MAX;
use rusqlite::{Connection, params};

use super::pool::Pool;
use super::reader::{bytes, hash_of, unsigned};
use super::rows::Failed;
use crate::error::StoreError;
use crate::{AnswerKey, KeptAnswer};

/// Keeps an answer.
pub(super) fn write(
    connection: &Connection,
    key: &AnswerKey,
    answer: &KeptAnswer,
) -> Result<(), Failed> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO answers (actor, event, principal, key, digest, reply, seq, time_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.actor.as_str(),
            key.event,
            key.principal,
            key.key,
            answer.digest,
            &answer.reply[..],
            answer.seq.cast_signed(),
            answer.time_ms,
        ])?;
    if inserted == 1 {
        Ok(())
    } else {
        Err(Failed::Invariant(format!(
            "{} {} is answered a second time under the key {:?}",
            key.actor, key.event, key.key
        )))
    }
}

/// Forgets some of the answers that were given before `before_ms`, the oldest.
pub(super) fn forget(connection: &Connection, before_ms: i64) -> Result<(), Failed> {
    connection
        .prepare_cached(
            "DELETE FROM answers WHERE rowid IN
             (SELECT rowid FROM answers WHERE time_ms < ?1 ORDER BY time_ms LIMIT ?2)",
        )?
        .execute(params![
            before_ms,
            i64::try_from(ANSWERS_STEP_MAX).expect("some hundreds"),
        ])?;
    Ok(())
}

pub(super) fn read(pool: &Pool, key: &AnswerKey) -> Result<Option<KeptAnswer>, StoreError> {
    pool.row(
        "read an answer",
        "SELECT digest, reply, seq, time_ms FROM answers
         WHERE actor = ?1 AND event = ?2 AND principal = ?3 AND key = ?4",
        params![key.actor.as_str(), key.event, key.principal, key.key],
        |row| {
            Ok(KeptAnswer {
                digest: hash_of(row, 0)?,
                reply: bytes(row, 1)?,
                seq: unsigned(row, 2)?,
                time_ms: row.get(3)?,
            })
        },
    )
}

pub(super) fn oldest(pool: &Pool) -> Result<Option<i64>, StoreError> {
    let oldest = pool.row(
        "read the oldest answer",
        "SELECT min(time_ms) FROM answers",
        [],
        |row| row.get(0),
    )?;
    Ok(oldest.flatten())
}
