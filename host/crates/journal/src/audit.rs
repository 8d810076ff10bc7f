//! The journal as the audit trail: all records in order, and whether the chain holds.

use crate::chain::{Chain, Damage};
use crate::error::ReadError;
use crate::group::{self, Hash};
use crate::sealed::open_record;
use crate::store::{GroupRow, Reader};
use crate::{Position, Record};

/// Groups read at once: some tens of MiB at most.
const GROUPS_AT_ONCE: usize = 16;

/// A journal whose chain holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Groups checked.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Position of the last entry of the last group.
    pub last: Position,
    /// Hash of the last group: whoever wrote it down before can tell that no
    /// earlier record has changed since.
    pub hash: Hash,
}

/// See [`Journal::verify`](crate::Journal::verify).
pub(crate) fn verify(reader: &dyn Reader) -> Result<Verified, ReadError> {
    let mut chain = Chain::behind(Hash::default());
    let mut verified = Verified {
        groups: 0,
        records: 0,
        last: Position(0),
        hash: Hash::default(),
    };
    loop {
        let groups = reader.groups(Position(chain.last().0 + 1), GROUPS_AT_ONCE)?;
        if groups.is_empty() {
            return Ok(verified);
        }
        for group in &groups {
            verified.groups += 1;
            verified.records += chain.check(group)?.len() as u64;
            verified.last = group.last;
            verified.hash = group.hash;
        }
    }
}

/// See [`Journal::records`](crate::Journal::records).
pub(crate) fn records(
    reader: &dyn Reader,
    after: Position,
    limit: usize,
) -> Result<Vec<(Position, Record)>, ReadError> {
    let mut records = Vec::new();
    let mut next = Position(after.0 + 1);
    // A group may end with snapshots behind its last record: then nothing of it
    // is left, and the next one counts.
    while records.is_empty() {
        let groups = reader.groups(next, limit)?;
        let Some(last) = groups.last() else { break };
        next = Position(last.last.0 + 1);
        for group in &groups {
            open_records(group, after, &mut records)?;
        }
    }
    Ok(records)
}

fn open_records(
    row: &GroupRow,
    after: Position,
    records: &mut Vec<(Position, Record)>,
) -> Result<(), Damage> {
    let damaged = |problem: String| Damage::of(row, problem);
    let frames = group::decode(&row.body).map_err(|error| damaged(error.to_string()))?;
    for frame in frames.iter().filter(|frame| frame.position > after) {
        let record = open_record(frame.record).map_err(damaged)?;
        records.push((frame.position, record));
    }
    Ok(())
}
