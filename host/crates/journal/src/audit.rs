//! The journal as the audit trail: all records in order, and whether the chain holds.

use std::ops::ControlFlow;

use host_model::ActorId;

use crate::anchor::{ANCHOR, Anchor};
use crate::chain::{Chain, Damage};
use crate::error::ReadError;
use crate::group::{self, Hash};
use crate::sealed::open_record;
use crate::store::{GROUPS_AT_ONCE, GroupRow, Meta, Reader};
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
            while walk.next(&mut |_, _| ControlFlow::Continue(()))? {
                if tell(&walk.verified).is_break() {
                    return Ok(walk.verified);
                }
            }
            walk.end()
        })
    }

    /// Position of the last entry that the store knows of, if it tells.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn end(&self) -> Result<Option<Position>, ReadError> {
        Ok(self.reader.meta()?.map(|meta| meta.last))
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
                Err(ReadError::Chain(_)) if attempts < ATTEMPTS_MAX && self.anchor()? != anchor => {
                }
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
        let meta = self.reader.meta()?;
        Ok(Walk {
            reader: self.reader,
            chain: Chain::behind(hash, last),
            ends: meta.as_ref().is_none_or(|meta| meta.hash == hash),
            meta,
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
    meta: Option<Meta>,
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
            self.ends |= self.meta.as_ref().is_some_and(|it| it.hash == group.hash);
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
        match &self.meta {
            Some(meta) if !self.ends && !self.broken_off => Err(self.chain.missing(meta).into()),
            _ => Ok(self.verified.clone()),
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
