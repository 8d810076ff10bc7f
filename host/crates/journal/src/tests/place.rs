//! Where a store is: what a test needs to know of SQLite or PostgreSQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use test_postgres::shared;

use crate::postgres::{self, Address, SslMode, Timing};
use crate::store::Opened;
use crate::{Archive, Migrated, OpenError, Options, migrate, sqlite};

/// Tables that the journal's content is in.
const TABLES: [&str; 8] = [
    "groups",
    "snapshots",
    "snapshot_pieces",
    "casts",
    "timers",
    "outbox",
    "answers",
    "kv",
];

/// A store of a test's own.
pub(super) trait Place: Sync {
    /// Opens it; makes it where there is none.
    fn opened(&self) -> Result<Opened, OpenError>;

    /// The same for reading only.
    fn archive(&self) -> Result<Archive, OpenError>;

    /// Brings its tables up to date.
    fn migrate(&self) -> Result<Migrated, OpenError>;

    /// A new one of the same kind.
    fn another(&self) -> Box<dyn Place>;

    /// What a crash at this moment would leave, while the store is open.
    fn crashed(&self) -> Box<dyn Place>;

    /// Runs SQL that every store understands, past the journal.
    fn sql(&self, sql: &str);

    /// The same, as a disk would do it: nothing of the store looks after it.
    fn damage(&self, sql: &str) {
        self.sql(sql);
    }

    /// All that is in the store but its owner.
    fn dump(&self) -> Vec<String>;

    /// SQL of this store with a hash of zeros where `$0` stands.
    fn with_zeros(&self, sql: &str) -> String;
}

/// A SQLite database in a folder.
#[derive(Clone)]
pub(super) struct Sqlite {
    /// None: another one has it.
    _folder: Option<Arc<TempDir>>,
    pub(super) path: PathBuf,
    /// In which file its home knows it, if in any.
    pub(super) witness: Option<PathBuf>,
}

impl Sqlite {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.db");
        Self {
            _folder: Some(Arc::new(folder)),
            path,
            witness: None,
        }
    }

    /// The database in this file, whose folder is somebody else's.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            _folder: None,
            path: path.to_owned(),
            witness: None,
        }
    }

    /// The same, in a home that keeps what it knows of it.
    pub(super) fn known(self) -> Self {
        Self {
            witness: Some(self.path.with_file_name("store.json")),
            ..self
        }
    }

    /// What a crash would leave, while it is open.
    pub(super) fn copied(&self) -> Self {
        let folder = self.path.with_extension("crashed");
        fs::create_dir(&folder).unwrap();
        let copy = folder.join("host.db");
        fs::copy(&self.path, &copy).unwrap();
        let wal = |path: &Path| path.with_extension("db-wal");
        if wal(&self.path).exists() {
            fs::copy(wal(&self.path), wal(&copy)).unwrap();
        }
        Self {
            _folder: self._folder.clone(),
            path: copy,
            witness: self.witness.clone(),
        }
    }

    fn connection(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }
}

impl Place for Sqlite {
    fn opened(&self) -> Result<Opened, OpenError> {
        sqlite::open(&self.path, self.witness.as_deref())
    }

    fn archive(&self) -> Result<Archive, OpenError> {
        let path = self.path.clone();
        Archive::open(&Options { path })
    }

    fn migrate(&self) -> Result<Migrated, OpenError> {
        let path = self.path.clone();
        migrate(&Options { path }, self.witness.as_deref())
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(Self::new())
    }

    fn crashed(&self) -> Box<dyn Place> {
        Box::new(self.copied())
    }

    fn sql(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    fn dump(&self) -> Vec<String> {
        let connection = self.connection();
        let mut dump = Vec::new();
        for table in TABLES {
            let mut rows = connection
                .prepare(&format!("SELECT * FROM {table}"))
                .unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values = (0..columns).map(|column| row.get_ref(column).unwrap());
                dump.push(format!("{table}: {:?}", values.collect::<Vec<_>>()));
            }
        }
        dump
    }

    fn with_zeros(&self, sql: &str) -> String {
        sql.replace("$0", "zeroblob(32)")
    }
}

/// A database of the tests' own server, or of another, and a home that uses it.
#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) options: postgres::Options,
    pub(super) database: String,
    _folder: Arc<TempDir>,
}

impl Postgres {
    /// A new database of the server that all tests share.
    pub(super) fn new() -> Self {
        Self::at(&shared().database().unwrap())
    }

    /// A home that has nothing yet, for the database at this address.
    pub(super) fn at(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            options: postgres::Options {
                address: Address::parse(url, SslMode::VerifyFull, None).unwrap(),
                pool_size: 5,
                witness: folder.path().join("store.json"),
                take_over: false,
                timing: Timing::default(),
            },
            database: database(url).to_owned(),
            _folder: Arc::new(folder),
        }
    }

    /// The same database, for a home that knows nothing of it.
    pub(super) fn for_another_home(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut other = self.clone();
        other.options.witness = folder.path().join("store.json");
        other._folder = Arc::new(folder);
        other
    }

    /// What SQL gives.
    pub(super) fn run(&self, sql: &str) -> String {
        shared().sql(&self.database, sql).unwrap()
    }
}

impl Place for Postgres {
    fn opened(&self) -> Result<Opened, OpenError> {
        postgres::open(&self.options)
    }

    fn archive(&self) -> Result<Archive, OpenError> {
        postgres::archive(&self.options.address)
    }

    fn migrate(&self) -> Result<Migrated, OpenError> {
        postgres::migrate(&self.options.address)
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(Self::new())
    }

    /// The same database, with nobody in it, and a lease that has run out.
    fn crashed(&self) -> Box<dyn Place> {
        self.run(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        // This process lives, so its home would have to wait.
        self.run("UPDATE lease SET renewed_at = to_timestamp(0)");
        Box::new(self.clone())
    }

    fn sql(&self, sql: &str) {
        self.run(sql);
    }

    fn damage(&self, sql: &str) {
        self.run(&format!("SET session_replication_role = replica; {sql}"));
    }

    fn dump(&self) -> Vec<String> {
        let tables = TABLES.iter();
        tables
            .map(|table| self.run(&format!("SELECT * FROM {table}")))
            .collect()
    }

    fn with_zeros(&self, sql: &str) -> String {
        sql.replace("$0", "decode(repeat('00', 32), 'hex')")
    }
}

/// The database's name in an address.
pub(super) fn database(address: &str) -> &str {
    let path = address.split('?').next().unwrap();
    path.rsplit('/').next().unwrap()
}
