//! The command line: its grammar, and the commands that ask a running host.
//!
//! # Invariants
//!
//! - The only way to a host is its control socket; this crate opens no file of a
//!   home and starts no process.
//! - Standard output is the answer alone: text, or under `--json` one document, or
//!   one a line for what streams. Progress and errors for people go to standard
//!   error.
//! - Every command ends with an exit code of [`failure`] or of
//!   [`Outcome::exit_code`](host_model::control::Outcome::exit_code).
//!
//! To add a command: its grammar in [`args`], its request in `commands`, its text
//! in `show`. It must not know how the host does what it is asked.

pub mod args;
mod bar;
mod client;
mod commands;
mod duration;
pub mod failure;
mod flight;
mod follow;
mod instant;
pub mod keep;
mod output;
mod repair;
mod show;
mod sse;
mod table;
mod top;
mod trace;
mod verified;

pub use bar::Progress;
pub use client::{Client, Events, query};
pub use commands::{note_installed, releases, removed, run};
pub use duration::whole_seconds;
pub use failure::Failure;
pub use output::Output;
pub use table::Table;

#[cfg(test)]
mod tests;
