//! A database that is filled with the rows of another store, and one whose rows become
//! those of another: see [`crate::tables`].

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, ToSql, params};

use super::archive::read_only;
use super::rows::write_value;
use super::{READ_WRITE, connect, schema};
use crate::error::{OpenError, StoreError};
use crate::store::Describe;
use crate::tables::{OWN, Table, Value};

/// KiB of pages kept while a database is filled: rows come in the order in which the
/// other store finds them.
const CACHE_KIB: i64 = 64 << 10;

/// For `map_err`.
fn failed<E>(error: E) -> StoreError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    StoreError::of("write the copy")(error)
}

/// A new database that is filled. Without a journal, and not yet on the disk: of one that
/// was not finished nothing is of use.
pub(crate) struct Filling {
    connection: Connection,
}

impl Filling {
    /// Makes the tables of today in the file at `path`, which is empty.
    pub(crate) fn begin(path: &Path) -> Result<Self, StoreError> {
        let mut connection = connect(path, READ_WRITE)?;
        let mut begin = || -> Result<(), Box<dyn Error + Send + Sync>> {
            connection.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "off")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            schema::migrate(&mut connection, 0)?;
            connection.execute_batch(&format!("BEGIN; DELETE FROM {}", OWN.name))?;
            Ok(())
        };
        begin().map_err(failed)?;
        Ok(Self { connection })
    }

    /// What rows of a table are added with.
    pub(crate) fn table(&self, table: &Table) -> Result<Adding<'_>, StoreError> {
        let (name, columns) = (table.name, table.names());
        let values = table.listed(|index, _| format!("?{}", index + 1));
        let sql = format!("INSERT INTO {name} ({columns}) VALUES ({values})");
        let insert = self.connection.prepare_cached(&sql).map_err(failed)?;
        Ok(Adding { insert })
    }

    /// The next row of a numbered table has a number above `last`.
    pub(crate) fn number_above(&self, table: &Table, last: i64) -> Result<(), StoreError> {
        let number = || {
            let sql = "DELETE FROM sqlite_sequence WHERE name = ?1";
            self.connection.execute(sql, [table.name])?;
            let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
            self.connection.execute(sql, params![table.name, last])
        };
        number().map(drop).map_err(failed)
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        self.connection.close().map_err(|(_, error)| failed(error))
    }
}

/// Adds rows to one table.
pub(crate) struct Adding<'a> {
    insert: CachedStatement<'a>,
}

impl Adding<'_> {
    /// A row, with a value for each column of the table.
    pub(crate) fn add(&mut self, row: &[Value<'_>]) -> Result<(), StoreError> {
        let row = rusqlite::params_from_iter(row);
        self.insert.execute(row).map(drop).map_err(failed)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A database of ours that nobody writes to, and whose rows are handed on.
pub(crate) struct Source {
    connection: Connection,
}

impl Source {
    /// Opens the database at `path`, which has the tables of today.
    ///
    /// # Errors
    ///
    /// [`OpenError::NewerSchema`] too, if it has more than this host knows of.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = read_only(path)?;
        let (found, known) = (schema::readable(&connection, path)?, schema::newest());
        match found {
            _ if found > known => Err(OpenError::NewerSchema { found, known }),
            _ if found < known => Err(OpenError::OlderSchema { found, known }),
            _ => Ok(Self { connection }),
        }
    }

    /// Hands on each row of a table; how many there are.
    pub(crate) fn each<E: From<StoreError>>(
        &self,
        table: &Table,
        mut each: impl FnMut(&[Value<'_>]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let unreadable =
            |error: rusqlite::Error| E::from(StoreError::of("read the backup's rows")(error));
        let sql = format!("SELECT {} FROM {}", table.names(), table.name);
        let mut select = self.connection.prepare(&sql).map_err(unreadable)?;
        let mut rows = select.query([]).map_err(unreadable)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(unreadable)? {
            let columns = 0..table.columns.len();
            let values: Result<Vec<_>, _> = columns.map(|it| value(row.get_ref(it)?)).collect();
            let values = values.map_err(|error| {
                let named = format!("a row of {}: {error}", table.name);
                E::from(StoreError::of("read the backup's rows")(named))
            })?;
            each(&values)?;
            count += 1;
        }
        Ok(count)
    }

    /// The highest number that a row of a numbered table ever had; 0 before the first.
    pub(crate) fn numbered(&self, table: &Table) -> Result<i64, StoreError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let last = self
            .connection
            .query_row(sql, [table.name], |row| row.get(0));
        let last = last.optional().map_err(StoreError::of::<rusqlite::Error>(
            "read the backup's numbers",
        ))?;
        Ok(last.unwrap_or(0))
    }
}

/// A value as one of ours.
pub(super) fn value(value: ValueRef<'_>) -> Result<Value<'_>, Box<dyn Error + Send + Sync>> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(text) => Value::Text(Cow::Borrowed(std::str::from_utf8(text)?)),
        ValueRef::Blob(bytes) => Value::Bytes(bytes),
        ValueRef::Real(number) => return Err(format!("{number} is no value of ours").into()),
    })
}

/// Adds to a copy what it is described as.
pub(crate) fn describe_copy(file: &Path, describe: &mut Describe<'_>) -> Result<(), StoreError> {
    let (key, value) = describe(file).map_err(StoreError::of("describe the copy"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    add_value(&connect(file, flags)?, &key, &value)
        .map_err(StoreError::of::<rusqlite::Error>("write into the copy"))
}

fn add_value(connection: &Connection, key: &str, value: &Bytes) -> rusqlite::Result<()> {
    // One file, without a log beside it.
    connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    write_value(connection, key, value).map(drop)
}
