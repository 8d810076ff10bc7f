//! A copy of a store in one file, made beside commits. The file is a SQLite database of
//! today's schema, whatever the store is: so each kind can be put back as the other.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

use crate::error::{OpenError, ReadError, StoreError};
use crate::store::Reader;
use crate::{Archive, CheckError, Finding, Options, files};

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why there is no backup. Nothing is left where it should be.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Something is there already, and stays.
    #[error("{} is there already: name another file, or remove it", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{attempted} {}", path.display())]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The copy cannot be read.
    #[error("the copy could not be opened")]
    Open(#[from] OpenError),
    /// The copy cannot be looked at.
    #[error("the copy could not be checked")]
    Check(#[from] CheckError),
    /// What was copied is damaged.
    #[error(
        "{what} is damaged: {problem}; see `host store check`, and keep the backups that there are; what could be copied is in {}",
        kept.display()
    )]
    Damaged {
        /// Names it.
        what: String,
        /// What is wrong with it.
        problem: String,
        /// The copy.
        kept: PathBuf,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store refused a statement.
    #[error("the store could not be copied")]
    Store(#[from] StoreError),
}

/// See [`Journal::backup`](crate::Journal::backup).
pub(crate) fn backup(
    reader: &dyn Reader,
    to: &Path,
    mut describe: impl FnMut(&Archive) -> Result<(String, Bytes), String>,
) -> Result<Copied, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let partial = Partial::make(to)?;
    reader.copier().copy_to(&partial.path, &mut |copy| {
        let options = Options {
            path: copy.to_owned(),
        };
        let archive = Archive::open(&options).map_err(|error| error.to_string())?;
        describe(&archive)
    })?;
    match look_whether_whole(&partial.path) {
        Ok(()) => partial.keep_as(to),
        // Better than nothing, where the disk fails: but under no name that is trusted.
        Err(BackupError::Damaged { what, problem, .. }) => {
            let kept = files::beside(to, ".damaged");
            partial.keep_as(&kept)?;
            Err(BackupError::Damaged {
                what,
                problem,
                kept,
            })
        }
        Err(error) => Err(error),
    }
}

/// A backup of a damaged store is found out now, and not on the day when it is needed.
fn look_whether_whole(copy: &Path) -> Result<(), BackupError> {
    let options = Options {
        path: copy.to_owned(),
    };
    let checked = Archive::open(&options)?.check(|_, _| {})?;
    files::remove_beside(copy).map_err(|source| BackupError::File {
        attempted: "remove what a look left beside",
        path: copy.to_owned(),
        source,
    })?;
    match checked.findings.into_iter().next() {
        None => Ok(()),
        Some(Finding { what, problem }) => Err(BackupError::Damaged {
            what,
            problem,
            kept: copy.to_owned(),
        }),
    }
}

/// The copy before it is whole. Removed when dropped.
struct Partial {
    path: PathBuf,
    /// Locked, so that of two backups to one file the second is refused.
    file: File,
}

impl Partial {
    /// An empty file beside `to`, its owner's alone.
    fn make(to: &Path) -> Result<Self, BackupError> {
        let path = files::beside(to, ".partial");
        let make = || -> std::io::Result<File> {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(false);
            let file = options.mode(0o600).open(&path)?;
            file.try_lock()?;
            // What a host that died has left: SQLite would play it onto the new copy.
            file.set_len(0)?;
            files::remove_beside(&path)?;
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(BackupError::File {
                attempted: "make, and lock, the file",
                path,
                source,
            }),
        }
    }

    /// Gives it its name, durably, unless something has that name by now.
    fn keep_as(self, to: &Path) -> Result<Copied, BackupError> {
        let failed = |attempted| {
            move |source: std::io::Error| match source.kind() {
                ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
                _ => BackupError::File {
                    attempted,
                    path: to.to_owned(),
                    source,
                },
            }
        };
        self.file.sync_all().map_err(failed("write through"))?;
        let bytes = self.file.metadata().map_err(failed("look at"))?.len();
        files::name(&self.path, to).map_err(failed("name the copy"))?;
        Ok(Copied { bytes })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It has its name by now, or is of no use.
        let _ = std::fs::remove_file(&self.path);
        let _ = files::remove_beside(&self.path);
    }
}
