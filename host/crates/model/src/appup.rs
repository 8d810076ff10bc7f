//! Appups: how one plugin moves between versions, in OTP's vocabulary.
//!
//! One TOML file per plugin and version, `upgrade-scripts/donations-0.2.0.toml`.
//! It is written by the newer version's author and says both ways. Read by hand, not by
//! serde: all that is wrong is said at once, each with its line and with what would be
//! right.

use std::fmt;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::PROBATION_DEFAULT;

mod read;
#[cfg(test)]
mod tests;

/// The content of an appup file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appup {
    /// The plugin.
    pub plugin: String,
    /// The version that the paths lead to (`up`) and from (`down`).
    pub version: Version,
    /// Plugins that are upgraded before this one.
    pub depends_on: Vec<String>,
    /// The ways, first match wins.
    pub paths: Vec<Path>,
    /// When the new version counts as failed.
    pub probation: Probation,
}

/// One way between `version` and the versions that `from` allows; or, with `add` and
/// `remove`, how the plugin comes into a release and goes out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The versions at the other end; all, where there is none at it.
    pub from: VersionReq,
    /// What is done on the way up.
    pub up: Vec<Instruction>,
    /// What is done on the way down; none means that there is no way back.
    pub down: Vec<Instruction>,
    /// Reply fields that may differ in a shadow run: `summary.funds`.
    pub declared: Vec<String>,
    /// The longest that one actor's migration may take.
    pub pause_budget_ms: u64,
}

/// One step of a way. Of `Update`, `Load`, `Add` and `Remove` a way has exactly one, or
/// none of them and `Restart`, which then loads: see [`Path::is_between_versions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `update = "state"`: the state's shape changes, by `up` or `down` of the newer version.
    Update {
        /// The longest that one actor's migration may run, and that handlers inside are
        /// waited for.
        timeout_ms: u64,
        /// Close the plugin's gate until handlers already inside have ended.
        suspend: bool,
    },
    /// `load = "code"`: only the code changes, the new version reads the state as it is.
    Load,
    /// `add = "plugin"`: the plugin is new in the release.
    Add,
    /// `remove = "plugin"`: the plugin is no longer in the release.
    Remove,
    /// `restart = "plugin"`: its actors are put to sleep and wake in the new version.
    Restart,
    /// `run = "before"`: a hook of the newer version runs, once, before the switch where
    /// it stands before the change of the state, and otherwise behind it.
    Run {
        /// The hook's name.
        hook: String,
        /// The longest it may take.
        timeout_ms: u64,
    },
    /// `restart_host = true`: the host's own binary is replaced.
    RestartHost,
}

/// When a version in probation counts as failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probation {
    /// How long it is watched, in seconds.
    pub window_s: u64,
    /// Calls below which the window is extended, to twice its length. What nobody calls then
    /// commits with a remark, and a canary asks an operator.
    pub min_calls: u64,
    /// Faults over calls, from 0 to 1.
    pub max_fault_rate: f64,
    /// 99th percentile of a handler's time, the new version's over the old's; at least 1.
    pub max_p99_ratio: f64,
    /// Rejections for one reason over calls, where that reason was rare before; from 0 to 1.
    pub max_rejection_rate: f64,
}

impl Eq for Probation {}

impl Default for Probation {
    fn default() -> Self {
        Self {
            window_s: PROBATION_DEFAULT.as_secs(),
            min_calls: 100,
            max_fault_rate: 0.001,
            max_p99_ratio: 2.0,
            max_rejection_rate: 0.1,
        }
    }
}

/// A file that is no appup: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidAppup {
    /// The file, as whoever reads the message finds it.
    pub file: String,
    /// At least one, in the order of the lines.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// What was found, and what would be right.
    pub text: String,
}

impl fmt::Display for InvalidAppup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Problem { line, text }) in self.problems.iter().enumerate() {
            let before = if n == 0 { "" } else { "\n" };
            write!(f, "{before}{}:{line}: {text}", self.file)?;
        }
        Ok(())
    }
}

impl Appup {
    /// Reads the text of `file`.
    ///
    /// # Errors
    ///
    /// [`InvalidAppup`] with all that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, InvalidAppup> {
        read::read(file, text).map_err(|problems| InvalidAppup {
            file: file.to_owned(),
            problems,
        })
    }

    /// The way between this version and `other`, if it names one.
    #[must_use]
    pub fn path(&self, other: &Version) -> Option<&Path> {
        let mut between = self.paths.iter().filter(|path| path.is_between_versions());
        between.find(|path| path.from.matches(other))
    }

    /// How the plugin comes into a release in this version, and goes out of it, if it
    /// says so.
    #[must_use]
    pub fn addition(&self) -> Option<&Path> {
        self.paths.iter().find(|path| !path.is_between_versions())
    }
}

impl Path {
    /// False for a path by which the plugin comes and goes as a whole.
    #[must_use]
    pub fn is_between_versions(&self) -> bool {
        let whole = |it: &Instruction| matches!(it, Instruction::Add | Instruction::Remove);
        !self.up.iter().chain(&self.down).any(whole)
    }
}

impl Instruction {
    /// Its key in a file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Update { .. } => "update",
            Self::Load => "load",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Restart => "restart",
            Self::Run { .. } => "run",
            Self::RestartHost => "restart_host",
        }
    }
}
