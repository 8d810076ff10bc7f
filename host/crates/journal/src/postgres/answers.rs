//! Answers under idempotency keys.

use host_model::limits::ANSWERS_STEP_MAX;
use sha2::{Digest, Sha256};

use super::effects::Effects;
use super::pool::Pool;
use super::reader::{bytes, get, unsigned};
use super::session::hash_of;
use super::write::{Bound, Must, column, text};
use crate::error::StoreError;
use crate::group::Hash;
use crate::{AnswerKey, KeptAnswer};

/// What an answer is found by: see the table. Each text is behind its length, so that
/// no two keys run together.
fn id(key: &AnswerKey) -> Hash {
    let mut hash = Sha256::new();
    for text in [key.actor.as_str(), &key.event, &key.principal, &key.key] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// Forgets some of the oldest, and keeps those of the group.
pub(super) fn write<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    if let Some(before_ms) = effects.answers_before_ms {
        let step = i64::try_from(ANSWERS_STEP_MAX).expect("some hundreds");
        bound.push(Bound {
            sql: "DELETE FROM answers WHERE id IN
                  (SELECT id FROM answers WHERE time_ms < $1 ORDER BY time_ms LIMIT $2)",
            params: vec![Box::new(before_ms), Box::new(step)],
            must: None,
        });
    }
    let all = &effects.answers;
    if !all.is_empty() {
        bound.push(Bound {
            sql:
                "INSERT INTO answers (id, actor, event, principal, key, digest, reply, seq, time_ms)
                  SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[],
                                       $6::bytea[], $7::bytea[], $8::bigint[], $9::bigint[])
                  ON CONFLICT DO NOTHING",
            params: vec![
                column(all, |(key, _)| id(key).to_vec()),
                column(all, |(key, _)| key.actor.as_str()),
                column(all, |(key, _)| text(&key.event)),
                column(all, |(key, _)| text(&key.principal)),
                column(all, |(key, _)| text(&key.key)),
                column(all, |(_, it)| &it.digest[..]),
                column(all, |(_, it)| &it.reply[..]),
                column(all, |(_, it)| it.seq.cast_signed()),
                column(all, |(_, it)| it.time_ms),
            ],
            must: Some((all.len() as u64, Must::AnswerFirst)),
        });
    }
}

pub(super) fn read(pool: &Pool, key: &AnswerKey) -> Result<Option<KeptAnswer>, StoreError> {
    pool.row(
        "read an answer",
        "SELECT digest, reply, seq, time_ms FROM answers WHERE id = $1",
        vec![Box::new(id(key).to_vec())],
        |row| {
            Ok(KeptAnswer {
                digest: hash_of(row, 0)?,
                reply: bytes(row, 1)?,
                seq: unsigned(row, 2)?,
                time_ms: get(row, 3)?,
            })
        },
    )
}

pub(super) fn oldest(pool: &Pool) -> Result<Option<i64>, StoreError> {
    let oldest = pool.row(
        "read the oldest answer",
        "SELECT min(time_ms) FROM answers",
        Vec::new(),
        |row| get::<Option<i64>>(row, 0),
    )?;
    Ok(oldest.flatten())
}
