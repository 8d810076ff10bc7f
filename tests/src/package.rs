//! Packages made of releases that lie unpacked, beside the host's own way to make them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host_model::release::ReleaseManifest;

/// Packs the release in the folder `release` in the folder `out`. Its package.
///
/// # Errors
///
/// That it cannot be read or written.
pub fn pack(release: &Path, out: &Path) -> Result<PathBuf> {
    let text = fs::read(release.join("manifest.json"))?;
    let manifest: ReleaseManifest = serde_json::from_slice(&text)?;
    let file = out.join(format!("{}-{}.tar.zst", manifest.name, manifest.version));
    let zstd = zstd::Encoder::new(File::create(&file)?, 1)?.auto_finish();
    let mut tar = tar::Builder::new(zstd);
    let signature = Path::new("manifest.json.minisig");
    let mut names = vec![Path::new("manifest.json")];
    names.extend(Some(signature).filter(|it| release.join(it).exists()));
    names.extend(manifest.files().map(|(file, _)| file));
    for name in names {
        tar.append_path_with_name(release.join(name), name)
            .with_context(|| format!("pack {}", name.display()))?;
    }
    tar.finish()?;
    Ok(file)
}
