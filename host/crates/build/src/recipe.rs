//! Release files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host_model::Version;
use host_model::limits::RELEASE_NAME_BYTES_MAX;
use host_model::release::{Start, is_release_name};
use serde::Deserialize;

/// A release file. Its paths are relative to the workspace, or to the folder that the
/// command runs in.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the platform.
    pub name: String,
    /// The release's version.
    pub version: Version,
    /// The folder of the appups; those of this release's plugins go in.
    pub upgrade_scripts: PathBuf,
    /// The release's own `host.toml`.
    #[serde(default)]
    pub host_toml: Option<PathBuf>,
    /// The release's own `env`.
    #[serde(default)]
    pub env: Option<PathBuf>,
    /// Its plugins.
    #[serde(rename = "plugin")]
    pub plugins: Vec<Part>,
}

/// A plugin of a release.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// `plugins/NAME/VERSION`, or wherever its package lies.
    pub path: PathBuf,
    /// What its failure means for the host.
    #[serde(default)]
    pub start: Start,
}

impl Recipe {
    /// Reads the release file `path`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let reading = || format!("read {}", path.display());
        let text = fs::read_to_string(path).with_context(reading)?;
        let recipe: Self = toml::from_str(&text).with_context(reading)?;
        if !is_release_name(&recipe.name) {
            bail!(
                "read {}: the name {:?} is to be of letters, digits, '-', '_' and '.', at most {RELEASE_NAME_BYTES_MAX}, and to begin with one of the first two",
                path.display(),
                recipe.name
            );
        }
        Ok(recipe)
    }
}
