//! Files that a loss of power leaves whole: each is written under another name first,
//! and has its own when that is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, fchown, renameat_with};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};

/// A path with something behind its name.
///
/// ```
/// use std::path::Path;
///
/// let lock = host_journal::files::beside(Path::new("data/host.db"), ".lock");
/// assert_eq!(lock, Path::new("data/host.db.lock"));
/// ```
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes what SQLite keeps beside a database while it is written to: of a copy that was
/// not finished, it would be played onto the next one of that name.
///
/// # Errors
///
/// The system's.
pub fn remove_beside(database: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(database, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where a path leads: the file itself, or where it would be made. Two paths to one file
/// have one such place, and SQLite puts its log beside that one.
///
/// # Errors
///
/// The system's: its folder is not there, or links lead in a circle.
pub fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let folder = folder_of(&path).canonicalize()?;
        let place = folder.join(path.file_name().unwrap_or_default());
        match std::fs::read_link(&place) {
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

/// As many as Linux follows.
const LINKS_MAX: usize = 40;

/// Gives `path` this content and these permissions. Durable when it returns; the old or
/// the new one, as a whole, at every moment before.
///
/// # Errors
///
/// The system's; either may be there, then.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let temporary = beside(path, ".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&temporary)?;
    belongs_to_its_folder(&file, path)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(&temporary, path)
}

/// Gives a file that was opened at `path` the owner of its folder, where root has made it: a
/// command of root's on a home must not keep the host, which runs as another user, from what
/// is its own.
///
/// # Errors
///
/// The system's.
pub fn belongs_to_its_folder(file: &File, path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (folder, now) = (folder_of(path).metadata()?, file.metadata()?);
    if (folder.uid(), folder.gid()) != (now.uid(), now.gid()) {
        let (user, group) = (Uid::from_raw(folder.uid()), Gid::from_raw(folder.gid()));
        return match fchown(file, Some(user), Some(group)) {
            // Root of a namespace that does not have this user, say: it stays root's.
            Err(Errno::PERM | Errno::INVAL) => Ok(()),
            given => Ok(given?),
        };
    }
    Ok(())
}

/// Gives a file, which is on the disk, its name, whatever has that. Durable when it returns.
///
/// # Errors
///
/// The system's; either may be there, then.
pub fn rename(file: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(file, path)?;
    sync_folder_of(path)
}

/// Gives a file, which is on the disk, its name. Durable when it returns.
///
/// # Errors
///
/// The system's; [`io::ErrorKind::AlreadyExists`] where something has that name.
pub fn name(file: &Path, path: &Path) -> io::Result<()> {
    renameat_with(CWD, file, CWD, path, RenameFlags::NOREPLACE)?;
    sync_folder_of(path)
}

/// Makes the name of a file, or that it has none any more, durable.
///
/// # Errors
///
/// The system's.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn all_paths_to_a_file_lead_to_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("file", root.join("link")).unwrap();
        std::os::unix::fs::symlink("link", root.join("second")).unwrap();
        for made in [false, true] {
            if made {
                fs::write(root.join("file"), "").unwrap();
            }
            for name in ["file", "link", "second"] {
                assert_eq!(resolved(&root.join(name)).unwrap(), root.join("file"));
            }
        }
        assert!(resolved(&root.join("nowhere/file")).is_err());
        std::os::unix::fs::symlink("round", root.join("round")).unwrap();
        assert!(resolved(&root.join("round")).is_err());
    }

    #[test]
    fn what_is_there_is_replaced_and_never_taken_the_name_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for content in ["a longer one", "new"] {
            replace(&path, content.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let other = folder.path().join("other");
        fs::write(&other, "other").unwrap();
        let refused = name(&other, &path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        name(&other, &folder.path().join("free")).unwrap();
        assert!(!other.exists());
    }
}
