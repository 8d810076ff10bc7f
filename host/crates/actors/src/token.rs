//! What rides with an entry through the journal, and comes back with its fate.

use std::sync::Arc;

use bytes::Bytes;
use host_journal::{Action, CastId, Consumed, Letter, Position};
use host_model::{ActorId, Version};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::message::{Answer, CallError, Errand, Responder};
use crate::rest::Share;
use crate::slots::Slot;

/// A [`Token`] as the journal carries it: nobody but the actors looks inside.
#[derive(Debug)]
pub struct Ticket(pub(crate) Token);

/// See the module. What is in here leaves only when its entry is durable.
#[derive(Debug)]
pub(crate) enum Token {
    /// An accepted command, and all that follows from it.
    Accepted(Box<Accepted>),
    /// An answer, or a refusal, that waits until what it saw is durable.
    Answer(Result<Answer, CallError>, Responder),
    /// A cast or a timer is used up.
    Delivered(Source),
    /// The actor has come over to another version.
    Switched {
        /// Which.
        slot: Arc<Slot>,
        /// The release it came over to.
        release: Version,
        /// The version it now has.
        plugin: Version,
        /// Of the sweep that sent it, if one did.
        errand: Option<Errand>,
        /// Whether timers have come back with it.
        timers: bool,
        /// If it came by its commands, not by its state.
        rebuilt: Option<Box<Rebuilt>>,
    },
    /// The actor may leave memory, if nothing has come meanwhile.
    Asleep(Arc<Slot>, Option<Share>),
    /// A snapshot that was asked for is durable.
    Kept(Share),
    /// The actor's claim was parked until here.
    Resume(Arc<Slot>),
    /// A value of the host's own is durable.
    Value(oneshot::Sender<Result<(), host_journal::Lost>>),
    /// Nobody waits.
    Nobody,
}

impl Token {
    /// Bytes of the answer and the broadcasts in it; what is a row beside it as well is
    /// counted there.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Accepted(accepted) => accepted.bytes(),
            Self::Answer(Ok(answer), _) => answer.reply.len(),
            Self::Answer(Err(CallError::Rejected(rejection)), _) => rejection.message.len(),
            _ => 0,
        }
    }
}

impl Accepted {
    fn bytes(&self) -> usize {
        let reply = self.reply.as_ref().map_or(0, |(reply, _)| reply.len());
        let broadcasts = self.broadcasts.iter();
        let broadcasts = broadcasts.map(|(event, payload)| event.len() + payload.get().len());
        reply + broadcasts.sum::<usize>()
    }
}

/// See [`Token::Accepted`].
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Whose.
    pub(crate) actor: ActorId,
    /// Its sequence.
    pub(crate) seq: u64,
    /// The version that decided it.
    pub(crate) version: Version,
    /// For whom the reply is, if anyone waits.
    pub(crate) reply: Option<(Bytes, Responder)>,
    /// What led to it, if it was a cast or a timer.
    pub(crate) source: Option<Source>,
    /// Events for the topic.
    pub(crate) broadcasts: Vec<(String, Box<RawValue>)>,
    /// Casts, in the order of their index.
    pub(crate) casts: Vec<Letter>,
    /// The earliest of the timers that it set, Unix milliseconds.
    pub(crate) timer_ms: Option<i64>,
    /// Whether it has put webhooks into the outbox.
    pub(crate) webhooks: bool,
    /// The actor, if it wants to leave memory.
    pub(crate) stop: Option<Arc<Slot>>,
}

/// What the audit trail is told of an actor that was built again in an older version.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    pub(crate) action: Action,
    /// Where its intent stands.
    pub(crate) intent: Position,
}

/// A row that led to a message.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A cast.
    Cast(CastId),
    /// A timer: whose, and its name.
    Timer(ActorId, String),
}

impl Source {
    /// What is in flight for a row that is used up, if anything is.
    pub(crate) fn of(consumed: &Consumed) -> Option<Self> {
        match consumed {
            Consumed::Cast(id) => Some(Self::Cast(*id)),
            Consumed::Timer { actor, name, .. } => Some(Self::Timer(actor.clone(), name.clone())),
            Consumed::DeadLetter(_) | Consumed::Outbox(_) => None,
        }
    }
}
