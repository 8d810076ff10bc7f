//! The rows beside the groups, as they are read: each is held against its sum, see
//! [`crate::sums`].

use std::ops::Range;

use bytes::Bytes;
use host_model::ActorId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::copy;
use super::pool::Unreadable;
use super::reader::{bytes, get, parsed, position, small};
use crate::sums;
use crate::tables::{Kind, Value};
use crate::{CastId, CastRow, DeadLetter, DeadLetterKind, Letter, TimerRow};

/// Reads what a table's sum covers, and the sum behind that: for [`intact`].
macro_rules! summed {
    ($pool:expr, $($columns:expr),+; $($rest:literal)+) => {
        match $pool.has_row_sums() {
            true => concat!("SELECT ", $($columns),+, ", sum ", $($rest),+),
            false => concat!("SELECT ", $($columns),+, ", NULL::bigint ", $($rest),+),
        }
    };
}

/// Reads dead letters, by what is named behind.
macro_rules! letters {
    ($pool:expr, $rest:literal) => {
        summed!(
            $pool,
            "position, kind, actor, version, event, payload, reason, message, time_ms, origin";
            ", id FROM dead_letters " $rest
        )
    };
}

/// What a timer is read from.
macro_rules! timer_columns {
    () => {
        "actor, name, due_ms, set_at, version, payload"
    };
}

/// The column of a dead letter's number, behind its sum.
pub(super) const LETTER_ID: usize = 11;

pub(super) use {letters, summed, timer_columns};

pub(super) fn cast(row: &Row) -> Result<CastRow, Unreadable> {
    intact(row, 0..8)?;
    Ok(CastRow {
        id: CastId {
            position: position(row, 0)?,
            index: small(row, 1)?,
        },
        letter: Letter {
            from: parsed(row, 2)?,
            to: parsed(row, 3)?,
            version: parsed(row, 4)?,
            event: get(row, 5)?,
            payload: bytes(row, 6)?,
            hops: small(row, 7)?,
        },
    })
}

pub(super) fn timer(row: &Row) -> Result<TimerRow, Unreadable> {
    intact(row, 0..6)?;
    Ok(TimerRow {
        actor: parsed(row, 0)?,
        name: get(row, 1)?,
        due_ms: get(row, 2)?,
        set_at: position(row, 3)?,
        version: parsed(row, 4)?,
        payload: bytes(row, 5)?,
    })
}

pub(super) fn letter(row: &Row) -> Result<DeadLetter, Unreadable> {
    intact(row, 0..10)?;
    let kind: &str = get(row, 1)?;
    Ok(DeadLetter {
        kind: DeadLetterKind::named(kind)
            .ok_or_else(|| format!("{kind:?} is no kind of dead letter"))?,
        actor: parsed(row, 2)?,
        version: parsed(row, 3)?,
        event: get(row, 4)?,
        payload: bytes(row, 5)?,
        reason: get(row, 6)?,
        message: get(row, 7)?,
        time_ms: get(row, 8)?,
        origin: serde_json::from_str(get(row, 9)?)?,
    })
}

pub(super) fn quarantined(row: &Row) -> Result<(ActorId, String), Unreadable> {
    intact(row, 0..3)?;
    Ok((parsed(row, 0)?, get(row, 2)?))
}

pub(super) fn value(row: &Row) -> Result<(String, Bytes), Unreadable> {
    intact(row, 0..2)?;
    Ok((get(row, 0)?, bytes(row, 1)?))
}

/// Holds the values in these columns against the sum in the next, if there is one.
pub(super) fn intact(row: &Row, columns: Range<usize>) -> Result<(), Unreadable> {
    let (values, sum) = sum_of(row, columns)?;
    Ok(sums::check(&values, sum)?)
}

/// The values in these columns, and the sum in the next.
pub(super) fn sum_of(
    row: &Row,
    columns: Range<usize>,
) -> Result<(Vec<Value<'_>>, Option<i64>), Unreadable> {
    let end = columns.end;
    let values = columns.map(|it| copy::value(row, it, kind_of(row.columns()[it].type_())));
    Ok((values.collect::<Result<_, _>>()?, get(row, end)?))
}

/// What a column of ours of this type holds.
fn kind_of(ty: &Type) -> Kind {
    match *ty {
        Type::INT8 => Kind::Number,
        Type::INT4 => Kind::Count,
        Type::BOOL => Kind::Flag,
        Type::BYTEA => Kind::Bytes,
        _ => Kind::Text,
    }
}
