//! How the journal's operations fail: one type for each operation.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::Position;
use crate::chain::Damage;
use crate::sums::BadSum;

/// Why an entry did not become durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Lost {
    /// The store holds nothing of it, for certain: a caller may try again.
    #[error("the entry was not written, and may be tried again: {0}")]
    NotApplied(Arc<str>),
    /// The store may hold it or not. Only a fresh look at the store tells, so
    /// nobody is answered `failed`: the host stops and recovery decides.
    #[error("it is not known whether the entry was written, the next start will tell: {0}")]
    Unknown(Arc<str>),
}

/// How one entry ended. Handed to `done` in the order of appending.
#[derive(Debug)]
pub struct Done<T> {
    /// Where the entry stands.
    pub position: Position,
    /// Durable, or why not.
    pub result: Result<(), Lost>,
    /// What came with the entry.
    pub token: T,
}

/// An entry that was not taken up; its token comes back.
#[derive(Debug, Error)]
#[error("the journal did not take the entry: {reason}")]
pub struct Refused<T> {
    /// Why.
    pub reason: RefusedReason,
    /// What came with the entry.
    pub token: T,
}

/// See [`Refused::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RefusedReason {
    /// The state on which it was executed was built before a group failed:
    /// rebuild the actor if [`Journal::was_lost`](crate::Journal::was_lost), and
    /// execute again.
    #[error("it was executed on a state from before a failed group")]
    StaleIncarnation,
    /// Closed in order, or after [`Lost::Unknown`].
    #[error("the journal is closed")]
    Closed,
}

/// Why the journal admits no new command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Overloaded {
    /// More is executed than the store has kept up with; try again soon.
    #[error("{undurable} bytes wait to become durable, the bound is {max}")]
    Full {
        /// Bytes that wait.
        undurable: usize,
        /// [`UNDURABLE_BYTES_MAX`](host_model::limits::UNDURABLE_BYTES_MAX).
        max: usize,
    },
    /// Closed in order, or after [`Lost::Unknown`].
    #[error("the journal is closed")]
    Closed,
}

/// A statement that the store refused.
#[derive(Debug, Error)]
#[error("could not {attempted}")]
pub struct StoreError {
    /// What was attempted, to stand behind "could not".
    pub attempted: &'static str,
    /// The store's own words.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
    /// The store gave no answer: that says nothing about what it holds.
    pub is_away: bool,
}

impl StoreError {
    /// For `map_err`.
    pub(crate) fn of<E>(attempted: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        move |source| Self {
            attempted,
            source: source.into(),
            is_away: false,
        }
    }

