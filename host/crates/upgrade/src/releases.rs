//! Releases that lie on disk.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use host_loader::files;
use host_model::Version;
use host_model::appup::{Appup, InvalidAppup};
use host_model::control::{PluginRow, ReleaseRow};
use host_model::limits::RELEASE_TEXT_BYTES_MAX;
use host_model::release::{ReleaseManifest, ReleasePlugin, ReleaseStatus};
use host_package::{InstallError, Installed, Machine, TrustedKeys, install, lying};
use thiserror::Error;

use crate::book::Booked;

/// The folders that hold releases: the home's own, and where they are installed
/// later. One that is not there holds none.
#[derive(Debug, Clone)]
pub struct Releases {
    dirs: Vec<PathBuf>,
    trusted_keys: TrustedKeys,
}

/// A release that lies unpacked in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Its folder.
    pub dir: PathBuf,
    /// Its `manifest.json`.
    pub manifest: ReleaseManifest,
}

/// What is wrong with a release on disk. The operator is to blame.
#[derive(Debug, Error)]
pub enum ReleasesError {
    /// It is not there.
    #[error("release {version} is not in {}; there are: {known}", dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(" or "))]
    NotFound {
        /// What was looked for.
        version: Version,
        /// Where.
        dirs: Vec<PathBuf>,
        /// What is there instead.
        known: String,
    },
    /// An appup of it says what is not understood. Its author is to blame.
    #[error("{0}\nmend that, and build and install the release again")]
    Appup(InvalidAppup),
    /// It is there, and packed.
    #[error("release {version} is not unpacked yet: {} lies there; say `host install {}` first, or `host upgrade {version}`, which does it", package.display(), package.display())]
    Packed {
        /// The release.
        version: Version,
        /// Its package.
        package: PathBuf,
    },
    /// Where its package would lie, none can be taken.
    #[error(transparent)]
    Package(#[from] Box<InstallError>),
    /// A file of it cannot be read, or makes no sense.
    #[error("read {}: {problem}; install the release again", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Releases {
    /// The releases in `dirs`; where two hold the same version, the first counts.
    #[must_use]
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self {
            dirs,
            trusted_keys: TrustedKeys::default(),
        }
    }

    /// The same, where these keys may vouch for a release.
    #[must_use]
    pub fn trusting(self, trusted_keys: TrustedKeys) -> Self {
        Self {
            trusted_keys,
            ..self
        }
    }

    /// Who may vouch for a release.
    pub(crate) fn trusted_keys(&self) -> &TrustedKeys {
        &self.trusted_keys
    }

    /// The release `version`.
    ///
    /// # Errors
    ///
    /// [`ReleasesError`]
    pub fn read(&self, version: &Version) -> Result<Unpacked, ReleasesError> {
        Unpacked::read(&self.find(version)?)
    }

    /// The folder of the release `version`, whether it can be read or not.
    pub(crate) fn find(&self, version: &Version) -> Result<PathBuf, ReleasesError> {
        let found = self
            .dirs
            .iter()
            .map(|dir| dir.join(version.to_string()))
            .find(|dir| dir.join("manifest.json").exists());
        if let Some(dir) = found {
            return Ok(dir);
        }
        let version = version.clone();
        if let Some(package) = lying(&self.dirs, &version).map_err(Box::new)? {
            return Err(ReleasesError::Packed { version, package });
        }
        let known: Vec<_> = self.versions()?.iter().map(Version::to_string).collect();
        Err(ReleasesError::NotFound {
            version,
            dirs: self.dirs.clone(),
            known: match known.is_empty() {
                true => "none".to_owned(),
                false => known.join(", "),
            },
        })
    }

    /// Installs the package `file` where releases are installed later, the last folder, or
    /// repairs the release where it is. Blocking.
    ///
    /// # Errors
    ///
    /// [`InstallError`]
    pub fn install(&self, file: &Path, machine: &Machine) -> Result<Installed, InstallError> {
        self.put(file, None, machine)
    }

    /// Installs the release `version` if its package lies in a folder of that name, and is
    /// not unpacked yet. Blocking.
    ///
    /// # Errors
    ///
    /// [`InstallError`]; then nothing has changed.
    pub(crate) fn unpack(&self, version: &Version, machine: &Machine) -> Result<(), InstallError> {
        match lying(&self.dirs, version)? {
            Some(file) => self.put(&file, Some(version), machine).map(drop),
            None => Ok(()),
        }
    }

    fn put(
        &self,
        file: &Path,
        wanted: Option<&Version>,
        machine: &Machine,
    ) -> Result<Installed, InstallError> {
        let installed = install(file, &self.dirs, wanted, &self.trusted_keys, machine)?;
        let release = &installed.manifest.version;
        if !installed.was_there {
            tracing::info!(%release, file = %file.display(), "a release was installed");
        }
        if !installed.repaired.is_empty() {
            tracing::warn!(%release, files = ?installed.repaired, "a release was repaired");
        }
        Ok(installed)
    }

