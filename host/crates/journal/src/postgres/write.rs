//! A group as statements: one for each table that it touches, with a column of values
//! for each column, so that its size makes no further round trips.

use futures_util::future::{join, try_join_all};
use host_model::limits::SNAPSHOTS_KEPT;

use super::effects::Effects;
use super::session::{Param, Session, Trouble, borrowed};
use super::{answers, pieces};
use crate::store::{FENCED, Group, Records};
use crate::sums::{self, sum, without_zeros as text};
use crate::{DeadLetter, Position};

/// How a group failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// For certain.
    NotApplied(String),
    /// As `NotApplied`: the epoch in the store is another one.
    Fenced,
    /// As `NotApplied`: the store is not what it was.
    Lost(String),
    /// During COMMIT, or without an answer.
    Unknown(String),
}

/// A statement with its values.
pub(super) struct Bound<'a> {
    pub(super) sql: &'static str,
    pub(super) params: Vec<Param<'a>>,
    /// Rows that it must touch, and what is wrong if it does not.
    pub(super) must: Option<(u64, Must)>,
}

/// See [`Bound::must`].
#[derive(Clone, Copy)]
pub(super) enum Must {
    BeOwner,
    FindCasts,
    FindPieces,
    AnswerFirst,
}

impl Must {
    fn failed(self) -> Failed {
        match self {
            Self::BeOwner => Failed::Fenced,
            Self::FindCasts => {
                Failed::NotApplied("a cast of this group is used up a second time".to_owned())
            }
            Self::FindPieces => {
                Failed::NotApplied("a snapshot of this group lacks some of its pieces".to_owned())
            }
            Self::AnswerFirst => Failed::NotApplied(
                "a command of this group is answered a second time under its key".to_owned(),
            ),
        }
    }
}

/// Writes all of a group, or nothing. `sum` is that of the store's own row, see [`crate::own`].
pub(super) async fn write(session: &Session, group: &Group<'_>, sum: i64) -> Result<(), Failed> {
    let bound = statements(group, sum);
    match bound.as_slice() {
        // A statement alone is a transaction of its own.
        [head] => alone(session, head).await,
        all => together(session, all).await,
    }
}

async fn alone(session: &Session, head: &Bound<'_>) -> Result<(), Failed> {
    let statement = session.prepare(head.sql).await.map_err(before_commit)?;
    let params = borrowed(&head.params);
    let touched = session.client().execute(&statement, &params).await;
    match touched.map_err(Trouble::from) {
        Ok(touched) => held(head, touched),
        Err(Trouble::Refused(why)) => Err(Failed::NotApplied(why)),
        Err(Trouble::Lost(why)) => Err(Failed::Lost(why)),
        Err(trouble) => Err(Failed::Unknown(trouble.text().to_owned())),
    }
}

/// Nothing was sent that could commit, but the session may be gone.
fn before_commit(trouble: Trouble) -> Failed {
    match trouble {
        Trouble::Lost(why) => Failed::Lost(why),
        trouble => Failed::NotApplied(trouble.text().to_owned()),
    }
}

