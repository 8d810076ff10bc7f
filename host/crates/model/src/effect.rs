//! What a decision does beyond its own actor, as a plugin writes it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One effect. JSON with the kind as the only key: `{"cancel_timer":{"name":"close"}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// To every client that has joined the actor's topic.
    Broadcast {
        /// Event name on the topic.
        event: String,
        /// A JSON object.
        payload: Box<RawValue>,
    },
    /// A command to another actor, exactly once.
    Cast {
        /// Target, `plugin:key`.
        to: String,
        /// Command name.
        event: String,
        /// A JSON object.
        payload: Box<RawValue>,
    },
    /// Sets or replaces a durable timer of the actor.
    SetTimer {
        /// Unique within the actor.
        name: String,
        /// Unix milliseconds, UTC.
        at_ms: i64,
        /// Given back when it fires.
        payload: Box<RawValue>,
    },
    /// Cancels a timer of the actor.
    CancelTimer {
        /// The timer's name.
        name: String,
    },
    /// A request to a server outside, at least once, under a key that stays the same.
    Outbox {
        /// What the plugin calls it, for operators; may be empty.
        #[serde(default)]
        name: String,
        /// `http://` or `https://`.
        url: String,
        /// JSON, the request's body.
        body: Box<RawValue>,
    },
    /// The actor leaves memory when this is durable. Its next message wakes it.
    Stop {},
}

/// A refusal, as a plugin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// For programs: one snake-case word.
    pub reason: String,
    /// For people.
    pub message: String,
}
