//! Removes groups that are older than an operator wants to keep them, and that
//! nothing needs any more.
//!
//! Nothing is removed while an upgrade is under way, for its way back may need what
//! was; nor, behind its commit, what a rollback may need ([`HeldForWayBack`]); nor from an
//! operator's pin on. Actors that hold other old groups back are asked for a snapshot
//! first. What was removed is in the audit trail as an action of the host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{Action, AnchorKey, KeyError, Lost, Outcome, Position, ReadError, unix_ms};
use host_model::error::chain;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::watch;

use crate::engine::Upgrader;
use crate::way_back::HeldForWayBack;

/// Under which prefix pins are kept: a name, and the first position that stays.
pub const PINS: &str = "retention/pin/";

/// From the start to the first look: a start has other things to do.
const FIRST_LOOK: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Between two looks, and before the first, where nothing stays for its age: who sets that
/// wants to see what goes.
const LOOK_WITHOUT_AGE_EVERY: Duration = Duration::from_secs(1);

/// Actors that are asked for a snapshot in one look.
const REFRESHED_MAX: usize = 16_384;

/// Behind every position.
const END: Position = Position(u64::MAX);

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Keeps the journal for so many days.
#[derive(Debug)]
pub struct Retention {
    /// What is under way, and the actors.
    pub upgrader: Arc<Upgrader>,
    /// The file of the key that signs anchors; made where there is none.
    pub key: PathBuf,
    /// Days that every group stays at least; none: for ever; 0: none stays for its age.
    /// May change.
    pub days: watch::Receiver<Option<u32>>,
}

/// What a look removed, and what it left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// Groups that were removed.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Up to here.
    pub through: Position,
    /// Old groups stay for the sake of a way back.
    pub held: Option<HeldForWayBack>,
    /// What it has written itself, beside the snapshots that it asked for.
    entries: u64,
}

/// A look did not come to its end. What it removed before is signed for.
#[derive(Debug, Error)]
pub enum RetentionError {
    /// The journal cannot be read, or does not hold.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store would not write.
    #[error(transparent)]
    Write(#[from] Lost),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A pin makes no sense: nothing is removed that it might hold.
    #[error("the pin {0} is no position; remove it or set it anew")]
    Pin(String),
}

impl Retention {
    /// Looks every hour, until the task is dropped.
    pub async fn run(mut self) {
        let mut wait = FIRST_LOOK;
        let mut told = None;
        let mut looked_at = None;
        loop {
            let wait_now = match *self.days.borrow() {
                Some(0) => LOOK_WITHOUT_AGE_EVERY,
                _ => wait,
            };
            // Another number of days is a reason to look soon.
            tokio::select! {
                () = tokio::time::sleep(wait_now) => wait = LOOK_EVERY,
                Ok(()) = self.days.changed() => {
                    wait = FIRST_LOOK;
                    continue;
                }
            }
            let Some(days) = *self.days.borrow() else {
                continue;
            };
            // What a look has written itself is no reason for another.
            if days == 0 && looked_at == Some(self.upgrader.actors.journal().durable()) {
                continue;
            }
            let before_ms = unix_ms() - i64::from(days) * DAY_MS;
            let before = self.upgrader.actors.journal().durable();
            let looked = self.look(before_ms).await;
            // What holds groups may let go of them without a word in the journal.
            let free = looked.as_ref().ok().filter(|looked| looked.held.is_none());
            looked_at = free.map(|looked| Position(before.0 + looked.entries));
            match looked {
                Ok(looked) => {
                    if looked.groups > 0 {
                        let Looked {
                            groups,
                            records,
                            through,
                            ..
                        } = looked;
                        tracing::info!(
                            groups,
                            records,
                            through = through.0,
                            "groups past retention were removed"
                        );
                    }
                    if let Some(held) = looked.held.as_ref().filter(|_| told != looked.held) {
                        tracing::info!(release = %held.release, from = held.from.0,
                            "old groups stay, for the way back to a release may need them; they go once its folder is removed from `releases`, or with the next upgrade");
                    }
                    told = looked.held;
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "retention did not come to its end");
                }
            }
        }
    }

