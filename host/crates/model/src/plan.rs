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
    /// What is done, in this order. Whoever carries it out has no choices left.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What is done where the upgrade goes back behind its switch.
    #[serde(default)]
    pub back: Vec<Step>,
    /// Whether every step has a way back.
    pub reversible: bool,
    /// How long the new release is watched, in seconds: the longest of its plugins' windows.
    pub probation_s: u64,
    /// Whether a start carries it out, whose host is the own one of the release `to`: then
    /// steps that ask for another host are taken. No running host takes them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_start: bool,
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
        /// The steps between, in order, that a state without carries takes.
        hops: Vec<Hop>,
        /// The ways of states that came down from a newer version, where the carries beside
        /// them lead another way than `hops`.
        #[serde(default)]
        carried: Vec<CarriedWay>,
    },
}

/// The way of a state with carries beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedWay {
    /// The versions whose `down` left the carries, the last one last.
    pub carries: Vec<Version>,
    /// The steps, in order. None where every way would strand a carry: verification refuses
    /// the upgrade where an actor has these.
    pub hops: Option<Vec<Hop>>,
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
    /// Whether the appup also says the other way, and the host that runs can take it.
    pub reversible: bool,
    /// The longest that one actor's migration may run; 0 where only the code changes.
    pub timeout_ms: u64,
    /// Whether the plugin's gate closes until handlers already inside have ended.
    #[serde(default)]
    pub suspend: bool,
    /// Whether its actors are put to sleep, and wake in the new version.
    #[serde(default)]
    pub restart: bool,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What.
    #[serde(flatten)]
    pub action: Action,
    /// The longest that it may take: a plugin when staging, one actor in a sweep, and
    /// otherwise the whole of it. None: as long as it takes.
    pub timeout_ms: Option<u64>,
    /// What takes it back, where the upgrade goes back.
    pub undo: Undo,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Action {
    /// Everything that is needed is there, and is what it should be.
    Verify,
    /// The laws are asked of a copy of the actors, in a process apart.
    Rehearse,
    /// The new plugins are opened.
    Stage,
    /// A hook of a plugin runs.
    Run {
        /// The plugin.
        plugin: String,
        /// The version that has the hook.
        version: Version,
        /// Its name.
        hook: String,
    },
    /// A plugin's gate closes, and handlers already inside end.
    Suspend {
        /// The plugin.
        plugin: String,
    },
    /// The new release rules from now on, for all plugins at once.
    Switch,
    /// A plugin's gate opens; what has queued runs, in the new version.
    Resume {
        /// The plugin.
        plugin: String,
    },
    /// Actors of a plugin that no message has brought over come over.
    Sweep {
        /// The plugin.
        plugin: String,
    },
    /// The new release is watched.
    Watch,
    /// The new release becomes permanent.
    Commit,
}

/// What takes a step back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// It has changed nothing that would have to be taken back.
    Nothing,
    /// The hooks that the appup has for the other way.
    Hooks,
    /// The gate opens.
    Resume,
    /// The old release rules again.
    Switch,
    /// The actors go back: `down` gives the old state, and what that cannot hold is
    /// carried beside it.
    Sweep,
    /// No appup leads back. Before the commit the older version decides again what its
    /// actors have accepted since, where the steps lead to newer versions.
    Impossible,
    /// A rollback, which is an upgrade of its own.
    Rollback,
}

impl Plan {
    /// As it is carried out for who has asked to have the new release watched for
    /// `probation_s` seconds, and rehearsed or not.
    #[must_use]
    pub fn asked(mut self, probation_s: u64, is_rehearsed: bool) -> Self {
        self.probation_s = probation_s;
        self.steps
            .retain(|step| is_rehearsed || step.action != Action::Rehearse);
        let watches = self.steps.iter_mut();
        for watch in watches.filter(|step| step.action == Action::Watch) {
            watch.timeout_ms = Some(probation_s.saturating_mul(1_000));
        }
        self
    }

    /// The steps that come before the switch, and those behind it, of a way there or
    /// back.
    #[must_use]
    pub fn around_switch(steps: &[Step]) -> (&[Step], &[Step]) {
        let switch = |step: &Step| step.action == Action::Switch;
        match steps.iter().position(switch) {
            Some(at) => (&steps[..at], &steps[at + 1..]),
            None => (steps, &[]),
        }
    }
}

impl Action {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Rehearse => "rehearse",
            Self::Stage => "stage",
            Self::Run { .. } => "run",
            Self::Suspend { .. } => "suspend",
            Self::Switch => "switch",
            Self::Resume { .. } => "resume",
            Self::Sweep { .. } => "sweep",
            Self::Watch => "watch",
            Self::Commit => "commit",
        }
    }

    /// The plugin that it is about, if it is about one.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Run { plugin, .. }
            | Self::Suspend { plugin }
            | Self::Resume { plugin }
            | Self::Sweep { plugin } => Some(plugin),
            _ => None,
        }
    }
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
