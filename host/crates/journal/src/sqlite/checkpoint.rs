//! Checkpoints: what is committed moves from the write-ahead log into the database
//! on a thread of its own, so that no commit waits for it.
//!
//! SQLite takes the log up again from its beginning when all of it has been moved
//! and a writer finds it so. A thread beside a busy writer never gets that far, for
//! something is always committed meanwhile. So it moves what there is, again and
//! again while there is much, and leaves the last little to the writer's own thread.
//! <https://sqlite.org/wal.html#avoiding_excessively_large_wal_files>
//!
//! SQLite syncs the database only in a pass that reaches the log's end, which here
//! is the writer's: it would wait for all that the others have moved. So each pass is
//! followed by a sync of our own, over a file of our own. Whoever closes any file of a
//! database loses the process's POSIX locks on it, so that file is closed behind the
//! last connection.
//!
//! Somebody who reads for long, such as a check or a backup of the whole store, keeps
//! what was committed since from being moved. A pass that has moved nothing is not made
//! again before there is more, or a moment has passed. Only the disk bounds the log then;
//! a line in the log of the host says so, and `host_store_bytes` counts it.
//!
//! **A sync that failed is never tried again.** The kernel may have dropped the pages
//! that it could not write, and says so once; the next sync succeeds, and the pages are
//! not on the disk. So after any I/O error of a pass this store is left as it is, and
//! the next start reads the log anew. A full disk is no such error: what was not moved
//! stays in the log.
//!
//! <https://wiki.postgresql.org/wiki/Fsync_Errors>,
//! <https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode};

use super::PAGE_BYTES;
use crate::store::Tell;

/// Bytes in the log that make a pass worth its syncs. Commits wait behind the sync of a
/// pass for as long as it has bytes to write: with four times as many, clients did.
const PASS_BYTES_MIN: u64 = 4 << 20;

/// Bytes of the log from which it is to be taken up from its beginning. A commit into a
/// file that need not grow is synced faster, so it grows only for the first few passes.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Passes one after the other until the writer has to do the rest, however much.
const PASSES_MAX: u32 = 8;

/// Bytes that a writer's thread moves without anyone noticing.
const REST_BYTES_MAX: u64 = 512 << 10;

/// Before a pass is made again that has moved nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// What one pass left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Bytes of the log, moved or not.
    log_bytes: u64,
    /// Bytes of it that are not in the database.
    unmoved_bytes: u64,
}

impl Left {
    fn moved_bytes(self) -> u64 {
        self.log_bytes - self.unmoved_bytes
    }
}

/// Why a pass was not made. The log stays, and with it everything that was committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    /// Nothing was harmed: another connection was in the way, or the disk is full.
    #[error("could not checkpoint, the log grows on: {0}")]
    Later(String),
    /// What was moved may not be on the disk, and no later sync would say so.
    #[error("a checkpoint failed, and what it has moved may be lost: {0}")]
    Broken(String),
}

/// Moves what is in the log. Blocks no writer.
pub(super) fn pass(connection: &Connection) -> Result<Left, PassError> {
    // Gives whether it was kept from running, the frames in the log, and those of
    // them that are now in the database; -1 where it does not know.
    let frames = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    let (all, moved) = frames.map_err(|error| of(&error))?;
    let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0) * PAGE_BYTES;
    let left = Left {
        log_bytes: bytes(all),
        unmoved_bytes: bytes(all - moved),
    };
    tracing::debug!(?left, "checkpointed");
    Ok(left)
}

fn of(error: &rusqlite::Error) -> PassError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            PassError::Later(error.to_string())
        }
        _ => PassError::Broken(error.to_string()),
    }
}

/// What the thread works with.
struct Beside {
    connection: Connection,
    /// The database; behind the connection, for that is closed first.
    file: Arc<File>,
}

impl Beside {
    /// Moves what is in the log, and syncs where it went, if anything did `before` it.
    fn pass(&self, before: Left) -> Result<Left, PassError> {
        let left = pass(&self.connection)?;
        if left.moved_bytes() == before.moved_bytes() && left.unmoved_bytes > 0 {
            return Ok(left);
        }
        let synced = self.file.sync_data();
        synced.map_err(|error| PassError::Broken(format!("the sync of the database: {error}")))?;
        Ok(left)
    }
}

