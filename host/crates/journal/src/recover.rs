//! What opening a store does: reads the groups that some actor's replay still
//! needs, checks each against its checksum and the chain, and rebuilds the heads.
//! It writes nothing.

use std::collections::HashMap;

use host_model::ActorId;

use crate::anchor::{ANCHOR, Anchor};
use crate::chain::{Chain, Damage};
use crate::error::OpenError;
use crate::group::{Frame, Hash};
use crate::heads::{Changes, Head, Heads};
use crate::sealed::open_record;
use crate::store::{GROUPS_AT_ONCE, GroupRow, Meta, Reader};
use crate::{Position, Record};

/// Rebuilds the heads of a store.
///
/// # Errors
///
/// [`OpenError::Damaged`] names the first group that does not hold.
pub(crate) fn recover(reader: &dyn Reader, meta: &Meta) -> Result<Heads, OpenError> {
    let mut recovery = Recovery {
        reader,
        heads: Heads::default(),
        snapshots: HashMap::new(),
    };
    let mut chain = Chain::default();
    let mut from = meta.tail_start;
    loop {
        let groups = reader.groups(from, GROUPS_AT_ONCE)?;
        let Some(last) = groups.last() else { break };
        from = Position(last.last.0 + 1);
        for group in &groups {
            if !chain.is_begun() {
                chain = Chain::behind(hash_before(reader, group.first)?, Position(0));
            }
            let frames = chain.check(group)?;
            recovery.replay(group, &frames)?;
        }
    }
    chain.ends_with(meta)?;
    Ok(recovery.heads)
}

/// Of the group before the first that is read: the store has it, or its anchor, or
/// there is none.
fn hash_before(reader: &dyn Reader, first: Position) -> Result<Hash, OpenError> {
    if let Some(hash) = reader.hash_before(first)? {
        return Ok(hash);
    }
    let Some(value) = reader.value(ANCHOR)? else {
        return Ok(Hash::default());
    };
    let anchor = Anchor::open(&value).map_err(|problem| OpenError::Anchor { problem })?;
    Ok(anchor.hash)
}

struct Recovery<'a> {
    reader: &'a dyn Reader,
    heads: Heads,
    /// Sequence of the last snapshot of each actor seen, 0 without one.
    snapshots: HashMap<ActorId, u64>,
}

impl Recovery<'_> {
    fn replay(&mut self, group: &GroupRow, frames: &[Frame<'_>]) -> Result<(), OpenError> {
        let mut changes = Changes::default();
        for frame in frames {
            let record = open_record(frame.record).map_err(|problem| Damage::of(group, problem))?;
            if record.is_action() {
                continue;
            }
            let covered = self.covered(&record.actor)?;
            if record.seq <= covered {
                continue;
            }
            let hash = self.heads.hash(&record.actor);
            let before = match changes.get(hash, &record.actor) {
                Some(changed) => changed.clone(),
                None => self.heads.get_hashed(hash, &record.actor),
            };
            let follows = covered + 1 == record.seq || before.is_some();
            let head = next_head(before, frame, &record).filter(|_| follows);
            let head = head.ok_or_else(|| {
                Damage::of(
                    group,
                    format!(
                        "record {} of {} does not follow: one before it is missing, or the store names a wrong place where the tail begins",
                        record.seq, record.actor
                    ),
                )
            })?;
            changes.set(hash, &record.actor, Some(head));
        }
        self.heads.apply(changes, group.body.len());
        Ok(())
    }

    fn covered(&mut self, actor: &ActorId) -> Result<u64, OpenError> {
        if let Some(seq) = self.snapshots.get(actor) {
            return Ok(*seq);
        }
        let seq = self.reader.snapshot_seq(actor)?.unwrap_or(0);
        self.snapshots.insert(actor.clone(), seq);
        Ok(seq)
    }
}

fn next_head(before: Option<Head>, frame: &Frame<'_>, it: &Record) -> Option<Head> {
    let (position, bytes) = (frame.position, frame.record.len());
    match before {
        Some(before) => before.follow(position, it.seq, &it.version, bytes),
        None => Some(Head::first(position, it.seq, &it.version, bytes)),
    }
}
