//! What can be asked of a database because it is a file of ours.

use std::path::Path;

use rusqlite::{Connection, Row, params};

use super::archive::read_only;
use super::beside;
use super::copy::describe_copy;
use super::pool::Pool;
use super::reader::{position, rows_max, snapshot_key};
use crate::Position;
use crate::error::StoreError;
use crate::store::{Copier, Describe, EachSummed, Inspect, Reader, SnapshotKey};
use crate::sums::Summed;

impl Inspect for Pool {
    fn frozen(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(Pool::frozen(self)?))
    }

    fn integrity(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut found: Vec<String> = self.rows(
            "check the database's pages",
            &format!("PRAGMA integrity_check({limit})"),
            [],
            |row| row.get(0),
        )?;
        found.retain(|line| line != "ok");
        Ok(found)
    }

    fn group_positions(&self, after: Position, limit: usize) -> Result<Vec<Position>, StoreError> {
        self.rows(
            "list the groups",
            "SELECT first_pos FROM groups WHERE first_pos > ?1 ORDER BY first_pos LIMIT ?2",
            params![after.0.cast_signed(), rows_max(limit)],
            |row| position(row, 0),
        )
    }

    fn snapshot_keys(&self, after: Position, limit: usize) -> Result<Vec<SnapshotKey>, StoreError> {
        self.rows(
            "list the snapshots",
            "SELECT position, actor, seq, version FROM snapshots
             WHERE position > ?1 ORDER BY position LIMIT ?2",
            params![after.0.cast_signed(), rows_max(limit)],
            snapshot_key,
        )
    }

    fn summed(&self, summed: &Summed, each: &mut EachSummed<'_>) -> Result<(), StoreError> {
        if !self.has_row_sums() {
            return Ok(());
        }
        let hand_on = |row: &Row<'_>| {
            let (values, sum) = beside::summed(row, 0..summed.width())?;
            each(&values, sum);
            Ok(())
        };
        self.rows("read all rows", &self.select(summed, ""), [], hand_on)
            .map(|_: Vec<()>| ())
    }

    fn snapshot_body(&self, position: Position) -> Result<Vec<u8>, StoreError> {
        let body = self.row(
            "read a snapshot",
            "SELECT body FROM snapshots WHERE position = ?1",
            [position.0.cast_signed()],
            |row| row.get(0),
        )?;
        Ok(body.unwrap_or_default())
    }
}

impl Copier for Pool {
    fn copy_to(&self, file: &Path, describe: &mut Describe<'_>) -> Result<(), StoreError> {
        // On a connection of its own: one read transaction, which no commit waits for.
        vacuum_into(&read_only(self.path())?, file)
            .map_err(StoreError::of::<rusqlite::Error>("copy the database"))?;
        describe_copy(file, describe)
    }
}

/// <https://sqlite.org/lang_vacuum.html#vacuuminto>
fn vacuum_into(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    let file = file.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [&*file]).map(drop)
}
