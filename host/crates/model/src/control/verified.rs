//! What verification says of a release: what is wrong, and what it changes in the
//! configuration.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// `GET /v1/plan?to=V`: the plan, and what verification says of its release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanReport {
    /// What would be done.
    #[serde(flatten)]
    pub plan: Plan,
    /// Everything that stands in its way, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What does not stand in its way and is worth knowing, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What it changes in the configuration.
    #[serde(default)]
    pub config: Vec<ConfigChange>,
}

/// `POST /v1/reload`: what has become of the configuration's new values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is another than before; and, at each reload until then, what waits for a
    /// restart.
    pub config: Vec<ConfigChange>,
}

/// A setting that another release, or a reload, has another value for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Its name in the environment.
    pub key: String,
    /// What it is now; null where it is not set.
    pub before: Option<ConfigValue>,
    /// What it would be; null where it would not be set.
    pub after: Option<ConfigValue>,
    /// From when on.
    pub applies: Applies,
}

/// A value, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigValue {
    /// The value; `<secret>` for one that is never shown.
    pub value: String,
    /// The environment, or a file.
    pub from: String,
}

/// When another value of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applies {
    /// When the release rules; on the way back the old value does again.
    #[serde(rename = "at the switch")]
    AtTheSwitch,
    /// It has, at a reload.
    #[serde(rename = "now")]
    Now,
    /// When a process of the release starts.
    #[serde(rename = "after a restart")]
    AfterARestart,
}

impl Applies {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AtTheSwitch => "at the switch",
            Self::Now => "now",
            Self::AfterARestart => "after a restart",
        }
    }
}
