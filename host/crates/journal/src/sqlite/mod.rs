//! The embedded store: SQLite in WAL mode, one writer connection, a few readers.
//!
//! A group is one blob row, written with `synchronous=FULL`, so that an answered
//! commit survives a loss of power. Checkpoints run beside the commits, on a
//! connection of their own. A lock on a file beside the database keeps a second host
//! out while the owner lives.

mod answers;
mod archive;
mod beside;
mod checkpoint;
mod copy;
mod inspect;
mod lock;
mod migrate;
mod noter;
mod outbox;
mod pieces;
mod pool;
mod reader;
mod rows;
mod schema;
mod writer;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use self::pool::Pool;
use crate::error::{OpenError, StoreError};
use crate::files::{self, beside, resolved};
use crate::heads::Heads;
use crate::own::OwnRow;
use crate::recover;
use crate::store::{Meta, Opened, Reader};
use crate::witness::Witness;

pub(crate) use archive::open as open_archive;
pub(crate) use copy::{Filling, Source, describe_copy};
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
/// to date, and takes ownership: the epoch is one more than before. `witness` is the file
/// in which this home keeps what it last knew of its store; without one nothing is known.
///
/// What is there is read before anything is written: a store that does not hold, or is
/// not what this home had left, stays as it is.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open(path: &Path, witness: Option<&Path>) -> Result<Opened, OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::OldSqlite {
            found: rusqlite::version(),
        });
    }
    let known = witness.map(Witness::read).transpose()?.flatten();
    refuse_if_missed(path, known.as_ref())?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| OpenError::File {
            attempted: "make the folder",
            path: folder.to_owned(),
            source,
        })?;
    }
    let path = &place(path)?;
    let lock = lock::Lock::take(&beside(path, ".lock"))?;
    let witness = witness.map(Witness::open).transpose()?.map(Arc::new);
    let Examined {
        mut connection,
        version,
        before,
    } = examine(path, witness.as_deref())?;
    let recovered = before.as_ref().map(Before::recover).transpose()?;
    let knows = |before: &Before| match &witness {
        Some(witness) => witness.knows(&before.own.store_id),
        None => true,
    };
    let is_known = before.as_ref().is_none_or(knows);
    schema::prepare(&mut connection, version)?;
    let owner = schema::take_ownership(&mut connection, !is_known)?;
    let file = match before {
        Some(before) => before.file,
        None => opened(path)?,
    };
    let noter = witness.map(|witness| {
        let (store_id, end) = (owner.store_id.clone(), owner.meta.end());
        noter::Noter::start(witness, store_id, owner.epoch, end)
    });
    let noter = noter
        .transpose()
        .map_err(StoreError::of("note what is known of the store"))?;
    let second = connect(path, READ_WRITE)?;
    schema::configure(&second).map_err(StoreError::of("configure the checkpoints"))?;
    keep_log(&second, true)?;
    let checkpointer = checkpoint::Checkpointer::start(second, Arc::clone(&file))
        .map_err(StoreError::of("start the checkpoints' thread"))?;
    let (meta, heads) = match recovered {
        Some((meta, heads)) => (meta, Some(heads)),
        None => (owner.meta, None),
    };
    let store = writer::Writer::new(writer::Parts {
        connection,
        store_id: owner.store_id.clone(),
        checkpointer,
        noter,
        _file: Arc::clone(&file),
        _lock: lock,
    });
    Ok(Opened {
        store: Box::new(store),
        reader: Box::new(Pool::new(path.to_owned(), file, schema::newest())),
        epoch: owner.epoch,
        store_id: owner.store_id,
        meta,
        heads,
    })
}

/// How the writing connections open a database.
const READ_WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Where the path of a database leads.
fn place(path: &Path) -> Result<PathBuf, OpenError> {
    resolved(path).map_err(|source| OpenError::File {
        attempted: "find",
        path: path.to_owned(),
        source,
    })
}

/// A file of the database's own, for as long as any connection: see [`checkpoint`].
fn opened(path: &Path) -> Result<Arc<File>, OpenError> {
    let file = File::open(path).map_err(StoreError::of("open the database's file"))?;
    Ok(Arc::new(file))
}

/// A database that was looked at, and not changed.
struct Examined {
    connection: Connection,
    /// Of its schema; 0: it is empty.
    version: i64,
    /// None of an empty one.
    before: Option<Before>,
}

/// What a store has before anyone has taken it.
struct Before {
    pool: Pool,
    own: OwnRow,
    /// Closed behind the connections.
    file: Arc<File>,
}

impl Before {
    fn recover(&self) -> Result<(Meta, Heads), OpenError> {
        let meta = self.own.clone().believed();
        let meta = meta.map_err(|problem| OpenError::OwnRow { problem })?;
        let heads = recover::recover(&self.pool, &meta)?;
        Ok((meta, heads))
    }
}

/// Refuses a database that is not there where this home has had a store: nothing is made in
/// its place.
fn refuse_if_missed(path: &Path, witness: Option<&Witness>) -> Result<(), OpenError> {
    match witness {
        Some(witness) if !path.exists() => {
            witness.refuse_if_known(&format!("{} is not there", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether a file is not there, or has nothing.
fn is_empty(path: &Path) -> bool {
    path.metadata().map_or(0, |file| file.len()) == 0
}

/// Makes the file of a store that is not there yet, for its owner alone to read. SQLite gives
/// the files beside it the same mode.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(false).mode(0o600);
    let made = made.open(path);
    let made = made.and_then(|file| files::belongs_to_its_folder(&file, path));
    made.map_err(|source| OpenError::File {
        attempted: "open the store",
        path: path.to_owned(),
        source,
    })
}

/// Looks whether the database is what this home had left.
fn examine(path: &Path, witness: Option<&Witness>) -> Result<Examined, OpenError> {
    let log = beside(path, "-wal");
    let log_is_gone = is_empty(&log);
    // Whoever opens an empty file makes it a database, and throws away the log beside it.
    if is_empty(path) {
        if let Some(witness) = witness {
            witness.refuse_if_known(&format!("{} is not there, or empty", path.display()))?;
        }
        if !log_is_gone {
            return Err(OpenError::Torn {
                path: path.to_owned(),
            });
        }
    }
    make_private(path)?;
    let connection = connect(path, READ_WRITE)?;
    // Until it is owned, the log stays what it is.
    keep_log(&connection, true)?;
    let version = schema::found(&connection, path);
    if let (Err(OpenError::NotOurs { .. }), Some(witness)) = (&version, witness) {
        witness.refuse_if_known(&format!("{} is no host's database", path.display()))?;
    }
    let version = version?;
    if version == 0 {
        if let Some(witness) = witness {
            let gone = match log_is_gone {
                true => format!(", and {} is not there, or empty", log.display()),
                false => String::new(),
            };
            witness.refuse_if_known(&format!("{} has no store{gone}", path.display()))?;
        }
        return Ok(Examined {
            connection,
            version,
            before: None,
        });
    }
    let file = opened(path)?;
    let pool = Pool::new(path.to_owned(), Arc::clone(&file), version);
    let own = pool.own()?.ok_or_else(|| OpenError::OwnRow {
        problem: "it is not there".to_owned(),
    })?;
    if let Some(witness) = witness {
        witness.hold(&pool, &own, log_is_gone.then_some(&*log))?;
    }
    Ok(Examined {
        connection,
        version,
        before: Some(Before { pool, own, file }),
    })
}

/// Whether the log stays as it is when the last connection closes.
fn keep_log(connection: &Connection, keep: bool) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
        .map_err(StoreError::of::<rusqlite::Error>("configure the log"))
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
