//! Webhooks that wait.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tokio_postgres::Row;

use super::beside::{intact, summed};
use super::pool::{Pool, Unreadable};
use super::reader::{bytes, get, parsed, position, rows_max, small};
use super::write::{Bound, column, sql};
use crate::error::StoreError;
use crate::sums::{self, sum, without_zeros as text};
use crate::{OutboxChange, OutboxId, OutboxRow, Tried, Webhook};

/// What a row has beside its body.
macro_rules! columns {
    () => {
        "attempts, due_ms, error, position, idx, actor, version, name, url"
    };
}

/// Reads that, of the rows that are named behind.
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM outbox ", $rest)
    };
}

/// Kinds of [`Change`].
const KINDS: usize = 3;

/// What becomes of a row.
#[derive(Debug, Clone)]
enum Change<'a> {
    Delete,
    /// One that is there stays: two operators may want the same dead letter sent again.
    Put(&'a Webhook, Tried),
    Tried(&'a Tried),
}

impl Change<'_> {
    fn kind(&self) -> usize {
        match self {
            Self::Delete => 0,
            Self::Put(..) => 1,
            Self::Tried(_) => 2,
        }
    }
}

/// The changes of a group, as few statements as keep the order of those of one row.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    /// By slot: slot n has changes of kind n modulo [`KINDS`] only, one of a row.
    slots: BTreeMap<usize, Vec<(OutboxId, Change<'a>)>>,
    /// The slot of each row's last change.
    last: HashMap<OutboxId, usize>,
}

impl<'a> Changes<'a> {
    pub(super) fn put(&mut self, id: OutboxId, webhook: &'a Webhook, tried: Tried) {
        self.add(id, Change::Put(webhook, tried));
    }

    pub(super) fn delete(&mut self, id: OutboxId) {
        self.add(id, Change::Delete);
    }

    pub(super) fn change(&mut self, change: &'a OutboxChange) {
        match change {
            OutboxChange::Again(id, webhook, tried) => self.put(*id, webhook, tried.clone()),
            OutboxChange::Tried(id, tried) => self.add(*id, Change::Tried(tried)),
        }
    }

    fn add(&mut self, id: OutboxId, change: Change<'a>) {
        let first = self.last.get(&id).map_or(0, |slot| slot + 1);
        let slot = first + (KINDS + change.kind() - first % KINDS) % KINDS;
        self.last.insert(id, slot);
        self.slots.entry(slot).or_default().push((id, change));
    }

    pub(super) fn write(&self, bound: &mut Vec<Bound<'a>>) {
        for changes in self.slots.values() {
            delete(changes, bound);
            put(changes, bound);
            tried(changes, bound);
        }
    }
}

fn delete<'a>(changes: &[(OutboxId, Change<'a>)], bound: &mut Vec<Bound<'a>>) {
    let gone = changes.iter().filter_map(|(id, change)| match change {
        Change::Delete => Some(*id),
        _ => None,
    });
    let gone: Vec<_> = gone.collect();
    if gone.is_empty() {
        return;
    }
    bound.push(Bound {
        sql: "DELETE FROM outbox USING unnest($1::bigint[], $2::integer[]) AS gone (position, idx)
              WHERE outbox.position = gone.position AND outbox.idx = gone.idx",
        params: vec![
            column(&gone, |id| sql(id.position)),
            column(&gone, |id| id.index.cast_signed()),
        ],
        must: None,
    });
}

fn put<'a>(changes: &[(OutboxId, Change<'a>)], bound: &mut Vec<Bound<'a>>) {
    let all = changes.iter().filter_map(|(id, change)| match change {
        Change::Put(webhook, tried) => Some((*id, *webhook, tried.clone())),
        _ => None,
    });
    let all: Vec<(OutboxId, &'a Webhook, Tried)> = all.collect();
    if all.is_empty() {
        return;
    }
    bound.push(Bound {
        sql: "INSERT INTO outbox
              (position, idx, actor, version, name, url, attempts, due_ms, error, body, sum)
              SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[],
                  $5::text[], $6::text[], $7::integer[], $8::bigint[], $9::text[], $10::bytea[],
                  $11::bigint[])
              ON CONFLICT DO NOTHING",
        params: vec![
            column(&all, |(id, ..)| sql(id.position)),
            column(&all, |(id, ..)| id.index.cast_signed()),
            column(&all, |(_, it, _)| it.actor.as_str()),
            column(&all, |(_, it, _)| it.version.to_string()),
            column(&all, |(_, it, _)| text(&it.name)),
            column(&all, |(_, it, _)| text(&it.url)),
            column(&all, |(.., tried)| tried.attempts.cast_signed()),
            column(&all, |(.., tried)| tried.due_ms),
            column(&all, |(.., tried)| text(&tried.error).into_owned()),
            column(&all, |(_, it, _)| &it.body[..]),
            column(&all, |(id, it, _)| sum(&sums::webhook(*id, it))),
        ],
        must: None,
    });
}

