//! A database brought up to date, and left alone again.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{connect, lock, schema};
use crate::Migrated;
use crate::error::{OpenError, StoreError};
use crate::files::beside;

/// See [`crate::migrate()`].
pub(crate) fn migrate(path: &Path) -> Result<Migrated, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing {
            path: path.to_owned(),
        });
    }
    let _lock = lock::Lock::take(&beside(path, ".lock"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags)?;
    let from = version(&connection)?;
    schema::prepare(&mut connection, path)?;
    Ok(Migrated {
        from,
        to: version(&connection)?,
    })
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(StoreError::of::<rusqlite::Error>(
            "read the schema's version",
        ))
}
