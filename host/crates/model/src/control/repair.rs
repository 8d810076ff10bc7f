//! What an operator looks at and does about messages that came to nothing, and
//! actors that were set aside.

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DeadLetterRow, QuarantineRow};
use crate::id::ActorId;

/// `host dead-letters retry ID`, `host dead-letters drop ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterRequest {
    /// Its number.
    pub id: u64,
}

/// `host outbox retry ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRequest {
    /// Its id, `position/index`.
    pub id: String,
}

/// A line of `host outbox list`: a webhook that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRow {
    /// Its id, `position/index`: with the store's id before it the key that the
    /// receiver knows it by.
    pub id: String,
    /// Who sends it.
    pub actor: ActorId,
    /// What the plugin calls it; may be empty.
    pub name: String,
    /// Where to.
    pub url: String,
    /// Attempts that have failed.
    pub attempts: u32,
    /// When the next one is due, Unix milliseconds, UTC.
    pub due_ms: i64,
    /// Why the last one failed; empty before the first.
    pub error: String,
}

/// `host quarantine export ACTOR`: all that is kept of an actor, for someone to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorExport {
    /// Which.
    pub actor: ActorId,
    /// Why it is in quarantine, if it is.
    pub quarantined: Option<String>,
    /// Its state as of its last record, by field; null where it cannot be woken.
    pub state: Option<Value>,
    /// Why it cannot be woken.
    pub state_error: Option<String>,
    /// Its last snapshot.
    pub snapshot: Option<SnapshotExport>,
    /// The records since that snapshot, in order: what waking it replays. Older ones
    /// are in the audit's export.
    pub records: Vec<RecordExport>,
    /// Its timers, by name.
    pub timers: Vec<TimerExport>,
    /// Its dead letters, the oldest first.
    pub dead_letters: Vec<DeadLetterRow>,
}

/// See [`ActorExport::snapshot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotExport {
    /// Sequence of the last record that it includes.
    pub seq: u64,
    /// The plugin version whose state it is.
    pub version: Version,
    /// That version's state schema.
    pub state_schema: u32,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
    /// The state, by field.
    pub state: Value,
    /// What lower versions could not hold, the latest last.
    pub carries: Vec<CarryExport>,
}

/// See [`SnapshotExport::carries`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CarryExport {
    /// The version that wrote it.
    pub newer: Version,
    /// The version beside whose state it lies.
    pub older: Version,
    /// What it holds, by field; null where only timers wait.
    pub carry: Value,
    /// Timers that the older version does not know.
    #[serde(default)]
    pub timers: Vec<TimerExport>,
}

/// See [`ActorExport::records`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordExport {
    /// Its sequence.
    pub seq: u64,
    /// The plugin version that decided it.
    pub version: Version,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
    /// Command or timer name.
    pub command: String,
    /// Its payload; text where it is no JSON.
    pub payload: Value,
    /// What happened.
    pub event: Value,
    /// Who sent it.
    pub principal: String,
    /// Its idempotency key, if it had one.
    pub idempotency_key: Option<String>,
}

/// See [`ActorExport::timers`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimerExport {
    /// Its name.
    pub name: String,
    /// Unix milliseconds, UTC.
    pub due_ms: i64,
    /// The version that set it.
    pub version: Version,
    /// What it is given back.
    pub payload: Value,
}

/// What a way back took that is not the rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WayBack {
    /// Actors that went back by their commands, for their state could not.
    pub rebuilt: u64,
    /// Casts and timers that the newer release could not handle, and the older one has.
    pub redelivered: u64,
    /// Actors that could not go back, and were set aside whole in the newer version.
    pub set_aside: u64,
    /// The first of those, with what stands in their way.
    pub named: Vec<QuarantineRow>,
}

impl WayBack {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
