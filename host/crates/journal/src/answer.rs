//! The first answer under an idempotency key, kept for whoever asks again.

use bytes::Bytes;
use host_model::ActorId;

/// Under what an answer is kept: one principal's key for one event of one actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerKey {
    /// Whose answer.
    pub actor: ActorId,
    /// Command name, as the caller gave it.
    pub event: String,
    /// Who asked; empty where authentication is off.
    pub principal: String,
    /// The caller's own key.
    pub key: String,
}

/// An answer, and to what it was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// SHA-256 of the command's payload: the same key with another one is a conflict.
    pub digest: [u8; 32],
    /// The reply, JSON.
    pub reply: Bytes,
    /// Sequence of the record that it goes with.
    pub seq: u64,
    /// When it was given, Unix milliseconds, UTC. By the clock, for it is forgotten
    /// by the clock.
    pub time_ms: i64,
}
