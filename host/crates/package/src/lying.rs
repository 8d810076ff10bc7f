//! Packages that were put where their release belongs, and are not unpacked yet.

use std::fs;
use std::path::{Path, PathBuf};

use host_model::Version;

use crate::InstallError;

/// How the names of packages end.
const ENDINGS: [&str; 2] = [".tar.zst", ".tar.gz"];

/// The package in the folder `version` of one of these folders of releases, if that holds
/// no release yet.
///
/// # Errors
///
/// [`InstallError::Several`]
pub fn lying(releases: &[PathBuf], version: &Version) -> Result<Option<PathBuf>, InstallError> {
    for dir in releases {
        let dir = dir.join(version.to_string());
        if dir.join(crate::MANIFEST).exists() {
            return Ok(None);
        }
        let mut found = packages(&dir);
        match found.len() {
            0 => {}
            1 => return Ok(found.pop()),
            _ => return Err(InstallError::Several(dir)),
        }
    }
    Ok(None)
}

/// The packages in a folder, by name.
fn packages(dir: &Path) -> Vec<PathBuf> {
    // A folder that cannot be listed has none: whoever reads it says why.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| is_package(path))
        .collect();
    found.sort();
    found
}

/// Whether a file is called as packages are.
#[must_use]
pub fn is_package(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}
