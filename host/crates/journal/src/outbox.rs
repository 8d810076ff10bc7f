//! Webhooks that wait to be sent: rows that a record inserts, and that a delivery
//! deletes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use host_model::{ActorId, Version};
use serde::{Deserialize, Serialize};

use crate::Position;

/// The identity of a webhook: the position of the record that caused it, and which
/// of its webhooks it is. As text `position/index`, which with the store's id is the
/// key that its receiver knows a repetition by.
///
/// ```
/// let id: host_journal::OutboxId = "1207/0".parse()?;
/// assert_eq!((id.position.0, id.index), (1207, 0));
/// assert_eq!(id.to_string(), "1207/0");
/// # Ok::<(), host_journal::BadOutboxId>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutboxId {
    /// Of the record.
    pub position: Position,
    /// 0, 1, 2, ... within the record.
    pub index: u32,
}

/// A text that names no webhook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id of the outbox, which is like 1207/0")]
pub struct BadOutboxId(String);

/// A request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Who sends it.
    pub actor: ActorId,
    /// The plugin version that decided it.
    pub version: Version,
    /// What the plugin calls it; may be empty.
    pub name: String,
    /// `http://` or `https://`.
    pub url: String,
    /// JSON.
    pub body: Bytes,
}

/// A webhook that waits, without its body, which may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its identity.
    pub id: OutboxId,
    /// See [`Webhook::actor`].
    pub actor: ActorId,
    /// See [`Webhook::version`].
    pub version: Version,
    /// See [`Webhook::name`].
    pub name: String,
    /// See [`Webhook::url`].
    pub url: String,
    /// Where it stands.
    pub tried: Tried,
}

/// How often a webhook has been tried, and when it is tried next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    /// Attempts that have failed.
    pub attempts: u32,
    /// When the next one is due, Unix milliseconds, UTC.
    pub due_ms: i64,
    /// Why the last one failed; empty before the first.
    pub error: String,
}

/// A change of the outbox that belongs to no actor's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxChange {
    /// An attempt has failed, or an operator wants the next one sooner. Does nothing
    /// if the webhook is not there any more.
    Tried(OutboxId, Tried),
    /// A dead letter is a webhook again, under the identity that it had.
    Again(OutboxId, Webhook, Tried),
}

impl fmt::Display for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.position.0, self.index)
    }
}

impl FromStr for OutboxId {
    type Err = BadOutboxId;

    fn from_str(text: &str) -> Result<Self, BadOutboxId> {
        let parse = || {
            let (position, index) = text.split_once('/')?;
            Some(Self {
                position: Position(position.parse().ok()?),
                index: index.parse().ok()?,
            })
        };
        parse().ok_or_else(|| BadOutboxId(text.to_owned()))
    }
}