    /// The versions of all releases, the lowest first.
    ///
    /// # Errors
    ///
    /// [`ReleasesError::Broken`] if a folder cannot be listed.
    pub fn versions(&self) -> Result<Vec<Version>, ReleasesError> {
        let mut versions = Vec::new();
        for dir in &self.dirs {
            let broken = |error: std::io::Error| ReleasesError::Broken {
                file: dir.clone(),
                problem: error.to_string(),
            };
            let entries = match fs::read_dir(dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(broken(error)),
            };
            for entry in entries {
                let entry = entry.map_err(broken)?;
                let version = entry.file_name().to_string_lossy().parse();
                if let Ok(version) = version
                    && entry.path().join("manifest.json").exists()
                {
                    versions.push(version);
                }
            }
        }
        versions.sort();
        versions.dedup();
        Ok(versions)
    }

    /// All releases, with what each is to a home, while `current` rules; one that is broken
    /// says so and hides no other.
    ///
    /// # Errors
    ///
    /// [`ReleasesError::Broken`] if a folder cannot be listed.
    pub fn rows(
        &self,
        booked: &Booked,
        current: Option<&Version>,
    ) -> Result<Vec<ReleaseRow>, ReleasesError> {
        let row = |version: Version| {
            let status = booked.status(&version, current);
            self.row(version, status)
        };
        Ok(self.versions()?.into_iter().map(row).collect())
    }

