//! A store that nobody owns, opened for reading only: for an audit of a home that
//! is stopped, and of a backup.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::{OpenError, ReadError};
use crate::named::{Named, Versions};
use crate::store::Reader;
use crate::witness::Witness;
use crate::{CheckError, Checked, Life, Options, Position, Trail, check, lives, named, sqlite};

/// Changes nothing, takes no lock and no epoch. A host may own the store meanwhile.
pub struct Archive {
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) store_id: String,
    pub(crate) schema: i64,
    /// The file beside the store with what was committed last, where that was not there,
    /// or empty.
    pub(crate) lacks_log: Option<PathBuf>,
}

impl Archive {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; the journal's content is not looked at yet.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        sqlite::open_archive(&options.path)
    }

    /// What a home knew of its store, in the file `witness`, and this one has not: in a
    /// sentence, in which a start would refuse it. None where all is there, or nothing was
    /// known.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the store.
    pub fn lost(&self, witness: &Path) -> Result<Option<String>, OpenError> {
        let Some(witness) = Witness::read(witness)? else {
            return Ok(None);
        };
        let own = self.reader.own()?.ok_or_else(|| OpenError::OwnRow {
            problem: "it is not there".to_owned(),
        })?;
        match witness.hold(&*self.reader, &own, self.lacks_log.as_deref()) {
            Err(OpenError::Behind { why, .. }) => Ok(Some(why)),
            other => other.map(|()| None),
        }
    }

    /// The audit trail.
    #[must_use]
    pub fn trail(&self) -> Trail<'_> {
        Trail::new(&*self.reader)
    }

    /// See [`Journal::check`](crate::Journal::check).
    ///
    /// # Errors
    ///
    /// [`CheckError`]
    pub fn check(&self, tell: impl FnMut(Position, Position)) -> Result<Checked, CheckError> {
        check::check(&*self.reader, tell)
    }

    /// Hands on all that the store has of each actor, one after the other, in no
    /// order. Some hundred MiB are in memory at once.
    ///
    /// # Errors
    ///
    /// [`CheckError`]
    pub fn lives(&self, each: impl FnMut(Life)) -> Result<(), CheckError> {
        lives::lives(&*self.reader, each)
    }

    /// The plugin versions that this store cannot be woken without: those whose
    /// states it holds, and those whose records a replay still applies.
    ///
    /// # Errors
    ///
    /// The store's, or that a record is damaged.
    pub fn versions(&self) -> Result<Versions, ReadError> {
        named::needed(&*self.reader)
    }

    /// The plugin versions in whose shape timers and casts are that wait. Without a library
    /// that knows the shape they become dead letters.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn waiting(&self) -> Result<Versions, ReadError> {
        named::waiting(&*self.reader)
    }

    /// See [`Journal::named`](crate::Journal::named).
    ///
    /// # Errors
    ///
    /// The store's, or that something in it is damaged.
    pub fn named(&self) -> Result<Named, ReadError> {
        named::named(&*self.reader)
    }

    /// Names the store for ever.
    #[must_use]
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Version of its tables.
    #[must_use]
    pub fn schema(&self) -> i64 {
        self.schema
    }

    /// See [`Journal::value`](crate::Journal::value).
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn value(&self, key: &str) -> Result<Option<Bytes>, ReadError> {
        Ok(self.reader.value(key)?)
    }

    /// See [`Journal::values`](crate::Journal::values).
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn values(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, ReadError> {
        Ok(self.reader.values(prefix)?)
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("store_id", &self.store_id)
            .finish_non_exhaustive()
    }
}
