//! Whether what a plan needs is there, and is what it should be.

use std::fs;
use std::path::PathBuf;

use host_journal::RESERVED;
use host_loader::Digest;
use host_model::Version;
use thiserror::Error;

use crate::book::Booked;
use crate::releases::Unpacked;

/// Everything that is wrong with a release, in one report. Nothing has been done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("release {version} cannot run here:\n  - {}", problems.join("\n  - "))]
pub struct VerifyError {
    /// The release.
    pub version: Version,
    /// One sentence each.
    pub problems: Vec<String>,
}

/// Checks the files of `release` against its manifest, the machine, and what this
/// home has known under the same version numbers before.
///
/// # Errors
///
/// [`VerifyError`] with all problems.
pub fn verify(
    release: &Unpacked,
    booked: &Booked,
    host: &Version,
    target: &str,
) -> Result<(), VerifyError> {
    let manifest = &release.manifest;
    let mut problems = Vec::new();
    if manifest.target != target {
        problems.push(format!(
            "it was built for {}, and this machine is {target}; build it for this target",
            manifest.target
        ));
    }
    if manifest.host != *host {
        problems.push(format!(
            "it brings host {}, and host {host} runs; stop the host and start it from that release",
            manifest.host
        ));
    }
    let mut files: Vec<(PathBuf, &str)> = Vec::new();
    for plugin in &manifest.plugins {
        if plugin.name == RESERVED {
            problems.push(format!(
                "its plugin {RESERVED} has a name that is kept for the host's own records; call it otherwise"
            ));
        }
        files.push((plugin.file.clone(), &plugin.sha256));
        let known = booked.digest(&plugin.name, &plugin.version);
        if let Some(known) = known
            && known != plugin.sha256
        {
            problems.push(format!(
                "{} {} is another library here than it was before ({} and {}); a version number stands for one library for ever: give the new one a new number",
                plugin.name,
                plugin.version,
                short(&plugin.sha256),
                short(known)
            ));
        }
    }
    for script in &manifest.upgrade_scripts {
        files.push((script.file.clone(), &script.sha256));
    }
    for (file, wanted) in files {
        let path = release.dir.join(&file);
        match fs::read(&path) {
            Err(error) => problems.push(format!("{}: {error}", path.display())),
            Ok(bytes) => {
                let found = Digest::of(&bytes).to_string();
                if found != wanted {
                    problems.push(format!(
                        "{} has the digest {}, and the manifest says {}; install the release again",
                        path.display(),
                        short(&found),
                        short(wanted)
                    ));
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(VerifyError {
            version: manifest.version.clone(),
            problems,
        })
    }
}

/// Enough of a digest to tell two apart by eye.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}
