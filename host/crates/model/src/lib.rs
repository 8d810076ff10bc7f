//! The words that the host's layers share. Plain data: no IO, no clock, no threads.
//!
//! # Invariants
//!
//! - A type here that crosses a process boundary (control messages, manifests,
//!   appups) only grows: fields are added with a default, none changes its meaning.
//! - Whoever decides over these types does it in a pure function; whoever acts
//!   lives in a crate above.
//!
//! This crate must not know any other crate of the project.

pub mod appup;
pub mod carry;
pub mod control;
pub mod effect;
pub mod error;
pub mod flight;
pub mod histogram;
pub mod id;
pub mod instant;
pub mod keep;
pub mod limits;
pub mod manifest;
pub mod plan;
pub mod release;
pub mod setting;
pub mod share;
pub mod suggest;
pub mod way;

pub use id::ActorId;
pub use semver::{Version, VersionReq};
pub use share::Share;
