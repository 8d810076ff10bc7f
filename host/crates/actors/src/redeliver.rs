//! Once more: what a release has left behind that no longer rules.
//!
//! Casts and timers which its code could not handle are dead letters. When another
//! version rules again each of them is delivered once more, by itself, in the order in
//! which they came to nothing. What comes to nothing again stays for an operator.
//! Actors that its faults have set aside serve again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host_journal::{DeadLetter, DeadLetterKind, Lost, ReadError, Rows};
use host_model::{ActorId, Version};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::message::Message;
use crate::{Actors, CallError};

/// Letters that are taken up at once.
const PAGE: usize = 64;

/// Under which key it is kept how far letters of a plugin's version have been delivered
/// again.
const MARKS: &str = "letters/redelivered/";

/// Why a message came to nothing that another version may handle: its code broke, was
/// not there, or knew nothing like it. What it refused for a reason of its own stays so.
const REASONS: [&str; 5] = [
    "actor_crashed",
    "unknown_plugin",
    "unknown_event",
    "unknown_timer",
    "bad_payload",
];

/// How often letters are tried again for which there was no room, and the time between.
const ROUNDS_MAX: usize = 25;
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Which version's code a version replaces.
struct Left {
    plugin: String,
    version: Version,
}

/// What came of an actor's letters.
#[derive(Default)]
struct Turn {
    tried: u64,
    delivered: u64,
    /// It had no room for those that are left, which stay; so do all that came after them.
    gave_up: Option<ActorId>,
}

/// What was delivered again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redelivered {
    /// Letters that were tried.
    pub tried: u64,
    /// Those that led to something.
    pub delivered: u64,
    /// Actors that are in quarantine no more.
    pub released: u64,
}

/// It came to no end; what was not tried yet is a dead letter still.
#[derive(Debug, Error)]
pub enum RedeliverError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store would not write.
    #[error(transparent)]
    Write(#[from] Lost),
    /// The host ends.
    #[error("the host is stopping")]
    Stopping,
}

impl Actors {
    /// Delivers again what the release before the one that rules could not handle, each
    /// letter once, and releases who was set aside for its faults, which are held against no
    /// plugin any more, whatever comes of the rest. May be awaited on any runtime; handlers
    /// run on the data runtime.
    ///
    /// # Errors
    ///
    /// [`RedeliverError`]
    pub async fn redeliver(self: &Arc<Self>) -> Result<Redelivered, RedeliverError> {
        // Also of a plugin that nobody is left of, and where the store is away.
        self.forgive_what_was_left();
        let actors = Arc::clone(self);
        let task = self.data.spawn(async move {
            let mut done = Redelivered::default();
            for left in actors.left() {
                let faulted = actors.faulted_under(&left.plugin, &left.version)?;
                // Until what they could not handle has been tried, which came before.
                let _held_back = actors.hold_back(&faulted);
                done.released += actors.release_faulted(&left, faulted).await;
                let before = done.delivered;
                let redelivered = actors.redeliver_of(&left, &mut done).await;
                actors.migrations.redelivered(done.delivered - before);
                redelivered?;
            }
            Ok(done)
        });
        task.await.unwrap_or(Err(RedeliverError::Stopping))
    }

    /// The versions that have been left. A plugin that was not there at all has none.
    fn left(&self) -> Vec<Left> {
        let release = self.release();
        let plugins = release.plugins.iter();
        let left = plugins.filter_map(|(name, ruling)| {
            let version = release.before.get(name).cloned();
            let version = version.unwrap_or(Version::new(0, 0, 0));
            (version != *ruling.code.version()).then(|| Left {
                plugin: name.clone(),
                version,
            })
        });
        left.collect()
    }

    async fn redeliver_of(
        self: &Arc<Self>,
        left: &Left,
        done: &mut Redelivered,
    ) -> Result<(), RedeliverError> {
        let key = format!("{MARKS}{}/{}", left.plugin, left.version);
        let mark = tokio::task::block_in_place(|| self.journal.value(&key))?;
        let mark = mark.and_then(|mark| serde_json::from_slice(&mark).ok());
        let mut after: u64 = mark.unwrap_or(0);
        let mut given_up = HashSet::new();
        loop {
            let page = tokio::task::block_in_place(|| self.journal.dead_letters(after, PAGE))?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;
            let own = page.into_iter().filter(|(_, letter)| left.owns(letter));
            let own = own.filter(|(_, letter)| !given_up.contains(&letter.actor));
            let own: Vec<_> = own.collect();
            if own.is_empty() {
                continue;
            }
            for turn in self.redeliver_page(own).await? {
                done.tried += turn.tried;
                done.delivered += turn.delivered;
                given_up.extend(turn.gave_up);
            }
            let mark = Bytes::from(after.to_string());
            self.write_values(vec![(key.clone(), Some(mark))]).await?;
        }
    }

