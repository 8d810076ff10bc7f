//! The journal as the audit trail: all records in order, and whether the chain holds.

use std::collections::HashMap;
use std::ops::ControlFlow;

use host_model::ActorId;

use crate::anchor::{ANCHOR, Anchor};
use crate::chain::{Chain, Damage};
use crate::claims::lacks;
use crate::error::ReadError;
use crate::group::{self, Hash};
use crate::sealed::open_record;
use crate::store::{GROUPS_AT_ONCE, GroupRow, Meta, ROWS_AT_ONCE, Reader};
use crate::{Position, Record};

/// How often a pass begins anew because groups were removed under it.
const ATTEMPTS_MAX: usize = 8;

/// A chain, as far as it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Groups checked.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Where the chain begins, if not with the first group ever written.
    pub anchor: Option<Anchor>,
    /// Position of the last entry of the last group.
    pub last: Position,
    /// Hash of the last group: whoever wrote it down before can tell that no
    /// earlier record has changed since.
    pub hash: Hash,
}

/// A record in its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Of the record.
    pub position: Position,
    /// Of its group.
    pub hash: Hash,
    /// What was accepted, or what an operator did.
    pub record: Record,
}

/// The audit trail of a store, for reading. Every call waits for the disk.
#[derive(Clone, Copy)]
pub struct Trail<'a> {
    reader: &'a dyn Reader,
}

impl<'a> Trail<'a> {
    pub(crate) fn new(reader: &'a dyn Reader) -> Self {
        Self { reader }
    }

    /// Checks every group there is, its checksum and its place in the chain, from the
    /// first or from a valid anchor. Reads the whole journal: minutes for many GiB.
    /// `tell` hears how far it is, and may end it there.
    ///
    /// # Errors
    ///
    /// [`ReadError::Chain`] names the first group that does not hold.
    pub fn verify(
        &self,
        mut tell: impl FnMut(&Verified) -> ControlFlow<()>,
    ) -> Result<Verified, ReadError> {
        self.stable(|anchor| {
            let mut walk = self.walk(anchor)?;
            walk.last = Some(HashMap::new());
            while walk.next(&mut |_, _| ControlFlow::Continue(()))? {
                if tell(&walk.verified).is_break() {
                    return Ok(walk.verified);
                }
            }
            walk.end()?;
            walk.snapshots()?;
            Ok(walk.verified)
        })
    }

    /// Position of the last entry that the store knows of, if it tells.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn end(&self) -> Result<Option<Position>, ReadError> {
        Ok(self.reader.own()?.map(|own| own.meta.last))
    }

    /// What the store says of itself.
    pub(crate) fn meta(&self) -> Result<Meta, ReadError> {
        let damaged = |problem: String| ReadError::Damaged {
            what: "the store's own row".to_owned(),
            problem,
        };
        let own = self.reader.own()?;
        let own = own.ok_or_else(|| damaged("it is not there".to_owned()))?;
        own.believed().map_err(damaged)
    }

    /// Gives `each` every record in order, after it has checked its group and all
    /// before. Of an actor, if one is named. `each` may end it.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify): nothing of a group that does not hold is given.
    /// Also that groups were removed meanwhile.
    pub fn each(
        &self,
        actor: Option<&ActorId>,
        mut each: impl FnMut(Audited) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let anchor = self.anchor()?;
        let mut walk = self.walk(anchor.clone())?;
        let mut hand_over = |group: &GroupRow, records: Vec<(Position, Record)>| {
            let wanted = records.into_iter();
            let mut wanted = wanted.filter(|(_, it)| actor.is_none_or(|actor| *actor == it.actor));
            wanted.try_for_each(|(position, record)| {
                each(Audited {
                    position,
                    hash: group.hash,
                    record,
                })
            })
        };
        let mut whole = || {
            while walk.next(&mut hand_over)? {}
            walk.end()
        };
        match whole() {
            Err(ReadError::Chain(_)) if self.anchor()? != anchor => Err(ReadError::Overtaken),
            ended => ended.map(drop),
        }
    }

    /// The records of up to `limit` groups behind a position, unchecked; none at the end.
    ///
    /// # Errors
    ///
    /// A group that is no group.
    pub fn page(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Record)>, ReadError> {
        let mut records = Vec::new();
        let mut next = Position(after.0 + 1);
        // A group may end with snapshots behind its last record: then nothing of it
        // is left, and the next one counts.
        while records.is_empty() {
            let groups = self.reader.groups(next, limit)?;
            let Some(last) = groups.last() else { break };
            next = Position(last.last.0 + 1);
            for group in &groups {
                open_records(group, after, &mut records)?;
            }
        }
        Ok(records)
    }

    /// Where the chain begins, if not with the first group ever written.
    ///
    /// # Errors
    ///
    /// Its signature does not hold.
    pub fn anchor(&self) -> Result<Option<Anchor>, ReadError> {
        let value = self.reader.value(ANCHOR)?;
        let anchor = value.map(|value| Anchor::open(&value)).transpose();
        anchor.map_err(|problem| ReadError::Damaged {
            what: "the anchor at which the chain begins".to_owned(),
            problem,
        })
    }

    /// Repeats a pass during which groups were removed.
    fn stable<T>(
        &self,
        mut pass: impl FnMut(Option<Anchor>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut attempts = 0;
        loop {
            let anchor = self.anchor()?;
            attempts += 1;
            match pass(anchor.clone()) {
                Err(ReadError::Chain(_) | ReadError::Damaged { .. })
                    if attempts < ATTEMPTS_MAX && self.anchor()? != anchor => {}
                ended => return ended,
            }
        }
    }

    fn walk(&self, anchor: Option<Anchor>) -> Result<Walk<'a>, ReadError> {
        let (hash, last) = match &anchor {
            Some(anchor) => (anchor.hash, anchor.position),
            None => (Hash::default(), Position(0)),
        };
        // Read first: the group that it names must come by.
        let meta = self.meta()?;
        Ok(Walk {
            reader: self.reader,
            chain: Chain::behind(hash, last),
            ends: meta.hash == hash,
            meta,
            last: None,
            broken_off: false,
            verified: Verified {
                groups: 0,
                records: 0,
                anchor,
                last,
                hash,
            },
        })
    }
}