/// The thread that checkpoints.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
    /// Whom to tell of an error after which nothing more may be written.
    tell: OnceLock<Tell>,
    /// Why nothing more may be written.
    broken: OnceLock<String>,
    /// How many there were, for tests.
    passes: AtomicU64,
}

#[derive(Default)]
struct Work {
    /// Bytes in the log that no pass has moved, about.
    unmoved_bytes: u64,
    /// The rest is the writer's: the thread waits until it has done it.
    last_is_due: bool,
    /// What the last pass left, of the log as it is now; nothing of one that is moved
    /// whole, which the writer may have taken up from its beginning since.
    last: Left,
    /// The last pass has moved nothing: how many bytes were to be moved.
    stuck_at_bytes: Option<u64>,
    stop: bool,
}

impl Checkpointer {
    /// # Errors
    ///
    /// There is no thread to be had.
    pub(super) fn start(connection: Connection, file: Arc<File>) -> std::io::Result<Self> {
        let beside = Beside { connection, file };
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run(&beside)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Whom to tell of an error after which nothing more may be written.
    pub(super) fn on_failure(&self, tell: Tell) {
        // Set once, before anything is committed that a pass could move.
        let _ = self.shared.tell.set(tell);
    }

    /// Why nothing more may be written, if a pass has failed so.
    pub(super) fn broken(&self) -> Option<&str> {
        self.shared.broken.get().map(String::as_str)
    }

    /// Takes note of how a pass has failed, here or on the writer's thread.
    pub(super) fn failed(&self, error: &PassError) {
        self.shared.failed(error);
    }

    /// Takes note of a commit. True: the writer does the last pass now, and says so
    /// by [`Checkpointer::restarted`].
    pub(super) fn committed(&self, bytes: u64) -> bool {
        let mut work = self.shared.work.lock();
        work.unmoved_bytes += bytes;
        if work.unmoved_bytes >= PASS_BYTES_MIN {
            self.shared.changed.notify_one();
        }
        work.last_is_due
    }

    /// The writer has made the last pass.
    pub(super) fn restarted(&self) {
        let mut work = self.shared.work.lock();
        work.last_is_due = false;
        work.stuck_at_bytes = None;
        work.last = Left::default();
        work.unmoved_bytes = 0;
        self.shared.changed.notify_one();
    }

    /// Lets the thread end, without waiting for a pass that runs.
    pub(super) fn stop(&self) {
        self.shared.work.lock().stop = true;
        self.shared.changed.notify_one();
    }

    /// Ends the thread.
    pub(super) fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoints' thread had panicked");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn run(&self, beside: &Beside) {
        let mut passes = 0;
        let mut told = false;
        while let Some((before, last)) = self.wait(passes) {
            self.passes.fetch_add(1, Ordering::Relaxed);
            let left = match beside.pass(last) {
                Ok(left) => left,
                Err(error) => {
                    self.failed(&error);
                    if self.broken.get().is_some() {
                        return;
                    }
                    // Tried again when as much has been committed once more.
                    Left::default()
                }
            };
            let is_stuck = left.unmoved_bytes > 0 && left.moved_bytes() == last.moved_bytes();
            passes += 1;
            let mut work = self.work.lock();
            work.last = match left.unmoved_bytes {
                0 => Left::default(),
                _ => left,
            };
            let since = work.unmoved_bytes.saturating_sub(before);
            work.unmoved_bytes = left.unmoved_bytes + since;
            work.stuck_at_bytes = is_stuck.then_some(work.unmoved_bytes);
            let is_news = is_stuck && left.log_bytes >= LOG_BYTES_MAX && !told;
            told = is_stuck && (told || is_news);
            if is_news {
                tracing::warn!(
                    log_bytes = left.log_bytes,
                    "somebody reads the store for long: the log cannot be moved, and grows until that ends or the disk is full"
                );
            }
            if left.log_bytes < LOG_BYTES_MAX || is_stuck {
                passes = 0;
            } else if work.unmoved_bytes <= REST_BYTES_MAX || passes >= PASSES_MAX {
                work.last_is_due = true;
                passes = 0;
            }
        }
    }

