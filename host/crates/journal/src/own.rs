//! The store's own row, as it was read: whether it is what its owner wrote.
//!
//! Each commit writes a checksum over the row. A host of an older schema knows nothing
//! of that; but it raises the epoch when it takes the store, and the epoch of the sum
//! stays behind. Such a row is believed but for where the tail begins: recovery then
//! reads the journal from its beginning, once.

use crate::Position;
use crate::store::{End, Meta};

/// The store's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRow {
    /// Names the store for ever.
    pub store_id: String,
    /// Of the last owner.
    pub epoch: u64,
    /// What the last commit wrote.
    pub meta: Meta,
    /// The sum of all that, unless no host has written one yet.
    pub summed: Option<Summed>,
}

/// A checksum, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summed {
    /// See [`sum`].
    pub sum: i64,
    /// Of the owner that wrote it, or of one of the same schema behind that.
    pub epoch: u64,
}

/// The checksum of a store's own row: CRC-32C of its name and of all that a commit
/// writes there.
#[must_use]
pub(crate) fn sum(store_id: &str, meta: &Meta) -> i64 {
    let Meta {
        last,
        hash,
        known,
        tail_start,
    } = meta;
    let mut sum = crc32c::crc32c(store_id.as_bytes());
    for number in [last.0, *known, tail_start.0] {
        sum = crc32c::crc32c_append(sum, &number.to_le_bytes());
    }
    i64::from(crc32c::crc32c_append(sum, hash))
}

impl OwnRow {
    /// Where the store ends.
    pub(crate) fn end(&self) -> End {
        self.meta.end()
    }

    /// What the row says, as far as it can be believed.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(crate) fn believed(self) -> Result<Meta, String> {
        let from_the_beginning = Meta {
            tail_start: Position(1),
            ..self.meta.clone()
        };
        let Some(summed) = self.summed else {
            return Ok(from_the_beginning);
        };
        if summed.sum == sum(&self.store_id, &self.meta) {
            return Ok(self.meta);
        }
        match summed.epoch < self.epoch {
            true => Ok(from_the_beginning),
            false => Err("its checksum does not hold".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> OwnRow {
        let meta = Meta {
            last: Position(9),
            hash: [7; 32],
            known: 3,
            tail_start: Position(5),
        };
        OwnRow {
            store_id: "store".to_owned(),
            epoch: 2,
            summed: Some(Summed {
                sum: sum("store", &meta),
                epoch: 2,
            }),
            meta,
        }
    }

    #[test]
    fn each_change_of_the_row_breaks_its_sum() {
        assert_eq!(row().believed(), Ok(row().meta));
        let changes: [fn(&mut OwnRow); 5] = [
            |row| row.store_id = "other".to_owned(),
            |row| row.meta.last = Position(8),
            |row| row.meta.hash[31] = 6,
            |row| row.meta.known = 4,
            |row| row.meta.tail_start = Position(9),
        ];
        for change in changes {
            let mut changed = row();
            change(&mut changed);
            assert!(changed.believed().is_err());
        }
    }

    #[test]
    fn a_row_of_an_older_host_has_the_journal_read_from_its_beginning() {
        let mut older = row();
        older.epoch = 3;
        assert_eq!(older.clone().believed(), Ok(row().meta), "it wrote nothing");
        older.meta.last = Position(12);
        assert_eq!(older.believed().unwrap().tail_start, Position(1));
        let unsummed = OwnRow {
            summed: None,
            ..row()
        };
        assert_eq!(unsummed.believed().unwrap().tail_start, Position(1));
    }
}