/// What is done with the records of a group.
type HandOver<'f> = dyn FnMut(&GroupRow, Vec<(Position, Record)>) -> ControlFlow<()> + 'f;

/// A pass over all groups.
struct Walk<'a> {
    reader: &'a dyn Reader,
    chain: Chain,
    meta: Meta,
    /// Sequence of each actor's last record, where that is asked for.
    last: Option<HashMap<ActorId, u64>>,
    /// Whether the last group that the store knows of has come by.
    ends: bool,
    /// Whether it was ended before.
    broken_off: bool,
    verified: Verified,
}

impl Walk<'_> {
    /// Some more groups; false at the end, and where it was ended before.
    fn next(&mut self, hand_over: &mut HandOver<'_>) -> Result<bool, ReadError> {
        let groups = self.read()?;
        for group in &groups {
            let frames = self.chain.check(group)?;
            let mut records = Vec::with_capacity(frames.len());
            for frame in &frames {
                let record = open_record(frame.record).map_err(|it| Damage::of(group, it))?;
                records.push((frame.position, record));
            }
            self.verified.groups += 1;
            self.verified.records += records.len() as u64;
            self.verified.last = group.last;
            self.verified.hash = group.hash;
            if self.meta.hash == group.hash {
                self.ends = true;
                if group.last > self.meta.last {
                    return Err(self.chain.ends_behind(&self.meta).into());
                }
            }
            if let Some(last) = &mut self.last {
                let of_actors = records.iter().filter(|(_, record)| !record.is_action());
                last.extend(of_actors.map(|(_, it)| (it.actor.clone(), it.seq)));
            }
            if hand_over(group, records).is_break() {
                self.broken_off = true;
                return Ok(false);
            }
        }
        Ok(!groups.is_empty())
    }

    fn read(&self) -> Result<Vec<GroupRow>, ReadError> {
        let next = Position(self.chain.last().0 + 1);
        let groups = self.reader.groups(next, GROUPS_AT_ONCE);
        // One of them cannot be read: those before it can, one by one.
        groups
            .or_else(|_| self.reader.groups(next, 1))
            .map_err(|error| match error.is_away {
                true => error.into(),
                false => ReadError::Damaged {
                    what: format!("the group behind position {}", self.chain.last().0),
                    problem: error.in_full(),
                },
            })
    }

    fn end(&self) -> Result<Verified, ReadError> {
        match self.ends || self.broken_off {
            true => Ok(self.verified.clone()),
            false => Err(self.chain.missing(&self.meta).into()),
        }
    }

    /// Whether the records that snapshots include have come by, or were removed: of those
    /// snapshots that were there when the pass began.
    fn snapshots(&self) -> Result<(), ReadError> {
        let Some(last) = &self.last else {
            return Ok(());
        };
        let removed = self.verified.anchor.as_ref().map_or(0, |it| it.records);
        let mut after = Position(0);
        loop {
            let page = self.reader.inspect().snapshot_keys(after, ROWS_AT_ONCE)?;
            let Some(end) = page.last() else {
                return Ok(());
            };
            after = end.position;
            for key in page.iter().filter(|key| key.position <= self.meta.last) {
                let seq = key.actor.parse().ok().and_then(|it: ActorId| last.get(&it));
                if let Some(problem) = lacks(key.seq, seq.copied(), removed) {
                    return Err(ReadError::Damaged {
                        what: format!(
                            "the snapshot of {} at position {}",
                            key.actor, key.position.0
                        ),
                        problem,
                    });
                }
            }
        }
    }
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