    /// Whether SQLite says that the file is no whole database, or a value is none of ours.
    pub(crate) fn is_damage(&self) -> bool {
        if self.source.is::<BadSum>() {
            return true;
        }
        let Some(error) = self.source.downcast_ref::<rusqlite::Error>() else {
            return false;
        };
        let unreadable = match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..) => true,
            rusqlite::Error::SqliteFailure(_, Some(said))
            | rusqlite::Error::SqlInputError { msg: said, .. } => said.contains("no such table"),
            _ => false,
        };
        let code = error.sqlite_error_code();
        unreadable
            || matches!(
                code,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            )
    }

    /// The error and its sources in one line, for a message that travels without them.
    pub(crate) fn in_full(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

/// Why a journal could not be opened. No row of actors was
/// changed in its store; the owner's epoch may have been raised.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file beside the store could not be made or read.
    #[error("could not {attempted} {}", path.display())]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Another host owns the store and lives.
    #[error(
        "{} is held by process {pid}: one host at a time may use this store; stop that one first",
        path.display()
    )]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// Who holds it, as it wrote there itself.
        pid: String,
    },
    /// The linked SQLite is one that may corrupt a WAL.
    #[error(
        "SQLite {found} is linked, 3.51.3 or newer is needed: build the host with the bundled one"
    )]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// Some other program's database.
    #[error("{} is a database, but no host's: point DATABASE_URL at another file", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Some other program's tables.
    #[error(
        "{address} has a table named store, which is no host's: point DATABASE_URL at another database"
    )]
    NotOursAt {
        /// The database.
        address: String,
    },
    /// The server does not answer.
    #[error("{address} cannot be reached, is it up, and is DATABASE_URL right? {why}")]
    Unreachable {
        /// The database.
        address: String,
        /// In the server's or the library's words.
        why: String,
    },
    /// The server is not to be trusted, or lets nobody in: it will say so again.
    #[error("{address} was reached, and cannot be used: {why}")]
    Unusable {
        /// The database.
        address: String,
        /// In the server's or the library's words.
        why: String,
    },
    /// Another host owns the store, and lives.
    #[error(
        "the store is owned by {name}, which lives: one host at a time may use this store; stop that one first, or fence it with `host start --take-over`"
    )]
    HeldBy {
        /// Who, as it wrote there itself.
        name: String,
    },
    /// The store has lost what this home knows that it had.
    #[error(
        "{why}. Nothing was changed or rebuilt. Point DATABASE_URL at the store that has it all, or put its files back; or, if this is meant, remove {} and start again",
        witness.display()
    )]
    Behind {
        /// What was found, and what was known.
        why: String,
        /// The file that knows it.
        witness: PathBuf,
    },
    /// What the home knew of its store cannot be read back.
    #[error(
        "{} is damaged: {problem}. It is what this home knows of its store; nothing was changed. Look with `host store check` whether the store is the right one and has it all, then remove the file and start again",
        path.display()
    )]
    Witness {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A log without its database.
    #[error(
        "{} is not there, or empty, and the log beside it is not: put the database back, or move its log away",
        path.display()
    )]
    Torn {
        /// The database.
        path: PathBuf,
    },
    /// The row in which the store says what it is does not hold.
    #[error("the store's own row is damaged: {problem}; restore the store from a backup")]
    OwnRow {
        /// What is wrong with it.
        problem: String,
    },
    /// What the keys of webhooks are made of cannot be read.
    #[error(
        "the store's value store/timelines is damaged: {problem}; restore the store from a backup"
    )]
    Timelines {
        /// What is wrong with it.
        problem: String,
    },
    /// A newer host has written here.
    #[error("the store has schema {found}, this host knows {known}: start the newer host")]
    NewerSchema {
        /// In the store.
        found: i64,
        /// The newest of this host.
        known: i64,
    },
    /// The journal's chain is broken.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Older groups were removed, and what says up to where does not hold.
    #[error(
        "the anchor at which the journal's chain begins is damaged: {problem}; restore the store from a backup"
    )]
    Anchor {
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to read.
    #[error("{} is not there, or empty: there is no store", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// As `Missing`, in a database.
    #[error("{address} has no store yet: the first start of a host makes it")]
    MissingAt {
        /// The database.
        address: String,
    },
    /// Too old for this host to read as it is.
    #[error(
        "the store has schema {found}, this host reads {known} and the one before: bring it up to date with `host store migrate`"
    )]
    OlderSchema {
        /// In the store.
        found: i64,
        /// The newest of this host.
        known: i64,
    },
    /// The store is there in part.
    #[error("{why}; restore the store from a backup")]
    Incomplete {
        /// What it has not, in a sentence.
        why: String,
    },
    /// The store refused a statement.
    #[error("the store could not be opened")]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Whether what is stored is damaged, or not what it was: another start finds the same,
    /// and an operator must look.
    #[must_use]
    pub fn must_look(&self) -> bool {
        match self {
            Self::Behind { .. }
            | Self::Witness { .. }
            | Self::Torn { .. }
            | Self::OwnRow { .. }
            | Self::Timelines { .. }
            | Self::Incomplete { .. }
            | Self::Damaged(_)
            | Self::Anchor { .. } => true,
            Self::Store(error) => error.is_damage(),
            _ => false,
        }
    }
}

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// After [`Lost::Unknown`] what the store shows may not last.
    #[error("the journal is closed, because it is not known what its last commit did")]
    Closed,
    /// What is stored cannot be read back.
    #[error("{what} is damaged: {problem}; restore the store from a backup")]
    Damaged {
        /// Names the row.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The journal's chain is broken.
    #[error(transparent)]
    Chain(#[from] Damage),
    /// Retention was faster than who read.
    #[error(
        "the groups to be read next were removed meanwhile, for they are past retention; try again"
    )]
    Overtaken,
    /// The store refused a statement.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
}

impl ReadError {
    /// Whether the same may be read in a moment: then it says nothing of what is stored.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Closed | Self::Overtaken => true,
            Self::Damaged { .. } | Self::Chain(_) => false,
            Self::Store(error) => !error.is_damage(),
        }
    }
}
