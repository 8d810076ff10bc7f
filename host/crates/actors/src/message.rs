//! What is asked of an actor, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host_journal::{CastId, DeadLetter, Letter, Lost, TimerRow};
use host_model::effect::Rejection;
use host_model::limits::RETRY_AFTER;
use host_model::{ActorId, Version};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::hindrance::Away;
use crate::rest::Share;
use crate::sweep::Timed;

/// A message from outside.
#[derive(Debug, Clone)]
pub struct Request {
    /// To whom.
    pub actor: ActorId,
    /// Name of a command or query.
    pub event: String,
    /// JSON object; empty counts as `{}`.
    pub payload: Bytes,
    /// Whether a command will do, too.
    pub only: Only,
    /// Verified claims of the caller: a JSON object, `{}` of one without a token. The plugin
    /// is asked whether they may do this. Empty: it is not, for authentication is off or an
    /// operator asks.
    pub claims: Bytes,
    /// Who the caller is, for the journal; empty where nobody knows.
    pub principal: String,
    /// The plugin version in whose shape the message is; the actor's own if absent.
    pub version: Option<Version>,
    /// The key under which a repetition is known; see [`Answer::replayed`].
    pub idempotency_key: Option<String>,
}

/// See [`Request::only`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// A query, nothing else.
    Query,
    /// A query or a command, whichever has this name.
    Either,
    /// To join the actor's topic, which is asked first whether the caller may, and then a
    /// query: its answer, or an empty one where the plugin has no such query.
    Join,
}

/// What an actor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The reply's bytes, JSON.
    pub reply: Bytes,
    /// Sequence of the actor's last accepted command that the reply knows of.
    pub seq: u64,
    /// Whether it is the first answer under an idempotency key, given again.
    pub replayed: bool,
}

impl Answer {
    pub(crate) fn new(reply: Bytes, seq: u64) -> Self {
        Self {
            reply,
            seq,
            replayed: false,
        }
    }
}

/// An actor as an operator sees it.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Its sequence.
    pub seq: u64,
    /// The version that owns the state.
    pub version: Version,
    /// The state as exported: MessagePack.
    pub state: Bytes,
    /// The newer version of each carry, the latest last.
    pub carries: Vec<Version>,
}

/// Why a message was not handled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// The plugin says no. The caller is to blame.
    #[error("{}", .0.message)]
    Rejected(Rejection),
    /// The plugin does not let this caller do it; what it says of why.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such plugin in the release that rules.
    #[error("no plugin of this release is called {plugin:?}; there are: {known}")]
    UnknownPlugin {
        /// What was asked for.
        plugin: String,
        /// What there is.
        known: String,
    },
    /// It is not a query, and only a query would do.
    #[error("{event:?} is not a query of this plugin; its queries are: {known}")]
    NotAQuery {
        /// What was asked for.
        event: String,
        /// What there is.
        known: String,
    },
    /// The payload is over the limit.
    #[error("the payload has {found} bytes, and {most} are allowed")]
    PayloadTooLarge {
        /// What it has.
        found: usize,
        /// What it may have.
        most: usize,
    },
    /// The actor has too many messages waiting.
    #[error("{most} messages wait for this actor already; try again later")]
    MailboxFull {
        /// How many may wait.
        most: usize,
    },
    /// Too many actors are awake and none can be put to sleep quickly enough.
    #[error("{most} actors are awake and no more fit into memory; try again later")]
    TooManyActors {
        /// How many may be awake.
        most: usize,
    },
    /// The journal has as much to write as it may have.
    #[error("the journal is behind with writing; try again later")]
    Overloaded,
    /// As many calls of clients are under way in the host as may be.
    #[error(
        "{calls} calls with {bytes} bytes of payload are under way in this host, and it takes no more at once; try again later"
    )]
    Busy {
        /// How many are under way.
        calls: usize,
        /// Bytes of their payloads.
        bytes: usize,
    },
    /// The plugin broke, and the actor was rebuilt. Nothing has changed.
    #[error("the actor crashed on this message and was rebuilt; nothing has changed: {0}")]
    Crashed(String),
    /// The actor crashed too often and was set aside.
    #[error("the actor is in quarantine: {0}; an operator can look at it and release it")]
    Quarantined(String),
    /// The actor's state could not be brought into memory.
    #[error("the actor could not be woken: {0}")]
    NotWoken(String),
    /// The store refused it before commit. Nothing has changed.
    #[error("the store refused it and nothing has changed; try again: {0}")]
    NotApplied(String),
    /// The store failed in the commit.
    #[error(
        "the store failed in the commit: it may have happened or not; try again with the same key"
    )]
    OutcomeUnknown,
    /// No answer within the time that a caller waits. It may still happen.
    #[error("no answer within {seconds} s; it may still happen")]
    Timeout {
        /// How long the caller waited.
        seconds: u64,
    },
    /// The host is about to end.
    #[error("the host is stopping; try again in a moment")]
    Stopping,
}

