//! The flight record of an upgrade: all that is known of how it went.

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control::{RehearsalReport, UpgradeReport};
use crate::histogram::Waits;
use crate::id::ActorId;
use crate::plan::Plan;
use crate::share::Share;

/// `host history N`: written with each transition, and into the audit trail at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlightRecord {
    /// The upgrade's number in the history.
    pub id: u64,
    /// Who asked for it, and what was asked while it was under way; in order.
    pub asked: Vec<Asked>,
    /// What it was to do.
    pub plan: Plan,
    /// What the rehearsal found; null where there was none.
    pub rehearsal: Option<Box<RehearsalReport>>,
    /// The states that it went through, in order.
    pub transitions: Vec<Transition>,
    /// How long callers waited for their answers.
    pub waits: WaitsAround,
    /// Actors that changed their version.
    pub actors_migrated: u64,
    /// Actors that could not come over, or go back: the first of them.
    pub failures: Vec<FailedActor>,
    /// How many more there were.
    pub failures_more: u64,
    /// What was seen while the new release was watched: one for each step.
    pub watched: Vec<Watched>,
    /// For how long it was paused altogether.
    pub paused_ms: u64,
    /// How it ended; null while it goes on.
    pub report: Option<UpgradeReport>,
}

/// Who asks for something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asker {
    /// `operator:ali`.
    pub by: String,
    /// What is known of the process that asked.
    pub peer: Value,
}

/// See [`FlightRecord::asked`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// `upgrade`, `rollback`, `commit`, `pause` or `resume`.
    pub what: String,
    /// With which arguments.
    #[serde(default)]
    pub arguments: Value,
    /// Who.
    #[serde(flatten)]
    pub asker: Asker,
    /// When: Unix milliseconds, UTC.
    pub at_ms: i64,
}

/// See [`FlightRecord::transitions`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The state that it came to.
    pub state: String,
    /// The share that is ahead from then on, of a canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// When: Unix milliseconds, UTC.
    pub at_ms: i64,
    /// How long it stayed there; null of the last.
    pub lasted_ms: Option<u64>,
    /// Why it came to it, where that needs a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// See [`FlightRecord::waits`]: from sending to the answer, at the actors' door.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsAround {
    /// Since the upgrade before, or the start, until the first actor was called over.
    pub before: Waits,
    /// While actors came over, in a canary too, or went back, also where that was stuck.
    pub during: Waits,
    /// In probation; of what came to none, nothing.
    pub after: Waits,
}

/// See [`FlightRecord::failures`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedActor {
    /// Which.
    pub actor: ActorId,
    /// The version that it had, and kept.
    pub from: Version,
    /// The version that it should have come to.
    pub to: Version,
    /// Why not.
    pub why: String,
}

/// See [`FlightRecord::watched`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// `canary` or `probation`.
    pub state: String,
    /// The share that was watched, of a canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// `passed`, `breached`, `too_few_calls`, `by_hand` where an operator ended it, or
    /// `migration_failed`.
    pub verdict: String,
    /// In a sentence, where there is one to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was counted, by plugin.
    pub plugins: Vec<WatchedPlugin>,
}

/// See [`Watched::plugins`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedPlugin {
    /// Its name.
    pub plugin: String,
    /// Of the new version.
    pub new: Seen,
    /// Of the version before; null for a plugin that is new.
    pub old: Option<Seen>,
}

/// What was counted of a plugin's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The version.
    pub version: Version,
    /// Runs of handlers.
    pub calls: u64,
    /// Of them, ended in a fault.
    pub faults: u64,
    /// Ended in a rejection.
    pub rejections: u64,
    /// Messages that became dead letters and were no fault.
    pub dead_letters: u64,
    /// The event with the largest 99th percentile, and that in microseconds.
    pub slowest: Option<(String, u64)>,
}
