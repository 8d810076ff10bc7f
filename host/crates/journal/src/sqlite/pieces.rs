//! Pieces of snapshots.

use rusqlite::{Connection, params};

use super::pool::Pool;
use super::reader::{position, rows_max};
use super::rows::{Failed, sql};
use crate::error::StoreError;
use crate::{Piece, PieceId, Position};

/// Keeps a piece of an entry at `position`.
pub(super) fn write(
    connection: &Connection,
    position: Position,
    piece: &Piece,
) -> Result<(), Failed> {
    let id = piece.id(position);
    connection
        .prepare_cached("INSERT INTO snapshot_pieces (first_pos, idx, body) VALUES (?1, ?2, ?3)")?
        .execute(params![sql(id.first), id.index, &piece.body[..]])?;
    Ok(())
}

/// A snapshot is valid with all its pieces, or not at all. Their bytes are not read.
pub(super) fn must_be_there(
    connection: &Connection,
    first: Position,
    count: u32,
) -> Result<(), Failed> {
    let found: i64 = connection
        .prepare_cached("SELECT count(*) FROM snapshot_pieces WHERE first_pos = ?1")?
        .query_row([sql(first)], |row| row.get(0))?;
    if found == i64::from(count) {
        Ok(())
    } else {
        Err(Failed::Invariant(format!(
            "a snapshot of {count} pieces (first at {}) has {found}",
            first.0
        )))
    }
}

/// Removes pieces, but for those that a snapshot has by now.
pub(super) fn remove(connection: &Connection, pieces: &[PieceId]) -> Result<(), Failed> {
    for id in pieces {
        connection
            .prepare_cached(
                "DELETE FROM snapshot_pieces WHERE first_pos = ?1 AND idx = ?2
                 AND NOT EXISTS (SELECT 1 FROM snapshots WHERE first_piece = ?1)",
            )?
            .execute(params![sql(id.first), id.index])?;
    }
    Ok(())
}

pub(super) fn read(pool: &Pool, id: PieceId) -> Result<Option<Vec<u8>>, StoreError> {
    pool.row(
        "read a piece of a snapshot",
        "SELECT body FROM snapshot_pieces WHERE first_pos = ?1 AND idx = ?2",
        params![sql(id.first), id.index],
        |row| row.get(0),
    )
}

pub(super) fn stray(
    pool: &Pool,
    through: Position,
    limit: usize,
) -> Result<Vec<PieceId>, StoreError> {
    pool.rows(
        "look for pieces that no snapshot has",
        "SELECT first_pos, idx FROM snapshot_pieces AS piece
         WHERE first_pos <= ?1
         AND NOT EXISTS (SELECT 1 FROM snapshots WHERE first_piece = piece.first_pos)
         ORDER BY first_pos, idx LIMIT ?2",
        params![sql(through), rows_max(limit)],
        |row| {
            Ok(PieceId {
                first: position(row, 0)?,
                index: row.get(1)?,
            })
        },
    )
}
