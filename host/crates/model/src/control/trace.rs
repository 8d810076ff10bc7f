//! What an operator sees of an actor's messages while they are handled.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::id::ActorId;
use crate::limits::TRACE_PAYLOAD_BYTES_MAX;

/// One event of `GET /v1/trace`, a line of `host trace ACTOR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Traced {
    /// The actor is traced from now on: what comes behind this is not missed.
    Began {
        /// Which.
        actor: ActorId,
    },
    /// A message to the actor, and what came of it. Told when its handler has ended; what
    /// it was answered leaves only when it is durable.
    Message(TracedMessage),
    /// Something that an accepted message led to has left, for it is durable.
    Sent(TracedSent),
    /// The actor came over to another version, or could not.
    Migrated {
        /// When, Unix milliseconds, UTC.
        at_ms: i64,
        /// The version that it had.
        from: Version,
        /// The version that it has now, or that it did not come over to.
        to: Version,
        /// How long it took, in microseconds.
        duration_us: u64,
        /// Why it could not; none if it could.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// So many lines are missing here, for they were not read quickly enough.
    Lost {
        /// How many.
        lines: u64,
    },
    /// The host stops: there is nothing more to come.
    Ended,
}

/// See [`Traced::Message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedMessage {
    /// When it came to its actor, Unix milliseconds, UTC.
    pub at_ms: i64,
    /// What led to it.
    pub source: TracedSource,
    /// Name of the command, query or timer.
    pub event: String,
    /// What it carried.
    pub payload: Excerpt,
    /// Who sent it; empty where that is not known.
    pub principal: String,
    /// What came of it.
    pub outcome: TracedOutcome,
    /// The word for a rejection, a crash or a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reply; of what was not accepted or answered, the message that says why.
    pub answer: Excerpt,
    /// The version that handled it; none of a refusal before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The actor's sequence behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Where its record stands in the journal, if it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How long it was handled, in microseconds; none of a refusal before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
}

/// What led to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TracedSource {
    /// A client or an operator called.
    Call,
    /// Another actor cast.
    Cast,
    /// A timer fired.
    Timer,
    /// A dead letter is delivered again.
    DeadLetter,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TracedOutcome {
    /// It changed the actor.
    Accepted,
    /// It was answered, and changed nothing.
    Answered,
    /// The plugin said no.
    Rejected,
    /// The plugin broke on it.
    Crashed,
    /// The host would not have it handled.
    Refused,
}

/// See [`Traced::Sent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedSent {
    /// When, Unix milliseconds, UTC.
    pub at_ms: i64,
    /// The actor that it is cast to; none of an event for all who have joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ActorId>,
    /// Its name.
    pub event: String,
    /// What it carries.
    pub payload: Excerpt,
    /// The sequence of the message that led to it.
    pub seq: u64,
    /// Where the record of that stands in the journal.
    pub position: u64,
}

/// The beginning of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// At most [`TRACE_PAYLOAD_BYTES_MAX`] bytes of it.
    pub text: String,
    /// Bytes of all of it.
    pub bytes: u64,
}

impl Excerpt {
    /// Of what is UTF-8; what is not is replaced.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut end = bytes.len().min(TRACE_PAYLOAD_BYTES_MAX);
        // Not in the middle of a character: a byte that goes on with one is 10xxxxxx.
        while end < bytes.len() && end > 0 && bytes[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        Self {
            text: String::from_utf8_lossy(&bytes[..end]).into_owned(),
            bytes: bytes.len() as u64,
        }
    }

    /// Whether something is left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.bytes > TRACE_PAYLOAD_BYTES_MAX as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_bounded_and_ends_between_two_characters() {
        let short = Excerpt::of(b"{}");
        assert_eq!((short.text.as_str(), short.bytes), ("{}", 2));
        assert!(!short.is_cut());
        // Each takes two bytes, behind one that takes one.
        let long = format!("x{}", "é".repeat(TRACE_PAYLOAD_BYTES_MAX));
        let cut = Excerpt::of(long.as_bytes());
        assert!(cut.is_cut() && long.starts_with(&cut.text), "{}", cut.text);
        assert_eq!(cut.text.len(), TRACE_PAYLOAD_BYTES_MAX - 1);
        assert_eq!(cut.bytes, long.len() as u64);
        assert_eq!(Excerpt::of(b"\xff").text, "\u{fffd}");
    }
}
