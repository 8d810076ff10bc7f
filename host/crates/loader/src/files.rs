//! Files of releases and plugins, which whoever installs them chooses: read only where
//! they are files, and never further than a bound.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// A file of a bounded size. Reading beyond the bound is an error, also where the file
/// has grown since it was opened.
#[derive(Debug)]
pub struct Bounded {
    file: File,
    bytes_max: u64,
    left: u64,
}

impl Bounded {
    /// Opens the file at `path`, of at most `bytes_max` bytes. Does not wait for whoever
    /// writes to a FIFO.
    ///
    /// # Errors
    ///
    /// It cannot be opened, is a folder, a FIFO or a device, or is larger; the error says
    /// which, and not of which file.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "it is no regular file",
            ));
        }
        if found.len() > bytes_max {
            return Err(too_large(bytes_max, &format!("has {} bytes", found.len())));
        }
        Ok(Self {
            file,
            bytes_max,
            left: bytes_max,
        })
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more than allowed tells a file that is too large from one that fits.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let most = buffer.len().min(most);
        let read = self.file.read(&mut buffer[..most])?;
        self.left = (self.left.checked_sub(read as u64))
            .ok_or_else(|| too_large(self.bytes_max, "has more"))?;
        Ok(read)
    }
}

fn too_large(bytes_max: u64, found: &str) -> io::Error {
    let why = format!("it {found}, where at most {bytes_max} bytes are taken");
    io::Error::new(ErrorKind::FileTooLarge, why)
}

/// The whole file at `path`, of at most `bytes_max` bytes.
///
/// # Errors
///
/// As [`Bounded::open`].
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Bounded::open(path, bytes_max)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read`], of a text.
///
/// # Errors
///
/// As [`Bounded::open`], and where it is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    Bounded::open(path, bytes_max)?.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read_text(&file, 6).unwrap(), "12345");
        let error = read(&file, 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let wanted = "it has 5 bytes, where at most 4 bytes are taken";
        assert_eq!(error.to_string(), wanted);
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "123").unwrap();
        let mut bounded = Bounded::open(&file, 4).unwrap();
        fs::write(&file, "12345").unwrap();
        let error = bounded.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for path in [fifo.as_path(), "/dev/zero".as_ref(), dir.path()] {
            let error = read(path, 1 << 20).unwrap_err();
            assert_eq!(error.to_string(), "it is no regular file", "{path:?}");
        }
    }
}
