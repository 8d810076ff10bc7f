//! Copies of libraries, under paths that are never used again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use host_model::limits::PLUGIN_BYTES_MAX;
use rustix::fs::StatVfsMountFlags;
use thiserror::Error;

use crate::{Digest, files};

/// Why a library could not be brought to where it can be opened.
#[derive(Debug, Error)]
pub enum StageError {
    /// The library cannot be read.
    #[error("read the plugin library {}", path.display())]
    Read {
        /// The library.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The library ends before its own table of sections does.
    #[error("{} was cut short: it has {found} bytes of {whole}; install the release again", path.display())]
    CutShort {
        /// The library.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// What it should have at least.
        whole: u64,
    },
    /// The folder for copies cannot be used.
    #[error("write a copy to {}: is the disk full, or the folder not writable?", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder for copies lies where nothing may be executed.
    #[error("{} lies on a file system mounted noexec, and plugins are opened from there: mount it with exec, or set HOST_DATA to a folder that allows it", path.display())]
    NoExec {
        /// The folder.
        path: PathBuf,
    },
}

/// Makes the folder, and empties it of what an earlier process left.
pub(crate) fn prepare(images: &Path) -> Result<(), StageError> {
    let failed = |source| StageError::Write {
        path: images.to_owned(),
        source,
    };
    fs::create_dir_all(images).map_err(failed)?;
    let mount = rustix::fs::statvfs(images).map_err(|e| failed(e.into()))?;
    if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(StageError::NoExec {
            path: images.to_owned(),
        });
    }
    for entry in fs::read_dir(images).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ext| ext == "so") {
            remove(&path);
        }
    }
    Ok(())
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StageError> {
    files::read(path, PLUGIN_BYTES_MAX).map_err(|source| StageError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Whether a library ends where it says. A linker maps one whose end is missing, as long
/// as what is missing is not mapped.
pub(crate) fn check_end(path: &Path, library: &[u8]) -> Result<(), StageError> {
    let found = library.len() as u64;
    match end_of_sections(library) {
        Some(whole) if whole > found => Err(StageError::CutShort {
            path: path.to_owned(),
            found,
            whole,
        }),
        _ => Ok(()),
    }
}

/// Where the table of sections ends, which linkers put behind all else. None: it is no
/// 64-bit little-endian ELF file, and the dynamic linker says so.
fn end_of_sections(library: &[u8]) -> Option<u64> {
    // Offsets of `Elf64_Ehdr`: e_shoff, e_shentsize, e_shnum.
    const IDENT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    let header = library.get(..64).filter(|it| it.starts_with(&IDENT))?;
    let u16_at = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let offset = u64::from_le_bytes(header[40..48].try_into().expect("eight bytes"));
    Some(offset.saturating_add(u16_at(58) * u16_at(60)))
}

/// Writes `library` to a new file, read-only: what is mapped must not change.
pub(crate) fn copy(
    images: &Path,
    source: &Path,
    library: &[u8],
    digest: Digest,
) -> Result<PathBuf, StageError> {
    let stem = source
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let unique = getrandom::u64().map_err(|e| StageError::Write {
        path: images.to_owned(),
        source: io::Error::other(e.to_string()),
    })?;
    let hex = digest.to_string();
    let image = images.join(format!("{stem}-{}-{unique:016x}.so", &hex[..16]));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&image)?;
        file.write_all(library)
    };
    write().map_err(|source| {
        remove(&image);
        StageError::Write {
            path: image.clone(),
            source,
        }
    })?;
    Ok(image)
}

/// Removes a copy. A copy that stays is only disk space, and the next start tries again.
pub(crate) fn remove(image: &Path) {
    if let Err(error) = fs::remove_file(image)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %image.display(), %error, "an old plugin image could not be removed");
    }
}

/// Bytes of the process's memory that are a view of this image: what of a file is never
/// mapped, debug information for one, is not among them. None: the kernel does not say.
pub(crate) fn mapped_bytes(image: &Path) -> Option<usize> {
    let image = image.canonicalize().ok()?;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    mapped(&maps, image.to_str()?)
}

/// By a `/proc/PID/maps`: proc_pid_maps(5).
fn mapped(maps: &str, image: &str) -> Option<usize> {
    let bytes = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        // What cannot be touched only keeps a gap free.
        let is_used = rest.ends_with(image) && !rest.starts_with("---");
        let (from, to) = range.split_once('-').filter(|_| is_used)?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        number(to)?.checked_sub(number(from)?)
    };
    Some(maps.lines().filter_map(bytes).sum()).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_of_a_file_is_counted() {
        let maps = "7f0000000000-7f0000002000 r-xp 00000000 08:01 42    /srv/images/liba.so\n\
            7f0000002000-7f0000200000 ---p 00002000 08:01 42    /srv/images/liba.so\n\
            7f0000200000-7f0000201000 rw-p 00002000 08:01 42    /srv/images/liba.so\n\
            7f0000201000-7f0000209000 rw-p 00000000 00:00 0\n\
            7f0000300000-7f0000301000 r--p 00000000 08:01 43    /srv/images/libb.so\n";
        assert_eq!(mapped(maps, "/srv/images/liba.so"), Some(0x3000));
        assert_eq!(mapped(maps, "/srv/images/libb.so"), Some(0x1000));
        assert_eq!(mapped(maps, "/srv/images/libc.so"), None);
    }
}