    /// What is to be said of the release `version`, whether it can be read or not.
    pub(crate) fn row(&self, version: Version, status: ReleaseStatus) -> ReleaseRow {
        let (plugins, broken) = match self.read(&version) {
            Ok(release) => (release.manifest.plugins, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let plugin = |plugin: ReleasePlugin| PluginRow {
            name: plugin.name,
            version: plugin.version,
        };
        ReleaseRow {
            version,
            status,
            plugins: plugins.into_iter().map(plugin).collect(),
            broken,
        }
    }

    /// The releases that can be read. What is wrong with the others is logged: one that
    /// is half copied must not keep the rest from running.
    #[must_use]
    pub fn readable(&self) -> Vec<Unpacked> {
        let versions = self.versions().unwrap_or_else(|error| {
            tracing::warn!(%error, "the releases could not be listed");
            Vec::new()
        });
        let read = |version: &Version| {
            self.read(version)
                .inspect_err(|error| tracing::warn!(%error, "a release is left out"))
        };
        versions.iter().filter_map(|v| read(v).ok()).collect()
    }

    /// Whether somebody vouches for a release, where anybody has to.
    pub(crate) fn is_vouched_for(&self, release: &Unpacked) -> bool {
        let problem = self.trusted_keys.problem(&release.dir);
        if let Some(problem) = &problem {
            tracing::warn!(release = %release.manifest.version, problem,
                "nobody vouches for a release, and nothing new is taken of it");
        }
        problem.is_none()
    }

    /// The appups of the releases that can be read and are vouched for, by plugin and
    /// version: of `first` before others, in that order, and then of the highest release.
    /// Those of a release with a broken one are left out, and that is logged.
    #[must_use]
    pub fn appups(&self, first: &[&Version]) -> BTreeMap<(String, Version), Appup> {
        let own = |(_, appup): (Unpacked, Appup)| {
            let key = (appup.plugin.clone(), appup.version.clone());
            (key, appup)
        };
        // Of two the first counts.
        self.appups_with_their_releases(first)
            .into_iter()
            .rev()
            .map(own)
            .collect()
    }

    /// As [`Releases::appups`], each with the release that it is of; the first counts.
    pub(crate) fn appups_with_their_releases(&self, first: &[&Version]) -> Vec<(Unpacked, Appup)> {
        self.appups_where(first, |release| self.is_vouched_for(release))
    }

    /// The appups of the releases that can be read and nobody vouches for, where somebody
    /// has to.
    pub(crate) fn appups_left_out(&self, first: &[&Version]) -> Vec<(Unpacked, Appup)> {
        self.appups_where(first, |release| {
            self.trusted_keys.problem(&release.dir).is_some()
        })
    }

    fn appups_where(
        &self,
        first: &[&Version],
        counts: impl Fn(&Unpacked) -> bool,
    ) -> Vec<(Unpacked, Appup)> {
        let mut releases = self.readable();
        by_precedence(&mut releases, first);
        let mut appups = Vec::new();
        for release in releases {
            if !counts(&release) {
                continue;
            }
            match release.appups() {
                Ok(own) => appups.extend(own.into_iter().map(|it| (release.clone(), it))),
                Err(error) => tracing::warn!(%error, "the appups of a release are left out"),
            }
        }
        appups
    }
}

/// Sorts releases as what several of them have is taken of them: of `first`, in that order,
/// and then of the highest.
pub(crate) fn by_precedence(releases: &mut [Unpacked], first: &[&Version]) {
    releases.sort_by_key(|release| {
        let version = &release.manifest.version;
        let place = first.iter().position(|first| *first == version);
        (place.unwrap_or(first.len()), Reverse(version.clone()))
    });
}

impl Unpacked {
    /// The release in the folder `dir`, which is named after its version.
    ///
    /// # Errors
    ///
    /// [`ReleasesError::Broken`]
    pub fn read(dir: &Path) -> Result<Self, ReleasesError> {
        let file = dir.join("manifest.json");
        let broken = |problem: String| ReleasesError::Broken {
            file: file.clone(),
            problem,
        };
        let text = files::read(&file, RELEASE_TEXT_BYTES_MAX).map_err(|e| broken(e.to_string()))?;
        let manifest: ReleaseManifest =
            serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
        if dir.file_name() != Some(manifest.version.to_string().as_ref()) {
            return Err(broken(format!(
                "it is the manifest of {}, which belongs in a folder of that name",
                manifest.version
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
        })
    }

    /// Its host.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.dir.join("bin/host")
    }

    /// Its appups.
    ///
    /// # Errors
    ///
    /// [`ReleasesError::Appup`] with all that is wrong in a file, or
    /// [`ReleasesError::Broken`].
    pub fn appups(&self) -> Result<Vec<Appup>, ReleasesError> {
        let read = |file: &Path| -> Result<Appup, ReleasesError> {
            let path = self.dir.join(file);
            let broken = |problem: String| ReleasesError::Broken {
                file: path.clone(),
                problem,
            };
            let text = files::read_text(&path, RELEASE_TEXT_BYTES_MAX)
                .map_err(|e| broken(e.to_string()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Appup::parse(&name, &text).map_err(|invalid| {
                ReleasesError::Appup(InvalidAppup {
                    file: path.display().to_string(),
                    ..invalid
                })
            })
        };
        self.manifest
            .upgrade_scripts
            .iter()
            .map(|script| read(&script.file))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused::RefusedUpgrade;

    #[test]
    fn a_release_that_is_broken_is_listed_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0.2.0/manifest.json");
        fs::create_dir(dir.path().join("0.2.0")).unwrap();
        fs::write(&file, "{\n").unwrap();
        let releases = Releases::new(vec![dir.path().to_owned()]);
        let versions = releases.versions().unwrap();
        assert_eq!(versions, [Version::new(0, 2, 0)]);
        let row = releases.row(versions[0].clone(), ReleaseStatus::Unpacked);
        let broken = row.broken.unwrap();
        assert!(broken.contains("manifest.json"), "{broken}");
        assert_eq!(row.plugins, []);
    }

    #[test]
    fn of_two_packages_in_one_place_none_is_said_to_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("0.3.0");
        fs::create_dir(&place).unwrap();
        for name in ["a.tar.zst", "b.tar.zst"] {
            fs::write(place.join(name), "").unwrap();
        }
        let releases = Releases::new(vec![dir.path().to_owned()]);
        let refused = releases.find(&Version::new(0, 3, 0)).unwrap_err();
        assert!(matches!(&refused, ReleasesError::Package(_)), "{refused}");
        let refused = RefusedUpgrade::from(refused);
        assert_eq!(refused.reason(), "several_packages");
    }

    #[test]
    fn a_manifest_is_a_file_of_a_bounded_size() {
        let dir = tempfile::tempdir().unwrap();
        let release = dir.path().join("0.2.0");
        fs::create_dir(&release).unwrap();
        let file = release.join("manifest.json");
        let large = fs::File::create(&file).unwrap();
        large.set_len(RELEASE_TEXT_BYTES_MAX + 1).unwrap();
        let error = Unpacked::read(&release).unwrap_err().to_string();
        assert!(error.contains("bytes are taken"), "{error}");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        let error = Unpacked::read(&release).unwrap_err().to_string();
        assert!(error.contains("it is no regular file"), "{error}");
    }

    #[test]
    fn of_two_appups_that_of_the_release_that_is_asked_for_first_counts() {
        let dir = tempfile::tempdir().unwrap();
        for (patch, window_s) in [(0, 10), (1, 11), (2, 12)] {
            let folder = dir.path().join(format!("0.2.{patch}"));
            fs::create_dir(&folder).unwrap();
            let appup = format!(
                "plugin = \"p\"\nversion = \"0.2.0\"\n[probation]\nwindow_s = {window_s}\n"
            );
            fs::write(folder.join("p-0.2.0.toml"), appup).unwrap();
            let manifest = serde_json::json!({
                "name": "test", "version": format!("0.2.{patch}"), "host": "0.1.0",
                "host_sha256": "", "target": "", "libc": "", "plugins": [],
                "upgrade_scripts": [{ "file": "p-0.2.0.toml", "sha256": "" }],
            });
            fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        }
        let releases = Releases::new(vec![dir.path().to_owned()]);
        let key = ("p".to_owned(), Version::new(0, 2, 0));
        let taken = |first: &[u64]| {
            let first: Vec<Version> = first.iter().map(|it| Version::new(0, 2, *it)).collect();
            let appups = releases.appups(&first.iter().collect::<Vec<_>>());
            appups[&key].probation.window_s
        };
        assert_eq!(taken(&[1, 0]), 11);
        assert_eq!(taken(&[0, 1]), 10);
        assert_eq!(taken(&[9, 0]), 10, "one that has none");
        assert_eq!(taken(&[]), 12, "the highest");
    }
}
