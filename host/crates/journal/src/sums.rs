//! A checksum over each row that stands beside the groups: the groups have their chain,
//! snapshots and pieces a sum in their body, and a waiting cast or a kept answer becomes
//! money as much as a record does.
//!
//! It covers a row's values as they were written, in the order of [`Summed::columns`], but
//! for the columns that change while the row stays. A row without a sum is of a host of
//! schema 3, or was changed by one, and is believed.

use std::borrow::Cow;

use host_model::{ActorId, Version};
use thiserror::Error;

use crate::tables::Value;
use crate::{AnswerKey, CastId, DeadLetter, KeptAnswer, Letter, OutboxId, Position, Webhook};

/// A table whose rows have sums.
#[derive(Debug, Clone, Copy)]
pub struct Summed {
    /// The same in both stores.
    pub table: &'static str,
    /// What its rows are, for people.
    pub what: &'static str,
    /// What the sum covers, in this order. The first two tell a row from others.
    pub columns: &'static str,
}

impl Summed {
    /// How many columns the sum covers.
    pub(crate) fn width(&self) -> usize {
        self.columns.split(',').count()
    }
}

/// Casts that wait.
pub(crate) const CASTS: Summed = Summed {
    table: "casts",
    what: "the casts",
    columns: "position, idx, sender, target, version, event, payload, hops",
};

/// Timers that are set.
pub(crate) const TIMERS: Summed = Summed {
    table: "timers",
    what: "the timers",
    columns: "actor, name, due_ms, set_at, version, payload",
};

/// Webhooks that wait, without what an attempt changes.
pub(crate) const OUTBOX: Summed = Summed {
    table: "outbox",
    what: "the webhooks",
    columns: "position, idx, actor, version, name, url, body",
};

/// Answers under keys.
pub(crate) const ANSWERS: Summed = Summed {
    table: "answers",
    what: "the kept answers",
    columns: "actor, event, principal, key, digest, reply, seq, time_ms",
};

/// What came to nothing.
pub(crate) const DEAD_LETTERS: Summed = Summed {
    table: "dead_letters",
    what: "the dead letters",
    columns: "position, kind, actor, version, event, payload, reason, message, time_ms, origin",
};

/// Actors in quarantine.
pub(crate) const QUARANTINE: Summed = Summed {
    table: "quarantine",
    what: "the quarantine",
    columns: "actor, position, reason",
};

/// The host's own values.
pub(crate) const VALUES: Summed = Summed {
    table: "kv",
    what: "the host's values",
    columns: "key, value",
};

/// A row is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the row {row} is damaged: its checksum does not hold")]
pub(crate) struct BadSum {
    /// Tells it from others.
    pub(crate) row: String,
}

/// CRC-32C over the values of a row, each behind its kind and length, so that none runs
/// into the next. A zero character counts as what PostgreSQL has in its place: the sum
/// goes with the row from one store into the other.
pub(crate) fn sum(values: &[Value<'_>]) -> i64 {
    let sum = values.iter().fold(0, |sum, value| match value {
        Value::Null => crc32c::crc32c_append(sum, b"-"),
        Value::Number(number) => {
            let sum = crc32c::crc32c_append(sum, b"n");
            crc32c::crc32c_append(sum, &number.to_le_bytes())
        }
        Value::Text(text) => {
            let stored = without_zeros(text);
            bytes(crc32c::crc32c_append(sum, b"t"), stored.as_bytes())
        }
        Value::Bytes(it) => bytes(crc32c::crc32c_append(sum, b"b"), it),
    });
    i64::from(sum)
}

fn bytes(sum: u32, bytes: &[u8]) -> u32 {
    let length = (bytes.len() as u64).to_le_bytes();
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &length), bytes)
}

