//! A package becomes a release in a folder of releases.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host_loader::Digest;
use host_model::Version;
use host_model::release::ReleaseManifest;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::another::another;
use crate::lying::is_package;
use crate::names::SIGNATURE;
use crate::unpack::{Head, Package, sync_folders};
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
    /// It was there before, the same manifest.
    pub was_there: bool,
    /// What of it was damaged or missing then, and is whole now; the signature, where
    /// nobody vouched for it before.
    pub repaired: Vec<PathBuf>,
}

/// Installs the package `file` in the last of the folders `releases`, which is made if it
/// is missing. Where one of them has that release already, what is damaged or missing of it
/// is put there. `wanted`: it must be that release. Blocking; one at a time in each folder,
/// across processes.
///
/// # Errors
///
/// [`InstallError`]; then nothing has changed, but for files that were repaired before.
///
/// # Panics
///
/// Without a folder.
pub fn install(
    file: &Path,
    releases: &[PathBuf],
    wanted: Option<&Version>,
    keys: &TrustedKeys,
    machine: &Machine,
) -> Result<Installed, InstallError> {
    let package = Package::open(file)?;
    let mut undo = Undo::default();
    let mut begun = None;
    package.unpack(keys, machine, |head| {
        let version = &head.manifest.version;
        if let Some(wanted) = wanted.filter(|it| *it != version) {
            return Err(InstallError::OtherVersion {
                file: file.to_owned(),
                found: version.clone(),
                wanted: wanted.clone(),
            });
        }
        let releases = folder_for(releases, version);
        undo.make_folder(releases)
            .map_err(|source| not_written(releases, source))?;
        let alone = alone(releases)?;
        let place = Place::find(releases, head, keys)?;
        let partial = place.partial().map(Path::to_owned);
        begun = Some((alone, place, head.manifest.clone()));
        Ok(partial)
    })?;
    let (folder, place, manifest) = begun.expect("a package that was unpacked has a place");
    let dir = place.dir.clone();
    let was_there = !matches!(place.lacks, Lacks::All(_));
    let repaired = place.take()?;
    folder.sync_all().map_err(|e| not_written(&dir, e))?;
    undo.keep();
    Ok(Installed {
        manifest,
        dir,
        was_there,
        repaired,
    })
}

/// The folder that has a release of this version, or else the last. In any other one it
/// would be hidden, or hide.
fn folder_for<'a>(releases: &'a [PathBuf], version: &Version) -> &'a Path {
    let is_there = |it: &&PathBuf| it.join(version.to_string()).join(MANIFEST).exists();
    let found = releases.iter().find(is_there).or(releases.last());
    found.expect("there is a folder of releases")
}

fn not_written(path: &Path, source: io::Error) -> InstallError {
    InstallError::Write {
        path: path.to_owned(),
        source,
    }
}

/// Removes the release in the folder `dir`: it is gone at once, or all of it is there.
/// Blocking; not while anything is installed beside it.
///
/// # Errors
///
/// [`InstallError::Busy`] or [`InstallError::Write`].
pub fn remove(dir: &Path) -> Result<(), InstallError> {
    let failed = |source| not_written(dir, source);
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
    let failed = |source| not_written(releases, source);
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
    lacks: Lacks,
}

/// What a place lacks of the release that goes there. The package is unpacked beside it.
enum Lacks {
    Nothing,
    Files(Vec<PathBuf>, TempDir),
    All(TempDir),
}

impl Place {
    fn find(releases: &Path, head: &Head, keys: &TrustedKeys) -> Result<Self, InstallError> {
        let dir = releases.join(head.manifest.version.to_string());
        let taken = |what: String, advice| InstallError::Taken {
            dir: dir.clone(),
            what,
            advice,
        };
        let lacks = match fs::read(dir.join(MANIFEST)) {
            Ok(there) if there == head.text => match lacking(&dir, head, keys) {
                files if files.is_empty() => Lacks::Nothing,
                files => Lacks::Files(files, partial_in(releases)?),
            },
            Ok(there) => {
                let (what, advice) = another(&there, &head.manifest);
                return Err(taken(what, advice));
            }
            Err(_) if !holds_packages_only(&dir) => {
                return Err(taken(" and is no release".to_owned(), "move it away"));
            }
            Err(_) => Lacks::All(partial_in(releases)?),
        };
        Ok(Self { dir, lacks })
    }