fn tried<'a>(changes: &[(OutboxId, Change<'a>)], bound: &mut Vec<Bound<'a>>) {
    let all = changes.iter().filter_map(|(id, change)| match change {
        Change::Tried(tried) => Some((*id, *tried)),
        _ => None,
    });
    let all: Vec<(OutboxId, &'a Tried)> = all.collect();
    if all.is_empty() {
        return;
    }
    bound.push(Bound {
        sql: "UPDATE outbox SET attempts = its.attempts, due_ms = its.due_ms, error = its.error
              FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::text[])
              AS its (position, idx, attempts, due_ms, error)
              WHERE outbox.position = its.position AND outbox.idx = its.idx",
        params: vec![
            column(&all, |(id, _)| sql(id.position)),
            column(&all, |(id, _)| id.index.cast_signed()),
            column(&all, |(_, it)| it.attempts.cast_signed()),
            column(&all, |(_, it)| it.due_ms),
            column(&all, |(_, it)| text(&it.error)),
        ],
        must: None,
    });
}

pub(super) fn list(
    pool: &Pool,
    after: Option<OutboxId>,
    limit: usize,
) -> Result<Vec<OutboxRow>, StoreError> {
    let (above, index) = after.map_or((-1, 0), |id| (sql(id.position), id.index));
    pool.rows(
        "read the outbox",
        select!("WHERE (position, idx) > ($1, $2) ORDER BY position, idx LIMIT $3"),
        vec![
            Box::new(above),
            Box::new(index.cast_signed()),
            Box::new(rows_max(limit)),
        ],
        row,
    )
}

pub(super) fn due(
    pool: &Pool,
    now_ms: i64,
    after: Option<(i64, OutboxId)>,
    limit: usize,
) -> Result<Vec<OutboxRow>, StoreError> {
    let (due_ms, above, index) = after.map_or((i64::MIN, -1, 0), |(due_ms, id)| {
        (due_ms, sql(id.position), id.index)
    });
    pool.rows(
        "read what is due of the outbox",
        select!(
            "WHERE due_ms <= $1 AND (due_ms, position, idx) > ($2, $3, $4)
             ORDER BY due_ms, position, idx LIMIT $5"
        ),
        vec![
            Box::new(now_ms),
            Box::new(due_ms),
            Box::new(above),
            Box::new(index.cast_signed()),
            Box::new(rows_max(limit)),
        ],
        row,
    )
}

pub(super) fn read(pool: &Pool, id: OutboxId) -> Result<Option<(OutboxRow, Bytes)>, StoreError> {
    pool.row(
        "read a webhook",
        summed!(
            pool,
            columns!(),
            ", body";
            "FROM outbox WHERE position = $1 AND idx = $2"
        ),
        vec![Box::new(sql(id.position)), Box::new(id.index.cast_signed())],
        |found| {
            intact(found, 3..10)?;
            Ok((row(found)?, bytes(found, 9)?))
        },
    )
}

pub(super) fn next(pool: &Pool) -> Result<Option<i64>, StoreError> {
    let due = pool.row(
        "read the next webhook",
        "SELECT min(due_ms) FROM outbox",
        Vec::new(),
        |row| get::<Option<i64>>(row, 0),
    )?;
    Ok(due.flatten())
}

fn row(row: &Row) -> Result<OutboxRow, Unreadable> {
    Ok(OutboxRow {
        tried: Tried {
            attempts: small(row, 0)?,
            due_ms: get(row, 1)?,
            error: get(row, 2)?,
        },
        id: OutboxId {
            position: position(row, 3)?,
            index: small(row, 4)?,
        },
        actor: parsed(row, 5)?,
        version: parsed(row, 6)?,
        name: get(row, 7)?,
        url: get(row, 8)?,
    })
}
