//! Who may write: one owner, named in the store's own row, with an epoch that only
//! rises. The lease beside it says whether an owner lives; it keeps hosts from taking
//! over one another by mistake, and the epoch keeps them from writing if they do.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use super::session::{Param, Purpose, Session, Trouble, end_of, hash_of};
use super::{Timing, open};
use crate::Position;
use crate::error::OpenError;
use crate::group::Hash;
use crate::own::{OwnRow, Summed};
use crate::store::{End, FENCED, Meta, Reopened};
use crate::sums::{self, sum};
use crate::timeline::{TIMELINES, Timelines};
use crate::witness::Witness;

/// Between two looks at another's lease.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a take-over waits for a lock of the old owner's last transaction.
const ATTEMPTS: u32 = 6;

/// Who takes the store.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Names this opening of the store, at random.
    pub(super) owner: String,
    /// Names the home, see [`super::witness`].
    pub(super) home: String,
    /// For people: machine and process.
    pub(super) name: String,
    pub(super) take_over: bool,
}

/// A store that was taken.
pub(super) struct Taken {
    pub(super) epoch: u64,
    pub(super) store_id: String,
    pub(super) meta: Meta,
}

/// A lease as it is stored.
struct Lease {
    owner: String,
    home: String,
    name: String,
    renewals: i64,
    age: Duration,
}

/// Where the store ends, before anything of it is changed.
pub(super) async fn look(session: &Session) -> Result<(String, End), Trouble> {
    let rows = session
        .rows(
            "SELECT store_id, last_pos, last_hash FROM store WHERE id = 0",
            &[],
        )
        .await?;
    let row = rows.first().ok_or_else(no_row)?;
    Ok((row.try_get(0)?, end_of(row, 1)?))
}

/// Reads the store's own row, with its sum.
macro_rules! own {
    ($sum:literal) => {
        concat!(
            "SELECT epoch, store_id, last_pos, last_hash, known, tail_start, ",
            $sum,
            " FROM store WHERE id = 0"
        )
    };
}

/// What reads the store's own row, for [`own`].
pub(super) fn own_sql(has_sums: bool) -> &'static str {
    match has_sums {
        true => own!("sum, summed_epoch"),
        false => own!("NULL::bigint, NULL::bigint"),
    }
}

/// The store's own row, before anything of it is changed.
pub(super) async fn own_row(session: &Session, has_sums: bool) -> Result<OwnRow, Trouble> {
    let rows = session.rows(own_sql(has_sums), &[]).await?;
    Ok(own(rows.first().ok_or_else(no_row)?)?)
}

/// Hash of the last group that ends at or before a position, if there is one.
pub(super) async fn hash_at(session: &Session, at: Position) -> Result<Option<Hash>, Trouble> {
    let rows = session
        .rows(
            "SELECT hash FROM groups WHERE first_pos <= $1 AND last_pos <= $1
             ORDER BY first_pos DESC LIMIT 1",
            &[Box::new(at.0.cast_signed())],
        )
        .await?;
    Ok(rows.first().map(|row| hash_of(row, 0)).transpose()?)
}

