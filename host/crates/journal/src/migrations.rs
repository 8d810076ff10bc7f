//! Migrations of the host's own tables, by `refinery`: one list for each store, applied
//! in order, each with its row in a table of the store.
//!
//! Tables only grow, and the host of schema n works on one of n + 1 as well: so a
//! release can be gone back from, whose host had added a table. Each migration is one
//! transaction with the row that names it.

use refinery::{Migration, Runner};

use crate::error::OpenError;

/// The table with a row for each migration that was applied.
pub(crate) const HISTORY: &str = "host_schema_history";

/// What applies these migrations, which are named and numbered from 1; `complete` may
/// add to the SQL of a number.
pub(crate) fn runner(
    migrations: &[(&str, &str)],
    complete: impl Fn(&str, usize) -> String,
) -> Runner {
    let migrations: Vec<Migration> = (1..)
        .zip(migrations)
        .map(|(number, (name, sql))| {
            Migration::unapplied(&format!("V{number}__{name}"), &complete(sql, number))
                .expect("the name is V, a number, and a word")
        })
        .collect();
    let mut runner = Runner::new(&migrations).set_grouped(true);
    runner.set_migration_table_name(HISTORY);
    runner
}

/// Whether a store of schema `found` must be migrated by a host that knows `known`.
///
/// # Errors
///
/// [`OpenError::NewerSchema`] if it is more than one ahead, or no number of a schema.
pub(crate) fn accepts(found: i64, known: usize) -> Result<bool, OpenError> {
    let known = i64::try_from(known).expect("a handful");
    if found < 0 || found > known + 1 {
        return Err(OpenError::NewerSchema { found, known });
    }
    if found > known {
        tracing::info!(
            found,
            known,
            "the store is of the next schema, which this host can use"
        );
    }
    Ok(found < known)
}
