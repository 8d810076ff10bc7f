//! What a plugin says of itself.

use std::collections::BTreeMap;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::setting::PluginSetting;

/// A plugin's manifest, as its library gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// First half of its actors' ids.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The SDK it was built with.
    pub sdk: Version,
    /// Number of the state's shape: two versions with the same number can read
    /// each other's states.
    pub state_schema: u32,
    /// Names of its commands.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Names of its queries.
    #[serde(default)]
    pub queries: Vec<String>,
    /// Command name to the payload field that holds its idempotency key.
    #[serde(default)]
    pub idempotency: BTreeMap<String, String>,
    /// The older versions that its `up` and `down` know.
    #[serde(default)]
    pub migrates_from: Option<VersionReq>,
    /// What it can be configured by.
    #[serde(default)]
    pub settings: Vec<PluginSetting>,
    /// What its commands and queries look like; nothing of one that was built with an SDK
    /// that did not say so yet.
    #[serde(default)]
    pub schemas: EventSchemas,
}

/// JSON Schemas (draft 2020-12) of payloads. They refer to the definitions as
/// `#/$defs/NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventSchemas {
    /// Command name to its payload's schema.
    pub commands: BTreeMap<String, Value>,
    /// Query name to its payload's schema.
    pub queries: BTreeMap<String, Value>,
    /// Types that they refer to, by name.
    pub definitions: BTreeMap<String, Value>,
}

impl PluginManifest {
    /// Whether it has a query of this name.
    #[must_use]
    pub fn has_query(&self, event: &str) -> bool {
        self.queries.iter().any(|name| name == event)
    }

    /// Whether it has a command of this name.
    #[must_use]
    pub fn has_command(&self, event: &str) -> bool {
        self.commands.iter().any(|name| name == event)
    }
}