/// Begins a new timeline, see [`crate::timeline`].
async fn begin_timeline(session: &Session, last: Position) -> Result<(), Trouble> {
    let sql = "SELECT value FROM kv WHERE key = $1";
    let rows = session.rows(sql, &[Box::new(TIMELINES)]).await?;
    let value: Option<&[u8]> = rows.first().map(|row| row.try_get(0)).transpose()?;
    let value = Timelines::open(value)
        .and_then(|it| it.begin_behind(last).map_err(|error| error.to_string()))
        .map_err(|problem| Trouble::Refused(format!("store/timelines: {problem}")))?;
    let sum = sum(&sums::value(TIMELINES, &value));
    let sql = "INSERT INTO kv (key, value, sum) VALUES ($1, $2, $3)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value, sum = excluded.sum";
    let params: [Param<'_>; 3] = [Box::new(TIMELINES), Box::new(&*value), Box::new(sum)];
    session.rows(sql, &params).await.map(drop)
}

/// Takes the store: at once if it is free, or its owner was this home's and is dead for
/// certain; when its owner's lease has run out; or from a living one, if the candidate
/// may. A home may be copied: its name alone says nothing. Unless the store `is_known` to
/// this home, which was its last owner, a timeline begins: another home may have had more
/// than what is there now.
///
/// # Errors
///
/// [`OpenError::HeldBy`] if the owner renews its lease meanwhile.
pub(super) async fn take(
    session: &Session,
    candidate: &Candidate,
    witness: &Witness,
    is_known: bool,
    timing: &Timing,
) -> Result<Taken, OpenError> {
    let attempted = "take ownership";
    let began = Instant::now();
    let mut seen: Option<Lease> = None;
    let mut attempts = 0;
    loop {
        let lease = lease(session).await.map_err(open::failed_by(attempted))?;
        let lives = seen
            .as_ref()
            .is_some_and(|seen| seen.owner == lease.owner && seen.renewals != lease.renewals);
        let is_dead = lease.home == candidate.home && witness.is_dead(&lease.owner);
        let is_free =
            lease.owner.is_empty() || is_dead || lease.age >= timing.lease || candidate.take_over;
        if !is_free && (lives || began.elapsed() > timing.lease + timing.renew_every) {
            return Err(OpenError::HeldBy { name: lease.name });
        }
        if !is_free {
            if seen.is_none() {
                tracing::info!(
                    owner = lease.name,
                    "the store has an owner: waiting to see whether it lives"
                );
            }
            seen = Some(lease);
            sleep(LOOK_EVERY).await;
            continue;
        }
        end_writers(session, &lease.owner).await;
        let is_own = is_known && witness.was_owner(&lease.owner);
        // Before, so that a start after a crash in between knows whose it was.
        witness.note_owner(&candidate.owner);
        match put(session, candidate, &lease.owner, is_own).await {
            Ok(Some(own)) => {
                let (epoch, store_id) = (own.epoch, own.store_id.clone());
                let meta = own.believed();
                return Ok(Taken {
                    epoch,
                    store_id,
                    meta: meta.map_err(|problem| OpenError::OwnRow { problem })?,
                });
            }
            // Another one was quicker.
            Ok(None) => seen = None,
            Err(Trouble::Refused(why)) if attempts < ATTEMPTS => {
                tracing::warn!(why, "the store is not free yet");
            }
            Err(trouble) => return Err(open::failed_by(attempted)(trouble)),
        }
        attempts += 1;
    }
}

async fn lease(session: &Session) -> Result<Lease, Trouble> {
    let rows = session
        .rows(
            "SELECT owner, home, name, renewals,
             least(extract(epoch FROM clock_timestamp() - renewed_at), 1e6)::float8
             FROM lease WHERE id = 0",
            &[],
        )
        .await?;
    let row = rows.first().ok_or_else(no_row)?;
    let age: f64 = row.try_get(4)?;
    Ok(Lease {
        owner: row.try_get(0)?,
        home: row.try_get(1)?,
        name: row.try_get(2)?,
        renewals: row.try_get(3)?,
        age: Duration::from_secs_f64(age.max(0.0)),
    })
}

/// Makes the candidate the owner, if the owner is still the one that was seen, and unless
/// it `is_own` begins a timeline with that: all or nothing.
async fn put(
    session: &Session,
    candidate: &Candidate,
    seen: &str,
    is_own: bool,
) -> Result<Option<OwnRow>, Trouble> {
    let both = async {
        session.client().batch_execute("BEGIN").await?;
        let own = put_owner(session, candidate, seen).await?;
        let last = own.as_ref().map_or(Position(0), |own| own.meta.last);
        if !is_own && last > Position(0) {
            begin_timeline(session, last).await?;
        }
        session.client().batch_execute("COMMIT").await?;
        Ok(own)
    };
    let put = both.await;
    if put.is_err() {
        // Without an answer the session is over, and what it had begun with it.
        let _ = session.client().batch_execute("ROLLBACK").await;
    }
    put
}

async fn put_owner(
    session: &Session,
    candidate: &Candidate,
    seen: &str,
) -> Result<Option<OwnRow>, Trouble> {
    let rows = session
        .rows(
            "WITH taken AS (
                 UPDATE store SET epoch = epoch + 1, owner = $1, summed_epoch =
                 CASE WHEN summed_epoch = epoch THEN epoch + 1 ELSE summed_epoch END
                 WHERE id = 0 AND owner = $2
                 RETURNING epoch, store_id, last_pos, last_hash, known, tail_start, sum,
                 summed_epoch),
             leased AS (
                 UPDATE lease SET owner = $1, home = $3, name = $4, renewals = 0,
                 renewed_at = clock_timestamp()
                 WHERE id = 0 AND EXISTS (SELECT 1 FROM taken))
             SELECT * FROM taken",
            &[
                Box::new(candidate.owner.as_str()),
                Box::new(seen),
                Box::new(candidate.home.as_str()),
                Box::new(candidate.name.as_str()),
            ],
        )
        .await?;
    Ok(rows.first().map(own).transpose()?)
}

