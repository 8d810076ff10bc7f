//! Keeps a second host away from the database: a lock on a file beside it, which
//! the kernel lets go when the owner's process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::OpenError;
use crate::files;

/// A child that this process starts shares its locks until it runs its own program, so
/// one that was let go may be held for this much longer.
const SHARED_FOR_MAX: Duration = Duration::from_secs(1);

/// Held while it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and writes this process's id into the file for whoever
    /// comes second.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let failed = |attempted| {
            move |source| OpenError::File {
                attempted,
                path: path.to_owned(),
                source,
            }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed("open the lock"))?;
        files::belongs_to_its_folder(&file, path).map_err(failed("give its owner the lock"))?;
        let own = std::process::id().to_string();
        let began = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(failed("lock")(errno.into())),
            }
            let pid = holder(&mut file);
            if pid != own || began.elapsed() > SHARED_FOR_MAX {
                return Err(OpenError::Held {
                    path: path.to_owned(),
                    pid,
                });
            }
            std::thread::sleep(SHARED_FOR_MAX / 100);
        }
        let write_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write_pid(&mut file).map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}

/// Who wrote its id into the file; it may be about to, and then is not known.
fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut pid));
    match pid.trim() {
        pid if read.is_ok() && !pid.is_empty() => pid.to_owned(),
        _ => "unknown".to_owned(),
    }
}