/// As PostgreSQL has it, which knows no text with a zero character in it.
pub(crate) fn without_zeros(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// Holds a row against the sum that it was stored with, if it was.
pub(crate) fn check(values: &[Value<'_>], stored: Option<i64>) -> Result<(), BadSum> {
    match stored {
        Some(stored) if stored != sum(values) => Err(BadSum { row: name(values) }),
        _ => Ok(()),
    }
}

/// The first two values, for people.
fn name(values: &[Value<'_>]) -> String {
    let shown = values.iter().take(2).filter_map(|value| match value {
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(format!("{text:?}")),
        Value::Null | Value::Bytes(_) => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn number(number: u64) -> Value<'static> {
    Value::Number(number.cast_signed())
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn shown(it: &impl ToString) -> Value<'static> {
    Value::Text(Cow::Owned(it.to_string()))
}

pub(crate) fn cast(id: CastId, letter: &Letter) -> [Value<'_>; 8] {
    [
        number(id.position.0),
        Value::Number(id.index.into()),
        text(letter.from.as_str()),
        text(letter.to.as_str()),
        shown(&letter.version),
        text(&letter.event),
        Value::Bytes(&letter.payload),
        Value::Number(letter.hops.into()),
    ]
}

/// Of what it is told apart by, and of what there is to it.
pub(crate) fn timer<'a>(
    (actor, name): (&'a ActorId, &'a str),
    due_ms: i64,
    set_at: Position,
    version: &Version,
    payload: &'a [u8],
) -> [Value<'a>; 6] {
    [
        text(actor.as_str()),
        text(name),
        Value::Number(due_ms),
        number(set_at.0),
        shown(version),
        Value::Bytes(payload),
    ]
}

pub(crate) fn webhook(id: OutboxId, webhook: &Webhook) -> [Value<'_>; 7] {
    [
        number(id.position.0),
        Value::Number(id.index.into()),
        text(webhook.actor.as_str()),
        shown(&webhook.version),
        text(&webhook.name),
        text(&webhook.url),
        Value::Bytes(&webhook.body),
    ]
}

pub(crate) fn answer<'a>(key: &'a AnswerKey, answer: &'a KeptAnswer) -> [Value<'a>; 8] {
    [
        text(key.actor.as_str()),
        text(&key.event),
        text(&key.principal),
        text(&key.key),
        Value::Bytes(&answer.digest),
        Value::Bytes(&answer.reply),
        number(answer.seq),
        Value::Number(answer.time_ms),
    ]
}

pub(crate) fn dead_letter(position: Position, letter: &DeadLetter) -> [Value<'_>; 10] {
    let origin = serde_json::to_string(&letter.origin);
    [
        number(position.0),
        text(letter.kind.name()),
        text(letter.actor.as_str()),
        shown(&letter.version),
        text(&letter.event),
        Value::Bytes(&letter.payload),
        text(&letter.reason),
        text(&letter.message),
        Value::Number(letter.time_ms),
        Value::Text(Cow::Owned(
            origin.expect("texts and numbers are always JSON"),
        )),
    ]
}

pub(crate) fn quarantined<'a>(
    actor: &'a ActorId,
    position: Position,
    reason: &'a str,
) -> [Value<'a>; 3] {
    [text(actor.as_str()), number(position.0), text(reason)]
}

pub(crate) fn value<'a>(key: &'a str, value: &'a [u8]) -> [Value<'a>; 2] {
    [text(key), Value::Bytes(value)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_tells_rows_apart_and_takes_a_zero_for_what_postgresql_has() {
        let of = |first: &str, second: &str| sum(&[text(first), text(second)]);
        assert_ne!(of("ab", "c"), of("a", "bc"));
        assert_ne!(sum(&[text("1")]), sum(&[Value::Bytes(b"1")]));
        assert_ne!(sum(&[Value::Null]), sum(&[]));
        assert_eq!(of("a\0", ""), of("a\u{fffd}", ""));
    }

    #[test]
    fn a_row_without_a_sum_is_believed_and_one_that_differs_is_named() {
        let row = value("store/state", b"7");
        assert_eq!(check(&row, None), Ok(()));
        assert_eq!(check(&row, Some(sum(&row))), Ok(()));
        let changed = value("store/state", b"8");
        let error = check(&changed, Some(sum(&row))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the row \"store/state\" is damaged: its checksum does not hold"
        );
    }
}
