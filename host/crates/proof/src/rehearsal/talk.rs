//! What host and child say to each other over their socket, in [`frames`](crate::frames).
//!
//! ```text
//! host ─► Setup, once           ready or failed ─► host
//! host ─► Spare, now and then
//! host ─► Subject, many         for each, in order: judged ─► host
//!                               (a step now and then, where it takes its time)
//!         (traced: told step by step)   step, step, ..., judged ─► host
//! host closes: the child ends
//! ```

use serde::{Deserialize, Serialize};

use super::{Judged, Setup, Subject};

/// What the host says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// First of all.
    Setup(Setup),
    /// An actor.
    Subject(Subject),
    /// An actor, with each step told before it is taken.
    Traced(Subject),
    /// Whether to rest between bursts from now on, for clients are served.
    Spare(bool),
}

/// As [`Ask`], by reference: what is sent stays with its sender.
#[derive(Debug, Serialize)]
pub(super) enum Asked<'a> {
    Setup(&'a Setup),
    Subject(&'a Subject),
    Traced(&'a Subject),
    Spare(bool),
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// All libraries are open, but for what is said of those that are to spare, and it can
    /// do nothing any more but compute.
    Ready(Vec<String>),
    /// It could not come so far.
    Failed(String),
    /// What it is about to do.
    Step(String),
    /// What it has found of an actor.
    Judged(Judged),
}
