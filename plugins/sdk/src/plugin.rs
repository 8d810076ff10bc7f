//! The author's two traits.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{Cx, Decision, Message, Random, Rejection, Reply};

/// The logic of one kind of actor, implemented for its state.
///
/// `decide` and `apply` together are GenServer's `handle_call`. They are apart
/// so that a rejected command cannot half-change a state, and so that a replay
/// of the journal needs no decision.
pub trait Plugin: Serialize + DeserializeOwned + Send + 'static {
    /// First half of an actor's id: `donations` in `donations:ramadan-2026`.
    /// Lower-case letters, digits, `-` and `_`.
    const NAME: &'static str;
    /// This version, as semver: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// Number of the state's shape. Raise it with each change that serde cannot
    /// read over; such a version implements [`Migrate`].
    const STATE_SCHEMA: u32 = 1;
    /// For each command that carries its own idempotency key: its name and the
    /// payload field that holds the key, as `("donate", "donation_id")`.
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[];

    /// What may be asked to change: an enum, one variant a command, in snake case.
    /// A payload's unknown fields are ignored. What its doc comments say of commands and
    /// of fields is what clients read in the description of the HTTP API.
    type Command: DeserializeOwned + JsonSchema;
    /// What may be asked to know: an enum, one variant a query, in snake case; described
    /// to clients as commands are.
    type Query: DeserializeOwned + JsonSchema;
    /// What has happened. Written to the journal as JSON, so name it and its
    /// fields as a book-keeper would.
    type Event: Serialize + DeserializeOwned;

    /// The state of an actor that has accepted nothing yet.
    fn new(key: &str) -> Self;

    /// What a command leads to, or why it is refused.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] leaves no trace: nothing is recorded and nothing changes.
    fn decide(
        &self,
        cx: &Cx<'_>,
        command: Self::Command,
    ) -> Result<Decision<Self::Event>, Rejection>;

    /// Changes the state. The only place that does; total and deterministic.
    fn apply(&mut self, event: Self::Event);

    /// Answers a query.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] where there is no answer.
    fn query(&self, cx: &Cx<'_>, query: Self::Query) -> Result<Reply, Rejection>;

    /// What a timer that has come due leads to. `cx.event()` is the timer's name.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] makes the timer a dead letter, as a timer that nobody knows is.
    fn timer(
        &self,
        cx: &Cx<'_>,
        payload: serde_json::Value,
    ) -> Result<Decision<Self::Event>, Rejection> {
        let _ = payload;
        Err(Rejection::new(
            "unknown_timer",
            format!(
                "{} {} sets no timer {:?}",
                Self::NAME,
                Self::VERSION,
                cx.event()
            ),
        ))
    }

    /// Whether the caller may do `cx.event()` on this actor; asked only where
    /// authentication is on. `phx_join` stands for joining its topic.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] that says what is missing.
    fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
        let _ = cx;
        Ok(())
    }

    /// The invariants. Asked in tests and after each migration.
    ///
    /// # Errors
    ///
    /// The first [`Violation`] found.
    fn check(&self) -> Result<(), Violation> {
        Ok(())
    }

    /// Does what an appup asks for with `run = "NAME"`, once for the plugin as a whole:
    /// before all actors change their version, or when all have. It may block; what it
    /// is given for it says the appup (`timeout_ms`).
    ///
    /// **It must be repeatable.** A hook runs again where an upgrade is tried again, or
    /// where the host ended in the middle of one; what it has done before may be done,
    /// half done, or not.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] ends the upgrade: nothing is switched, or all go back. So does a
    /// name that is not known, which is all that this does unless it is written.
    fn run(hook: &str, cx: &Cx<'_>) -> Result<(), Rejection> {
        let _ = cx;
        Err(Rejection::new(
            "unknown_hook",
            format!("{} {} has no hook {hook:?}", Self::NAME, Self::VERSION),
        ))
    }

    /// Whether the plugin as a whole is well; asked during probation.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] that says what is wrong.
    fn health() -> Result<(), Rejection> {
        Ok(())
    }
}

/// How states and messages move between this version and the one before it.
/// Written by the newer version, which knows both shapes.
pub trait Migrate: Plugin {
    /// Semver requirement on the other version, as `"~0.1"`.
    const FROM: &'static str;
    /// The other version's state, field for field.
    type Old: Serialize + DeserializeOwned;
    /// What the other version's state cannot hold. Travels beside it, and comes
    /// back at the next [`Migrate::up`].
    type Carry: Serialize + DeserializeOwned;

    /// A state of this version.
    ///
    /// `old` is the truth for all that the old version can say. `carry` is the
    /// truth for the rest; with `changed` the old version has moved the state
    /// since, so the two must be reconciled, `old` first.
    ///
    /// # Errors
    ///
    /// The actor then stays whole on the old version, and the upgrade rolls back.
    fn up(
        old: Self::Old,
        carry: Option<Self::Carry>,
        changed: bool,
    ) -> Result<Self, MigrationError>;

    /// The old version's state, and what it cannot hold.
    ///
    /// # Errors
    ///
    /// The actor then stays whole on this version, and an operator must look.
    fn down(&self) -> Result<Migrated<Self::Old, Self::Carry>, MigrationError>;

    /// A message of the old version in this version's shape. Unchanged by default.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] where this version has nothing like it.
    fn upcast(message: Message) -> Result<Message, Rejection> {
        Ok(message)
    }

    /// A message of this version in the old version's shape. Unchanged by default.
    ///
    /// Broadcasts come here as well, under their names, for clients that joined under the
    /// old version; [`Migrate::upcast`] gets those of the old version for clients of this
    /// one. So a broadcast is not called like a command that has another payload.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] where the old version has nothing like it. Of a broadcast the
    /// clients of the old version are not told then.
    fn downcast(message: Message) -> Result<Message, Rejection> {
        Ok(message)
    }

    /// About `count` commands that only this version knows, acceptable in this
    /// state: with them a rehearsal moves a migrated state before it goes back.
    fn samples(&self, random: &mut Random, count: usize) -> Vec<Message>;
}

/// What [`Migrate::down`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated<Old, Carry> {
    /// The old version's state.
    pub old: Old,
    /// What the old version cannot hold.
    pub carry: Carry,
}

/// Why a state could not be migrated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct MigrationError(String);

impl MigrationError {
    /// Says what in the state stands in the way.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[error("{invariant}: {found}")]
pub struct Violation {
    /// The invariant, in words: `balance = received - refunded - allocated`.
    pub invariant: String,
    /// What is the case instead.
    pub found: String,
}

impl Violation {
    /// Names the invariant and what was found instead.
    pub fn new(invariant: impl Into<String>, found: impl fmt::Display) -> Self {
        Self {
            invariant: invariant.into(),
            found: found.to_string(),
        }
    }
}
