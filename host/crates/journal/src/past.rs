//! Where the tails ended that a snapshot has since taken in, of all actors.
//!
//! The first record behind a snapshot does not name the one before it (see
//! [`crate::before`]). Whoever looks for that alone looks into each group in between: and of
//! thousands of actors that go back together, each would look into what all have written. So
//! they share what is found: the groups are gone through once, from the end towards the
//! beginning, as far as any of them has to look.
//!
//! Only what is durable is looked at, and that stays as it is. What is written later stands
//! behind it, and is for each to search; what is removed meanwhile is missed where it is
//! read.

use std::fmt;

use hashbrown::HashMap;
use host_model::ActorId;
use host_model::limits::{BEFORE_BYTES_MAX, PAST_TAILS_MAX};
use parking_lot::Mutex;

use crate::before::Page;
use crate::error::StoreError;
use crate::sealed::open_record;
use crate::store::{GroupRow, Reader};
use crate::{Position, Record, group};

/// What actors that go back together share; see [`Journal::before`](crate::Journal::before).
///
/// It keeps at most about [`PAST_TAILS_MAX`] ends, of at most [`BEFORE_BYTES_MAX`] bytes of
/// groups. What lies before those is for each to search.
pub struct PastTails {
    seen: Mutex<Seen>,
    ends_max: usize,
}

struct Seen {
    /// All groups from here on, and before `to`, were looked at.
    from: Position,
    to: Position,
    bytes: u64,
    page: Page,
    pasts: HashMap<ActorId, Past, foldhash::fast::RandomState>,
    ends: usize,
    /// A group that cannot be read is for whoever needs it to name.
    is_damaged: bool,
}

/// What was seen of an actor.
struct Past {
    /// Where its tails ended, the last one first.
    ends: Vec<Position>,
    /// Its first record that was seen names none before it.
    is_first: bool,
}

/// Where an actor's record is that another one does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    /// Here.
    At(Position),
    /// Not where it was looked, but it may be somewhere before this.
    Below(Position),
    /// One more group was looked at: it is to be sought again.
    Again,
}

impl PastTails {
    /// Of the groups before `to`, where one ends. Nothing is read yet.
    pub(crate) fn new(to: Position, ends_max: usize) -> Self {
        let seen = Seen {
            from: to,
            to,
            bytes: 0,
            page: Page::default(),
            pasts: HashMap::default(),
            ends: 0,
            is_damaged: false,
        };
        Self {
            seen: Mutex::new(seen),
            ends_max,
        }
    }

    /// The last record of the actor before `below`, where a snapshot or a record stands that
    /// names none before it. Nothing is wanted at or before `begin`.
    pub(crate) fn seek(
        &self,
        reader: &dyn Reader,
        actor: &ActorId,
        below: Position,
        begin: Position,
    ) -> Result<Sought, StoreError> {
        let mut seen = self.seen.lock();
        if below > seen.to {
            return Ok(Sought::Below(below));
        }
        let past = seen.pasts.get(actor);
        let end = past.and_then(|it| it.ends.iter().find(|end| **end < below));
        if let Some(end) = end {
            return Ok(Sought::At(*end));
        }
        let is_full = seen.ends >= self.ends_max || seen.bytes >= BEFORE_BYTES_MAX;
        if seen.from <= begin || is_full || seen.is_damaged {
            return Ok(Sought::Below(seen.from.min(below)));
        }
        seen.look_further(reader)?;
        Ok(Sought::Again)
    }
}

impl Default for PastTails {
    /// Of none: each searches for itself.
    fn default() -> Self {
        Self::new(Position(0), PAST_TAILS_MAX)
    }
}

impl fmt::Debug for PastTails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PastTails").finish_non_exhaustive()
    }
}

impl Seen {
    fn look_further(&mut self, reader: &dyn Reader) -> Result<(), StoreError> {
        let Some(group) = self.page.below(reader, self.from)? else {
            self.from = Position(0);
            return Ok(());
        };
        match self.take(&group) {
            Some(()) => self.from = group.first,
            None => self.is_damaged = true,
        }
        self.bytes += group.body.len() as u64;
        Ok(())
    }

    /// Takes note of what a group has; of one that is damaged, none.
    fn take(&mut self, group: &GroupRow) -> Option<()> {
        let frames = group::decode(&group.body).ok()?;
        for frame in frames.iter().rev() {
            let record = open_record(frame.record).ok()?;
            if !record.is_action() {
                self.note(record, frame.position, frame.prev == Position(0));
            }
        }
        Some(())
    }

    fn note(&mut self, record: Record, position: Position, is_first: bool) {
        let past = self.pasts.entry(record.actor).or_insert(Past {
            ends: Vec::new(),
            is_first: true,
        });
        if past.is_first {
            past.ends.push(position);
            self.ends += 1;
        }
        past.is_first = is_first;
    }
}
