//! Releases: which plugins in which versions make one.

use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::limits::RELEASE_NAME_BYTES_MAX;
use crate::manifest::PluginManifest;
use crate::setting::PluginSetting;

/// The host of a release, relative to its folder.
pub const PROGRAM: &str = "bin/host";

/// `releases/V/manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseManifest {
    /// Name of the platform, `giving`.
    pub name: String,
    /// The release's version; also the name of its folder.
    pub version: Version,
    /// Version of the host binary in it.
    pub host: Version,
    /// SHA-256 of `bin/host`, in hex.
    pub host_sha256: String,
    /// Target triple that it was built for.
    pub target: String,
    /// The least glibc it runs on, `2.36`.
    pub libc: String,
    /// Its plugins, by name.
    pub plugins: Vec<ReleasePlugin>,
    /// Its appups, by file name, with their digests.
    #[serde(default)]
    pub upgrade_scripts: Vec<ReleaseFile>,
    /// Its `host.toml` and `env`, where it has them, with their digests.
    #[serde(default)]
    pub config: Vec<ReleaseFile>,
    /// Its licences and its bill of materials, where it has them, with their digests.
    #[serde(default)]
    pub documents: Vec<ReleaseFile>,
}

/// A plugin of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePlugin {
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: Version,
    /// Its library, relative to the release's folder: `plugins/zakat-0.1.0.so`.
    pub file: PathBuf,
    /// SHA-256 of the library, in hex.
    pub sha256: String,
    /// What its failure means for the host.
    #[serde(default)]
    pub start: Start,
    /// What it can be configured by, as its library says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<PluginSetting>,
    /// The shape of its states and messages, as its library says; absent in a release that was
    /// built before releases had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<PluginShape>,
}

/// In which shape the states and messages of a plugin's version are, and which others it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginShape {
    /// See [`PluginManifest::state_schema`].
    pub state_schema: u32,
    /// See [`PluginManifest::migrates_from`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrates_from: Option<VersionReq>,
}

impl From<&PluginManifest> for PluginShape {
    fn from(manifest: &PluginManifest) -> Self {
        Self {
            state_schema: manifest.state_schema,
            migrates_from: manifest.migrates_from.clone(),
        }
    }
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFile {
    /// Relative to the release's folder.
    pub file: PathBuf,
    /// SHA-256, in hex.
    pub sha256: String,
}

/// Start types, as OTP's applications have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Past its limit of faults the host is no longer ready, and in production ends in order.
    #[default]
    Permanent,
    /// Only an abnormal end of the plugin as a whole counts.
    Transient,
    /// It may fail alone.
    Temporary,
}

/// The state of a release in a home, as `host releases` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Lies there, has never run here.
    Unpacked,
    /// Runs, and is not (yet) what a restart boots.
    Current,
    /// What a restart boots.
    Permanent,
    /// Has been permanent before.
    Old,
    /// An upgrade to it was rolled back; it is not tried again by accident.
    Failed,
}

/// Whether `name` can be a release's name: letters, digits, `-`, `_` and `.`, and one of the
/// first two at its beginning.
///
/// ```
/// use host_model::release::is_release_name;
///
/// assert!(is_release_name("giving") && is_release_name("giving-2.x"));
/// assert!(!is_release_name("../x") && !is_release_name("..") && !is_release_name(""));
/// ```
#[must_use]
pub fn is_release_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=RELEASE_NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(is_plain)
}

impl ReleaseManifest {
    /// All files that it names, each with its digest; its host where it says one.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        let host = (Path::new(PROGRAM), self.host_sha256.as_str());
        let host = Some(host).filter(|(_, sha256)| !sha256.is_empty());
        let plugins = self.plugins.iter();
        let plugins = plugins.map(|it| (it.file.as_path(), it.sha256.as_str()));
        let others = [&self.upgrade_scripts, &self.config, &self.documents];
        let others = others.into_iter().flatten();
        let others = others.map(|it| (it.file.as_path(), it.sha256.as_str()));
        host.into_iter().chain(plugins).chain(others)
    }

    /// The plugin of this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Option<&ReleasePlugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }
}
