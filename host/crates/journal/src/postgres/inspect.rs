//! A look at everything that the store holds. Its pages are the server's own: it checks
//! their sums where it has them.

use super::pool::Pool;
use super::reader::{get, position, rows_max, snapshot_key};
use crate::Position;
use crate::error::StoreError;
use crate::store::{Inspect, Reader, SnapshotKey};

impl Inspect for Pool {
    fn frozen(&self) -> Result<Box<dyn Reader>, StoreError> {
        Ok(Box::new(Pool::frozen(self)?))
    }

    fn group_positions(&self, after: Position, limit: usize) -> Result<Vec<Position>, StoreError> {
        self.rows(
            "list the groups",
            "SELECT first_pos FROM groups WHERE first_pos > $1 ORDER BY first_pos LIMIT $2",
            vec![Box::new(after.0.cast_signed()), Box::new(rows_max(limit))],
            |row| position(row, 0),
        )
    }

    fn snapshot_keys(&self, after: Position, limit: usize) -> Result<Vec<SnapshotKey>, StoreError> {
        self.rows(
            "list the snapshots",
            "SELECT position, actor, seq, version FROM snapshots
             WHERE position > $1 ORDER BY position LIMIT $2",
            vec![Box::new(after.0.cast_signed()), Box::new(rows_max(limit))],
            snapshot_key,
        )
    }

    fn snapshot_body(&self, position: Position) -> Result<Vec<u8>, StoreError> {
        let body = self.row(
            "read a snapshot",
            "SELECT body FROM snapshots WHERE position = $1",
            vec![Box::new(position.0.cast_signed())],
            |row| get(row, 0),
        )?;
        Ok(body.unwrap_or_default())
    }
}
