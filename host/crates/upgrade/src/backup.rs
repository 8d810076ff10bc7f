//! What a backup says of releases, and whether a home has what it needs.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use host_journal::{Archive, ReadError};
use host_loader::Digest;
use host_loader::files::Bounded;
use host_model::Version;
use host_model::keep::{BackupManifest, BackupPlugin, BackupUpgrade};
use host_model::limits::PLUGIN_BYTES_MAX;
use thiserror::Error;

use crate::book::{BookError, Booked};
use crate::releases::{Releases, ReleasesError, Unpacked};

/// Under which key a backup keeps its manifest.
pub const BACKUP: &str = "backup/manifest";

/// Of [`BackupManifest::format`].
const FORMAT: u32 = 1;

/// A store that cannot be described.
#[derive(Debug, Error)]
pub enum DescribeError {
    /// What it knows of releases cannot be read.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The permanent release is not here.
    #[error(transparent)]
    Releases(#[from] ReleasesError),
    /// No host has ever started on it.
    #[error("no host has started on this store yet, so no release is permanent")]
    Unused,
    /// It says nothing of itself, or what no one understands.
    #[error("it is no backup of `host store backup` ({0})")]
    NoBackup(String),
}

/// What a backup of this store, made by `host` at `time_ms`, says of itself.
///
/// # Errors
///
/// [`DescribeError`]
pub fn describe(
    copy: &Archive,
    releases: &Releases,
    host: &Version,
    time_ms: i64,
) -> Result<BackupManifest, DescribeError> {
    let booked = Booked::read_archive(copy)?;
    let release = booked.permanent.clone().ok_or(DescribeError::Unused)?;
    let mut needed: BTreeSet<(String, Version)> = copy.versions()?;
    let ruling = releases.read(&release)?.manifest.plugins;
    needed.extend(ruling.into_iter().map(|it| (it.name, it.version)));
    let plugins = needed.into_iter().map(|(name, version)| BackupPlugin {
        sha256: booked.digest(&name, &version).map(str::to_owned),
        name,
        version,
    });
    let under_way = booked.last.as_ref().filter(|last| !last.state.is_over());
    Ok(BackupManifest {
        format: FORMAT,
        time_ms,
        host: host.clone(),
        store_id: copy.store_id().to_owned(),
        schema: copy.schema(),
        upgrade: under_way.map(|upgrade| BackupUpgrade {
            to: upgrade.plan.to.clone(),
            state: upgrade.state.name().to_owned(),
        }),
        plugins: plugins.collect(),
        release,
    })
}

/// The manifest of a backup.
///
/// # Errors
///
/// [`DescribeError::NoBackup`], or the store's.
pub fn read(backup: &Archive) -> Result<BackupManifest, DescribeError> {
    let no_backup = |problem: String| DescribeError::NoBackup(problem);
    let value = backup.value(BACKUP)?;
    let value = value.ok_or_else(|| no_backup(format!("it has no {BACKUP}")))?;
    let manifest: BackupManifest =
        serde_json::from_slice(&value).map_err(|e| no_backup(e.to_string()))?;
    match manifest.format {
        FORMAT => Ok(manifest),
        newer => Err(no_backup(format!(
            "its format is {newer}, this host knows {FORMAT}"
        ))),
    }
}

/// What of a backup's needs these releases lack, one name each. Reads the libraries:
/// a manifest alone proves nothing.
#[must_use]
pub fn missing(manifest: &BackupManifest, releases: &Releases) -> Vec<String> {
    let installed = releases.readable();
    let mut missing = Vec::new();
    if !installed
        .iter()
        .any(|it| it.manifest.version == manifest.release)
    {
        missing.push(format!("release {}", manifest.release));
    }
    missing.extend(lacking(&manifest.plugins, &installed));
    missing
}

/// Of the plugin versions in `needed`, those whose library these releases lack, one name
/// each. Reads the libraries.
#[must_use]
pub fn missing_versions(
    needed: impl IntoIterator<Item = (String, Version)>,
    booked: &Booked,
    releases: &Releases,
) -> Vec<String> {
    let plugins = needed.into_iter().map(|(name, version)| BackupPlugin {
        sha256: booked.digest(&name, &version).map(str::to_owned),
        name,
        version,
    });
    lacking(&plugins.collect::<Vec<_>>(), &releases.readable())
}

fn lacking(plugins: &[BackupPlugin], installed: &[Unpacked]) -> Vec<String> {
    let mut missing = Vec::new();
    for wanted in plugins {
        let (name, version) = (&wanted.name, &wanted.version);
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        for release in installed {
            let plugin = release.manifest.plugin(name);
            if let Some(plugin) = plugin.filter(|it| it.version == *version) {
                let library = release.dir.join(&plugin.file);
                match digest(&library) {
                    Ok(digest) => found.push(digest),
                    Err(error) => unread.push(format!(
                        "{name} {version} ({} cannot be read: {error})",
                        library.display()
                    )),
                }
            }
        }
        match &wanted.sha256 {
            _ if found.is_empty() && !unread.is_empty() => missing.append(&mut unread),
            _ if found.is_empty() => missing.push(format!(
                "{name} {version}{}",
                wanted
                    .sha256
                    .as_ref()
                    .map_or_else(String::new, |it| format!(" ({it})"))
            )),
            Some(digest) if !found.contains(digest) => missing.push(format!(
                "{name} {version} with the digest {digest} (here it is {})",
                found.join(" and ")
            )),
            _ => {}
        }
    }
    missing
}

fn digest(library: &Path) -> io::Result<String> {
    let library = Bounded::open(library, PLUGIN_BYTES_MAX)?;
    Ok(Digest::of_reader(library)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::release;

    #[test]
    fn a_library_that_cannot_be_read_is_not_said_to_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let unpacked = release(dir.path(), 1, "aa");
        let releases = Releases::new(vec![dir.path().to_owned()]);
        let library = unpacked.dir.join("p.so");
        let missing = || {
            let needed = [("p".to_owned(), Version::new(0, 1, 0))];
            missing_versions(needed, &Booked::default(), &releases).join("; ")
        };
        std::fs::create_dir(&library).unwrap();
        let unread = missing();
        let said = format!("p 0.1.0 ({} cannot be read: ", library.display());
        assert!(unread.starts_with(&said), "{unread}");
        std::fs::remove_dir(&library).unwrap();
        std::fs::write(&library, "code").unwrap();
        assert_eq!(missing(), "");
    }
}
