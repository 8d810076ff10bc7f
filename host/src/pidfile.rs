//! Files that name a process, and prove that it lives.
//!
//! The process holds a lock on its file as long as it lives. A file without a lock
//! was left behind, whatever process has its number by now.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of this process. Removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    _locked: File,
}

/// Why this process could not take the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PidFileError {
    /// Another process has it.
    #[error("process {} has {}", pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()), path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// Its process, if it has already said so.
        pid: Option<u32>,
    },
    /// The file cannot be used.
    #[error("write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PidFile {
    /// Takes `path` for this process.
    pub(crate) fn take(path: &Path) -> Result<Self, PidFileError> {
        let failed = |source| PidFileError::Io {
            path: path.to_owned(),
            source,
        };
        loop {
            let mut file = open(path, true).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(PidFileError::Taken {
                        path: path.to_owned(),
                        pid: read(&mut file),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Its last holder may have removed it between the opening and the lock.
            if !is_at(&file, path) {
                continue;
            }
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(failed)?;
            return Ok(Self {
                path: path.to_owned(),
                _locked: file,
            });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that stays is without a lock, and so deceives no one.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a process holds the file at `path`.
pub(crate) fn is_held(path: &Path) -> bool {
    let Ok(file) = open(path, false) else {
        return false;
    };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The living process that the file at `path` names.
pub(crate) fn holder(path: &Path) -> Option<u32> {
    let mut file = open(path, false).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read(&mut file),
        _ => None,
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(create)
        .create(create)
        .truncate(false)
        .open(path)
}

fn read(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_by_one_and_only_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.pid");
        assert!(!is_held(&path));
        let first = PidFile::take(&path).unwrap();
        assert_eq!(holder(&path), Some(std::process::id()));
        let error = PidFile::take(&path).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(first);
        assert!(!path.exists());
        let _second = PidFile::take(&path).unwrap();
    }

    #[test]
    fn a_file_that_was_left_behind_is_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.pid");
        // Process 1 lives, and is not ours.
        fs::write(&path, "1\nand more text").unwrap();
        assert!(!is_held(&path));
        assert_eq!(holder(&path), None);
        let _mine = PidFile::take(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
    }
}
