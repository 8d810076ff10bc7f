//! The matrix: every step of an upgrade, and of the way back, × every way to fail.
//!
//! [`ways`] is the table: how a [`Fault`] is brought about in a [`Step`], or why it cannot
//! be. [`run`] carries one of them out under load and looks at what is left ([`after`]);
//! [`sample`] chooses some of them by a seed, so that each step and each fault is there.
//!
//! After each: one release rules and every actor is in its version; every acknowledged
//! command is there exactly once; nothing is left lying about; and the next upgrade, or
//! the way back where this one has committed, works.

pub mod after;
mod clients;
pub mod how;
mod kept;
pub mod run;
pub mod sample;
pub mod ways;
mod ways_back;

pub use how::{Ends, How};
pub use run::Matrix;
pub use ways::ways;

/// What an upgrade is doing when it is struck. Those that are states of an upgrade are
/// struck where they are to become durable, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The plan is made and written down.
    Plan,
    /// What it needs is held against this machine and this home.
    Verify,
    /// A child tries it on a copy.
    Rehearse,
    /// The new plugins are opened.
    Stage,
    /// Hooks before the switch.
    HookBefore,
    /// A share goes first.
    Canary,
    /// Gates are closed, and handlers inside end.
    Gate,
    /// The new release is about to rule.
    Switch,
    /// An actor comes over that is awake, and called.
    Migration,
    /// An actor comes over that is asleep.
    Sweep,
    /// Hooks behind the switch.
    HookBehind,
    /// The new release is watched.
    Probation,
    /// It becomes permanent.
    Commit,
    /// The old release is about to rule again.
    RollBack,
    /// Hooks of the way back.
    HookBack,
    /// An actor goes back.
    Down,
    /// The way back is over.
    RolledBack,
}

/// How it is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A plugin says no, or the disk answers with an error.
    Error,
    /// A plugin panics.
    Panic,
    /// `kill -9`, or whatever else ends the process.
    Kill,
    /// A plugin takes longer than it may. Or the disk is slow: for 3 s, which is beyond no
    /// bound and is waited for, or for longer than a client waits.
    Timeout,
    /// There is no room on the disk.
    DiskFull,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 17] = [
        Self::Plan,
        Self::Verify,
        Self::Rehearse,
        Self::Stage,
        Self::HookBefore,
        Self::Canary,
        Self::Gate,
        Self::Switch,
        Self::Migration,
        Self::Sweep,
        Self::HookBehind,
        Self::Probation,
        Self::Commit,
        Self::RollBack,
        Self::HookBack,
        Self::Down,
        Self::RolledBack,
    ];
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Panic,
        Self::Kill,
        Self::Timeout,
        Self::DiskFull,
    ];
}

/// A place in the matrix that exists, and one way to come to it.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Where.
    pub step: Step,
    /// What.
    pub fault: Fault,
    /// How.
    pub how: How,
}

impl Cell {
    /// Whether a plugin takes longer in it than it may: not a disk that is slow.
    #[must_use]
    pub fn exceeds_a_bound(&self) -> bool {
        self.fault == Fault::Timeout && self.how.disk.is_empty()
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} x {:?}: {}", self.step, self.fault, self.how.what)
    }
}

/// Every way of every place that exists.
#[must_use]
pub fn cells() -> Vec<Cell> {
    let places = Step::ALL
        .into_iter()
        .flat_map(|step| Fault::ALL.map(|fault| (step, fault)));
    let cells = places.flat_map(|(step, fault)| {
        let hows = ways(step, fault).unwrap_or_default().into_iter();
        hows.map(move |how| Cell { step, fault, how })
    });
    cells.collect()
}

/// The table for people: how many ways each place has, and why some have none.
#[must_use]
pub fn table() -> String {
    let mut lines = vec![format!(
        "{:<12}{}",
        "",
        Fault::ALL
            .map(|it| format!("{:<10}", format!("{it:?}")))
            .concat()
    )];
    let mut notes = Vec::new();
    for step in Step::ALL {
        let places = Fault::ALL.map(|fault| match ways(step, fault) {
            Ok(hows) => format!("{:<10}", hows.len()),
            Err(why) => {
                notes.push(format!("{step:?} x {fault:?} does not exist: {why}"));
                format!("{:<10}", "-")
            }
        });
        lines.push(format!("{:<12}{}", format!("{step:?}"), places.concat()));
    }
    lines.extend(notes);
    lines.join("\n")
}
