//! Brings a store that nobody uses to the schema of this host.

use std::path::Path;

use crate::error::OpenError;
use crate::{Options, sqlite};

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema before.
    pub from: i64,
    /// The schema now.
    pub to: i64,
}

/// Brings the store's tables up to date: all steps, or none. `witness` is the file in which
/// this home keeps what it last knew of its store.
///
/// # Errors
///
/// See [`OpenError`]: a store that is not there is not made.
pub fn migrate(options: &Options, witness: Option<&Path>) -> Result<Migrated, OpenError> {
    sqlite::migrate(&options.path, witness)
}
