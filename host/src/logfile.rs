//! The log of a host in the background: a file that is bounded, and that others may move.
//!
//! Standard output and standard error are the file, of the keeper and of the host: what a
//! plugin prints and what a panic says stand in it, too. So a new file takes their place
//! (`dup2`), and every process looks whether the file is still the one of its name. Lines
//! are appended, so one that was cut to nothing in its place (`copytruncate`) goes on at
//! its beginning.
//!
//! What cannot be written is left out and counted. A full disk stops nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::fstat;
use rustix::stdio::{dup2_stderr, dup2_stdout, stdout};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogBounds;

/// How often it is looked whether somebody has moved the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Before a file that could not be moved is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Where log lines go.
#[derive(Debug, Clone)]
pub(crate) struct LogFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The file's name; none where standard output is something else.
    path: Option<PathBuf>,
    bounds: LogBounds,
    look_now: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Standard output, past the buffer of `std`, which would keep what was not written.
    out: File,
    looked: Instant,
    /// It is not rotated before.
    rotate_at: Instant,
    /// Lines that could not be written since the last that could.
    lost: u64,
}

impl LogFile {
    /// Standard output; bounded if that is the log `path`.
    ///
    /// # Errors
    ///
    /// There is no standard output, or too many files are open.
    pub(crate) fn new(path: &Path, bounds: LogBounds) -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(Arc::new(Inner {
            path: is_standard_output(path).then(|| path.to_owned()),
            bounds,
            look_now: AtomicBool::new(true),
            state: Mutex::new(State {
                out: File::from(out),
                looked: Instant::now(),
                rotate_at: Instant::now(),
                lost: 0,
            }),
        })))
    }

    /// Whoever moved the file wants the next line in a new one.
    pub(crate) fn reopen(&self) {
        self.0.look_now.store(true, Ordering::Relaxed);
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = &'a LogFile;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// A whole line at a time, as `tracing_subscriber` writes them.
impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let inner = &*self.0;
        let mut state = inner.state.lock();
        if let Some(path) = &inner.path {
            inner.see_to(path, &mut state);
        }
        let said = match state.lost {
            0 => Ok(()),
            lost => writeln!(state.out, "{lost} lines of the log could not be written"),
        };
        match said.and_then(|()| state.out.write_all(line)) {
            Ok(()) => state.lost = 0,
            // There is no other place to say it.
            Err(_) => state.lost += 1,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    /// Goes on in another file where this one was moved or is full.
    fn see_to(&self, path: &Path, state: &mut State) {
        let is_due = state.looked.elapsed() >= LOOK_EVERY;
        if self.look_now.swap(false, Ordering::Relaxed) || is_due {
            state.looked = Instant::now();
            // What cannot be opened now is tried at the next look; lines go on where they went.
            if let Ok(Some(file)) = follow(path) {
                state.out = file;
            }
        }
        let is_full = |out: &File| {
            out.metadata()
                .is_ok_and(|it| it.len() >= self.bounds.bytes_max)
        };
        if self.bounds.files > 0 && state.rotate_at <= Instant::now() && is_full(&state.out) {
            match rotate(path, self.bounds.files) {
                Ok(Some(file)) => state.out = file,
                Ok(None) => {}
                // The file grows on meanwhile.
                Err(error) => {
                    state.rotate_at = Instant::now() + RETRY_AFTER;
                    let path = path.display();
                    drop(writeln!(
                        state.out,
                        "the log {path} cannot be rotated: {error}"
                    ));
                }
            }
        }
    }
}

/// Whether standard output is the log `path`, or what that was before it was moved.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    let Ok(open) = fs::read_link("/proc/self/fd/1") else {
        return false;
    };
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_beside = open.parent() == path.parent();
    let name = |path: &Path| path.file_name().map(|it| it.to_string_lossy().into_owned());
    match (name(&open), name(&path)) {
        (Some(open), Some(name)) => is_beside && open.starts_with(&name),
        _ => false,
    }
}

/// Has standard output and error be the file of that name, and gives it, if they were
/// another one.
///
/// # Errors
///
/// It cannot be opened; they are what they were.
pub(crate) fn follow(path: &Path) -> io::Result<Option<File>> {
    let there = fs::metadata(path).map(|it| (it.dev(), it.ino()));
    let ours = fstat(stdout()).map(|it| (it.st_dev, it.st_ino));
    match (there, ours) {
        (Ok(there), Ok(ours)) if there == ours => Ok(None),
        _ => {
            let file = open(path)?;
            dup2_stdout(&file)?;
            dup2_stderr(&file)?;
            Ok(Some(file))
        }
    }
}

/// The log, to be appended to; made if it is not there.
///
/// # Errors
///
/// It cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// `host.log` becomes `host.log.1`, and so on; the oldest beyond `files` goes.
fn rotate(path: &Path, files: usize) -> io::Result<Option<File>> {
    make_room(path, files)?;
    follow(path)
}

fn make_room(path: &Path, files: usize) -> io::Result<()> {
    let older = |n: usize| older(path, n);
    for n in (1..files).rev() {
        match fs::rename(older(n), older(n + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    fs::rename(path, older(1))
}

/// The name of the `n`th older file.
pub(crate) fn older(path: &Path, n: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_files_move_up_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.log");
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        // Not by `rotate`, which would take the standard output of all tests.
        for n in 1..=4 {
            fs::write(&path, n.to_string()).unwrap();
            make_room(&path, 2).unwrap();
        }
        assert_eq!(read(&older(&path, 1)), "4");
        assert_eq!(read(&older(&path, 2)), "3");
        assert!(!path.exists() && !older(&path, 3).exists());
        assert!(!is_standard_output(&path));
    }
}
