//! What a handler answers.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use smallvec::SmallVec;
use thiserror::Error;

/// What a command leads to: an event (or none), a reply, and effects.
///
/// The effects leave, and the reply is sent, only when the event is durable.
#[derive(Debug)]
pub struct Decision<E> {
    pub(crate) event: Option<E>,
    pub(crate) reply: Reply,
    pub(crate) effects: Vec<Effect>,
}

impl<E> Decision<E> {
    /// The command happens, as `event`. The reply is `{}` unless one is given.
    pub fn event(event: E) -> Self {
        Self {
            event: Some(event),
            reply: Reply::empty(),
            effects: Vec::new(),
        }
    }

    /// The command has happened before (or needs nothing done): only an answer,
    /// nothing is recorded.
    pub fn answer(reply: &impl Serialize) -> Self {
        Self {
            event: None,
            reply: Reply::json(reply),
            effects: Vec::new(),
        }
    }

    /// Answers the caller with this, as JSON.
    #[must_use]
    pub fn reply(mut self, reply: &impl Serialize) -> Self {
        self.reply = Reply::json(reply);
        self
    }

    /// Sends an event to every client that has joined the actor's topic.
    #[must_use]
    pub fn broadcast(self, event: &'static str, payload: &impl Serialize) -> Self {
        let payload = value(payload);
        self.effect(Effect::Broadcast {
            event: event.into(),
            payload,
        })
    }

    /// Sends a command to another actor (`to` as `plugin:key`), once, however
    /// often either host or actor restarts. Its answer is not waited for.
    #[must_use]
    pub fn cast(self, to: String, event: &'static str, payload: &impl Serialize) -> Self {
        let payload = value(payload);
        self.effect(Effect::Cast {
            to,
            event: event.into(),
            payload,
        })
    }

    /// Sets the actor's timer `name` to fire at `at_ms` (Unix milliseconds, UTC),
    /// replacing one of that name. It survives restarts, and fires late rather
    /// than never.
    #[must_use]
    pub fn set_timer(self, name: impl Into<String>, at_ms: i64, payload: &impl Serialize) -> Self {
        let payload = value(payload);
        self.effect(Effect::SetTimer {
            name: name.into(),
            at_ms,
            payload,
        })
    }

    /// Cancels the actor's timer `name`, if it is set.
    #[must_use]
    pub fn cancel_timer(self, name: impl Into<String>) -> Self {
        self.effect(Effect::CancelTimer { name: name.into() })
    }

    /// Sends `body` to `url` (`http://` or `https://`) by `POST`, as JSON. It leaves
    /// when the event is durable, and is tried again, with growing waits, until the
    /// receiver answers with a 2xx. It may arrive more than once, and then under the
    /// same header `Idempotency-Key`. What nobody takes becomes a dead letter.
    #[must_use]
    pub fn outbox(self, url: impl Into<String>, body: &impl Serialize) -> Self {
        let body = value(body);
        self.effect(Effect::Outbox {
            name: Cow::Borrowed(""),
            url: url.into(),
            body,
        })
    }

    /// The actor leaves memory when the event is durable: there is nothing for it to
    /// do for a long while. Its next message wakes it, with the same state.
    #[must_use]
    pub fn stop(self) -> Self {
        self.effect(Effect::Stop {})
    }

    /// Adds an effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// The event, the reply and the effects, for a test of `decide`.
    #[must_use]
    pub fn into_parts(self) -> (Option<E>, Reply, Vec<Effect>) {
        (self.event, self.reply, self.effects)
    }
}

/// What a decision does beyond its own actor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// See [`Decision::broadcast`].
    Broadcast {
        /// Event name on the topic.
        event: Cow<'static, str>,
        /// A JSON object.
        payload: Value,
    },
    /// See [`Decision::cast`].
    Cast {
        /// Actor id, `plugin:key`.
        to: String,
        /// Command name.
        event: Cow<'static, str>,
        /// A JSON object.
        payload: Value,
    },
    /// See [`Decision::set_timer`].
    SetTimer {
        /// Unique within the actor.
        name: String,
        /// Unix milliseconds, UTC.
        at_ms: i64,
        /// Given back to [`crate::Plugin::timer`].
        payload: Value,
    },
    /// See [`Decision::cancel_timer`].
    CancelTimer {
        /// The timer's name.
        name: String,
    },
    /// See [`Decision::outbox`].
    Outbox {
        /// What operators see it as; may be empty.
        name: Cow<'static, str>,
        /// `http://` or `https://`.
        url: String,
        /// Any JSON.
        body: Value,
    },
    /// See [`Decision::stop`].
    Stop {},
}

/// An answer's bytes. Short ones need no allocation.
#[derive(Debug)]
pub struct Reply(pub(crate) Result<SmallVec<[u8; 24]>, String>);

impl Reply {
    /// A value as JSON. What cannot be JSON (a map with keys that are no
    /// strings) becomes a fault of the plugin.
    pub fn json(value: &impl Serialize) -> Self {
        let mut bytes = SmallVec::new();
        let written = serde_json::to_writer(&mut bytes, value);
        Self(match written {
            Ok(()) => Ok(bytes),
            Err(error) => Err(format!("reply is not JSON: {error}")),
        })
    }

    /// A copy of bytes as they are. Clients of the gateway understand JSON only.
    #[must_use]
    #[inline]
    pub fn raw(bytes: &[u8]) -> Self {
        Self(Ok(SmallVec::from_slice(bytes)))
    }

    /// The reply as JSON, for a test; `None` where it is none.
    #[must_use]
    pub fn to_value(&self) -> Option<Value> {
        serde_json::from_slice(self.0.as_ref().ok()?).ok()
    }

    fn empty() -> Self {
        Self::raw(b"{}")
    }
}

/// A refusal. Nothing is recorded and nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[error("{reason}: {message}")]
pub struct Rejection {
    /// For programs: one snake-case word, part of the plugin's interface.
    pub reason: Cow<'static, str>,
    /// For people: what was found and what would be right.
    pub message: String,
}

impl Rejection {
    /// A refusal with its reason and an explanation.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason: Cow::Borrowed(reason),
            message: message.into(),
        }
    }
}

/// A payload as a JSON value.
///
/// # Panics
///
/// If it cannot be JSON, which is the author's mistake and is caught, with the
/// rest of the handler, at the boundary.
fn value(payload: &impl Serialize) -> Value {
    serde_json::to_value(payload).expect("a payload of an effect is JSON")
}
