//! Which files a package may hold, and how large they may be.

use std::path::{Component, Path};

use host_model::limits::{
    DOCUMENT_BYTES_MAX, PLUGIN_BYTES_MAX, PROGRAM_BYTES_MAX, RELEASE_TEXT_BYTES_MAX,
};

/// Of the manifest: the first file of a package.
pub const MANIFEST: &str = "manifest.json";

/// Of the manifest's signature, beside it.
pub const SIGNATURE: &str = "manifest.json.minisig";

/// How many bytes the file `path` of a release may have, by where it lies. None: a release
/// has no such file. Of paths that leave their folder, and of names with control characters,
/// there is none.
///
/// ```
/// use std::path::Path;
///
/// use host_package::bytes_max;
///
/// assert!(bytes_max(Path::new("plugins/zakat-0.1.0.so")).is_some());
/// assert!(bytes_max(Path::new("plugins/../../etc/env")).is_none());
/// ```
#[must_use]
pub fn bytes_max(path: &Path) -> Option<u64> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => {
                let part = part.to_str()?;
                if part.contains(char::is_control) {
                    return None;
                }
                parts.push(part);
            }
            _ => return None,
        }
    }
    match parts.as_slice() {
        ["bin", "host"] => Some(PROGRAM_BYTES_MAX),
        ["plugins", _] => Some(PLUGIN_BYTES_MAX),
        ["upgrade-scripts", _] | ["host.toml" | "env"] => Some(RELEASE_TEXT_BYTES_MAX),
        ["licences.txt" | "sbom.cdx.json"] => Some(DOCUMENT_BYTES_MAX),
        _ => None,
    }
}
