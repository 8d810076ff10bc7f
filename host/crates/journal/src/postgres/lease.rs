//! The session that keeps the lease, and with it a few things that are done now and
//! then: the witness is written, the store's size is asked for.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::Timing;
use super::owner;
use super::session::{Connector, Purpose, Session, Trouble};
use super::tasks::Tasks;
use super::truth::Truth;
use crate::store::FENCED;
use crate::tables;
use crate::witness::Witness;

/// Renewals between two looks at the store's size.
const SIZE_EVERY: u32 = 15;

/// How long an end waits for the lease to be given back: it runs out anyway.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The task that renews, until it is told to end.
pub(super) struct Lease {
    /// Whether the lease is to be given back.
    end: oneshot::Sender<bool>,
    ended: std::sync::mpsc::Receiver<()>,
}

/// What the task works with.
pub(super) struct Keeper {
    pub(super) connector: Connector,
    pub(super) truth: Arc<Truth>,
    pub(super) witness: Arc<Witness>,
    pub(super) owner: String,
    pub(super) timing: Timing,
}

impl Lease {
    pub(super) fn start(tasks: &Tasks, keeper: Keeper) -> Self {
        let (end, told) = oneshot::channel();
        let (sender, ended) = sync_channel(1);
        tasks.spawn(async move {
            keeper.run(told).await;
            // Nobody may wait any more.
            let _ = sender.send(());
        });
        Self { end, ended }
    }

    /// Ends the task; waits until the lease is given back, if it shall be.
    pub(super) fn end(self, give_back: bool) {
        // It may have ended, because there is another owner.
        let _ = self.end.send(give_back);
        if give_back {
            let _ = self.ended.recv_timeout(RELEASE_TIMEOUT);
        }
    }
}

impl Keeper {
    async fn run(self, mut told: oneshot::Receiver<bool>) {
        let mut session: Option<Session> = None;
        let mut renewals = 0_u32;
        let give_back = loop {
            let renewed = timeout(self.timing.answer, self.renew(&mut session, renewals)).await;
            match renewed.unwrap_or_else(|_| Err(Trouble::slow())) {
                Ok(()) => {
                    self.truth.set_unrenewed(None);
                    renewals = renewals.wrapping_add(1);
                }
                Err(Trouble::Lost(why)) => {
                    self.truth.lose(&why);
                    return;
                }
                Err(trouble) => {
                    tracing::warn!(
                        why = trouble.text(),
                        "the store's lease could not be renewed"
                    );
                    self.truth.set_unrenewed(Some(trouble.text()));
                    session = None;
                }
            }
            self.note().await;
            tokio::select! {
                give_back = &mut told => break give_back.unwrap_or(false),
                () = sleep(self.timing.renew_every) => {}
            }
        };
        self.note().await;
        if give_back && let Some(session) = &session {
            let released = timeout(RELEASE_TIMEOUT, owner::release(session, &self.owner)).await;
            if !matches!(released, Ok(Ok(()))) {
                tracing::warn!("the store's lease could not be given back, and runs out");
            }
        }
    }

    async fn renew(&self, session: &mut Option<Session>, renewals: u32) -> Result<(), Trouble> {
        if session.as_ref().is_none_or(Session::is_closed) {
            let connected = self.connector.session(Purpose::Lease, &self.truth);
            *session = Some(connected.await?);
        }
        let session = session.as_ref().expect("connected just now");
        if !owner::renew(session, &self.owner).await? {
            return Err(Trouble::Lost(FENCED.to_owned()));
        }
        if renewals.is_multiple_of(SIZE_EVERY) {
            self.truth.set_bytes(size(session).await?);
        }
        Ok(())
    }

    /// Writes down what is known, on a thread that may wait for the disk.
    async fn note(&self) {
        let (truth, witness) = (Arc::clone(&self.truth), Arc::clone(&self.witness));
        let written = tokio::task::spawn_blocking(move || {
            witness.note(truth.store_id(), truth.told());
        });
        // It cannot panic, and is not cancelled but at the end.
        let _ = written.await;
    }
}

/// Bytes that the store's tables take with their indexes: those that its schema has.
pub(super) async fn size(session: &Session) -> Result<u64, Trouble> {
    let names: Vec<_> = tables::all().map(|table| table.name).collect();
    let rows = session
        .rows(
            "SELECT sum(pg_total_relation_size(to_regclass(name)))::bigint
             FROM unnest($1::text[]) AS name",
            &[Box::new(names)],
        )
        .await?;
    let bytes: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(bytes.cast_unsigned())
}
