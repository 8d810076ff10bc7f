//! What is appended in one piece.

use bytes::Bytes;
use host_model::{ActorId, Version};
use serde::{Deserialize, Serialize};

use crate::{Incarnation, Position, Record, Snapshot};

/// One append: all of it becomes durable, or nothing. `T` comes back through `done`.
#[derive(Debug)]
pub struct Entry<T> {
    /// The incarnation in which the actor's state was built.
    pub incarnation: Incarnation,
    /// What is written.
    pub rows: Rows,
    /// Given back when it is durable, or lost.
    pub token: T,
}

/// The rows of an entry. All empty: a barrier, which is done when everything
/// appended before it is.
#[derive(Debug, Default)]
pub struct Rows {
    /// The accepted command.
    pub record: Option<Record>,
    /// The actor's state, including `record` if there is one.
    pub snapshot: Option<Snapshot>,
    /// The row that led to this, and is used up by it.
    pub consumed: Option<Consumed>,
    /// Casts that the record caused, in order.
    pub casts: Vec<Letter>,
    /// Timers that the record set, or that a migration brought back with the
    /// snapshot: name, when due (Unix milliseconds, UTC), payload. A timer of the
    /// same actor and name is replaced.
    pub timers_set: Vec<(String, i64, Bytes)>,
    /// Names of timers that the record cancelled, before it set those above.
    pub timers_cancelled: Vec<String>,
    /// What could not be delivered or handled.
    pub dead_letter: Option<DeadLetter>,
    /// Puts an actor into quarantine (with the reason), or takes it out.
    pub quarantine: Option<(ActorId, Option<String>)>,
    /// The host's own durable values, such as the state of an upgrade: key, and
    /// new value or none.
    pub values: Vec<(String, Option<Bytes>)>,
    /// Groups that end at or before this are removed. Only of
    /// [`Journal::removal`](crate::Journal::removal), which signs what is gone.
    pub removed_through: Option<Position>,
}

/// The identity of a cast: the position of the record that caused it, and which
/// of its casts it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CastId {
    /// Of the record.
    pub position: Position,
    /// 0, 1, 2, ... within the record.
    pub index: u32,
}

/// A message to an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Who sends it.
    pub from: ActorId,
    /// Who shall get it.
    pub to: ActorId,
    /// The version of the target's plugin in whose shape the message is: the one
    /// that goes with the sender's version.
    pub version: Version,
    /// Command name.
    pub event: String,
    /// JSON.
    pub payload: Bytes,
    /// How many casts led here, this one included.
    pub hops: u32,
}

/// A cast that waits for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CastRow {
    /// Its identity.
    pub id: CastId,
    /// The message.
    pub letter: Letter,
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerRow {
    /// Whose.
    pub actor: ActorId,
    /// Unique within the actor.
    pub name: String,
    /// Unix milliseconds, UTC.
    pub due_ms: i64,
    /// Position of the record that set it: two timers of one name are told apart by it.
    pub set_at: Position,
    /// The version that set it.
    pub version: Version,
    /// JSON.
    pub payload: Bytes,
}

/// A row that is deleted in the transaction of what it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consumed {
    /// A cast.
    Cast(CastId),
    /// A timer, if it is still the one that was set at this position.
    Timer {
        /// Whose.
        actor: ActorId,
        /// Its name.
        name: String,
        /// See [`TimerRow::set_at`].
        set_at: Position,
    },
    /// A dead letter, by its number: it is delivered again, or dropped.
    DeadLetter(u64),
}

/// A message that came to nothing, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What kind of message it was.
    pub kind: DeadLetterKind,
    /// The actor that should have handled it.
    pub actor: ActorId,
    /// The plugin version that could not.
    pub version: Version,
    /// Command or timer name.
    pub event: String,
    /// JSON as it came in.
    pub payload: Bytes,
    /// For programs: `panic`, `rejected`, `too_many_hops`, ...
    pub reason: String,
    /// For people.
    pub message: String,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
}

/// See [`DeadLetter::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterKind {
    /// A client's command that made the plugin fault.
    Command,
    /// A cast.
    Cast,
    /// A timer.
    Timer,
}
