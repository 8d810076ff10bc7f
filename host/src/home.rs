//! A home: where everything of one host lies.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use host_journal::files;
use host_model::Version;
use host_upgrade::{Releases, ReleasesError};
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

/// What is wrong with a home. The operator is to blame.
#[derive(Debug, Error)]
pub(crate) enum HomeError {
    /// A release that is not there, or cannot be read.
    #[error(transparent)]
    Releases(#[from] ReleasesError),
    /// `data/permanent` holds something else than a release.
    #[error("read {}: {problem}; write the version of the release to boot into it", file.display())]
    Permanent {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `data/boots.json` cannot be read.
    #[error("read {}: {problem}; remove it, and the permanent release boots", file.display())]
    Boots {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `releases/own` names no release.
    #[error("read {}: {problem}; write the version of the home's own release into it", file.display())]
    Own {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to run.
    #[error("find a release in {}: there is none; say `host install FILE`", .0.display())]
    NoRelease(PathBuf),
    /// A folder that cannot be used.
    #[error("use {} (HOST_DATA, or else the home, is to be a folder that this user may write)", path.display())]
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

    /// What was typed at prompts.
    #[must_use]
    pub(crate) fn history(&self) -> PathBuf {
        self.data_dir().join("prompt.history")
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

    /// The key that anchors of the audit trail are signed with, once there is one.
    #[must_use]
    pub(crate) fn anchor_key(&self) -> PathBuf {
        self.data_dir().join("anchor.key")
    }

    /// Who was on its way back when a process died of it.
    #[must_use]
    pub(crate) fn last_words(&self) -> PathBuf {
        self.data_dir().join("way-back")
    }

    /// What releases ran with that were left: see [`crate::left`].
    #[must_use]
    pub(crate) fn left_configuration(&self) -> PathBuf {
        self.data_dir().join("configuration.json")
    }

    /// Where the home keeps what it last knew of its store.
    #[must_use]
    pub(crate) fn witness(&self) -> PathBuf {
        self.data_dir().join("store.json")
    }

    /// The folders that are written to.
    pub(crate) fn folders(&self) -> [PathBuf; 4] {
        ["data", "run", "log", "images"].map(|name| self.data.join(name))
    }

    /// Files there that the host reads and writes anew, some of which are not there yet.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [self.witness(), self.log()]
    }

    /// Makes the folders that are written to.
    ///
    /// # Errors
    ///
    /// [`HomeError::Io`] with the folder.
    pub(crate) fn make_folders(&self) -> Result<(), HomeError> {
        for path in self.folders() {
            fs::create_dir_all(&path).map_err(|source| HomeError::Io { path, source })?;
        }
        Ok(())
    }

    /// The releases that lie here: those of the home, and those installed later.
    pub(crate) fn releases(&self) -> Releases {
        let mut roots = vec![self.root.join("releases"), self.data.join("releases")];
        roots.dedup();
        Releases::new(roots)
    }

    /// What `data/permanent` says; none before anything was ever permanent.
    ///
    /// # Errors
    ///
    /// [`HomeError::Permanent`]
    pub(crate) fn booked_permanent(&self) -> Result<Option<Version>, HomeError> {
        let file = self.permanent_file();
        let wrong = |problem: String| HomeError::Permanent {
            file: file.clone(),
            problem,
        };
        match fs::read_to_string(&file) {
            Ok(text) => match text.trim().parse() {
                Ok(version) => Ok(Some(version)),
                Err(e) => Err(wrong(format!("{:?} is no version ({e})", text.trim()))),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Io { path: file, source }),
        }
    }

    /// The release that this home was laid out for: what `releases/own` names, or the
    /// only one that lies in it. A home with several, and no such file, has none.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn own_release(&self) -> Result<Option<Version>, HomeError> {
        let file = self.root.join("releases/own");
        let wrong = |problem: String| HomeError::Own {
            file: file.clone(),
            problem,
        };
        match fs::read_to_string(&file) {
            Ok(text) => match text.trim().parse() {
                Ok(version) => Ok(Some(version)),
                Err(e) => Err(wrong(format!("{:?} is no version ({e})", text.trim()))),
            },
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let own = Releases::new(vec![self.root.join("releases")]).versions()?;
                Ok(match own.as_slice() {
                    [only] => Some(only.clone()),
                    _ => None,
                })
            }
            Err(e) => Err(wrong(e.to_string())),
        }
    }

    /// The lowest release there is: it boots before anything was ever permanent.
    ///
    /// # Errors
    ///
    /// [`HomeError::NoRelease`]
    pub(crate) fn lowest(&self) -> Result<Version, HomeError> {
        let mut versions = self.releases().versions()?;
        if versions.is_empty() {
            return Err(HomeError::NoRelease(self.root.join("releases")));
        }
        Ok(versions.swap_remove(0))
    }

    /// Makes `version` the release that a start boots. Durable when it returns, and
    /// the old or the new one at every moment before.
    ///
    /// # Errors
    ///
    /// [`HomeError`]; either may be the one, then.
    pub(crate) fn set_permanent(&self, version: &Version) -> Result<(), HomeError> {
        let path = self.permanent_file();
        match self.booked_permanent() {
            Ok(Some(before)) if before == *version => return Ok(()),
            Ok(Some(before)) => self.note_before(before)?,
            // One that cannot be read is written anew.
            Ok(None) | Err(_) => {}
        }
        let text = format!("{version}\n");
        fs::create_dir_all(self.data_dir())
            .and_then(|()| files::replace(&path, text.as_bytes(), 0o644))
            .map_err(|source| HomeError::Io { path, source })
    }

    fn permanent_file(&self) -> PathBuf {
        self.data_dir().join("permanent")
    }
}

#[cfg(test)]
pub(crate) mod tests;