    /// Removes what was committed before `before_ms` (Unix milliseconds, UTC) and is
    /// not needed.
    ///
    /// # Errors
    ///
    /// [`RetentionError`]
    pub async fn look(&self, before_ms: i64) -> Result<Looked, RetentionError> {
        let mut looked = Looked::default();
        if self.upgrader.status().is_some() {
            return Ok(looked);
        }
        let actors = &self.upgrader.actors;
        let journal = actors.journal();
        let old = tokio::task::block_in_place(|| journal.first_since(before_ms))?;
        // Who needs only what stays anyway would be asked in vain.
        let stays_from = from(self.held().as_ref()).min(self.pinned_from()?);
        let below = old.min(stays_from);
        let held = tokio::task::block_in_place(|| journal.held_back(below, REFRESHED_MAX))?;
        if !held.is_empty() && !actors.refresh(held).await {
            tracing::debug!("actors that hang hold old groups back");
        }
        let needed = tokio::task::block_in_place(|| journal.needed_from())?;
        let Some(needed) = needed else {
            tracing::warn!("RETENTION is set, and this store does not tell what may go");
            return Ok(looked);
        };
        // Read behind it: what an upgrade books from here on is needed already.
        let held = self.held();
        let needed = needed.min(from(held.as_ref()));
        looked.held = held.filter(|held| held.from < old);
        let key = AnchorKey::read_or_make(&self.key)?;
        if key.is_new() {
            let anchor = tokio::task::block_in_place(|| journal.signed_anew(&key))?;
            if let Some(anchor) = anchor {
                tracing::warn!(
                    "this home had no key of its store's anchor, and has signed it anew"
                );
                actors.write_values(vec![anchor]).await?;
            }
        }
        let mut intent = None;
        // Looked at again before each step: an upgrade or a pin may have come.
        while self.upgrader.status().is_none() {
            let bound = needed.min(self.pinned_from()?);
            let step = || journal.removal(&key, bound, before_ms, unix_ms());
            let Some(step) = tokio::task::block_in_place(step)? else {
                break;
            };
            if intent.is_none() {
                let action = self.action(json!({"before_ms": before_ms}));
                let position = actors.record_action(action.intended(unix_ms())).await?;
                looked.entries += 1;
                intent = Some((action, position));
            }
            actors.remove_groups(&step).await?;
            looked.entries += 1;
            looked.groups += step.groups;
            looked.records += step.records;
            looked.through = step.anchor.position;
        }
        if let Some((action, position)) = intent {
            let outcome = Outcome {
                outcome: "done".to_owned(),
                message: format!(
                    "{} records in {} groups were removed, up to position {}",
                    looked.records, looked.groups, looked.through.0
                ),
            };
            let record = action.ended(unix_ms(), position, &outcome);
            actors.record_action(record).await?;
            looked.entries += 1;
        }
        Ok(looked)
    }

    fn held(&self) -> Option<HeldForWayBack> {
        tokio::task::block_in_place(|| self.upgrader.held_for_way_back())
    }

    /// The first position that a pin holds.
    fn pinned_from(&self) -> Result<Position, RetentionError> {
        let pins = self.upgrader.actors.journal().values(PINS)?;
        let mut from = END;
        for (name, value) in pins {
            let pin = serde_json::from_slice(&value).map_err(|_| RetentionError::Pin(name))?;
            from = from.min(pin);
        }
        Ok(from)
    }

    fn action(&self, arguments: Value) -> Action {
        Action {
            name: "retention".to_owned(),
            principal: "host".to_owned(),
            peer: Value::Null,
            arguments,
            release: self.upgrader.actors.release().version.clone(),
        }
    }
}

/// The first position that is held.
fn from(held: Option<&HeldForWayBack>) -> Position {
    held.map_or(END, |held| held.from)
}
