//! The writing side: one transaction for each group, and the checkpoints.

use host_model::ActorId;
use rusqlite::{Connection, OptionalExtension};

use super::lock::Lock;
use super::{PAGE_BYTES, rows};
use crate::error::StoreError;
use crate::store::{AppendError, Group, Store};

/// WAL bytes from which a checkpoint runs when nothing waits.
const WAL_IDLE_BYTES_MIN: u64 = 8 << 20;

/// WAL bytes from which a checkpoint runs in any case: a commit then waits some
/// ten milliseconds, once in this many bytes.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// Bytes that a commit writes beside its rows: the pages of the store's own row,
/// of the tables' ends and of the indexes that it touches.
const COMMIT_BYTES: u64 = 16 << 10;

/// The writer's connection, and the lock that makes it the only one.
pub(super) struct Writer {
    connection: Connection,
    /// Bytes in the WAL that no checkpoint has moved, about.
    wal_bytes: u64,
    _lock: Lock,
}

impl Writer {
    pub(super) fn new(connection: Connection, lock: Lock) -> Self {
        Self {
            connection,
            wal_bytes: 0,
            _lock: lock,
        }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
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

    fn checkpoint(&mut self, mode: &str) {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        // Gives whether it was kept from running, the frames in the WAL, and
        // those of them that are now in the database; -1 where it does not know.
        let frames = self.connection.query_row(&sql, [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        self.wal_bytes = match frames {
            Ok((all, moved)) => {
                let left = u64::try_from(all - moved).unwrap_or(0) * PAGE_BYTES;
                tracing::debug!(mode, left, "checkpointed");
                left
            }
            // The WAL stays, and with it everything that was committed.
            Err(error) => {
                tracing::warn!(mode, %error, "could not checkpoint, the WAL grows on");
                0
            }
        };
    }
}

impl Store for Writer {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        self.run("BEGIN IMMEDIATE")
            .map_err(|error| self.roll_back(format!("SQLite did not begin: {error}")))?;
        rows::write(&self.connection, group).map_err(|failed| self.roll_back(failed.into()))?;
        self.run("COMMIT")
            .map_err(|error| AppendError::Unknown(format!("the commit failed: {error}")))?;
        let bytes: usize = group.entries.iter().map(|entry| entry.sealed.bytes).sum();
        self.wal_bytes += bytes as u64 + COMMIT_BYTES;
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

    fn maintain(&mut self, idle: bool) {
        if self.wal_bytes >= WAL_BYTES_MAX || (idle && self.wal_bytes >= WAL_IDLE_BYTES_MIN) {
            self.checkpoint("PASSIVE");
        }
    }

    fn close(mut self: Box<Self>) {
        self.checkpoint("TRUNCATE");
    }

    fn abandon(self: Box<Self>) {
        // Closing the connection would checkpoint, and after a failed sync what
        // the system's cache says is not what the disk has.
        std::mem::forget(self);
    }
}
