//! Who may write: one owner, named in the store's own row, with an epoch that only
//! rises. The lease beside it says whether an owner lives; it keeps hosts from taking
//! over one another by mistake, and the epoch keeps them from writing if they do.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use super::session::{Param, Purpose, Session, Trouble, end_of};
use super::{Timing, open};
use crate::error::OpenError;
use crate::store::{FENCED, Meta, Reopened};
use crate::{Position, store::End};

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

/// Takes the store: at once if it is free, or was this home's; when its owner's lease
/// has run out; or from a living one, if the candidate may.
///
/// # Errors
///
/// [`OpenError::HeldBy`] if the owner renews its lease meanwhile.
pub(super) async fn take(
    session: &Session,
    candidate: &Candidate,
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
        let is_free = lease.owner.is_empty()
            || lease.home == candidate.home
            || lease.age >= timing.lease
            || candidate.take_over;
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
        match put(session, candidate, &lease.owner).await {
            Ok(Some(taken)) => return Ok(taken),
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

/// Makes the candidate the owner, if the owner is still the one that was seen.
async fn put(
    session: &Session,
    candidate: &Candidate,
    seen: &str,
) -> Result<Option<Taken>, Trouble> {
    let rows = session
        .rows(
            "WITH taken AS (
                 UPDATE store SET epoch = epoch + 1, owner = $1
                 WHERE id = 0 AND owner = $2
                 RETURNING epoch, store_id, last_pos, last_hash, known, tail_start),
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
    Ok(rows.first().map(taken).transpose()?)
}

fn taken(row: &Row) -> Result<Taken, tokio_postgres::Error> {
    let number = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
    let end = end_of(row, 2)?;
    Ok(Taken {
        epoch: number(0)?,
        store_id: row.try_get(1)?,
        meta: Meta {
            last: end.last,
            hash: end.hash,
            known: number(4)?,
            tail_start: Position(number(5)?),
        },
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
            "UPDATE store SET epoch = epoch + 1 WHERE id = 0 AND owner = $1
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
