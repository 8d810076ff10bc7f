//! What is kept of an actor: its records and its snapshots.

use bytes::Bytes;
use host_model::carry::Carry;
use host_model::limits::{SNAPSHOT_PIECE_BYTES_MAX, STATE_BYTES_MAX};
use host_model::{ActorId, Version};
use serde::{Deserialize, Serialize};

use crate::Position;

/// One accepted command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose.
    pub actor: ActorId,
    /// 1, 2, 3, ... within the actor; 0 of an operator's [`Action`](crate::Action).
    pub seq: u64,
    /// The plugin version that decided it, and that replays it.
    pub version: Version,
    /// Unix milliseconds, UTC. Never less than in the actor's record before.
    pub time_ms: i64,
    /// Name of the command or timer.
    pub command: String,
    /// Its payload, JSON as it came in.
    pub payload: Bytes,
    /// The event, JSON as the plugin wrote it.
    pub event: Bytes,
    /// Who sent it: a principal, `actor:zakat:ali`, `timer`; empty where authentication is off.
    pub principal: String,
    /// The key under which a repetition is known, if it has one.
    pub idempotency_key: Option<String>,
    /// What followed from it beyond the actor (broadcasts, casts, timers, webhooks): a JSON
    /// array as the plugin wrote it, each a [`host_model::effect::Effect`]; empty where
    /// nothing followed. So the chain proves what left, too.
    #[serde(default)]
    pub effects: Bytes,
}

/// An actor's state at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whose.
    pub actor: ActorId,
    /// Sequence of the last record it includes; 0 if none.
    pub seq: u64,
    /// Time of that record, or of the snapshot where there is none. Unix milliseconds, UTC.
    pub time_ms: i64,
    /// The plugin version whose state it is.
    pub version: Version,
    /// That version's state schema.
    pub state_schema: u32,
    /// The state: MessagePack with field names, as the plugin exported it.
    pub state: Bytes,
    /// What lower versions on the way here could not hold, the latest last.
    pub carries: Vec<Carry>,
}

impl Snapshot {
    /// Bytes of the state and of what lies beside it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let carries = self.carries.iter();
        self.state.len() + carries.map(Carry::weight).sum::<usize>()
    }

    /// Whether it can be stored.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.bytes() <= STATE_BYTES_MAX
    }

    /// Whether it may not share a group, and is written in [`Pieces`](crate::Pieces).
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.bytes() > SNAPSHOT_PIECE_BYTES_MAX
    }
}

/// An actor as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The last snapshot, if there is one.
    pub snapshot: Option<Snapshot>,
    /// The records since, in order.
    pub tail: Vec<Record>,
    /// Position of the last record or snapshot.
    pub head: Position,
    /// Why it is in quarantine, if it is.
    pub quarantined: Option<String>,
}
