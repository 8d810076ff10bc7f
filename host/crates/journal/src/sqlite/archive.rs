//! A database that is only read.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::pool::Pool;
use super::{connect, is_empty, schema};
use crate::Archive;
use crate::error::{OpenError, StoreError};
use crate::files::{beside, resolved};

/// Opens the database at `path` without a lock and without changing it.
///
/// # Errors
///
/// See [`OpenError`].
pub(crate) fn open(path: &Path) -> Result<Archive, OpenError> {
    // What is not there is told of below.
    let path = &resolved(path).unwrap_or_else(|_| path.to_owned());
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => OpenError::Missing {
            path: path.to_owned(),
        },
        _ => OpenError::File {
            attempted: "open the store",
            path: path.to_owned(),
            source,
        },
    })?;
    // An empty file is what a database is before its first commit, or after a loss.
    if file.metadata().is_ok_and(|file| file.len() == 0) {
        return Err(OpenError::Missing {
            path: path.to_owned(),
        });
    }
    let log = beside(path, "-wal");
    let lacks_log = is_empty(&log).then_some(log);
    let connection = read_only(path)?;
    let schema = schema::readable(&connection, path)?;
    let store_id = connection
        .query_row("SELECT store_id FROM store WHERE id = 0", [], |row| {
            row.get(0)
        })
        .map_err(StoreError::of::<rusqlite::Error>("read the store's name"))?;
    // Behind it, as the pool's are: see the module `checkpoint`.
    let file = Arc::new(file);
    drop(connection);
    Ok(Archive {
        reader: Box::new(Pool::new(path.to_owned(), file, schema)),
        store_id,
        schema,
        lacks_log,
    })
}

/// A connection that cannot write.
pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    connect(path, flags)
}
