//! A backup that becomes the store of a home: copied beside the store's place, checked
//! there, and only then given the store's name, or put into the database.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use host_cli::Failure;
use host_journal::postgres::{self, Address, PutBackError};
use host_journal::{
    AnchorKey, Archive, Options, Outcome, Position, Rows, files, forget, open_sqlite,
};
use host_model::keep::BackupManifest;
use host_upgrade::BACKUP;
use serde_json::json;

use super::offline::Offline;
use crate::config::Store;
use crate::home::Home;

/// Where a store is to be.
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// In a database.
    Database {
        address: Box<Address>,
        /// In this folder the backup is made ready.
        folder: PathBuf,
    },
}

impl Place {
    /// Of a home's store.
    pub(super) fn of(store: &Store, home: &Home) -> Self {
        match store {
            Store::Sqlite { path, .. } => Self::File(path.clone()),
            Store::Postgres { address, .. } => Self::Database {
                address: address.clone(),
                folder: home.data_dir(),
            },
        }
    }

    /// Refuses where a store is, or the place cannot be reached.
    pub(super) fn must_be_free(&self) -> Result<()> {
        let path = match self {
            Self::File(path) => path,
            Self::Database { address, .. } => return Ok(postgres::vacant(address)?),
        };
        for there in [path.clone(), files::beside(path, "-wal")] {
            ensure!(
                !there.exists(),
                "this home has a store, {}, and it stays as it is; restore into a home without one, or move it away together with the files beside it",
                there.display()
            );
        }
        Ok(())
    }

    /// Where the backup is made ready.
    fn partial(&self) -> PathBuf {
        match self {
            Self::File(path) => files::beside(path, ".restoring"),
            Self::Database { folder, .. } => folder.join("store.restoring"),
        }
    }

    /// Takes in the store in the file `partial`, which is durable: all of it, or nothing.
    fn take(&self, partial: &Path) -> Result<()> {
        match self {
            Self::File(path) => {
                files::name(partial, path).with_context(|| format!("name it {}", path.display()))
            }
            Self::Database { address, .. } => {
                let put = postgres::put_back(address, partial);
                put.map_err(|error| match error {
                    error @ PutBackError::Unknown { .. } => error.into(),
                    // All as it was.
                    error => {
                        let message = format!("put it into {address}: {:#}", Error::from(error));
                        Failure::refused("refused", message).into()
                    }
                })
            }
        }
    }
}

/// What is put where.
pub(super) struct PutBack<'a> {
    /// The backup.
    pub(super) file: &'a Path,
    pub(super) place: &'a Place,
    pub(super) manifest: &'a BackupManifest,
    pub(super) home: &'a Home,
}

impl PutBack<'_> {
    /// Does it, of this `backup`; `tell` hears how far the check of the copy is. What an
    /// earlier one has left that was killed is of no account. The bytes of the copy.
    pub(super) fn run(
        &self,
        backup: &Archive,
        tell: impl FnMut(Position, Position),
    ) -> Result<u64> {
        let partial = self.place.partial();
        clear(&partial).with_context(|| format!("clear {}", partial.display()))?;
        let put = self.put(&partial, backup, tell);
        let cleared = clear(&partial);
        let bytes = put?;
        cleared.with_context(|| format!("clear {}", partial.display()))?;
        Ok(bytes)
    }

    fn put(
        &self,
        partial: &Path,
        backup: &Archive,
        tell: impl FnMut(Position, Position),
    ) -> Result<u64> {
        let copying = || format!("copy it to {}", partial.display());
        copy(self.file, partial).with_context(copying)?;
        let options = Options {
            path: partial.to_owned(),
        };
        let copied = Archive::open(&options)?;
        // Something beside the backup that belongs to it is no part of a backup.
        ensure!(
            copied.trail().end()? == backup.trail().end()?,
            "the file alone ends elsewhere than with what lies beside it: take another backup"
        );
        drop(copied);
        self.record(partial)?;
        let checked = Archive::open(&options)?.check(tell)?;
        if let Some(first) = checked.findings.first() {
            let (file, what, problem) = (self.file.display(), &first.what, &first.problem);
            let message = format!(
                "restore the store from {file}: {what} is damaged: {problem}; take another backup"
            );
            return Err(Failure::look("damaged", message).into());
        }
        // A look leaves an empty log.
        let log = files::beside(partial, "-wal");
        ensure!(
            log.metadata().map_or(0, |log| log.len()) == 0,
            "its log could not be moved into it"
        );
        files::remove_beside(partial)?;
        let ready = File::open(partial)?;
        ready.sync_all()?;
        let bytes = ready.metadata()?.len();
        self.place.take(partial)?;
        // It is another store than the one before, and that is meant.
        let witness = self.home.witness();
        forget(&witness).with_context(|| format!("remove {}", witness.display()))?;
        Ok(bytes)
    }

    /// Records in the copy that it is put back and by whom, and signs its anchor with this
    /// home's key.
    fn record(&self, partial: &Path) -> Result<()> {
        let arguments = json!({"file": self.file, "made_ms": self.manifest.time_ms});
        let opened = open_sqlite(partial, None)?;
        let action = Offline::begin(opened, "store/restore", arguments, &self.manifest.release)?;
        // It is a store again: a copy of its file later on must not pass for this backup.
        action.keep(Rows {
            values: vec![(BACKUP.to_owned(), None)],
            ..Rows::default()
        })?;
        if action.journal().trail()?.anchor()?.is_some() {
            let key = AnchorKey::read_or_make(&self.home.anchor_key())?;
            let anchor = action.journal().signed_anew(&key)?;
            action.keep(Rows {
                values: anchor.into_iter().collect(),
                ..Rows::default()
            })?;
        }
        action.end(&Outcome::done())
    }
}

/// Removes the copy, unless it has its name by now, and all that lies beside it.
fn clear(partial: &Path) -> io::Result<()> {
    files::remove_beside(partial)?;
    let gone: [PathBuf; 2] = [partial.to_owned(), files::beside(partial, ".lock")];
    for path in gone {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut target = options.write(true).create_new(true).mode(0o600).open(to)?;
    files::belongs_to_its_folder(&target, to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()
}
