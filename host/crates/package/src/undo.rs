//! Files and folders that go again, unless all of what they belong to works.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What was made so far. Dropped, it is removed, the last first.
#[derive(Debug, Default)]
pub struct Undo(Vec<Made>);

#[derive(Debug)]
enum Made {
    /// Goes only if nothing else has come into it.
    Folder(PathBuf),
    /// Goes with all that is in it.
    Whole(PathBuf),
}

impl Undo {
    /// Makes a folder, and those above it that are missing. They go only if nothing else
    /// has come into them.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            self.make_folder(parent)?;
        }
        match fs::create_dir(path) {
            Ok(()) => self.0.push(Made::Folder(path.to_owned())),
            // Another was faster, and keeps it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes note of a file or a folder that was made: it goes with all that is in it.
    pub fn made(&mut self, path: &Path) {
        self.0.push(Made::Whole(path.to_owned()));
    }

    /// All of it stays.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for made in self.0.drain(..).rev() {
            // What cannot be removed is gone, or was changed by someone else meanwhile.
            let _left = match made {
                Made::Folder(path) => fs::remove_dir(path),
                Made::Whole(path) if path.is_dir() => fs::remove_dir_all(path),
                Made::Whole(path) => fs::remove_file(path),
            };
        }
    }
}