/// The store's own row, from its columns as [`put`] and [`own_sql`] give them.
pub(super) fn own(row: &Row) -> Result<OwnRow, tokio_postgres::Error> {
    let number = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
    let end = end_of(row, 2)?;
    let (sum, of): (Option<i64>, Option<i64>) = (row.try_get(6)?, row.try_get(7)?);
    Ok(OwnRow {
        epoch: number(0)?,
        store_id: row.try_get(1)?,
        meta: Meta {
            last: end.last,
            hash: end.hash,
            known: number(4)?,
            tail_start: Position(number(5)?),
        },
        summed: sum.zip(of).map(|(sum, of)| Summed {
            sum,
            epoch: of.cast_unsigned(),
        }),
    })
}

/// Raises the epoch of an owner that comes back: its row's lock waits for what the
/// owner's last session may have under way, which is ended first.
///
/// # Errors
///
/// [`Trouble::Lost`] if there is another owner.
pub(super) async fn come_back(session: &Session, owner: &str) -> Result<Reopened, Trouble> {
    end_writers(session, owner).await;
    let rows = session
        .rows(
            "UPDATE store SET epoch = epoch + 1, summed_epoch =
             CASE WHEN summed_epoch = epoch THEN epoch + 1 ELSE summed_epoch END
             WHERE id = 0 AND owner = $1
             RETURNING epoch, last_pos, last_hash",
            &[Box::new(owner)],
        )
        .await?;
    match rows.first() {
        Some(row) => Ok(Reopened {
            epoch: row.try_get::<_, i64>(0)?.cast_unsigned(),
            end: end_of(row, 1)?,
        }),
        None => Err(Trouble::Lost(FENCED.to_owned())),
    }
}

/// Ends the sessions in which an owner writes, but for this one. What they have under
/// way has been committed by then, or never will be; if they may not be ended from
/// here, the lock of the store's row waits for them.
async fn end_writers(session: &Session, owner: &str) {
    let name: [Param<'_>; 1] = [Box::new(Purpose::Write.name(owner))];
    let ended = session.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = $1 AND datname = current_database()
         AND pid <> pg_backend_pid()",
        &name,
    );
    if let Err(trouble) = ended.await {
        tracing::warn!(
            why = trouble.text(),
            "the old owner's sessions could not be ended"
        );
    }
}

/// Renews the lease. False: there is another owner.
pub(super) async fn renew(session: &Session, owner: &str) -> Result<bool, Trouble> {
    let rows = session
        .rows(
            "UPDATE lease SET renewed_at = clock_timestamp(), renewals = renewals + 1
             WHERE id = 0 AND owner = $1 RETURNING renewals",
            &[Box::new(owner)],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Gives the lease back, so that the next owner needs not wait.
pub(super) async fn release(session: &Session, owner: &str) -> Result<(), Trouble> {
    let sql =
        "UPDATE lease SET renewed_at = to_timestamp(0), home = '' WHERE id = 0 AND owner = $1";
    session.rows(sql, &[Box::new(owner)]).await.map(drop)
}

fn no_row() -> Trouble {
    Trouble::Lost("the database has no store any more".to_owned())
}