    /// Where the package is to be unpacked, if it is.
    fn partial(&self) -> Option<&Path> {
        match &self.lacks {
            Lacks::Nothing => None,
            Lacks::Files(_, partial) | Lacks::All(partial) => Some(partial.path()),
        }
    }

    /// Puts there what it lacks. Returns what was repaired.
    fn take(self) -> Result<Vec<PathBuf>, InstallError> {
        let failed = |source| not_written(&self.dir, source);
        match self.lacks {
            Lacks::Nothing => Ok(Vec::new()),
            Lacks::Files(files, partial) => {
                for file in &files {
                    let to = self.dir.join(file);
                    let folder = to.parent().unwrap_or(&self.dir);
                    fs::create_dir_all(folder).map_err(failed)?;
                    // The old one or the new one at every moment, for who reads it.
                    let moved = fs::rename(partial.path().join(file), &to);
                    moved.map_err(|source| not_written(&to, source))?;
                }
                sync_folders(&self.dir)?;
                Ok(files)
            }
            Lacks::All(partial) if !self.dir.exists() => {
                fs::rename(partial.path(), &self.dir).map_err(failed)?;
                // It has gone from there.
                let _moved = partial.keep();
                Ok(Vec::new())
            }
            Lacks::All(partial) => {
                bring_along(&self.dir, partial.path()).map_err(failed)?;
                renameat_with(CWD, partial.path(), CWD, &self.dir, RenameFlags::EXCHANGE)
                    .map_err(|error| failed(error.into()))?;
                Ok(Vec::new())
            }
        }
    }
}

/// The files of a release on disk that are not what its manifest says, or not there; and
/// the signature, where the package has one and nobody vouches for what is there.
fn lacking(dir: &Path, head: &Head, keys: &TrustedKeys) -> Vec<PathBuf> {
    let is_whole = |file: &Path, sha256: &str| {
        let found = File::open(dir.join(file)).and_then(Digest::of_reader);
        let wanted: Result<Digest, _> = sha256.parse();
        found.is_ok_and(|found| wanted.is_ok_and(|wanted| found == wanted))
    };
    let files = head.manifest.files();
    let files = files.filter(|(file, sha256)| !is_whole(file, sha256));
    let mut lacking: Vec<PathBuf> = files.map(|(file, _)| file.to_owned()).collect();
    let signature = dir.join(SIGNATURE);
    if head.signature.is_some() && (!signature.exists() || keys.problem(dir).is_some()) {
        lacking.push(PathBuf::from(SIGNATURE));
    }
    lacking
}

/// A new folder to unpack in.
fn partial_in(releases: &Path) -> Result<TempDir, InstallError> {
    let made = tempfile::Builder::new()
        .prefix(PARTIAL)
        .tempdir_in(releases);
    let made = made.and_then(|made| {
        // A temporary folder is its maker's alone; a release is for whoever runs it.
        fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755))?;
        Ok(made)
    });
    made.map_err(|source| not_written(releases, source))
}

/// Has what lies in `from`, packages, lie in `to` as well: there is no moment at which
/// either folder is the release's, and a package only in the other one, which a start
/// behind a crash would clear away.
fn bring_along(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::hard_link(entry.path(), to.join(entry.file_name()))?;
    }
    File::open(to)?.sync_all()
}

/// Whether the folder is not there, or holds nothing but packages.
fn holds_packages_only(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.all(|it| it.is_ok_and(|it| is_package(&it.path()))),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_in_both_folders_before_they_change_places() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("test-0.2.0.tar.zst"), "a package").unwrap();
        bring_along(&from, &to).unwrap();
        for folder in [from, to] {
            let there = fs::read_to_string(folder.join("test-0.2.0.tar.zst"));
            assert_eq!(there.unwrap(), "a package");
        }
    }
}
