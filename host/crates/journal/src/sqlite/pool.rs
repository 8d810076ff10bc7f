//! A few connections that only read, beside the writer's.

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row};

use super::connect;
use super::schema::{ROW_SUMS, SUMS};
use crate::error::StoreError;
use crate::sums::{BadSum, Summed};

/// Connections that read at once; more callers wait. Waking actors is limited
/// by the disk and the processor long before this.
const READERS_MAX: usize = 8;

/// Connections to the database, opened when they are first needed.
pub(super) struct Pool {
    path: PathBuf,
    /// Of the tables.
    schema: i64,
    idle: Mutex<Idle>,
    returned: Condvar,
    /// Closed behind the connections: see [`super::checkpoint`].
    _file: Arc<File>,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    opened: usize,
}

/// A connection, which goes back to its pool.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(path: PathBuf, file: Arc<File>, schema: i64) -> Self {
        Self {
            path,
            schema,
            idle: Mutex::default(),
            returned: Condvar::new(),
            _file: file,
        }
    }

    /// One connection, in a transaction that sees the store as it is now.
    pub(super) fn frozen(&self) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(&self.path, flags)?;
        // A transaction begins with what it first reads.
        connection
            .execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")
            .map_err(StoreError::of::<rusqlite::Error>("begin to read"))?;
        Ok(Self {
            path: self.path.clone(),
            schema: self.schema,
            idle: Mutex::new(Idle {
                connections: vec![connection],
                opened: READERS_MAX,
            }),
            returned: Condvar::new(),
            _file: Arc::clone(&self._file),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the store's own row may have a checksum.
    pub(super) fn has_sums(&self) -> bool {
        self.schema >= SUMS
    }

    /// Whether the rows beside the groups may have checksums.
    pub(super) fn has_row_sums(&self) -> bool {
        self.schema >= ROW_SUMS
    }

    /// What stands for a row's sum where rows are read.
    pub(super) fn sum(&self) -> &'static str {
        if self.has_row_sums() { "sum" } else { "NULL" }
    }

    /// Reads what a table's sum covers, and the sum behind that: for
    /// [`intact`](super::reader::intact).
    pub(super) fn select(&self, summed: &Summed, rest: &str) -> String {
        let Summed { table, columns, .. } = summed;
        format!("SELECT {columns}, {} FROM {table} {rest}", self.sum())
    }

    fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let mut idle = self.idle.lock();
        let connection = loop {
            if let Some(connection) = idle.connections.pop() {
                break connection;
            }
            if idle.opened < READERS_MAX {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = connect(&self.path, flags)?;
                idle.opened += 1;
                break connection;
            }
            self.returned.wait(&mut idle);
        };
        Ok(Lent {
            pool: self,
            connection: Some(connection),
        })
    }

    /// All rows of one statement, which sees one state of the store.
    pub(super) fn rows<T>(
        &self,
        attempted: &'static str,
        sql: &str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let connection = self.lend()?;
        let read = || {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, row)?;
            rows.collect::<Result<_, _>>()
        };
        read().map_err(failed(attempted))
    }

    /// As [`Pool::rows`], up to the first row that is the last one wanted.
    pub(super) fn rows_until<T>(
        &self,
        attempted: &'static str,
        sql: &str,
        params: impl Params,
        mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        mut is_last: impl FnMut(&T) -> bool,
    ) -> Result<Vec<T>, StoreError> {
        let connection = self.lend()?;
        let read = || {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut found = Vec::new();
            while let Some(next) = rows.next()? {
                let next = row(next)?;
                let is_last = is_last(&next);
                found.push(next);
                if is_last {
                    break;
                }
            }
            Ok(found)
        };
        read().map_err(failed(attempted))
    }

    /// The first row of one statement, if it gives any.
    pub(super) fn row<T>(
        &self,
        attempted: &'static str,
        sql: &str,
        params: impl Params,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let connection = self.lend()?;
        let read = || {
            connection
                .prepare_cached(sql)?
                .query_row(params, row)
                .optional()
        };
        read().map_err(failed(attempted))
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("given back on drop only")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool
            .idle
            .lock()
            .connections
            .extend(self.connection.take());
        self.pool.returned.notify_one();
    }
}

/// For `map_err`. A row that is not what was written is named in its own words.
fn failed(attempted: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |error| match error {
        rusqlite::Error::ToSqlConversionFailure(bad) if bad.is::<BadSum>() => {
            StoreError::of(attempted)(bad)
        }
        error => StoreError::of(attempted)(error),
    }
}
