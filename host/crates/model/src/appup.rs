//! Appups: how one plugin moves between versions, in OTP's vocabulary.
//!
//! One TOML file per plugin and version, `upgrade-scripts/donations-0.2.0.toml`.
//! It is written by the newer version's author and says both ways.

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::is_plugin_name;
use crate::limits::PROBATION_DEFAULT;

/// The content of an appup file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appup {
    /// The plugin.
    pub plugin: String,
    /// The version that the paths lead to (`up`) and from (`down`).
    pub version: Version,
    /// Plugins that are upgraded before this one.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The ways, first match wins.
    #[serde(default, rename = "path")]
    pub paths: Vec<Path>,
    /// When the new version counts as failed.
    #[serde(default)]
    pub probation: Probation,
}

/// One way between `version` and the versions that `from` allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// The versions at the other end.
    pub from: VersionReq,
    /// What is done on the way up.
    pub up: Vec<Instruction>,
    /// What is done on the way down; none means that there is no way back.
    #[serde(default)]
    pub down: Vec<Instruction>,
    /// Reply fields that may differ in a shadow run: `summary.funds`.
    #[serde(default)]
    pub declared: Vec<String>,
    /// The longest that one actor's migration may take.
    #[serde(default = "pause_budget_default")]
    pub pause_budget_ms: u64,
}

/// One step. A TOML table with the instruction's name as its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Instruction {
    /// The state's shape changes: `up` or `down` of the newer version.
    Update {
        /// What is updated; `state` is the one thing there is.
        update: Updated,
        /// The longest that one actor's migration may run.
        #[serde(default = "update_timeout_default")]
        timeout_ms: u64,
        /// Close the plugin's gate until handlers already inside have ended.
        #[serde(default)]
        suspend: bool,
    },
    /// Only the code changes: the new version reads the state as it is.
    Load {
        /// What is loaded; `code` is the one thing there is.
        load: Loaded,
    },
    /// The plugin is new in the release (`add = "plugin"`).
    Add {
        /// Always `plugin`.
        add: Whole,
    },
    /// The plugin is no longer in the release (`remove = "plugin"`).
    Remove {
        /// Always `plugin`.
        remove: Whole,
    },
    /// The plugin's actors are put to sleep and wake in the new version.
    Restart {
        /// Always `plugin`.
        restart: Whole,
    },
    /// A hook of the plugin runs, once, before or behind the switch.
    Run {
        /// The hook's name.
        run: String,
        /// The longest it may take.
        #[serde(default = "run_timeout_default")]
        timeout_ms: u64,
    },
    /// The host's own binary is replaced.
    RestartHost {
        /// Always true.
        restart_host: bool,
    },
}

/// See [`Instruction::Update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Updated {
    /// The actors' state.
    State,
}

/// See [`Instruction::Load`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loaded {
    /// The plugin's code.
    Code,
}

/// See [`Instruction::Add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whole {
    /// The plugin as a whole.
    Plugin,
}

/// When a version in probation counts as failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probation {
    /// How long it is watched, in seconds.
    pub window_s: u64,
    /// Calls below which the window is extended, never passed.
    pub min_calls: u64,
    /// Faults over calls.
    pub max_fault_rate: f64,
    /// 99th percentile of a handler's time, the new version's over the old's.
    pub max_p99_ratio: f64,
    /// Rejections for one reason over calls, where that reason was rare before.
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

/// A file that is no appup.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}: {problem}")]
pub struct InvalidAppup {
    /// The file.
    pub file: String,
    /// What was found where, and what would be right.
    pub problem: String,
}

impl Appup {
    /// Reads the text of `file`.
    ///
    /// # Errors
    ///
    /// [`InvalidAppup`] with the line and what is wrong there.
    pub fn parse(file: &str, text: &str) -> Result<Self, InvalidAppup> {
        let invalid = |problem: String| InvalidAppup {
            file: file.to_owned(),
            problem,
        };
        let appup: Self = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
        if !is_plugin_name(&appup.plugin) {
            return Err(invalid(format!(
                "plugin = {:?} is no plugin's name (1 to 64 of a-z 0-9 - _)",
                appup.plugin
            )));
        }
        let named = format!("{}-{}.toml", appup.plugin, appup.version);
        if file != named {
            return Err(invalid(format!(
                "it is the appup of {} {}, so its name should be {named}",
                appup.plugin, appup.version
            )));
        }
        Ok(appup)
    }

    /// The way between this version and `other`, if it names one.
    #[must_use]
    pub fn path(&self, other: &Version) -> Option<&Path> {
        self.paths.iter().find(|path| path.from.matches(other))
    }
}

fn pause_budget_default() -> u64 {
    100
}

fn update_timeout_default() -> u64 {
    5_000
}

fn run_timeout_default() -> u64 {
    5_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONATIONS: &str = r#"
plugin = "donations"
version = "0.2.0"
depends_on = ["zakat"]

[[path]]
from = "~0.1"
up   = [{ run = "before" }, { update = "state", timeout_ms = 5000 }, { run = "after" }]
down = [{ update = "state" }]
declared = ["summary.funds", "summary.donors"]
pause_budget_ms = 100

[probation]
window_s = 60
min_calls = 100
max_fault_rate = 0.001
max_p99_ratio = 2.0
"#;

    #[test]
    fn the_documented_appup_is_read() {
        let appup = Appup::parse("donations-0.2.0.toml", DONATIONS).unwrap();
        let path = appup.path(&Version::new(0, 1, 7)).unwrap();
        assert_eq!(path.up.len(), 3);
        assert_eq!(
            path.down,
            [Instruction::Update {
                update: Updated::State,
                timeout_ms: 5_000,
                suspend: false
            }]
        );
        assert!(appup.path(&Version::new(0, 2, 0)).is_none());
        assert_eq!(appup.probation, Probation::default());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        for (from, to, word) in [
            (
                "plugin = \"donations\"",
                "plugin = \"Donations\"",
                "no plugin's name",
            ),
            (
                "version = \"0.2.0\"",
                "version = \"0.3.0\"",
                "donations-0.3.0.toml",
            ),
            ("update = \"state\"", "update = \"everything\"", "line"),
            ("declared", "declarde", "declarde"),
        ] {
            let text = DONATIONS.replace(from, to);
            let error = Appup::parse("donations-0.2.0.toml", &text).unwrap_err();
            let shown = error.to_string();
            assert!(shown.starts_with("donations-0.2.0.toml: "), "{shown}");
            assert!(shown.contains(word), "{shown}");
        }
    }
}
