//! What a group will write and change, decided before the store is touched: a
//! pure function of the entries and the heads.

use std::collections::HashSet;

use host_model::ActorId;

use crate::Position;
use crate::group::{Encoder, Frame};
use crate::heads::{Changes, Head, Heads};
use crate::sealed::{Placed, SealedRecord, SealedSnapshot};

/// The outcome of planning.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Number of records.
    pub(crate) records: u32,
    /// The group's body, if it has records.
    pub(crate) body: Option<Vec<u8>>,
    /// What becomes of the heads when the group is durable.
    pub(crate) changes: Changes,
    /// Actors that exist from this group on, unless they have a snapshot already.
    pub(crate) perhaps_new: Vec<ActorId>,
}

/// Plans a group of these entries.
///
/// # Errors
///
/// Which record breaks its actor's sequence: a bug above, of which nothing may
/// become durable.
pub(crate) fn plan(entries: &[Placed], heads: &Heads) -> Result<Plan, String> {
    let record_bytes = entries.iter().filter_map(|it| it.sealed.record.as_ref());
    let mut planner = Planner {
        heads,
        changes: Changes::with_capacity(entries.len()),
        perhaps_new: HashSet::new(),
        encoder: Encoder::with_capacity(
            entries.len(),
            record_bytes.map(|record| record.bytes.len()).sum(),
        ),
    };
    for Placed { position, sealed } in entries {
        if let Some(record) = &sealed.record {
            planner.record(*position, record)?;
        }
        if let Some(snapshot) = &sealed.snapshot {
            planner.snapshot(snapshot);
        }
    }
    let records = planner.encoder.frames();
    Ok(Plan {
        records,
        body: (records > 0).then(|| planner.encoder.finish()),
        changes: planner.changes,
        perhaps_new: planner.perhaps_new.into_iter().collect(),
    })
}

struct Planner<'a> {
    heads: &'a Heads,
    changes: Changes,
    perhaps_new: HashSet<ActorId>,
    encoder: Encoder,
}

impl Planner<'_> {
    fn record(&mut self, position: Position, record: &SealedRecord) -> Result<(), String> {
        if record.seq == 0 {
            // An operator's action: of no actor, so that no replay and no tail has it.
            self.encoder.push(Frame {
                position,
                prev: Position(0),
                record: &record.bytes,
            });
            return Ok(());
        }
        let bytes = record.bytes.len();
        let hash = self.heads.hash(&record.actor);
        let before = self.head(hash, &record.actor);
        let head = match &before {
            Some(before) => before
                .follow(position, record.seq, &record.version, bytes)
                .ok_or_else(|| {
                    format!(
                        "{}: record {} does not follow record {}",
                        record.actor, record.seq, before.seq
                    )
                })?,
            None => Head::first(position, record.seq, &record.version, bytes),
        };
        self.encoder.push(Frame {
            position,
            prev: before.map_or(Position(0), |it| it.position),
            record: &record.bytes,
        });
        if record.seq == 1 {
            self.perhaps_new.insert(record.actor.clone());
        }
        self.changes.set(hash, &record.actor, Some(head));
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &SealedSnapshot) {
        let actor = &snapshot.actor;
        let hash = self.heads.hash(actor);
        match self.head(hash, actor) {
            Some(head) if head.seq <= snapshot.seq => self.changes.set(hash, actor, None),
            Some(_) => {}
            // Of records that no snapshot has there is a head, so what it includes was in
            // one before, but for an actor that has none.
            None if snapshot.seq == 0 && self.changes.get(hash, actor).is_none() => {
                self.perhaps_new.insert(actor.clone());
            }
            None => {}
        }
    }

    fn head(&self, hash: u64, actor: &ActorId) -> Option<Head> {
        match self.changes.get(hash, actor) {
            Some(changed) => changed.clone(),
            None => self.heads.get_hashed(hash, actor),
        }
    }
}
