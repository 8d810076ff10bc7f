//! The writing side: one transaction for each group.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use host_model::ActorId;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::checkpoint::{self, Checkpointer};
use super::keep_log;
use super::lock::Lock;
use super::noter::Noter;
use super::rows::{self, Failed};
use crate::error::StoreError;
use crate::own;
use crate::store::{AppendError, Group, Store, Tell};

/// Bytes that a commit writes beside its rows: the pages of the store's own row,
/// of the tables' ends and of the indexes that it touches.
const COMMIT_BYTES: u64 = 16 << 10;

/// The writer's connection, and the lock that makes it the only one.
pub(super) struct Writer {
    parts: Parts,
    /// Bytes of the last commit, about.
    committed_bytes: u64,
}

/// What a writer works with. The lock is let go last, and the file behind the connections:
/// see [`super::checkpoint`].
pub(super) struct Parts {
    pub(super) connection: Connection,
    pub(super) store_id: String,
    pub(super) checkpointer: Checkpointer,
    /// None where no home is to know of the store.
    pub(super) noter: Option<Noter>,
    pub(super) _file: Arc<File>,
    pub(super) _lock: Lock,
}

impl Writer {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            committed_bytes: 0,
        }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.parts
            .connection
            .prepare_cached(sql)?
            .execute([])
            .map(drop)
    }

    /// Whether a commit that failed may be in the log all the same.
    ///
    /// A disk that is full says so to a write, and the last thing that a commit writes
    /// is the frame that makes it valid; it syncs the log only behind that. So the log
    /// has nothing valid of it. Any other error may come of the sync, or from behind it.
    fn not_committed(&self, error: &rusqlite::Error) -> AppendError {
        let why = format!("the commit failed: {error}");
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => self.roll_back(why),
            _ => AppendError::Unknown(why),
        }
    }

    /// What became of a group whose statement has failed.
    ///
    /// Nothing of it is committed, for what would make it valid is written by COMMIT. But a
    /// statement writes pages to the log, too, when the cache is full, and syncs the log's
    /// beginning: behind an error of the disk the log may not be what SQLite believes, and
    /// what is committed on top of it could be lost. So the handle is not used again.
    fn not_written(&self, failed: Failed) -> AppendError {
        let code = match &failed {
            Failed::Sqlite(error) => error.sqlite_error_code(),
            Failed::Invariant(_) | Failed::Fenced => None,
        };
        let fenced = matches!(failed, Failed::Fenced);
        let why = String::from(failed);
        // SQLITE_IOERR, whatever it was doing.
        if code == Some(ErrorCode::SystemIoFailure) {
            return AppendError::Broken(why);
        }
        match self.roll_back(why) {
            AppendError::NotApplied(why) if fenced => AppendError::Fenced(why),
            other => other,
        }
    }

    /// Undoes what an error left, so that the store holds nothing of the group.
    fn roll_back(&self, why: String) -> AppendError {
        // Some errors end the transaction by themselves.
        if self.parts.connection.is_autocommit() {
            return AppendError::NotApplied(why);
        }
        match self.run("ROLLBACK") {
            Ok(()) => AppendError::NotApplied(why),
            Err(error) => AppendError::Unknown(format!("{why}; then the rollback failed: {error}")),
        }
    }
}

impl Store for Writer {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        if let Some(why) = self.parts.checkpointer.broken() {
            return Err(AppendError::NotApplied(why.to_owned()));
        }
        let Parts {
            connection,
            store_id,
            ..
        } = &self.parts;
        self.run("BEGIN IMMEDIATE")
            .map_err(|error| self.not_written(error.into()))?;
        rows::write(connection, group, own::sum(store_id, &group.meta))
            .map_err(|failed| self.not_written(failed))?;
        self.run("COMMIT")
            .map_err(|error| self.not_committed(&error))?;
        let bytes: usize = group.entries.iter().map(|entry| entry.sealed.bytes).sum();
        self.committed_bytes = bytes as u64 + COMMIT_BYTES;
        if let Some(noter) = &self.parts.noter {
            noter.tell(group.meta.end());
        }
        Ok(())
    }

    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError> {
        let count = || {
            let mut exists = self
                .parts
                .connection
                .prepare_cached("SELECT 1 FROM snapshots WHERE actor = ?1 LIMIT 1")?;
            let mut missing = 0;
            for actor in actors {
                let found = exists.query_row([actor.as_str()], |_| Ok(())).optional()?;
                missing += u64::from(found.is_none());
            }
            Ok(missing)
        };
        count().map_err(StoreError::of::<rusqlite::Error>("look for snapshots"))
    }

    fn maintain(&mut self) {
        let committed = std::mem::take(&mut self.committed_bytes);
        let checkpointer = &self.parts.checkpointer;
        if checkpointer.broken().is_none() && checkpointer.committed(committed) {
            let began = Instant::now();
            if let Err(error) = checkpoint::pass(&self.parts.connection) {
                checkpointer.failed(&error);
            }
            let ms = began.elapsed().as_millis();
            tracing::debug!(ms, "the log is taken up from its beginning");
            checkpointer.restarted();
        }
    }

    fn on_failure(&mut self, tell: Tell) {
        self.parts.checkpointer.on_failure(tell);
    }

    fn close(mut self: Box<Self>) {
        let parts = &mut self.parts;
        parts.checkpointer.join();
        // Before the log goes: a start would miss it.
        if !parts.noter.take().is_none_or(Noter::end) {
            return;
        }
        let all = "PRAGMA wal_checkpoint(TRUNCATE)";
        let moved = parts.connection.query_row(all, [], |_| Ok(()));
        let ended = moved
            .map_err(StoreError::of::<rusqlite::Error>("move the log"))
            .and_then(|()| keep_log(&parts.connection, false));
        if let Err(error) = ended {
            // The log stays, and with it everything that was committed.
            tracing::warn!(error = error.in_full(), "could not checkpoint at the end");
        }
    }

    fn abandon(mut self: Box<Self>) {
        // It notes once more, which is of another file.
        drop(self.parts.noter.take());
        // Closing the connection would checkpoint, and after a failed sync what
        // the system's cache says is not what the disk has. A pass that runs may end:
        // it moves only what was synced before.
        self.parts.checkpointer.stop();
        std::mem::forget(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_within_a_statement_ends_the_handle_and_a_full_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.db");
        let file = Arc::new(File::create(&path).unwrap());
        let connection = || Connection::open(&path).unwrap();
        let writer = Writer::new(Parts {
            connection: connection(),
            store_id: String::new(),
            checkpointer: Checkpointer::start(connection(), Arc::clone(&file)).unwrap(),
            noter: None,
            _file: file,
            _lock: Lock::take(&folder.path().join("lock")).unwrap(),
        });
        let of = |code| {
            let error = rusqlite::ffi::Error::new(code);
            writer.not_written(rusqlite::Error::SqliteFailure(error, None).into())
        };
        for code in [
            rusqlite::ffi::SQLITE_IOERR_WRITE,
            rusqlite::ffi::SQLITE_IOERR_FSYNC,
            rusqlite::ffi::SQLITE_IOERR_READ,
        ] {
            assert!(matches!(of(code), AppendError::Broken(_)), "{code}");
        }
        for code in [
            rusqlite::ffi::SQLITE_FULL,
            rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
        ] {
            assert!(matches!(of(code), AppendError::NotApplied(_)), "{code}");
        }
    }
}
