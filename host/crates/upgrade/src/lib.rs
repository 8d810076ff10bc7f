//! Upgrades: plan, verify, rehearse, stage, switch, watch, and commit or roll back.
//!
//! What is decided is decided by pure functions over plain data: [`plan`] works
//! out what will be done, [`State::apply`] says which state follows which event, and
//! [`judge`] whether a release does as well as it must. [`Upgrader`] carries out a finished plan and has no choices left but
//! whether a step has worked.
//!
//! # Invariants
//!
//! - Each transition is durable before it takes effect, in the same journal as
//!   the commands. A start after a crash reads it and calls the same
//!   `apply` ([`recover`]).
//! - One release rules the whole host: the swap is one atomic store, and a crash
//!   in the middle of an upgrade boots the permanent release for all actors.
//! - One upgrade at a time.
//! - The permanent release changes in one transaction, at commit, and only when
//!   every state has come over.
//!
//! This crate must not know sockets, protocols, or how a command line is spelled.

mod around;
mod assemble;
mod backup;
mod book;
mod canary;
mod cold;
mod configure;
mod digests;
mod engine;
mod flight;
mod going_back;
mod installed;
mod judge;
mod pace;
mod plan;
mod recover;
mod refused;
mod rehearse;
mod releases;
mod remove;
mod retention;
mod run;
mod running;
#[cfg(test)]
mod samples;
mod state;
mod steps;
mod stuck;
mod trial;
mod verify;
mod watch;
mod way_back;
mod window;
mod wishes;

pub use assemble::{AssembleError, Assembler};
pub use backup::{BACKUP, DescribeError, describe, missing, missing_versions, read as read_backup};
pub use book::{Book, BookError, Booked, read_history};
pub use configure::PluginConfig;
pub use engine::{Hooks, Parts, Upgrader};
pub use flight::Flight;
pub use host_package::{InstallError, KeysError, TrustedKeys};
pub use installed::not_understood;
pub use plan::{HasRun, Lacks, Missing, PlanError, plan, plan_at_start};
pub use recover::{Recovery, recover};
pub use refused::RefusedUpgrade;
pub use releases::{Releases, ReleasesError, Unpacked};
pub use remove::RemoveError;
pub use retention::{Looked, PINS, Retention, RetentionError};
pub use state::{BegunHook, Event, IllegalEvent, Reason, State, Upgrade};
pub use verify::{Machine, Verified};
pub use way_back::HeldForWayBack;
