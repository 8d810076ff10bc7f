//! Answers under idempotency keys.

use host_model::limits::ANSWERS_STEP_MAX;
use rusqlite::{Connection, params};

use super::beside::intact;
use super::pool::Pool;
use super::reader::{bytes, hash_of, unsigned};
use super::rows::{Failed, summed};
use crate::error::StoreError;
use crate::sums::{self, ANSWERS};
use crate::{AnswerKey, KeptAnswer};

/// Keeps an answer.
pub(super) fn write(
    connection: &Connection,
    key: &AnswerKey,
    answer: &KeptAnswer,
) -> Result<(), Failed> {
    let insert = "INSERT INTO answers
         (actor, event, principal, key, digest, reply, seq, time_ms, sum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
    let inserted = summed(connection, insert, &sums::answer(key, answer))?;
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
        &pool.select(
            &ANSWERS,
            "WHERE actor = ?1 AND event = ?2 AND principal = ?3 AND key = ?4",
        ),
        params![key.actor.as_str(), key.event, key.principal, key.key],
        |row| {
            intact(row, 0..8)?;
            Ok(KeptAnswer {
                digest: hash_of(row, 4)?,
                reply: bytes(row, 5)?,
                seq: unsigned(row, 6)?,
                time_ms: row.get(7)?,
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
