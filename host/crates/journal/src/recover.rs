//! What opening a store does: reads the groups that some actor's replay still
//! needs, checks each against its checksum and the chain, and rebuilds the heads.
//! It writes nothing.

use std::collections::BTreeSet;

use hashbrown::HashMap;
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
        covering: HashMap::default(),
    };
    let mut chain = Chain::default();
    let mut from = meta.tail_start;
    loop {
        let groups = reader.groups(from, GROUPS_AT_ONCE)?;
        let Some(last) = groups.last() else { break };
        from = Position(last.last.0 + 1);
        let mut opened = Vec::with_capacity(groups.len());
        for group in &groups {
            if !chain.is_begun() {
                chain = Chain::behind(hash_before(reader, group.first)?, Position(0));
            }
            opened.push((group, open(group, chain.check(group)?)?));
        }
        recovery.look_up(&opened)?;
        for (group, records) in opened {
            recovery.replay(group, &records)?;
        }
    }
    chain.ends_with(meta)?;
    Ok(recovery.heads)
}

/// The records of a group that belong to actors.
fn open<'a>(
    group: &GroupRow,
    frames: Vec<Frame<'a>>,
) -> Result<Vec<(Frame<'a>, Record)>, OpenError> {
    let mut records = Vec::with_capacity(frames.len());
    for frame in frames {
        let record = open_record(frame.record).map_err(|problem| Damage::of(group, problem))?;
        if !record.is_action() {
            records.push((frame, record));
        }
    }
    Ok(records)
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
    /// Sequence of the last snapshot of actors that have one, until their tail has begun.
    covering: HashMap<ActorId, u64, foldhash::fast::RandomState>,
}

impl Recovery<'_> {
    /// Asks for the snapshots of actors that are new in these groups: all at once, for a
    /// million questions would take longer than all the rest.
    fn look_up(
        &mut self,
        opened: &[(&GroupRow, Vec<(Frame<'_>, Record)>)],
    ) -> Result<(), OpenError> {
        let records = opened.iter().flat_map(|(_, records)| records);
        let actors = records.map(|(_, record)| &record.actor);
        let unknown = actors
            .filter(|actor| !self.covering.contains_key(*actor) && self.heads.get(actor).is_none());
        let unknown: BTreeSet<_> = unknown.map(ActorId::as_str).collect();
        if !unknown.is_empty() {
            let unknown: Vec<_> = unknown.into_iter().collect();
            self.covering.extend(self.reader.snapshot_seqs(&unknown)?);
        }
        Ok(())
    }

    fn replay(
        &mut self,
        group: &GroupRow,
        records: &[(Frame<'_>, Record)],
    ) -> Result<(), OpenError> {
        let mut changes = Changes::default();
        for (frame, record) in records {
            let hash = self.heads.hash(&record.actor);
            let before = match changes.get(hash, &record.actor) {
                Some(changed) => changed.clone(),
                None => self.heads.get_hashed(hash, &record.actor),
            };
            let mut follows = before.is_some();
            if !follows {
                let covered = self.covering.get(&record.actor).copied().unwrap_or(0);
                if record.seq <= covered {
                    continue;
                }
                follows = covered + 1 == record.seq;
                self.covering.remove(&record.actor);
            }
            let head = next_head(before, frame, record).filter(|_| follows);
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
}

fn next_head(before: Option<Head>, frame: &Frame<'_>, it: &Record) -> Option<Head> {
    let (position, bytes) = (frame.position, frame.record.len());
    match before {
        Some(before) => before.follow(position, it.seq, &it.version, bytes),
        None => Some(Head::first(position, it.seq, &it.version, bytes)),
    }
}
