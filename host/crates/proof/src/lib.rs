//! The laws that plugins must keep, asked of real ones.
//!
//! Two families. The laws of a [`rehearsal`], what an upgrade does with the actors that there
//! are, are there. Here is the **replay law**: the events of an actor, applied again, give the
//! same bytes. Twice in one process, in another process, from the beginning and from
//! a state in the middle that was written down and read again; and what the store has
//! as a snapshot is what a replay comes to. All that wakes an actor rests on it, and
//! the compiler holds none of it: a map without an order, a clock or an environment
//! in `apply` break it.
//!
//! ```no_run
//! # fn law(course: host_proof::Course, loader: &host_loader::Loader, home: &std::path::Path)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use host_proof::{Code, Law, OtherProcess};
//!
//! let library = home.join("releases/0.1.0/plugins/libdonations_v0_1_0.so");
//! let code = Code::of([(loader.load(&library, None)?, library)]);
//! // For the host this is `host replay`, itself.
//! let other = OtherProcess::new(std::env::current_exe()?, ["replay"]);
//! let replayed = Law::new(&code).in_another_process(&other).holds(&course)?;
//! println!("{} events give {} bytes, however they are applied", replayed.events, replayed.state.len());
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//!
//! - Nothing of a plugin is judged but the bytes that it gives.
//! - A violation names the actor, the sequence from which on the states differ, and
//!   the first field in which they do.
//! - What cannot be asked (a version that is not there, a child that dies) is an
//!   error of its own, and never counts as a law that holds.
//!
//! This crate must not know where events come from or what becomes of a violation.

mod child;
mod course;
mod crossing;
mod difference;
mod fields;
mod frames;
mod law;
mod process;
pub mod rehearsal;
mod replay;
mod value;

pub use child::replay_main;
pub use course::{Base, Course, Event};
pub use difference::Difference;
pub use fields::without_places;
pub use law::{Law, LawError, Replayed, Violation, Way};
pub use process::{OtherProcess, ProcessError};
pub use replay::{Code, ReplayError};
