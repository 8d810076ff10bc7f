//! What is durable, and in which order.
//!
//! One [`Journal`] owns one store. Callers [`append`](Journal::append) from any
//! thread and never wait; one writer thread takes what has gathered, commits it
//! as one group, and hands each entry's token to the `done` callback with how it
//! ended, in the order of appending. Replies and effects ride in the token, so
//! nothing leaves before what it depends on is durable.
//!
//! # Invariants
//!
//! - **One line.** [`Position`]s are given in the order of appending; a group
//!   is a run of them; `done` sees them in order. What holds for the store
//!   holds for each actor.
//! - **A failed group fails everything behind it.** The journal's
//!   [`Incarnation`] is raised with it, and an entry that was executed on a
//!   state of an older incarnation is refused: its actor must be rebuilt from
//!   what is durable first. `was_lost` says which actors these are.
//! - **A failure says whether it may have happened.** [`Lost::NotApplied`]: the
//!   store answered before COMMIT. Anything during or after it is unknown, and the
//!   store is asked: PostgreSQL is come back to, what was under way is ended, and
//!   where the store ends says what became of the group; the journal goes on.
//!   SQLite's handle is never used again: [`Lost::Unknown`], and the journal is
//!   closed, for recovery at the next start to decide.
//! - A snapshot above a bound is written in [`Pieces`], which nobody reads before its
//!   last entry, a small one, says that they are all there.
//! - Every group is checksummed and chained by hash to the one before it.
//! - A group names for each record the one before it of the same actor; the
//!   newest of each is known in memory. So no index is written, and reading an
//!   actor is its last snapshot and a walk back from its head.
//!
//! An entry's way: `sealed` encodes it on the caller's thread, `queue` gives it
//! its place, `writer` takes what has gathered, `plan` decides what the group
//! writes, a [`store::Store`] commits it, and `heads` learns of it. `recover`
//! rebuilds the heads at the next start, `walk` reads an actor, `audit` all.
//!
//! What no replay needs any more may be removed from the chain's beginning, in steps
//! that are entries themselves (`retention`); a signed `anchor` then says where it
//! begins.
//!
//! This crate must not know plugins, actors in memory, or upgrades: a state is
//! bytes, and a transition is a key and a value.

mod action;
mod anchor;
mod answer;
mod archive;
mod audit;
mod backup;
mod before;
mod chain;
mod check;
mod claims;
mod clock;
mod entry;
mod error;
pub mod files;
pub mod group;
mod heads;
pub mod hex;
mod journal;
mod lives;
mod lost;
mod many;
mod migrate;
mod migrations;
mod named;
mod outbox;
mod own;
mod packed;
mod past;
pub mod pieces;
mod plan;
pub mod postgres;
mod process;
mod queue;
mod reads;
mod record;
mod recover;
mod repair;
mod retention;
pub mod sealed;
mod shared;
mod since;
mod sqlite;
pub mod store;
mod stored;
mod sums;
mod tables;
mod tails;
mod thin;
mod timeline;
mod trouble;
mod walk;
mod witness;
mod writer;

pub use action::{Action, OPERATOR, Outcome, RESERVED};
pub use anchor::{Anchor, AnchorKey, KeyError};
pub use answer::{AnswerKey, KeptAnswer};
pub use archive::Archive;
pub use audit::{Audited, Trail, Verified};
pub use backup::{BackupError, Copied};
pub use before::{Before, BeforeError};
pub use chain::Damage;
pub use check::{CheckError, Checked, Finding};
pub use clock::unix_ms;
pub use entry::{
    CastId, CastRow, Consumed, DeadLetter, DeadLetterKind, Entry, Letter, Origin, Rows, TimerRow,
};
pub use error::{Done, Lost, OpenError, Overloaded, ReadError, Refused, RefusedReason, StoreError};
pub use journal::{Journal, Options};
pub use lives::Life;
pub use migrate::{Migrated, migrate};
pub use named::{Named, Standing, Versions};
pub use outbox::{BadOutboxId, OutboxChange, OutboxId, OutboxRow, Tried, Webhook};
pub use past::PastTails;
pub use pieces::{Piece, PieceId, Pieces, Whole};
pub use reads::Pass;
pub use record::{Record, Snapshot, Stored};
pub use retention::Removal;
pub use shared::Stats;
pub use since::{NotHad, Since};
pub use sqlite::open as open_sqlite;
pub use store::{Listed, TimerMark};
pub use thin::NotKept;
pub use trouble::Trouble;
pub use witness::{forget, knows_a_store};

/// Where an entry stands in the journal: 1, 2, 3, ... in the order of appending.
/// Positions of failed entries are never given again.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Counts the journal's failed groups since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub u32);

/// What has become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is durable.
    Durable,
    /// It is not decided yet.
    Pending,
    /// It failed: a state that includes it must be rebuilt.
    Lost,
}

#[cfg(test)]
mod tests;
