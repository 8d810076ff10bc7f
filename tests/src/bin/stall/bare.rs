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

/// Bytes of all actors' last snapshots in this version, in the store of a host that has
/// stopped.
pub(crate) fn snapshot_bytes(store: &Path, version: &str) -> Result<u64> {
    let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let pieces = "SELECT total(length(body)) FROM snapshot_pieces WHERE first_pos = first_piece";
    let last = "SELECT max(position) FROM snapshots WHERE version = ?1 GROUP BY actor";
    let sql = format!(
        "SELECT CAST(total(length(body) + ({pieces})) AS INTEGER) FROM snapshots
         WHERE position IN ({last})"
    );
    let bytes = store.query_row(&sql, [version], |row| row.get::<_, i64>(0));
    Ok(bytes.context("add up the snapshots")?.unsigned_abs())
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