async fn together(session: &Session, all: &[Bound<'_>]) -> Result<(), Failed> {
    let mut statements = Vec::with_capacity(all.len());
    for bound in all {
        statements.push(session.prepare(bound.sql).await.map_err(before_commit)?);
    }
    let client = session.client();
    let params: Vec<_> = all.iter().map(|bound| borrowed(&bound.params)).collect();
    let runs = statements
        .iter()
        .zip(&params)
        .map(|(statement, params)| client.execute(statement, params));
    // Sent one behind the other, without waiting for an answer in between.
    let (begun, touched) = join(client.batch_execute("BEGIN"), try_join_all(runs)).await;
    let begun = begun.map_err(Trouble::from);
    if let Err(Trouble::Refused(why)) = begun {
        // Then each statement behind it was a transaction of its own.
        return Err(Failed::Unknown(why));
    }
    let held = match begun.and(touched.map_err(Trouble::from)) {
        Ok(touched) => all
            .iter()
            .zip(touched)
            .try_for_each(|(bound, touched)| held(bound, touched)),
        Err(trouble) => Err(before_commit(trouble)),
    };
    if let Err(failed) = held {
        // If this does not get through, the end of the session does it.
        if let Err(error) = client.batch_execute("ROLLBACK").await {
            tracing::debug!(%error, "a transaction ends with its session");
        }
        return Err(failed);
    }
    let committed = client.batch_execute("COMMIT").await;
    committed.map_err(|error| Failed::Unknown(Trouble::from(error).text().to_owned()))
}

fn held(bound: &Bound<'_>, touched: u64) -> Result<(), Failed> {
    match bound.must {
        Some((rows, must)) if rows != touched => Err(must.failed()),
        _ => Ok(()),
    }
}

impl From<Failed> for crate::store::AppendError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotApplied(why) => Self::NotApplied(why),
            Failed::Fenced => Self::Fenced(FENCED.to_owned()),
            Failed::Lost(why) => Self::Fenced(why),
            Failed::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// The head first: it has the epoch, and its row's lock keeps others out.
fn statements<'a>(group: &'a Group<'_>, sum: i64) -> Vec<Bound<'a>> {
    let effects = Effects::of(group);
    let mut bound = vec![head(group, sum)];
    pieces::write(&effects, &mut bound);
    snapshots(&effects, &mut bound);
    thin(&effects, &mut bound);
    pieces::remove(&effects, &mut bound);
    casts(&effects, &mut bound);
    effects.outbox.write(&mut bound);
    answers::write(&effects, &mut bound);
    timers(&effects, &mut bound);
    letters(&effects, &mut bound);
    quarantine(&effects, &mut bound);
    removed(&effects, &mut bound);
    values(&effects, &mut bound);
    bound
}

const HEAD: &str = "UPDATE store SET last_pos = $1, last_hash = $2, known = $3, tail_start = $4,
     sum = $6, summed_epoch = epoch WHERE id = 0 AND epoch = $5";

const HEAD_AND_RECORDS: &str = "WITH head AS (
         UPDATE store SET last_pos = $1, last_hash = $2, known = $3, tail_start = $4,
         sum = $6, summed_epoch = epoch WHERE id = 0 AND epoch = $5 RETURNING epoch)
     INSERT INTO groups
     (first_pos, last_pos, epoch, records, time_ms, prev_hash, hash, body, exact)
     SELECT $7::bigint, $8::bigint, epoch, $9::integer, $10::bigint, $11::bytea, $2, $12::bytea,
     true FROM head";

fn head<'a>(group: &'a Group<'_>, sum: i64) -> Bound<'a> {
    let meta = &group.meta;
    let mut params: Vec<Param<'a>> = vec![
        Box::new(sql(meta.last)),
        Box::new(&meta.hash[..]),
        Box::new(meta.known.cast_signed()),
        Box::new(sql(meta.tail_start)),
        Box::new(group.epoch.cast_signed()),
        Box::new(sum),
    ];
    let must = Some((1, Must::BeOwner));
    let Some(records) = &group.records else {
        return Bound {
            sql: HEAD,
            params,
            must,
        };
    };
    let Records {
        count,
        body,
        prev_hash,
        hash: _,
    } = records;
    let (first, last) = group.recorded();
    params.push(Box::new(sql(first)));
    params.push(Box::new(sql(last)));
    params.push(Box::new(count.cast_signed()));
    params.push(Box::new(group.time_ms));
    params.push(Box::new(&prev_hash[..]));
    params.push(Box::new(&body[..]));
    Bound {
        sql: HEAD_AND_RECORDS,
        params,
        must,
    }
}

fn snapshots<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let all = &effects.snapshots;
    if all.is_empty() {
        return;
    }
    bound.push(Bound {
        sql: "INSERT INTO snapshots (position, actor, seq, version, time_ms, body, first_piece)
              SELECT position, actor, seq, version, time_ms, body, first_piece
              FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[],
                          $6::bytea[], $7::bigint[], $8::bigint[])
                  AS its (position, actor, seq, version, time_ms, body, first_piece, pieces)
              WHERE first_piece IS NULL OR pieces =
                  (SELECT count(*) FROM snapshot_pieces WHERE first_pos = its.first_piece)",
        params: vec![
            column(all, |(position, _)| sql(*position)),
            column(all, |(_, it)| it.actor.as_str()),
            column(all, |(_, it)| it.seq.cast_signed()),
            column(all, |(_, it)| it.version.to_string()),
            column(all, |(_, it)| it.time_ms),
            column(all, |(_, it)| &it.body[..]),
            column(all, |(_, it)| it.pieces.map(|(first, _)| sql(first))),
            column(all, |(_, it)| it.pieces.map(|(_, count)| i64::from(count))),
        ],
        must: Some((all.len() as u64, Must::FindPieces)),
    });
}