    /// Delivers these, each actor's in their order.
    async fn redeliver_page(
        self: &Arc<Self>,
        page: Vec<(u64, DeadLetter)>,
    ) -> Result<Vec<Turn>, RedeliverError> {
        let mut by_actor: BTreeMap<ActorId, Vec<_>> = BTreeMap::new();
        for (id, letter) in page {
            let actor = letter.actor.clone();
            by_actor.entry(actor).or_default().push((id, letter));
        }
        let mut under_way = JoinSet::new();
        for (actor, letters) in by_actor {
            let actors = Arc::clone(self);
            under_way.spawn(async move { actors.redeliver_in_turn(&actor, letters).await });
        }
        let mut turns = Vec::new();
        while let Some(turn) = under_way.join_next().await {
            turns.push(turn.unwrap_or(Err(RedeliverError::Stopping))?);
        }
        Ok(turns)
    }

    /// Delivers an actor's letters, one when the one before has been tried. Where it has no room
    /// now it is asked again, [`ROUNDS_MAX`] times for all of them; where that does not help, what
    /// is left stays as it is.
    async fn redeliver_in_turn(
        self: &Arc<Self>,
        actor: &ActorId,
        letters: Vec<(u64, DeadLetter)>,
    ) -> Result<Turn, RedeliverError> {
        let (mut turn, mut rounds) = (Turn::default(), 0);
        let mut letters = letters.into_iter();
        let mut next = letters.next();
        while let Some((id, letter)) = &next {
            let (responder, receiver) = oneshot::channel();
            let message = Message::DeadLetter(*id, Box::new(letter.clone()), responder);
            self.send(actor, message);
            match self.answered(receiver).await {
                Ok(_) => turn.delivered += 1,
                Err(CallError::Stopping) => return Err(RedeliverError::Stopping),
                Err(error) if passes(&error) => {
                    rounds += 1;
                    if rounds < ROUNDS_MAX {
                        tokio::time::sleep(RETRY_AFTER).await;
                        continue;
                    }
                    let left = letters.len() + 1;
                    tracing::error!(%actor, %error, left, "dead letters could not be delivered again");
                    turn.gave_up = Some(actor.clone());
                    return Ok(turn);
                }
                Err(error) => {
                    tracing::warn!(id, %error, "a dead letter came to nothing once more");
                }
            }
            turn.tried += 1;
            next = letters.next();
        }
        Ok(turn)
    }

    /// Casts and timers stay rows for these actors until the answer is dropped.
    fn hold_back<'a>(&'a self, actors: &[ActorId]) -> HeldBack<'a> {
        self.supervisor.hold_back(actors);
        HeldBack(self)
    }

    /// Releases the actors that faults of this version have set aside, if they have gone
    /// back. Who stays in it, as one whose way back ends the host, stays set aside, too. How
    /// many they were.
    async fn release_faulted(self: &Arc<Self>, left: &Left, faulted: Vec<ActorId>) -> u64 {
        let mut released = 0;
        for id in faulted {
            if self.migrations.has_been_tried(&id) || self.stranded.has(&id) {
                continue;
            }
            match self.quarantine_release(&id).await {
                Some(Ok(())) => {
                    tracing::info!(actor = %id, version = %left.version,
                        "an actor serves again that was set aside for faults of a version \
                         which rules no more");
                    released += 1;
                }
                Some(Err(error)) => {
                    tracing::error!(actor = %id, %error, "an actor could not be released");
                }
                None => {}
            }
        }
        released
    }
}

/// See [`Actors::hold_back`].
struct HeldBack<'a>(&'a Actors);

impl Drop for HeldBack<'_> {
    fn drop(&mut self) {
        self.0.supervisor.hold_back(&[]);
        self.0.casts.look_again();
        self.0.timers.wake();
    }
}

/// Whether it says nothing about the message, and will be otherwise in a moment.
fn passes(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Overloaded
            | CallError::MailboxFull { .. }
            | CallError::TooManyActors { .. }
            | CallError::NotApplied(_)
    )
}

impl Left {
    fn owns(&self, letter: &DeadLetter) -> bool {
        matches!(letter.kind, DeadLetterKind::Cast | DeadLetterKind::Timer)
            && letter.actor.plugin() == self.plugin
            && letter.version == self.version
            && REASONS.contains(&&*letter.reason)
    }
}

/// What is kept beside a quarantine: the version whose faults led to it.
pub(crate) fn faulted_rows(id: &ActorId, version: Option<&Version>) -> Rows {
    let value = version.map(|version| Bytes::from(version.to_string()));
    Rows {
        values: vec![(format!("{FAULTED}{id}"), value)],
        ..Rows::default()
    }
}

/// Under which keys it is kept which version's faults have set an actor aside.
pub(crate) const FAULTED: &str = "quarantine/faulted/";