    fn failed(&self, error: &PassError) {
        let PassError::Broken(_) = error else {
            tracing::warn!(%error, "the checkpoint is put off");
            return;
        };
        tracing::error!(%error, "the store is not written to any more");
        let why = error.to_string();
        if self.broken.set(why.clone()).is_ok()
            && let Some(tell) = self.tell.get()
        {
            tell(why);
        }
    }

    /// Waits until a pass is worth it, at once in the middle of several; then the
    /// bytes to move. None: stop.
    fn wait(&self, passes: u32) -> Option<(u64, Left)> {
        let pause_until = Instant::now() + PAUSE;
        let mut work = self.work.lock();
        loop {
            if work.stop {
                return None;
            }
            let due = passes > 0 || work.unmoved_bytes >= PASS_BYTES_MIN;
            if !due || work.last_is_due {
                self.changed.wait(&mut work);
                continue;
            }
            let Some(stuck_at) = work.stuck_at_bytes else {
                return Some((work.unmoved_bytes, work.last));
            };
            // Woken by each commit, which may be small.
            let left = pause_until.saturating_duration_since(Instant::now());
            if left.is_zero() || work.unmoved_bytes >= stuck_at + PASS_BYTES_MIN {
                work.stuck_at_bytes = None;
                return Some((work.unmoved_bytes, work.last));
            }
            self.changed.wait_for(&mut work, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_sync_that_fails_ends_the_checkpoints_and_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("x.db")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (1)",
            )
            .unwrap();
        // A device that no sync is possible on.
        let device = Arc::new(File::open("/dev/null").unwrap());
        let mut checkpointer = Checkpointer::start(connection, device).unwrap();
        let (sender, told) = channel();
        checkpointer.on_failure(Box::new(move |why| sender.send(why).unwrap()));
        assert_eq!(checkpointer.broken(), None);
        checkpointer.committed(PASS_BYTES_MIN);
        let why = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(why.contains("the sync of the database"), "{why}");
        assert_eq!(checkpointer.broken(), Some(&*why));
        checkpointer.committed(PASS_BYTES_MIN);
        checkpointer.join();
        assert!(told.try_recv().is_err(), "the thread has ended");
    }

    #[test]
    fn a_pass_that_a_reader_keeps_from_moving_is_not_made_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let open = || Connection::open(&path).unwrap();
        let (writer, reader) = (open(), open());
        writer
            .execute_batch(
                "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)",
            )
            .unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM t")
            .unwrap();
        // As much as makes the log one that is to be taken up from its beginning.
        let more = "INSERT INTO t VALUES (zeroblob(80 * 1024 * 1024))";
        writer.execute_batch(more).unwrap();
        let file = Arc::new(File::open(&path).unwrap());
        let mut checkpointer = Checkpointer::start(open(), Arc::clone(&file)).unwrap();
        checkpointer.committed(80 << 20);
        let passes = || checkpointer.shared.passes.load(Ordering::Relaxed);
        let began = Instant::now();
        while began.elapsed() < PAUSE * 2 + PAUSE / 2 {
            assert!(!checkpointer.committed(1), "the writer is left alone");
            std::thread::park_timeout(PAUSE / 20);
        }
        assert!((2..=5).contains(&passes()), "{}", passes());

        reader.execute_batch("ROLLBACK").unwrap();
        while !checkpointer.committed(1) {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::park_timeout(PAUSE / 20);
        }
        checkpointer.join();
    }

    #[test]
    fn only_what_may_be_lost_breaks_the_store() {
        let error = |code| {
            let failure = rusqlite::ffi::Error::new(code);
            of(&rusqlite::Error::SqliteFailure(failure, None))
        };
        for later in [
            rusqlite::ffi::SQLITE_FULL,
            rusqlite::ffi::SQLITE_BUSY,
            rusqlite::ffi::SQLITE_LOCKED,
        ] {
            assert!(matches!(error(later), PassError::Later(_)));
        }
        for broken in [
            rusqlite::ffi::SQLITE_IOERR_FSYNC,
            rusqlite::ffi::SQLITE_IOERR_WRITE,
            rusqlite::ffi::SQLITE_CORRUPT,
        ] {
            assert!(matches!(error(broken), PassError::Broken(_)));
        }
    }
}