/// Stands behind the snapshots, and removes those that are not kept: see the module `thin`.
fn thin<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let gone = &effects.snapshots_removed;
    if !gone.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM snapshots WHERE position = ANY($1)",
            params: vec![column(gone, |position| sql(*position))],
            must: None,
        });
    }
    // Each actor once, by its last: what that one needs is kept.
    let last: Vec<_> = effects.thinned.iter().collect();
    if last.is_empty() {
        return;
    }
    bound.push(Bound {
        sql: "DELETE FROM snapshots AS old
              USING unnest($1::text[], $3::text[]) AS its (actor, version)
              WHERE old.actor = its.actor AND old.position <=
              (SELECT position FROM snapshots WHERE actor = its.actor
               ORDER BY position DESC LIMIT 1 OFFSET $2)
              AND old.position <> coalesce(
              (SELECT max(position) FROM snapshots
               WHERE actor = its.actor AND version <> its.version), 0)",
        params: vec![
            column(&last, |(actor, _)| **actor),
            Box::new(i64::try_from(SNAPSHOTS_KEPT).expect("a few")),
            column(&last, |(_, version)| version.to_string()),
        ],
        must: None,
    });
}

fn casts<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let used = &effects.casts_used;
    if !used.is_empty() {
        bound.push(Bound {
            sql:
                "DELETE FROM casts USING unnest($1::bigint[], $2::integer[]) AS used (position, idx)
                  WHERE casts.position = used.position AND casts.idx = used.idx",
            params: vec![
                column(used, |id| sql(id.position)),
                column(used, |id| id.index.cast_signed()),
            ],
            must: Some((used.len() as u64, Must::FindCasts)),
        });
    }
    let all: Vec<_> = effects.casts.iter().collect();
    if !all.is_empty() {
        bound.push(Bound {
            sql: "INSERT INTO casts
                  (position, idx, sender, target, version, event, payload, hops, sum)
                  SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[],
                      $5::text[], $6::text[], $7::bytea[], $8::integer[], $9::bigint[])",
            params: vec![
                column(&all, |(id, _)| sql(id.position)),
                column(&all, |(id, _)| id.index.cast_signed()),
                column(&all, |(_, it)| it.from.as_str()),
                column(&all, |(_, it)| it.to.as_str()),
                column(&all, |(_, it)| it.version.to_string()),
                column(&all, |(_, it)| text(&it.event)),
                column(&all, |(_, it)| &it.payload[..]),
                column(&all, |(_, it)| it.hops.cast_signed()),
                column(&all, |(id, it)| sum(&sums::cast(**id, it))),
            ],
            must: None,
        });
    }
}

fn timers<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let fired = &effects.timers_fired;
    if !fired.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM timers
                  USING unnest($1::text[], $2::text[], $3::bigint[]) AS fired (actor, name, set_at)
                  WHERE timers.actor = fired.actor AND timers.name = fired.name
                  AND timers.set_at = fired.set_at",
            params: vec![
                column(fired, |(actor, _, _)| actor.as_str()),
                column(fired, |(_, name, _)| text(name)),
                column(fired, |(_, _, set_at)| sql(*set_at)),
            ],
            must: None,
        });
    }
    let ended = effects.timers.iter().filter(|(_, timer)| timer.is_none());
    let gone: Vec<_> = ended.map(|(key, _)| *key).collect();
    if !gone.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM timers USING unnest($1::text[], $2::text[]) AS gone (actor, name)
                  WHERE timers.actor = gone.actor AND timers.name = gone.name",
            params: vec![
                column(&gone, |(actor, _)| actor.as_str()),
                column(&gone, |(_, name)| text(name)),
            ],
            must: None,
        });
    }
    let set = effects.timers.iter();
    let set: Vec<_> = set
        .filter_map(|(key, timer)| timer.map(|timer| (*key, timer)))
        .collect();
    if !set.is_empty() {
        bound.push(Bound {
            sql: "INSERT INTO timers (actor, name, due_ms, set_at, version, payload, sum)
                  SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[],
                                       $5::text[], $6::bytea[], $7::bigint[])
                  ON CONFLICT (actor, name) DO UPDATE SET due_ms = excluded.due_ms,
                  set_at = excluded.set_at, version = excluded.version,
                  payload = excluded.payload, sum = excluded.sum",
            params: vec![
                column(&set, |((actor, _), _)| actor.as_str()),
                column(&set, |((_, name), _)| text(name)),
                column(&set, |(_, it)| it.due_ms),
                column(&set, |(_, it)| sql(it.set_at)),
                column(&set, |(_, it)| it.version.to_string()),
                column(&set, |(_, it)| it.payload),
                column(&set, |(key, it)| {
                    sum(&sums::timer(
                        *key, it.due_ms, it.set_at, it.version, it.payload,
                    ))
                }),
            ],
            must: None,
        });
    }
}

