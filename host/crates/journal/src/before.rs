//! An actor as it was before it came over to its version, and all its records since.
//!
//! The store keeps the last snapshot of the version before, as long as an actor stays in
//! its own. Records name the one before them, but for the first behind a snapshot: the
//! one before that is sought in the [`PastTails`], or group by group, towards the beginning.
//! It is seldom far, for a tail is never longer than what a start may read.

use std::collections::VecDeque;

use host_model::limits::BEFORE_BYTES_MAX;
use host_model::{ActorId, Version};
use thiserror::Error;

use crate::chain::Damage;
use crate::error::{ReadError, StoreError};
use crate::group;
use crate::past::{PastTails, Sought};
use crate::sealed::open_record;
use crate::store::{GROUPS_AT_ONCE, GroupRow, Reader, SnapshotKey};
use crate::{Position, Record, Snapshot, pieces};

/// See [`Journal::before`](crate::Journal::before).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The last snapshot of another version; none if there never was one.
    pub snapshot: Option<Snapshot>,
    /// All records behind it, in order.
    pub records: Vec<Record>,
}

/// What an actor was before is not to be had any more.
#[derive(Debug, Error)]
pub enum BeforeError {
    /// The store cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store refused a statement.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    /// Records that it takes were removed.
    #[error("its record {0} is not kept any more")]
    Removed(u64),
    /// They are too far apart.
    #[error("its record {0} lies more than {BEFORE_BYTES_MAX} bytes of the journal back")]
    Far(u64),
}

/// What the actor was before it came over to `version`. `head` is the position of its
/// last record behind its last snapshot; all that it has appended is durable. Whoever goes
/// back together has the same `past`. `looked` is told of each group.
pub(crate) fn before(
    reader: &dyn Reader,
    actor: &ActorId,
    head: Option<Position>,
    version: &Version,
    past: &PastTails,
    looked: impl Fn(),
) -> Result<Before, BeforeError> {
    let kept = reader.kept(actor)?;
    let version = version.to_string();
    let base = kept.iter().find(|key| key.version != version);
    let snapshot = base.map(|key| open(reader, key)).transpose()?;
    let behind_last = kept.first().map(|key| Position(key.position.0 + 1));
    let mut walk = Walk {
        reader,
        actor,
        begin: base.map_or(Position(0), |key| key.position),
        covered: base.map_or(0, |key| key.seq),
        wanted: kept.first().map_or(0, |key| key.seq),
        next: match head {
            Some(head) => Next::At(head),
            None => Next::Below(behind_last.unwrap_or_default()),
        },
        searched_bytes: 0,
        searched_bytes_max: BEFORE_BYTES_MAX,
        past: Some(past),
        page: Page::default(),
        records: Vec::new(),
    };
    if head.is_some() {
        walk.wanted = u64::MAX;
    }
    while walk.wanted > walk.covered {
        walk.step()?;
        looked();
    }
    walk.records.reverse();
    Ok(Before {
        snapshot,
        records: walk.records,
    })
}

fn open(reader: &dyn Reader, key: &SnapshotKey) -> Result<Snapshot, BeforeError> {
    let body = reader.inspect().snapshot_body(key.position)?;
    let opened = pieces::open(reader, &body)?;
    Ok(opened.map_err(|problem| ReadError::Damaged {
        what: format!(
            "the snapshot of {} at position {}",
            key.actor, key.position.0
        ),
        problem,
    })?)
}

/// What groups that are read at once may have together, by those that were read before.
const PAGE_BYTES: usize = 4 << 20;

/// Where the next record is, on the way back.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// Here.
    At(Position),
    /// Somewhere before this.
    Below(Position),
}

/// A way back through the groups.
pub(crate) struct Walk<'a> {
    pub(crate) reader: &'a dyn Reader,
    pub(crate) actor: &'a ActorId,
    /// What is wanted stands behind this, and behind this sequence.
    pub(crate) begin: Position,
    pub(crate) covered: u64,
    /// The sequence of the next record; of the first one, none.
    pub(crate) wanted: u64,
    pub(crate) next: Next,
    /// Of groups without a word of the actor, and how many there may be.
    pub(crate) searched_bytes: u64,
    pub(crate) searched_bytes_max: u64,
    /// What others have found.
    pub(crate) past: Option<&'a PastTails>,
    pub(crate) page: Page,
    /// The last one first.
    pub(crate) records: Vec<Record>,
}

