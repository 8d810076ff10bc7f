//! Files and folders that go again, unless all of what they belong to works.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::lying::is_package;

/// What was made so far. Dropped, it is removed, the last first.
#[derive(Debug, Default)]
pub struct Undo(Vec<Made>);

#[derive(Debug)]
enum Made {
    /// Goes only if nothing else has come into it.
    Folder(PathBuf),
    /// Goes.
    File(PathBuf),
    /// Goes with all that is in it, but for packages, which were there before.
    Release(PathBuf),
}

impl Undo {
    /// Makes a folder, and those above it that are missing, durably. They go only if
    /// nothing else has come into them.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.make_folder(parent)?;
        match fs::create_dir(path) {
            Ok(()) => {
                self.0.push(Made::Folder(path.to_owned()));
                File::open(parent)?.sync_all()?;
            }
            // Another was faster, and keeps it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes note of a file that was made.
    pub fn made(&mut self, file: &Path) {
        self.0.push(Made::File(file.to_owned()));
    }

    /// Takes note of the folder of a release that was installed. It goes but for packages
    /// that lie in it.
    pub fn made_release(&mut self, folder: &Path) {
        self.0.push(Made::Release(folder.to_owned()));
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
                Made::File(path) => fs::remove_file(path),
                Made::Release(path) => remove_release(&path),
            };
        }
    }
}

/// Removes a release's folder, but for packages that lie in it.
fn remove_release(folder: &Path) -> io::Result<()> {
    let mut packages = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match is_package(&path) {
            true => packages += 1,
            false if path.is_dir() => fs::remove_dir_all(path)?,
            false => fs::remove_file(path)?,
        }
    }
    match packages {
        0 => fs::remove_dir(folder),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (home, release) = (dir.path().join("home"), dir.path().join("releases/0.2.0"));
        let package = release.join("test-0.2.0.tar.zst");
        fs::create_dir_all(&release).unwrap();
        fs::write(&package, "").unwrap();
        let mut undo = Undo::default();
        undo.make_folder(&home.join("etc")).unwrap();
        fs::write(home.join("etc/env"), "").unwrap();
        undo.made(&home.join("etc/env"));
        undo.make_folder(&release).unwrap();
        fs::create_dir(release.join("bin")).unwrap();
        fs::write(release.join("bin/host"), "").unwrap();
        fs::write(release.join("manifest.json"), "").unwrap();
        undo.made_release(&release);
        drop(undo);
        assert!(!home.exists());
        assert_eq!(fs::read_dir(&release).unwrap().count(), 1);
        assert!(package.exists());
        let mut undo = Undo::default();
        undo.make_folder(&home).unwrap();
        undo.keep();
        assert!(home.exists());
    }
}
