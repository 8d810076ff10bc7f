//! What an upgrade will do, worked out before anything is done.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::appup::Probation;

/// The steps from one release to another, in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The release that runs.
    pub from: Version,
    /// The release that shall run.
    pub to: Version,
    /// What happens to each plugin, dependencies first.
    pub plugins: Vec<PluginPlan>,
    /// Whether every step has a way back.
    pub reversible: bool,
    /// How long the new release is watched, in seconds: the longest of its plugins' windows.
    pub probation_s: u64,
}

/// What happens to one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPlan {
    /// The plugin's name.
    pub plugin: String,
    /// What is done.
    pub change: Change,
    /// When its new version counts as failed.
    pub probation: Probation,
}

/// A plugin's change between two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// The same version in both.
    Keep {
        /// That version.
        version: Version,
    },
    /// Not in the release that runs.
    Add {
        /// The version that comes.
        version: Version,
    },
    /// Not in the release that comes.
    Remove {
        /// The version that goes. Its actors sleep on in the journal.
        version: Version,
    },
    /// Another version.
    Move {
        /// The version that runs.
        from: Version,
        /// The version that shall run.
        to: Version,
        /// The ways between, in order.
        hops: Vec<Hop>,
    },
}

/// One step between two versions of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The version before.
    pub from: Version,
    /// The version after.
    pub to: Version,
    /// How the state crosses.
    pub state: StateChange,
    /// Whether the appup also says the other way.
    pub reversible: bool,
    /// The longest that one actor's migration may run.
    pub timeout_ms: u64,
}

/// How a state crosses from one version to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateChange {
    /// By `up` of the newer version.
    Up,
    /// By `down` of the newer version.
    Down,
    /// As it is: only the code changes.
    Same,
}
