//! A look at everything that the store holds. Its pages are the server's own: it checks
//! their sums where it has them.

use super::beside;
use super::copy::Moment;
use super::pool::Pool;
use super::reader::{get, position, rows_max, snapshot_key};
use crate::Position;
use crate::error::StoreError;
use crate::store::{EachSummed, Inspect, Reader, SnapshotKey};
use crate::sums::Summed;

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

    fn summed(&self, summed: &Summed, each: &mut EachSummed<'_>) -> Result<(), StoreError> {
        if !self.has_row_sums() {
            return Ok(());
        }
        let Summed { table, columns, .. } = summed;
        let sql = format!("SELECT {columns}, sum FROM {table}");
        let moment = Moment { pool: self };
        let read = moment.rows(&sql, |row| {
            let row = beside::sum_of(row, 0..summed.width());
            let (values, sum) = row.map_err(StoreError::of("read all rows"))?;
            each(&values, sum);
            Ok(())
        });
        if read.as_ref().is_err_and(|error| !error.is_away) {
            moment.go_on()?;
        }
        read
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
