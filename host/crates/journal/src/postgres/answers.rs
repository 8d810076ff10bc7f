//! Answers under idempotency keys.

use host_model::limits::ANSWERS_STEP_MAX;
use sha2::{Digest, Sha256};

use super::beside::{intact, summed};
use super::effects::Effects;
use super::pool::Pool;
use super::reader::{bytes, get, unsigned};
use super::session::hash_of;
use super::write::{Bound, Must, column};
use crate::error::StoreError;
use crate::group::Hash;
use crate::sums::{self, sum, without_zeros as text};
use crate::tables::Value;
use crate::{AnswerKey, KeptAnswer};

/// Characters of a key that may have been zeros, up to which all combinations are tried.
const DOUBTFUL_MAX: usize = 8;

/// What stands in the table for a zero character.
const IN_PLACE_OF_ZERO: char = '\u{fffd}';

/// What an answer is found by: see the table.
fn id(key: &AnswerKey) -> Hash {
    id_of(&[key.actor.as_str(), &key.event, &key.principal, &key.key])
}

/// As [`id`], of the four texts of a key in their order. Each is behind its length, so that
/// no two keys run together.
pub(super) fn id_of(key: &[&str]) -> Hash {
    let mut hash = Sha256::new();
    for text in key {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// The texts of the key in a row of [`crate::tables::ANSWERS`]: they stand first.
pub(super) fn key<'a>(row: &'a [Value<'_>]) -> impl Iterator<Item = &'a str> {
    let texts = row.iter().map_while(|value| match value {
        Value::Text(text) => Some(&**text),
        Value::Null | Value::Number(_) | Value::Bytes(_) => None,
    });
    texts.take(4)
}

/// The texts of a key as they were before their zero characters were replaced: those that
/// have this id. None if they are too many to be tried.
pub(super) fn with_zeros(id: &[u8], key: &[&str]) -> Option<Vec<String>> {
    let doubtful = key.iter().flat_map(|text| text.matches(IN_PLACE_OF_ZERO));
    let doubtful = doubtful.count().min(DOUBTFUL_MAX);
    // Of those beyond, all or none: most keys have none that was no zero.
    let candidates = (0..1_u32 << doubtful).rev();
    let with = |zeros: u32| {
        let mut seen = 0;
        let mut restored = |found: char| {
            let is_zero = zeros >> seen.min(DOUBTFUL_MAX - 1) & 1 == 1;
            match found {
                IN_PLACE_OF_ZERO => {
                    seen += 1;
                    if is_zero { '\0' } else { found }
                }
                other => other,
            }
        };
        let texts = key.iter();
        let texts = texts.map(|text| text.chars().map(&mut restored).collect::<String>());
        texts.collect::<Vec<_>>()
    };
    let mut candidates = candidates.map(with);
    candidates.find(|texts| {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        id_of(&texts)[..] == *id
    })
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
            sql: "INSERT INTO answers
                  (id, actor, event, principal, key, digest, reply, seq, time_ms, sum)
                  SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[],
                      $6::bytea[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[])
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
                column(all, |(key, it)| sum(&sums::answer(key, it))),
            ],
            must: Some((all.len() as u64, Must::AnswerFirst)),
        });
    }
}

pub(super) fn read(pool: &Pool, key: &AnswerKey) -> Result<Option<KeptAnswer>, StoreError> {
    pool.row(
        "read an answer",
        summed!(
            pool,
            "actor, event, principal, key, digest, reply, seq, time_ms";
            "FROM answers WHERE id = $1"
        ),
        vec![Box::new(id(key).to_vec())],
        |row| {
            intact(row, 0..8)?;
            Ok(KeptAnswer {
                digest: hash_of(row, 4)?,
                reply: bytes(row, 5)?,
                seq: unsigned(row, 6)?,
                time_ms: get(row, 7)?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums::without_zeros as stored;

    #[test]
    fn a_key_whose_zeros_were_replaced_is_told_by_its_id() {
        let many = "\0".repeat(20);
        for key in [
            ["donations:c", "donate", "sara", "\0"],
            ["donations:c", "donate", "\0a\u{fffd}", "b\0\0c\u{fffd}"],
            ["donations:c", "donate", "", &many],
        ] {
            let kept = key.map(stored);
            let kept: Vec<&str> = kept.iter().map(|text| &**text).collect();
            assert_eq!(with_zeros(&id_of(&key), &kept).unwrap(), key);
        }
        assert_eq!(with_zeros(&[0; 32], &["donations:c", "\u{fffd}"]), None);
    }
}
