//! A package becomes a release in a folder of releases.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host_model::Version;
use host_model::release::ReleaseManifest;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::lying::is_package;
use crate::unpack::{Head, Package};
use crate::{InstallError, MANIFEST, Machine, TrustedKeys, Undo};

/// How folders are called in which a package is being unpacked: no version begins so.
const PARTIAL: &str = ".install-";

/// A release that is installed.
#[derive(Debug)]
pub struct Installed {
    /// What it says of itself.
    pub manifest: ReleaseManifest,
    /// Its folder.
    pub dir: PathBuf,
    /// It was there before, the same.
    pub was_there: bool,
}

/// Installs the package `file` in the folder `releases`, which is made if it is missing.
/// `wanted`: it must be that release. Blocking; one at a time in each folder, across
/// processes.
///
/// # Errors
///
/// [`InstallError`]; then nothing has changed.
pub fn install(
    file: &Path,
    releases: &Path,
    wanted: Option<&Version>,
    keys: &TrustedKeys,
    machine: &Machine,
) -> Result<Installed, InstallError> {
    let package = Package::open(file)?;
    let failed = |source| InstallError::Write {
        path: releases.to_owned(),
        source,
    };
    let mut undo = Undo::default();
    undo.make_folder(releases).map_err(failed)?;
    let folder = alone(releases)?;
    let mut place = None;
    package.unpack(keys, machine, |head| {
        if let Some(wanted) = wanted.filter(|it| **it != head.manifest.version) {
            return Err(InstallError::OtherVersion {
                file: file.to_owned(),
                found: head.manifest.version.clone(),
                wanted: wanted.clone(),
            });
        }
        let found = Place::find(releases, head)?;
        let partial = found.partial.as_ref();
        let partial = partial.map(|it| it.path().to_owned());
        place = Some((found, head.manifest.clone()));
        Ok(partial)
    })?;
    let (place, manifest) = place.expect("a package that was unpacked has a place");
    let (dir, was_there) = (place.dir.clone(), place.partial.is_none());
    place.take()?;
    folder.sync_all().map_err(failed)?;
    undo.keep();
    Ok(Installed {
        manifest,
        dir,
        was_there,
    })
}

/// Removes the release in the folder `dir`: it is gone at once, or all of it is there.
/// Blocking; not while anything is installed beside it.
///
/// # Errors
///
/// [`InstallError::Busy`] or [`InstallError::Write`].
pub fn remove(dir: &Path) -> Result<(), InstallError> {
    let failed = |source| InstallError::Write {
        path: dir.to_owned(),
        source,
    };
    let releases = dir.parent().unwrap_or(Path::new("."));
    let folder = alone(releases)?;
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL)
        .tempdir_in(releases)
        .map_err(failed)?;
    fs::rename(dir, partial.path().join("removed")).map_err(failed)?;
    folder.sync_all().map_err(failed)?;
    // What is left of it now is no release, and goes with the next install.
    partial.close().map_err(failed)
}

/// Keeps others from changing a folder of releases as long as what is returned lives, and
/// clears it.
fn alone(releases: &Path) -> Result<File, InstallError> {
    let failed = |source| InstallError::Write {
        path: releases.to_owned(),
        source,
    };
    let folder = File::open(releases).map_err(failed)?;
    // It ends with the process, and leaves no file.
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(InstallError::Busy(releases.to_owned())),
        Err(error) => return Err(failed(error.into())),
    }
    clear(releases).map_err(failed)?;
    Ok(folder)
}

/// Removes what an install has left that was killed.
fn clear(releases: &Path) -> io::Result<()> {
    for entry in fs::read_dir(releases)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Where a release goes.
struct Place {
    dir: PathBuf,
    /// Where it is unpacked; none: it is there already.
    partial: Option<TempDir>,
}

impl Place {
    fn find(releases: &Path, head: &Head) -> Result<Self, InstallError> {
        let dir = releases.join(head.manifest.version.to_string());
        let taken = |what, advice| InstallError::Taken {
            dir: dir.clone(),
            what,
            advice,
        };
        match fs::read(dir.join(MANIFEST)) {
            Ok(there) if there == head.text => return Ok(Self { dir, partial: None }),
            Ok(_) => {
                return Err(taken(
                    ", and is another build of the same version",
                    "give the new one a new number, or say `host remove` first if the old one has never run",
                ));
            }
            Err(_) => {}
        }
        if !holds_packages_only(&dir) {
            return Err(taken(" and is no release", "move it away"));
        }
        let made = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempdir_in(releases);
        let made = made.and_then(|made| {
            // A temporary folder is its maker's alone; a release is for whoever runs it.
            fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755))?;
            Ok(made)
        });
        let partial = made.map_err(|source| InstallError::Write {
            path: releases.to_owned(),
            source,
        })?;
        Ok(Self {
            dir,
            partial: Some(partial),
        })
    }

    /// Gives what was unpacked its name. A package that lies there stays beside it.
    fn take(self) -> Result<(), InstallError> {
        let Some(partial) = self.partial else {
            return Ok(());
        };
        let failed = |source| InstallError::Write {
            path: self.dir.clone(),
            source,
        };
        if !self.dir.exists() {
            fs::rename(partial.path(), &self.dir).map_err(failed)?;
            // It has gone from there.
            let _moved = partial.keep();
            return Ok(());
        }
        renameat_with(CWD, partial.path(), CWD, &self.dir, RenameFlags::EXCHANGE)
            .map_err(|error| failed(error.into()))?;
        for entry in fs::read_dir(partial.path()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            fs::rename(entry.path(), self.dir.join(entry.file_name())).map_err(failed)?;
        }
        Ok(())
    }
}

/// Whether the folder is not there, or holds nothing but packages.
fn holds_packages_only(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.all(|it| it.is_ok_and(|it| is_package(&it.path()))),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
