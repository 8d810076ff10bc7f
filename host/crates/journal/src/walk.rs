//! Reads one actor: its last snapshot, and the records behind it, found by
//! walking back from its head.

use host_model::ActorId;

use crate::chain::Damage;
use crate::error::ReadError;
use crate::group::{self, Frame};
use crate::sealed::open_record;
use crate::store::{GroupRow, Reader, SnapshotRow};
use crate::{Position, Record, Snapshot, Stored, pieces};

/// The actor as the store has it, or none if it does not exist. `head` is the
/// position of its last record behind its snapshot, as known before the call: a
/// snapshot that is written meanwhile only makes the answer newer.
pub(crate) fn read(
    reader: &dyn Reader,
    actor: &ActorId,
    head: Option<Position>,
) -> Result<Option<Stored>, ReadError> {
    let last = last_snapshot(reader, actor)?;
    if last.is_none() && head.is_none() {
        return Ok(None);
    }
    let (at, snapshot) = last.map_or((Position(0), None), |(at, it)| (at, Some(it)));
    let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq);
    let tail = tail(reader, actor, head.unwrap_or_default(), covered)?;
    let last = if tail.is_empty() {
        at
    } else {
        head.unwrap_or_default().max(at)
    };
    Ok(Some(Stored {
        snapshot,
        tail,
        head: last,
        quarantined: reader.quarantine(actor)?,
    }))
}

/// The actor's last snapshot, and where it stands.
pub(crate) fn last_snapshot(
    reader: &dyn Reader,
    actor: &ActorId,
) -> Result<Option<(Position, Snapshot)>, ReadError> {
    let mut looked = None;
    loop {
        let Some(row) = reader.snapshot(actor)? else {
            return Ok(None);
        };
        match pieces::open(reader, &row.body)? {
            Ok(snapshot) => return Ok(Some((row.position, snapshot))),
            Err(problem) if looked == Some(row.position) => {
                return Err(ReadError::Damaged {
                    what: format!("the snapshot of {actor} at position {}", row.position.0),
                    problem,
                });
            }
            // Its pieces are read one by one, and go when it has been replaced: then
            // there is a later one.
            Err(_) => looked = Some(row.position),
        }
    }
}

/// The actor's last snapshot from its row, as it was read, and where it stands.
pub(crate) fn opened(
    reader: &dyn Reader,
    actor: &ActorId,
    row: &SnapshotRow,
) -> Result<Option<(Position, Snapshot)>, ReadError> {
    match pieces::open(reader, &row.body)? {
        Ok(snapshot) => Ok(Some((row.position, snapshot))),
        // It has been replaced meanwhile, or it is damaged.
        Err(_) => last_snapshot(reader, actor),
    }
}

/// The records from `head` back to the first above the sequence `covered`, in order.
fn tail(
    reader: &dyn Reader,
    actor: &ActorId,
    head: Position,
    covered: u64,
) -> Result<Vec<Record>, ReadError> {
    let mut tail: Vec<Record> = Vec::new();
    let mut next = head;
    while next > Position(0) {
        let group = reader.groups(next, 1)?.pop();
        let group = group
            .filter(|group| group.first <= next)
            .ok_or_else(|| missing(actor, next))?;
        next = walk_group(&group, actor, next, covered, &mut tail)?;
    }
    behind(actor, covered, tail)
}

/// Sequence of the last record that a snapshot includes.
pub(crate) fn covered(snapshot: Option<&Snapshot>) -> u64 {
    snapshot.map_or(0, |snapshot| snapshot.seq)
}

/// The records behind `covered` in order, of those that were gone back through.
pub(crate) fn behind(
    actor: &ActorId,
    covered: u64,
    mut walked: Vec<Record>,
) -> Result<Vec<Record>, ReadError> {
    walked.reverse();
    match walked.first() {
        Some(first) if first.seq != covered + 1 => Err(ReadError::Damaged {
            what: format!("the tail of {actor}"),
            problem: format!("record {} is missing", covered + 1),
        }),
        _ => Ok(walked),
    }
}

/// Takes the actor's records out of one group, the last first; gives the position
/// at which to go on, or 0 at the end.
fn walk_group(
    group: &GroupRow,
    actor: &ActorId,
    mut next: Position,
    covered: u64,
    tail: &mut Vec<Record>,
) -> Result<Position, ReadError> {
    let frames =
        group::decode(&group.body).map_err(|error| Damage::of(group, error.to_string()))?;
    while next >= group.first {
        let Some((record, before)) = take(group, &frames, actor, next, covered)? else {
            return Ok(Position(0));
        };
        tail.push(record);
        next = before;
    }
    Ok(next)
}

/// The actor's record at a position of a group, and where the one before it stands.
/// None: the snapshot includes it.
pub(crate) fn take(
    group: &GroupRow,
    frames: &[Frame<'_>],
    actor: &ActorId,
    position: Position,
    covered: u64,
) -> Result<Option<(Record, Position)>, ReadError> {
    let damaged = |problem: String| Damage::of(group, problem);
    let at = frames
        .binary_search_by_key(&position, |frame| frame.position)
        .map_err(|_| missing(actor, position))?;
    let record = open_record(frames[at].record).map_err(damaged)?;
    if record.actor != *actor {
        return Err(damaged(format!("position {} is not of {actor}", position.0)).into());
    }
    Ok((record.seq > covered).then_some((record, frames[at].prev)))
}

pub(crate) fn missing(actor: &ActorId, position: Position) -> ReadError {
    ReadError::Damaged {
        what: format!("the tail of {actor}"),
        problem: format!("there is no record at position {}", position.0),
    }
}
