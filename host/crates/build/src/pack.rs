//! A release's folder becomes one file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host_model::release::{PROGRAM, ReleaseManifest};
use host_package::{MANIFEST, SIGNATURE};
use tar::{Builder, EntryType, Header};

use crate::keys::SecretKey;

/// How hard zstd tries, up to 22: beyond it a package gets hardly smaller, and takes many
/// times as long.
const LEVEL: i32 = 12;

/// A package that was made.
#[derive(Debug)]
pub struct Packed {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of what is in it.
    pub unpacked_bytes: u64,
}

/// Packs the release in the folder `dir` as `NAME-VERSION.tar.zst` in the folder `out`,
/// signed by a key if there is one. An older file of that name is replaced.
///
/// # Errors
///
/// What cannot be read, signed or written.
pub fn pack(
    release: &ReleaseManifest,
    dir: &Path,
    out: &Path,
    key: Option<&SecretKey>,
) -> Result<Packed> {
    fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    let file = out.join(format!("{}-{}.tar.zst", release.name, release.version));
    let writing = || format!("write {}", file.display());
    let mut partial = tempfile::NamedTempFile::new_in(out).with_context(writing)?;
    let mut unpacked_bytes = 0;
    {
        let mut zstd = zstd::Encoder::new(partial.as_file_mut(), LEVEL)?;
        zstd.include_checksum(true)?;
        let mut tar = Builder::new(zstd);
        let mut add = |name: &Path, bytes: &[u8]| -> Result<()> {
            unpacked_bytes += bytes.len() as u64;
            tar.append(&header(name, bytes.len() as u64)?, bytes)
                .with_context(writing)
        };
        let manifest = read(&dir.join(MANIFEST))?;
        add(Path::new(MANIFEST), &manifest)?;
        if let Some(key) = key {
            let comment = format!("release {} {}", release.name, release.version);
            add(Path::new(SIGNATURE), &key.sign(&manifest, &comment)?)?;
        }
        let mut files: Vec<_> = release.files().map(|(file, _)| file).collect();
        files.sort();
        for name in files {
            add(name, &read(&dir.join(name))?)?;
        }
        tar.into_inner()?.finish().with_context(writing)?;
    }
    partial.flush()?;
    let made = partial.as_file();
    made.sync_all().with_context(writing)?;
    readable(made).with_context(writing)?;
    let bytes = made.metadata()?.len();
    partial.persist(&file).with_context(writing)?;
    Ok(Packed {
        file,
        bytes,
        unpacked_bytes,
    })
}

/// Of a file, whoever has built it and whenever.
fn header(name: &Path, bytes: u64) -> Result<Header> {
    let mut header = Header::new_ustar();
    header
        .set_path(name)
        .with_context(|| format!("{} is too long for a package", name.display()))?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if name == Path::new(PROGRAM) {
        0o755
    } else {
        0o644
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header.set_cksum();
    Ok(header)
}

/// A temporary file is its maker's alone; a package is for whoever installs it.
pub(crate) fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}