impl CallError {
    /// One snake-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Rejected(rejection) => &rejection.reason,
            Self::Forbidden(_) => "forbidden",
            Self::UnknownPlugin { .. } => "unknown_plugin",
            Self::NotAQuery { .. } => "unknown_query",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::MailboxFull { .. } => "mailbox_full",
            Self::TooManyActors { .. } => "too_many_actors",
            Self::Overloaded | Self::Busy { .. } => "overloaded",
            Self::Crashed(_) => "actor_crashed",
            Self::Quarantined(_) => "quarantined",
            Self::NotWoken(_) => "not_woken",
            Self::NotApplied(_) => "not_applied",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Timeout { .. } => "timeout",
            Self::Stopping => "stopping",
        }
    }
}

impl CallError {
    /// How long to wait before the same is tried again; none where the host has not refused
    /// it for a moment only.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let is_for_a_moment = match self {
            Self::MailboxFull { .. }
            | Self::TooManyActors { .. }
            | Self::Overloaded
            | Self::Busy { .. }
            | Self::Quarantined(_)
            | Self::NotWoken(_)
            | Self::NotApplied(_)
            | Self::Stopping => true,
            Self::Rejected(_)
            | Self::UnknownPlugin { .. }
            | Self::NotAQuery { .. }
            | Self::PayloadTooLarge { .. }
            | Self::Crashed(_)
            | Self::OutcomeUnknown
            | Self::Forbidden(_)
            | Self::Timeout { .. } => false,
        };
        is_for_a_moment.then_some(RETRY_AFTER)
    }
}

impl From<Lost> for CallError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotApplied(why) => Self::NotApplied(why.to_string()),
            Lost::Unknown(_) => Self::OutcomeUnknown,
        }
    }
}

/// What comes back over a [`oneshot`].
pub(crate) type Responder = oneshot::Sender<Result<Answer, CallError>>;

/// What waits in an actor's queue.
#[derive(Debug)]
pub(crate) enum Message {
    /// A request from outside, and who waits for the answer.
    Request(Box<Request>, Responder),
    /// A cast from another actor.
    Cast(CastId, Box<Letter>),
    /// A timer of the actor's own.
    Timer(Box<TimerRow>),
    /// A dead letter, by its number, that an operator wants delivered again, and who
    /// waits for what comes of it.
    DeadLetter(u64, Box<DeadLetter>, Responder),
    /// Come over to the release that rules; of a sweep, whose errand is taken out
    /// when it is run.
    Migrate(Option<Errand>),
    /// Write a snapshot, and leave memory if nothing comes meanwhile.
    Sleep(Option<Share>),
    /// Write a snapshot: the actor's tail holds back the journal's.
    Snapshot(Share),
    /// Nothing more: it stands first while a snapshot is written in pieces.
    Writing,
    /// Show the state.
    Inspect(oneshot::Sender<Result<Inspection, CallError>>),
}

/// What a sweep waits for: dropped when the actor's snapshot is durable, or when
/// there is nothing to do.
#[derive(Debug)]
pub(crate) struct Errand {
    /// Of what may be under way.
    pub(crate) share: Share,
    /// Let the actor sleep again afterwards, for it slept before.
    pub(crate) back_to_sleep: bool,
    /// Which actors of its batch have timers.
    pub(crate) timed: Arc<Timed>,
    /// Told if the store is away.
    pub(crate) away: Away,
}

impl Message {
    /// Whether it came from a client or an operator, who can be told `stopping`.
    pub(crate) fn is_from_outside(&self) -> bool {
        matches!(
            self,
            Self::Request(..) | Self::Inspect(_) | Self::DeadLetter(..)
        )
    }

    /// Whether a handler of the plugin runs for it: not so in quarantine.
    pub(crate) fn is_for_the_plugin(&self) -> bool {
        matches!(
            self,
            Self::Request(..) | Self::Cast(..) | Self::Timer(_) | Self::DeadLetter(..)
        )
    }

    /// The name under which its handler's runs are counted, if one runs.
    pub(crate) fn event(&self) -> Option<&str> {
        match self {
            Self::Request(request, _) => Some(&request.event),
            Self::Cast(_, letter) => Some(&letter.event),
            Self::Timer(timer) => Some(&timer.name),
            Self::DeadLetter(_, letter, _) => Some(&letter.event),
            _ => None,
        }
    }
}
