//! The least that a switch can take which writes a store's snapshots anew: a bare loop
//! that writes as many bytes durably, with the same SQLite and on the same disk.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;
use rusqlite::{Connection, OpenFlags};

use crate::window::median;

/// How often it is done; the median counts.
const RUNS: usize = 5;

/// What the snapshots take that a switch has written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// Bytes as the store has them: packed, those of up to 1 MiB.
    pub(crate) stored: u64,
    /// Bytes as the plugins gave them.
    pub(crate) plain: u64,
}

/// All actors' last snapshots in this version, in the store of a host that has stopped.
pub(crate) fn snapshots(store: &Path, version: &str) -> Result<Written> {
    let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let pieces = "SELECT CAST(total(length(body)) AS INTEGER) FROM snapshot_pieces
                  WHERE first_pos = first_piece";
    let last = "SELECT max(position) FROM snapshots WHERE version = ?1 GROUP BY actor";
    let sql = format!(
        "SELECT length(body), ({pieces}), substr(body, 5, 5) FROM snapshots
         WHERE position IN ({last})"
    );
    let mut query = store.prepare(&sql)?;
    let rows = query.query_map([version], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
    })?;
    rows.map(|row| {
        let (body, pieces, head): (i64, i64, Vec<u8>) = row?;
        // Behind its checksum a packed one begins with this byte and its length unpacked,
        // little-endian.
        let plain = match head[..] {
            [0xc1, a, b, c, d] => i64::from(u32::from_le_bytes([a, b, c, d])),
            _ => body,
        };
        Ok(Written {
            stored: (body + pieces).unsigned_abs(),
            plain: (plain + pieces).unsigned_abs(),
        })
    })
    .try_fold(Written::default(), |sum, one: Result<_>| {
        let one = one.context("add up the snapshots")?;
        Ok(Written {
            stored: sum.stored + one.stored,
            plain: sum.plain + one.plain,
        })
    })
}

/// How long so many bytes take: one blob row after the other, each of as much as a piece
/// of a snapshot and in a commit of its own. Never checkpointed, that is the most that
/// SQLite gives.
pub(crate) fn write(bytes: u64) -> Result<Duration> {
    let took: Result<Vec<_>> = (0..RUNS).map(|_| write_once(bytes)).collect();
    took.map(median)
}

fn write_once(bytes: u64) -> Result<Duration> {
    let folder = tempfile::tempdir()?;
    let connection = Connection::open(folder.path().join("bare.db"))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.execute_batch("CREATE TABLE bare (id INTEGER PRIMARY KEY, body BLOB)")?;
    let body: Vec<u8> = (0..SNAPSHOT_PIECE_BYTES_MAX).map(|at| at as u8).collect();
    let mut left = bytes;
    let began = Instant::now();
    while left > 0 {
        let piece = &body[..body.len().min(usize::try_from(left)?)];
        connection
            .prepare_cached("INSERT INTO bare (body) VALUES (?1)")?
            .execute([piece])?;
        left -= piece.len() as u64;
    }
    Ok(began.elapsed())
}
