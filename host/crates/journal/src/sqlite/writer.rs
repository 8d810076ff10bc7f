//! The writing side: one transaction for each group.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use host_model::ActorId;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::checkpoint::{self, Checkpointer};
use super::lock::Lock;
use super::rows;
use crate::error::StoreError;
use crate::store::{AppendError, Group, Store, Tell};

/// Bytes that a commit writes beside its rows: the pages of the store's own row,
/// of the tables' ends and of the indexes that it touches.
const COMMIT_BYTES: u64 = 16 << 10;

/// The writer's connection, and the lock that makes it the only one.
pub(super) struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    /// Bytes of the last commit, about.
    committed_bytes: u64,
    /// Closed behind the connection: see [`super::checkpoint`].
    _file: Arc<File>,
    _lock: Lock,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        checkpointer: Checkpointer,
        file: Arc<File>,
        lock: Lock,
    ) -> Self {
        Self {
            connection,
            checkpointer,
            committed_bytes: 0,
            _file: file,
            _lock: lock,
        }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
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

    /// Undoes what an error left, so that the store holds nothing of the group.
    fn roll_back(&self, why: String) -> AppendError {
        // Some errors end the transaction by themselves.
        if self.connection.is_autocommit() {
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
        if let Some(why) = self.checkpointer.broken() {
            return Err(AppendError::NotApplied(why.to_owned()));
        }
        self.run("BEGIN IMMEDIATE")
            .map_err(|error| self.roll_back(format!("SQLite did not begin: {error}")))?;
        rows::write(&self.connection, group).map_err(|failed| {
            let fenced = matches!(failed, rows::Failed::Fenced);
            match self.roll_back(failed.into()) {
                AppendError::NotApplied(why) if fenced => AppendError::Fenced(why),
                other => other,
            }
        })?;
        self.run("COMMIT")
            .map_err(|error| self.not_committed(&error))?;
        let bytes: usize = group.entries.iter().map(|entry| entry.sealed.bytes).sum();
        self.committed_bytes = bytes as u64 + COMMIT_BYTES;
        Ok(())
    }

    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError> {
        let count = || {
            let mut exists = self
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
        if self.checkpointer.broken().is_none() && self.checkpointer.committed(committed) {
            let began = Instant::now();
            if let Err(error) = checkpoint::pass(&self.connection) {
                self.checkpointer.failed(&error);
            }
            let ms = began.elapsed().as_millis();
            tracing::debug!(ms, "the log is taken up from its beginning");
            self.checkpointer.restarted();
        }
    }

    fn on_failure(&mut self, tell: Tell) {
        self.checkpointer.on_failure(tell);
    }

    fn close(mut self: Box<Self>) {
        self.checkpointer.join();
        let all = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(all, [], |_| Ok(())) {
            // The log stays, and with it everything that was committed.
            tracing::warn!(%error, "could not checkpoint at the end");
        }
    }

    fn abandon(self: Box<Self>) {
        // Closing the connection would checkpoint, and after a failed sync what
        // the system's cache says is not what the disk has. A pass that runs may end:
        // it moves only what was synced before.
        self.checkpointer.stop();
        std::mem::forget(self);
    }
}
