//! All that a store has of each actor, one actor after the other: for whoever asks its
//! plugin whether a replay comes to what is stored.
//!
//! The records of an actor lie scattered over the whole journal, which has no index on
//! them. So the store is passed over as often as it takes for a share of the actors to
//! fit into memory. Everything is seen as it was at one moment.

use std::collections::BTreeMap;

use host_model::ActorId;

use crate::check::CheckError;
use crate::error::ReadError;
use crate::store::{GROUPS_AT_ONCE, ROWS_AT_ONCE, Reader};
use crate::{Position, Record, Snapshot, Trail, pieces};

/// Bytes of the store for each pass over it: a share of it is in memory at once.
const SHARE_BYTES: u64 = 256 << 20;

/// What a store has of one actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Whose.
    pub actor: ActorId,
    /// Its records, in order; the first ones may have been removed for their age.
    pub records: Vec<Record>,
    /// Its snapshots, the older first.
    pub snapshots: Vec<Snapshot>,
}

/// See [`Archive::lives`](crate::Archive::lives).
pub(crate) fn lives(reader: &dyn Reader, mut each: impl FnMut(Life)) -> Result<(), CheckError> {
    let shares = u32::try_from(reader.bytes() / SHARE_BYTES + 1).unwrap_or(u32::MAX);
    let frozen = reader.inspect().frozen()?;
    for share in 0..shares {
        let is_mine = |actor: &str| crc32c::crc32c(actor.as_bytes()) % shares == share;
        let mut lives = BTreeMap::new();
        take_records(&*frozen, is_mine, &mut lives)?;
        take_snapshots(&*frozen, is_mine, &mut lives)?;
        lives.into_values().for_each(&mut each);
    }
    Ok(())
}

fn life<'a>(lives: &'a mut BTreeMap<ActorId, Life>, actor: &ActorId) -> &'a mut Life {
    lives.entry(actor.clone()).or_insert_with(|| Life {
        actor: actor.clone(),
        records: Vec::new(),
        snapshots: Vec::new(),
    })
}

fn take_records(
    reader: &dyn Reader,
    is_mine: impl Fn(&str) -> bool,
    lives: &mut BTreeMap<ActorId, Life>,
) -> Result<(), CheckError> {
    let mut after = Position(0);
    loop {
        let page = Trail::new(reader).page(after, GROUPS_AT_ONCE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = *last;
        for (_, record) in page {
            if !record.is_action() && is_mine(record.actor.as_str()) {
                life(lives, &record.actor).records.push(record);
            }
        }
    }
}

fn take_snapshots(
    reader: &dyn Reader,
    is_mine: impl Fn(&str) -> bool,
    lives: &mut BTreeMap<ActorId, Life>,
) -> Result<(), CheckError> {
    let mut after = Position(0);
    loop {
        let page = reader.inspect().snapshot_keys(after, ROWS_AT_ONCE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.position;
        for key in page.iter().filter(|key| is_mine(&key.actor)) {
            let body = reader.inspect().snapshot_body(key.position)?;
            let opened = pieces::open(reader, &body)?;
            let snapshot = opened.map_err(|problem| ReadError::Damaged {
                what: format!(
                    "the snapshot of {} at position {}",
                    key.actor, key.position.0
                ),
                problem,
            })?;
            let actor = snapshot.actor.clone();
            life(lives, &actor).snapshots.push(snapshot);
        }
    }
}
