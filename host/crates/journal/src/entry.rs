//! What is appended in one piece.

use bytes::Bytes;
use host_model::carry::CarriedTimer;
use host_model::{ActorId, Version};
use serde::{Deserialize, Serialize};

use crate::{
    AnswerKey, Incarnation, KeptAnswer, OutboxChange, OutboxId, Piece, PieceId, Position, Record,
    Snapshot, Webhook, Whole,
};

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
    /// The actor's state, including `record` if there is one. Not a large one:
    /// see [`Snapshot::is_large`].
    pub snapshot: Option<Snapshot>,
    /// A piece of a snapshot that is not valid yet; see [`Pieces`](crate::Pieces).
    pub piece: Option<Piece>,
    /// A snapshot that is valid from this entry on: its pieces stand before it.
    pub whole: Option<Whole>,
    /// Pieces that no snapshot has and none will; those that one has stay.
    pub pieces_removed: Vec<PieceId>,
    /// The row that led to this, and is used up by it.
    pub consumed: Option<Consumed>,
    /// Casts that the record caused, in order.
    pub casts: Vec<Letter>,
    /// Timers that the record set: name, when due (Unix milliseconds, UTC), payload. A
    /// timer of the same actor and name is replaced.
    pub timers_set: Vec<(String, i64, Bytes)>,
    /// Timers that a migration brought back with the snapshot, each in the shape that it
    /// has. One of the same actor and name is replaced.
    pub timers_returned: Vec<CarriedTimer>,
    /// Names of timers that the record cancelled, or that a migration took along with the
    /// snapshot, before those above were set.
    pub timers_cancelled: Vec<String>,
    /// Webhooks that the record caused, in order. They are due at once.
    pub outbox: Vec<Webhook>,
    /// What has become of a webhook.
    pub outbox_change: Option<OutboxChange>,
    /// The record's reply, where its command had an idempotency key. A key that is
    /// there already fails the group: the command has been executed twice.
    pub answer: Option<Box<(AnswerKey, KeptAnswer)>>,
    /// Forgets some answers that were given before this time (Unix milliseconds,
    /// UTC), at most [`ANSWERS_STEP_MAX`](host_model::limits::ANSWERS_STEP_MAX) of
    /// them, the oldest.
    pub answers_before_ms: Option<i64>,
    /// What could not be delivered or handled.
    pub dead_letter: Option<DeadLetter>,
    /// Puts an actor into quarantine (with the reason), or takes it out.
    pub quarantine: Option<(ActorId, Option<String>)>,
    /// The host's own durable values, such as the state of an upgrade: key, and
    /// new value or none.
    pub values: Vec<(String, Option<Bytes>)>,
    /// Bytes that the token holds in memory until the entry is decided. They are not
    /// written, and count against what may be undurable at once.
    pub beside: usize,
    /// Nobody waits for it: it may wait for more to share a group with, at most
    /// [`LINGER_MAX`](host_model::limits::LINGER_MAX).
    pub unhurried: bool,
    /// Older snapshots of the actor that are not kept stay, until they are
    /// [removed](Self::snapshots_removed).
    pub leaves_older: bool,
    /// Snapshots that are not kept; see [`Journal::not_kept`](crate::Journal::not_kept).
    pub snapshots_removed: Vec<Position>,
    /// Groups that end at or before this are removed. Only of
    /// [`Journal::removal`](crate::Journal::removal), which signs what is gone.
    pub removed_through: Option<Position>,
}

impl Rows {
    /// Whether nothing of it goes to the store.
    pub(crate) fn is_empty(&self) -> bool {
        // Taken apart, so that no field is forgotten.
        let Self {
            record,
            snapshot,
            piece,
            whole,
            pieces_removed,
            consumed,
            casts,
            timers_set: _,
            timers_returned: _,
            beside: _,
            unhurried: _,
            leaves_older: _,
            snapshots_removed,
            timers_cancelled: _,
            outbox,
            outbox_change,
            answer,
            answers_before_ms,
            dead_letter,
            quarantine,
            values,
            removed_through,
        } = self;
        record.is_none()
            && snapshot.is_none()
            && piece.is_none()
            && whole.is_none()
            && pieces_removed.is_empty()
            && snapshots_removed.is_empty()
            && consumed.is_none()
            && casts.is_empty()
            && !self.has_timers()
            && outbox.is_empty()
            && outbox_change.is_none()
            && answer.is_none()
            && answers_before_ms.is_none()
            && dead_letter.is_none()
            && quarantine.is_none()
            && values.is_empty()
            && removed_through.is_none()
    }

    /// Whether a timer is set or cancelled.
    pub(crate) fn has_timers(&self) -> bool {
        !(self.timers_set.is_empty()
            && self.timers_returned.is_empty()
            && self.timers_cancelled.is_empty())
    }
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
    /// A webhook: it was delivered, or is a dead letter now.
    Outbox(OutboxId),
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
    /// What else belongs to the message.
    pub origin: Origin,
}

/// What it takes, beside event and payload, to deliver a dead letter again as what it
/// was. Kept as JSON, of which older hosts may have written less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The version in whose shape event and payload are; the one that could not
    /// handle it, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Version>,
    /// See [`Record::principal`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub principal: String,
    /// Verified claims of the caller, a JSON object, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub claims: String,
    /// The key under which a client's command would have been known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Which webhook it was, and where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbox: Option<(OutboxId, String)>,
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
    /// A webhook that no one took.
    Outbox,
}

impl DeadLetterKind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Command, Self::Cast, Self::Timer, Self::Outbox];

    /// In snake case, as tables and the control API have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Cast => "cast",
            Self::Timer => "timer",
            Self::Outbox => "outbox",
        }
    }

    /// Whose [`name`](Self::name) it is, if any's.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