fn letters<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let used = &effects.letters_used;
    if !used.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM dead_letters WHERE id = ANY ($1::bigint[])",
            params: vec![column(used, |id| id.cast_signed())],
            must: None,
        });
    }
    let all = &effects.letters;
    if !all.is_empty() {
        bound.push(Bound {
            sql: "INSERT INTO dead_letters
                  (position, kind, actor, version, event, payload, reason, message, time_ms,
                   origin, sum)
                  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],
                      $5::text[], $6::bytea[], $7::text[], $8::text[], $9::bigint[],
                      $10::text[], $11::bigint[])",
            params: vec![
                column(all, |(position, _)| sql(*position)),
                column(all, |(_, it)| it.kind.name()),
                column(all, |(_, it)| it.actor.as_str()),
                column(all, |(_, it)| it.version.to_string()),
                column(all, |(_, it)| text(&it.event)),
                column(all, |(_, it)| &it.payload[..]),
                column(all, |(_, it)| text(&it.reason)),
                column(all, |(_, it)| text(&it.message)),
                column(all, |(_, it)| it.time_ms),
                column(all, |(_, it)| origin(it)),
                column(all, |(position, it)| sum(&sums::dead_letter(*position, it))),
            ],
            must: None,
        });
    }
}

fn quarantine<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let released = effects.quarantine.iter().filter(|(_, it)| it.is_none());
    let released: Vec<_> = released.map(|(actor, _)| *actor).collect();
    if !released.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM quarantine WHERE actor = ANY ($1::text[])",
            params: vec![column(&released, |actor| actor.as_str())],
            must: None,
        });
    }
    let set = effects.quarantine.iter();
    let set: Vec<_> = set
        .filter_map(|(actor, it)| it.map(|(position, reason)| (*actor, position, reason)))
        .collect();
    if !set.is_empty() {
        bound.push(Bound {
            sql: "INSERT INTO quarantine (actor, position, reason, sum)
                  SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
                  ON CONFLICT (actor) DO UPDATE SET position = excluded.position,
                  reason = excluded.reason, sum = excluded.sum",
            params: vec![
                column(&set, |(actor, _, _)| actor.as_str()),
                column(&set, |(_, position, _)| sql(*position)),
                column(&set, |(_, _, reason)| text(reason)),
                column(&set, |(actor, position, reason)| {
                    sum(&sums::quarantined(actor, *position, reason))
                }),
            ],
            must: None,
        });
    }
}

/// By the key: groups do not overlap.
fn removed<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    if let Some(through) = effects.removed_through {
        bound.push(Bound {
            sql: "DELETE FROM groups WHERE first_pos <= $1",
            params: vec![Box::new(sql(through))],
            must: None,
        });
    }
}

fn values<'a>(effects: &Effects<'a>, bound: &mut Vec<Bound<'a>>) {
    let removed = effects.values.iter().filter(|(_, value)| value.is_none());
    let removed: Vec<_> = removed.map(|(key, _)| *key).collect();
    if !removed.is_empty() {
        bound.push(Bound {
            sql: "DELETE FROM kv WHERE key = ANY ($1::text[])",
            params: vec![column(&removed, |key| *key)],
            must: None,
        });
    }
    let set = effects.values.iter();
    let set: Vec<_> = set
        .filter_map(|(key, value)| value.map(|value| (*key, value)))
        .collect();
    if !set.is_empty() {
        bound.push(Bound {
            sql: "INSERT INTO kv (key, value, sum)
                  SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[])
                  ON CONFLICT (key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
            params: vec![
                column(&set, |(key, _)| *key),
                column(&set, |(_, value)| *value),
                column(&set, |(key, value)| sum(&sums::value(key, value))),
            ],
            must: None,
        });
    }
}

/// As JSON, which writes a zero character with six others.
fn origin(letter: &DeadLetter) -> String {
    serde_json::to_string(&letter.origin).expect("texts and numbers are always JSON")
}

/// The values of one column.
pub(super) fn column<'a, 'b, R, T>(rows: &'b [R], value: impl Fn(&'b R) -> T) -> Param<'a>
where
    T: tokio_postgres::types::ToSql + Sync + Send + 'a,
{
    Box::new(rows.iter().map(value).collect::<Vec<T>>())
}

pub(super) fn sql(position: Position) -> i64 {
    position.0.cast_signed()
}
