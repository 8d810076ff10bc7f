//! What may be removed from the beginning of the chain, and how the rest stays
//! provable.
//!
//! Needed are: the records behind the older of an actor's kept snapshots, all of an
//! actor without a snapshot, and the last group, which the next one is chained to. What
//! else is to stay is for the layers above: they give each step its bound.
//! Each step proves the groups that it removes, and signs an anchor that stands for
//! them; both are one entry.

use bytes::Bytes;
use host_model::ActorId;

use crate::anchor::{ANCHOR, Anchor, AnchorKey};
use crate::chain::Chain;
use crate::error::ReadError;
use crate::group::Hash;
use crate::heads::Heads;
use crate::store::GroupRow;
use crate::{Journal, Position, Rows, hex};

/// Groups of one step, and their bytes: a step shares a commit with commands.
const STEP_GROUPS_MAX: usize = 16;
const STEP_BYTES_MAX: usize = 4 << 20;

/// A step that was worked out, and not made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Where the chain begins then.
    pub anchor: Anchor,
    /// Groups that this step removes.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
}

impl Removal {
    /// The entry that makes it.
    #[must_use]
    pub fn rows(&self) -> Rows {
        Rows {
            values: vec![(ANCHOR.to_owned(), Some(Bytes::from(self.anchor.value())))],
            removed_through: Some(self.anchor.position),
            ..Rows::default()
        }
    }
}

impl<T: Send + 'static> Journal<T> {
    /// Groups that end before this are needed by no replay. It only rises. None: the
    /// store does not tell.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn needed_from(&self) -> Result<Option<Position>, ReadError> {
        // First the tails: a snapshot that is written meanwhile only makes them shorter.
        let tails = self.tails_from();
        let Some(needed) = self.reader()?.needed(1)? else {
            return Ok(None);
        };
        let between = needed.first().map_or(tails, |(position, _)| *position);
        Ok(Some(tails.min(between)))
    }

    /// Where the first record stands that some actor's last snapshot does not include, or
    /// where the journal ends. It only rises. Cheap.
    ///
    /// As long as the groups from here on stay, each actor as it is now, and all that it
    /// does from now on, can be had: once it has left its version, too, for the last
    /// snapshot of that is kept.
    pub fn tails_from(&self) -> Position {
        // In this order: a record that is written in between is behind both.
        let durable = self.durable();
        let tails = self.shared.heads.read().first();
        tails.map_or(durable, |tails| tails.min(durable))
    }

    /// Up to about `limit` actors that hold back groups before `below`: a snapshot of
    /// each, and those may go.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn held_back(&self, below: Position, limit: usize) -> Result<Vec<ActorId>, ReadError> {
        let reader = self.reader()?;
        let between = reader.needed(limit)?.unwrap_or_default().into_iter();
        let between = between.filter(|(position, _)| *position < below);
        let tails = Heads::shards().flat_map(|shard| {
            let heads = self.shared.heads.read();
            heads.begun_below(shard, below)
        });
        let held = between.chain(tails).map(|(_, actor)| actor);
        let mut held: Vec<_> = held.take(limit).collect();
        held.sort_unstable();
        held.dedup();
        Ok(held)
    }

    /// The next step of removing groups that end before `bound` and were committed
    /// before `before_ms`; none when there is nothing (more) to remove. `bound` is at
    /// most [`needed_from`](Self::needed_from); `now_ms` goes into the anchor. On an anchor
    /// that another key has signed only a [new](AnchorKey::is_new) one signs.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read). What does not hold is not removed.
    pub fn removal(
        &self,
        key: &AnchorKey,
        bound: Position,
        before_ms: i64,
        now_ms: i64,
    ) -> Result<Option<Removal>, ReadError> {
        let before = self.trail()?.anchor()?;
        let is_foreign = |before: &Anchor| hex::encode(&before.public_key) != key.public();
        if !key.is_new() && before.as_ref().is_some_and(is_foreign) {
            return Err(ReadError::Damaged {
                what: "the anchor at which the chain begins".to_owned(),
                problem: "it was signed by another key than this home's".to_owned(),
            });
        }
        let (hash, last) = match &before {
            Some(anchor) => (anchor.hash, anchor.position),
            None => (Hash::default(), Position(0)),
        };
        let next = Position(last.0 + 1);
        let groups = self.reader()?.groups(next, STEP_GROUPS_MAX + 1)?;
        let mut chain = Chain::behind(hash, last);
        let (mut removed, mut bytes, mut records) = (0, 0, 0);
        let mut end: Option<&GroupRow> = None;
        // The last of them stays: the next group, if it is the last of all.
        for group in groups.iter().take(groups.len().saturating_sub(1)) {
            let old = group.last < bound && group.time_ms < before_ms;
            if !old || bytes >= STEP_BYTES_MAX {
                break;
            }
            records += chain.check(group)?.len() as u64;
            bytes += group.body.len();
            removed += 1;
            end = Some(group);
        }
        let Some(end) = end else { return Ok(None) };
        let gone = before.map_or((0, 0), |anchor| (anchor.groups, anchor.records));
        let anchor = Anchor {
            store_id: self.store_id().to_owned(),
            position: end.last,
            hash: end.hash,
            groups: gone.0 + removed,
            records: gone.1 + records,
            time_ms: now_ms,
            public_key: [0; 32],
            signature: [0; 64],
        };
        Ok(Some(Removal {
            anchor: key.sign(anchor),
            groups: removed,
            records,
        }))
    }

    /// The anchor at which the chain begins, signed with another key, as a value to be
    /// kept: for a home that was given the store, and takes it for its own.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn signed_anew(
        &self,
        key: &AnchorKey,
    ) -> Result<Option<(String, Option<Bytes>)>, ReadError> {
        let anchor = self.trail()?.anchor()?;
        Ok(anchor.map(|anchor| {
            let value = key.sign(anchor).value();
            (ANCHOR.to_owned(), Some(Bytes::from(value)))
        }))
    }

    /// Position of the first group committed at or after a time, as far as the clock
    /// has not gone back: found by halving, for only the choice of whom to ask for a
    /// snapshot hangs on it.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn first_since(&self, time_ms: i64) -> Result<Position, ReadError> {
        let reader = self.reader()?;
        let first = reader.groups(Position(1), 1)?;
        let mut low = first.first().map_or(Position(1), |group| group.first).0;
        let mut high = self.durable().0 + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match reader.groups(Position(middle), 1)?.first() {
                Some(group) if group.time_ms < time_ms => low = group.last.0.max(middle) + 1,
                _ => high = middle,
            }
        }
        Ok(Position(low))
    }
}
