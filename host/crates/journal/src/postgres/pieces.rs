//! Pieces of snapshots. See SQLite's.

use super::effects::Effects;
use super::pool::Pool;
use super::reader::{get, position, rows_max, small};
use super::write::{Bound, column, sql};
use crate::error::StoreError;
use crate::{PieceId, Position};

/// Stands before the snapshots: a group may have the last piece of one and all else.
pub(super) fn write<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let all = &effects.pieces;
    if !all.is_empty() {
        bound.push(Bound {
            sql: "INSERT INTO snapshot_pieces (first_pos, idx, body)
                  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bytea[])",
            params: vec![
                column(all, |(id, _)| sql(id.first)),
                column(all, |(id, _)| id.index.cast_signed()),
                column(all, |(_, body)| *body),
            ],
            must: None,
        });
    }
}

/// Stands behind the snapshots: those that one has by now stay.
pub(super) fn remove<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let gone = &effects.pieces_removed;
    if !gone.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM snapshot_pieces AS piece
                  USING unnest($1::bigint[], $2::integer[]) AS gone (first_pos, idx)
                  WHERE piece.first_pos = gone.first_pos AND piece.idx = gone.idx
                  AND NOT EXISTS (SELECT 1 FROM snapshots
                                  WHERE snapshots.first_piece = gone.first_pos)",
            params: vec![
                column(gone, |id| sql(id.first)),
                column(gone, |id| id.index.cast_signed()),
            ],
            must: None,
        });
    }
}

pub(super) fn read(pool: &Pool, id: PieceId) -> Result<Option<Vec<u8>>, StoreError> {
    pool.row(
        "read a piece of a snapshot",
        "SELECT body FROM snapshot_pieces WHERE first_pos = $1 AND idx = $2",
        vec![Box::new(sql(id.first)), Box::new(id.index.cast_signed())],
        |row| get(row, 0),
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
         WHERE first_pos <= $1
         AND NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.first_piece = piece.first_pos)
         ORDER BY first_pos, idx LIMIT $2",
        vec![Box::new(sql(through)), Box::new(rows_max(limit))],
        |row| {
            Ok(PieceId {
                first: position(row, 0)?,
                index: small(row, 1)?,
            })
        },
    )
}
