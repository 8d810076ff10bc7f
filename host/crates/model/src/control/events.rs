//! What may be sent to actors.

use semver::Version;
use serde::{Deserialize, Serialize};

/// A row of `GET /v1/events`: what a plugin of the release that rules understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRow {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: Version,
    /// Names of its commands.
    pub commands: Vec<String>,
    /// Names of its queries.
    pub queries: Vec<String>,
}