/// Groups that lie one before the other, the last first, and were read at once because one
/// of them was searched for.
#[derive(Default)]
pub(crate) struct Page {
    groups: VecDeque<GroupRow>,
    /// How many there were, and of how many bytes: the next time twice as many are read, if
    /// they are small.
    read: usize,
    bytes: usize,
}

impl Page {
    /// The group that holds `position`, or the next one behind it.
    fn at(
        &mut self,
        reader: &dyn Reader,
        position: Position,
    ) -> Result<Option<GroupRow>, StoreError> {
        self.go_before(Position(position.0 + 1));
        let own = self.groups.pop_front_if(|group| position <= group.last);
        match own {
            Some(group) => Ok(Some(group)),
            None => Ok(reader.groups(position, 1)?.pop()),
        }
    }

    /// The last group that begins before `position`.
    pub(crate) fn below(
        &mut self,
        reader: &dyn Reader,
        position: Position,
    ) -> Result<Option<GroupRow>, StoreError> {
        self.go_before(position);
        if self.groups.is_empty() {
            let fit = self.read * PAGE_BYTES / self.bytes.max(1);
            let many = (2 * self.read).min(fit).clamp(1, GROUPS_AT_ONCE);
            self.groups = reader.groups_before(position, many)?.into();
            self.read = self.groups.len();
            self.bytes = self.groups.iter().map(|group| group.body.len()).sum();
        }
        Ok(self.groups.pop_front())
    }

    /// Leaves out what begins at `position` or behind it.
    fn go_before(&mut self, position: Position) {
        let is_behind = |group: &GroupRow| group.first >= position;
        while self.groups.front().is_some_and(is_behind) {
            self.groups.pop_front();
        }
    }
}

impl Walk<'_> {
    /// Looks into one more group, and takes what it has.
    pub(crate) fn step(&mut self) -> Result<(), BeforeError> {
        if let (Next::Below(below), Some(past)) = (self.next, self.past) {
            match past.seek(self.reader, self.actor, below, self.begin)? {
                Sought::At(position) => self.next = Next::At(position),
                Sought::Below(begin) if begin <= self.begin => {
                    return Err(BeforeError::Removed(self.wanted));
                }
                Sought::Below(below) => self.next = Next::Below(below),
                Sought::Again => return Ok(()),
            }
        }
        let group = match self.next {
            Next::At(position) => {
                let group = self.page.at(self.reader, position)?;
                group.filter(|group| group.first <= position)
            }
            Next::Below(position) => self.page.below(self.reader, position)?,
        };
        let group = group.ok_or(BeforeError::Removed(self.wanted))?;
        self.take(&group)?;
        if let Next::Below(below) = self.next
            && self.wanted > self.covered
            && below <= group.first
        {
            self.searched_bytes += group.body.len() as u64;
            if below <= self.begin {
                return Err(BeforeError::Removed(self.wanted));
            }
            if self.searched_bytes > self.searched_bytes_max {
                return Err(BeforeError::Far(self.wanted));
            }
        }
        Ok(())
    }

    /// Takes the actor's records out of a group, as far as they are wanted.
    fn take(&mut self, group: &GroupRow) -> Result<(), ReadError> {
        let damaged = |problem: String| Damage::of(group, problem);
        let frames = group::decode(&group.body).map_err(|error| damaged(error.to_string()))?;
        for frame in frames.iter().rev() {
            let may_be = match self.next {
                Next::At(position) => frame.position == position,
                Next::Below(position) => frame.position < position,
            };
            if !may_be {
                continue;
            }
            let record = open_record(frame.record).map_err(damaged)?;
            if record.actor != *self.actor {
                continue;
            }
            if self.wanted != u64::MAX && record.seq != self.wanted {
                let found = record.seq;
                let problem = format!("record {found} stands where {} belongs", self.wanted);
                return Err(damaged(problem).into());
            }
            self.wanted = record.seq - 1;
            self.next = match frame.prev {
                Position(0) => Next::Below(frame.position),
                prev => Next::At(prev),
            };
            self.records.push(record);
            if self.wanted <= self.covered {
                return Ok(());
            }
        }
        match self.next {
            Next::At(position) if position >= group.first => {
                Err(damaged(format!("there is no record at position {}", position.0)).into())
            }
            Next::At(_) => Ok(()),
            Next::Below(position) => {
                self.next = Next::Below(position.min(group.first));
                Ok(())
            }
        }
    }
}
