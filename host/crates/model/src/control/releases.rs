//! What is done with the releases of a home.

use std::path::PathBuf;

use semver::Version;
use serde::{Deserialize, Serialize};

/// `host remove V`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// The release to remove.
    pub version: Version,
    /// Remove it even if a rollback would lead to it.
    #[serde(default)]
    pub no_way_back: bool,
    /// Remove it even if `store check --replay` comes by what its plugins have written.
    #[serde(default)]
    pub no_replay: bool,
}

/// What `host install FILE` has done, for the audit trail: it needs no host that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledNote {
    /// The release.
    pub version: Version,
    /// The package.
    pub file: PathBuf,
    /// The files that were damaged or missing of it, where it was there.
    pub repaired: Vec<PathBuf>,
}

/// What `host remove V` has removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveReport {
    /// The release.
    pub version: Version,
}
