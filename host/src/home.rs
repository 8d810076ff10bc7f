//! A home: where everything of one host lies.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use host_model::Version;
use host_model::release::ReleaseManifest;
use thiserror::Error;

use crate::settings::Settings;

/// The paths of a home. `root` may be read-only; everything that is written is
/// below `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// `HOST_HOME`: `bin`, `etc`, `releases`.
    pub(crate) root: PathBuf,
    /// `HOST_DATA`: `data`, `run`, `log`, `images`, releases installed later.
    pub(crate) data: PathBuf,
}

/// A release that lies in a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Its `manifest.json`.
    pub(crate) manifest: ReleaseManifest,
}

impl Release {
    /// The release in the folder `dir`.
    ///
    /// # Errors
    ///
    /// [`HomeError::Manifest`], which names the file.
    pub(crate) fn read(dir: &Path) -> Result<Self, HomeError> {
        let file = dir.join("manifest.json");
        let wrong = |problem: String| HomeError::Manifest {
            file: file.clone(),
            problem,
        };
        let text = fs::read(&file).map_err(|e| wrong(e.to_string()))?;
        let manifest: ReleaseManifest =
            serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        if dir.file_name() != Some(manifest.version.to_string().as_ref()) {
            return Err(wrong(format!(
                "it is the manifest of {}, which belongs in a folder of that name",
                manifest.version
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
        })
    }

    /// The host of this release.
    #[must_use]
    pub(crate) fn program(&self) -> PathBuf {
        self.dir.join("bin/host")
    }
}

/// What is wrong with a home. The operator is to blame.
#[derive(Debug, Error)]
pub(crate) enum HomeError {
    /// A manifest that cannot be read.
    #[error("read {}: {problem}; install the release again", file.display())]
    Manifest {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `data/permanent` holds something else than a release.
    #[error("read {}: {problem}; write the version of the release to boot into it", file.display())]
    Permanent {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to run.
    #[error("find a release in {}: there is none; install one, or make a home with `make home`", .0.display())]
    NoRelease(PathBuf),
    /// The release that shall boot is not there.
    #[error("boot release {version}: it is not in {}; install it, or correct data/permanent", dir.display())]
    Missing {
        /// The release.
        version: Version,
        /// Where it should be.
        dir: PathBuf,
    },
    /// A folder that cannot be used.
    #[error("use {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Home {
    /// The home in `root`; what is written is where `HOST_DATA` says, or there too.
    pub(crate) fn new(root: &Path, settings: &Settings) -> Self {
        let data = settings
            .get("HOST_DATA")
            .map_or_else(|| root.to_owned(), |setting| root.join(setting.value));
        Self {
            root: root.to_owned(),
            data,
        }
    }

    /// The control socket.
    #[must_use]
    pub(crate) fn socket(&self) -> PathBuf {
        self.data.join("run/host.sock")
    }

    /// Where the keeper hears that its host is ready.
    #[must_use]
    pub(crate) fn keeper_socket(&self) -> PathBuf {
        self.data.join("run/keeper.sock")
    }

    /// Holds the id of the serving process, which keeps it locked.
    #[must_use]
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.data.join("run/host.pid")
    }

    /// Holds the id of the keeper, which keeps it locked.
    #[must_use]
    pub(crate) fn keeper_pid_file(&self) -> PathBuf {
        self.data.join("run/keeper.pid")
    }

    /// What a host in the background prints.
    #[must_use]
    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("log/host.log")
    }

    /// Copies of plugins that are opened.
    #[must_use]
    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// The store's folder.
    #[must_use]
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.join("data")
    }

    /// Makes the folders that are written to.
    ///
    /// # Errors
    ///
    /// [`HomeError::Io`] with the folder.
    pub(crate) fn make_folders(&self) -> Result<(), HomeError> {
        for name in ["data", "run", "log", "images"] {
            let path = self.data.join(name);
            fs::create_dir_all(&path).map_err(|source| HomeError::Io { path, source })?;
        }
        Ok(())
    }

    /// Every release that lies here, the lowest first. What is not named like a
    /// version is none, such as one that is being unpacked.
    ///
    /// # Errors
    ///
    /// [`HomeError`] of the first folder or manifest that cannot be read.
    pub(crate) fn releases(&self) -> Result<Vec<Release>, HomeError> {
        self.versions()?
            .into_iter()
            .map(|(_, dir)| Release::read(&dir))
            .collect()
    }

    /// The release of this version.
    ///
    /// # Errors
    ///
    /// [`HomeError::Missing`], or [`HomeError::Manifest`].
    pub(crate) fn release(&self, version: &Version) -> Result<Release, HomeError> {
        let dirs = self.release_dirs(version);
        match dirs.iter().find(|dir| dir.is_dir()) {
            Some(dir) => Release::read(dir),
            None => Err(HomeError::Missing {
                version: version.clone(),
                dir: self.root.join("releases"),
            }),
        }
    }

    /// The release that a start boots: what `data/permanent` says, or the lowest
    /// there is before anything was ever committed.
    ///
    /// # Errors
    ///
    /// [`HomeError`] where there is none to boot.
    pub(crate) fn permanent(&self) -> Result<Release, HomeError> {
        let file = self.permanent_file();
        let wrong = |problem: String| HomeError::Permanent {
            file: file.clone(),
            problem,
        };
        match fs::read_to_string(&file) {
            Ok(text) => {
                let version = text
                    .trim()
                    .parse()
                    .map_err(|e| wrong(format!("{:?} is no version ({e})", text.trim())))?;
                self.release(&version)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let versions = self.versions()?;
                let (_, dir) = versions
                    .first()
                    .ok_or_else(|| HomeError::NoRelease(self.root.join("releases")))?;
                Release::read(dir)
            }
            Err(e) => Err(wrong(e.to_string())),
        }
    }

    /// Makes `version` the release that a start boots. Durable when it returns, and
    /// the old or the new one at every moment before.
    ///
    /// # Errors
    ///
    /// [`HomeError::Io`]; either may be the one, then.
    pub(crate) fn set_permanent(&self, version: &Version) -> Result<(), HomeError> {
        let path = self.permanent_file();
        let temporary = path.with_extension("new");
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.data_dir())?;
            let mut file = File::create(&temporary)?;
            writeln!(file, "{version}")?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(self.data_dir())?.sync_all()
        };
        write().map_err(|source| HomeError::Io { path, source })
    }

    fn permanent_file(&self) -> PathBuf {
        self.data_dir().join("permanent")
    }

    /// Where the release of this version may lie.
    fn release_dirs(&self, version: &Version) -> Vec<PathBuf> {
        self.release_roots()
            .iter()
            .map(|root| root.join(version.to_string()))
            .collect()
    }

    pub(crate) fn release_roots(&self) -> Vec<PathBuf> {
        let mut roots = vec![self.root.join("releases"), self.data.join("releases")];
        roots.dedup();
        roots
    }

    fn versions(&self) -> Result<Vec<(Version, PathBuf)>, HomeError> {
        let mut versions = std::collections::BTreeMap::new();
        for path in self.release_roots() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(source) => return Err(HomeError::Io { path, source }),
            };
            for entry in entries {
                let entry = entry.map_err(|source| HomeError::Io {
                    path: path.clone(),
                    source,
                })?;
                let name = entry.file_name();
                let version = name.to_str().and_then(|name| Version::parse(name).ok());
                if let Some(version) = version
                    && entry.path().is_dir()
                {
                    versions.entry(version).or_insert_with(|| entry.path());
                }
            }
        }
        Ok(versions.into_iter().collect())
    }
}

#[cfg(test)]
pub(crate) mod tests;
