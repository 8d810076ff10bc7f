//! The embedded store: SQLite in WAL mode, one writer connection, a few readers.
//!
//! A group is one blob row, written with `synchronous=FULL`, so that an answered
//! commit survives a loss of power. Checkpoints run beside the commits, on a
//! connection of their own. A lock on a file beside the database keeps a second host
//! out while the owner lives.

mod answers;
mod archive;
mod checkpoint;
mod inspect;
mod lock;
mod migrate;
mod outbox;
mod pieces;
mod pool;
mod reader;
mod rows;
mod schema;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{OpenError, StoreError};
use crate::files::beside;
use crate::store::Opened;

pub(crate) use archive::open as open_archive;
pub(crate) use migrate::migrate;

/// The oldest SQLite that does not corrupt a WAL when it is reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// How long a statement waits for another connection's lock. Only a person with
/// a shell on the database can hold one for this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a page: SQLite's default. Larger ones make a lone commit write more,
/// and did not make a full group faster.
const PAGE_BYTES: u64 = 4 << 10;

/// Statements kept prepared by a connection: all there are.
const STATEMENTS_MAX: usize = 64;

/// Opens the store at `path`, makes it where there is none, brings its schema up
/// to date, and takes ownership: the epoch is one more than before.
///
/// # Errors
///
/// See [`OpenError`]; the journal's content is not looked at yet.
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::OldSqlite {
            found: rusqlite::version(),
        });
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| OpenError::File {
            attempted: "make the folder",
            path: folder.to_owned(),
            source,
        })?;
    }
    let lock = lock::Lock::take(&beside(path, ".lock"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::prepare(&mut connection, path)?;
    let owner = schema::take_ownership(&mut connection)?;
    let second = connect(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::configure(&second).map_err(StoreError::of("configure the checkpoints"))?;
    let file = Arc::new(File::open(path).map_err(StoreError::of("open the database's file"))?);
    let checkpointer = checkpoint::Checkpointer::start(second, Arc::clone(&file))
        .map_err(StoreError::of("start the checkpoints' thread"))?;
    Ok(Opened {
        store: Box::new(writer::Writer::new(
            connection,
            checkpointer,
            Arc::clone(&file),
            lock,
        )),
        reader: Box::new(pool::Pool::new(path.to_owned(), file)),
        epoch: owner.epoch,
        store_id: owner.store_id,
        meta: owner.meta,
    })
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // Else a statement is compiled anew whenever a bound value differs, which
        // costs more than most of ours do.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(connection)
    };
    connect().map_err(StoreError::of::<rusqlite::Error>("open the database"))
}
