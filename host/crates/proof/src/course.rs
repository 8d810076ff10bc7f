//! An actor's way from state to state, as a journal has it.

use bytes::Bytes;
use host_model::{ActorId, Version};
use serde::{Deserialize, Serialize};

/// A run of events with no migration in between.
///
/// Where a store has a snapshot of another state schema, one course ends and the next
/// one begins at that snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Whose.
    pub actor: ActorId,
    /// Where it begins; none: with a new actor.
    pub start: Option<Base>,
    /// What happened, in order, without a gap.
    pub events: Vec<Event>,
    /// What else the store has as its state, in the order of sequences: each must be
    /// what a replay comes to there.
    pub snapshots: Vec<Base>,
}

/// A state that was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Of the last event that it includes; 0 if none.
    pub seq: u64,
    /// The version that wrote it.
    pub version: Version,
    /// MessagePack, as exported.
    pub state: Bytes,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, 3, ... within the actor.
    pub seq: u64,
    /// The version that decided it, and that applies it.
    pub version: Version,
    /// JSON, as the plugin wrote it.
    pub event: Bytes,
}

impl Course {
    /// Sequence behind its last event.
    #[must_use]
    pub fn end(&self) -> u64 {
        let begin = self.start.as_ref().map_or(0, |base| base.seq);
        self.events.last().map_or(begin, |event| event.seq)
    }

    /// Sequence in its middle: behind it lies about as much as before it.
    pub(crate) fn middle(&self) -> Option<u64> {
        let at = self.events.len() / 2;
        at.checked_sub(1).map(|at| self.events[at].seq)
    }

    /// What is left of it behind a state that it came to.
    pub(crate) fn rest(&self, base: Base) -> Self {
        let is_behind = |event: &&Event| event.seq > base.seq;
        Self {
            actor: self.actor.clone(),
            events: self.events.iter().filter(is_behind).cloned().collect(),
            snapshots: Vec::new(),
            start: Some(base),
        }
    }
}
