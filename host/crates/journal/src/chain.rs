//! Checks groups one behind the other: each against its checksum, its row, and
//! the hash of the one before it.

use thiserror::Error;

use crate::Position;
use crate::group::{self, Frame, Hash};
use crate::store::{GroupRow, Meta};

/// A group that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the group of positions {} to {} is damaged: {problem}; restore the store from a backup", first.0, last.0)]
pub struct Damage {
    /// First position of the group.
    pub first: Position,
    /// Last position of the group.
    pub last: Position,
    /// What is wrong with it.
    pub problem: String,
}

impl Damage {
    pub(crate) fn of(group: &GroupRow, problem: impl Into<String>) -> Self {
        Self {
            first: group.first,
            last: group.last,
            problem: problem.into(),
        }
    }
}

/// The chain of hashes, as far as it is checked.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    hash: Option<Hash>,
    last: Position,
}

impl Chain {
    /// A chain that goes on behind a group of this hash, whose last position is not
    /// behind `last`; zeros at the beginning.
    pub(crate) fn behind(hash: Hash, last: Position) -> Self {
        Self {
            hash: Some(hash),
            last,
        }
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.hash.is_some()
    }

    /// Position of the last entry of the last group.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    /// Takes the next group, and gives its frames.
    pub(crate) fn check<'a>(&mut self, group: &'a GroupRow) -> Result<Vec<Frame<'a>>, Damage> {
        let damaged = |problem: &str| Damage::of(group, problem);
        let frames = group::decode(&group.body).map_err(|error| damaged(&error.to_string()))?;
        let in_place = frames
            .iter()
            .all(|frame| (group.first..=group.last).contains(&frame.position));
        // Whose row is exact names its first and its last record.
        let named = (Some(group.first), Some(group.last));
        let exact = (
            frames.first().map(|it| it.position),
            frames.last().map(|it| it.position),
        );
        let in_place = in_place && (!group.exact || named == exact);
        if frames.len() != group.records as usize || !in_place || group.first <= self.last {
            return Err(damaged("its records are not the ones its row announces"));
        }
        if self.hash.is_some_and(|before| before != group.prev_hash) {
            return Err(damaged(
                "it does not follow the group before it: one is missing or was replaced",
            ));
        }
        let hash = group::hash(&group.prev_hash, group.epoch, group.time_ms, &group.body);
        if hash != group.hash {
            return Err(damaged("its hash does not hold"));
        }
        self.hash = Some(hash);
        self.last = group.last;
        Ok(frames)
    }

    /// The store's own row names the last group: none may be missing behind it, and it
    /// cannot end before that one does.
    pub(crate) fn ends_with(&self, meta: &Meta) -> Result<(), Damage> {
        match self.hash {
            Some(hash) if hash != meta.hash => Err(self.missing(meta)),
            _ if self.last > meta.last => Err(self.ends_behind(meta)),
            _ => Ok(()),
        }
    }

    /// The last group, which stands behind the store's end.
    pub(crate) fn ends_behind(&self, meta: &Meta) -> Damage {
        Damage {
            first: Position(meta.last.0 + 1),
            last: self.last,
            problem: "it stands behind the position at which the store says that it ends".into(),
        }
    }

    /// The groups from here to the last that the store knows of.
    pub(crate) fn missing(&self, meta: &Meta) -> Damage {
        Damage {
            first: Position(self.last.0 + 1),
            last: meta.last,
            problem: "it is missing, though the store says that it was written".into(),
        }
    }
}
