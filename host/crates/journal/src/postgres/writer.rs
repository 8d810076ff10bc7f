//! The writing side: one session, which is replaced when it breaks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_model::ActorId;
use tokio::time::timeout;

use super::Timing;
use super::lease::Lease;
use super::owner;
use super::session::{Connector, Param, Purpose, Session, Trouble};
use super::tasks::Tasks;
use super::truth::Truth;
use super::write::{self, Failed};
use crate::error::StoreError;
use crate::own;
use crate::store::{AppendError, Group, ReopenError, Reopened, Store};
use crate::witness::Witness;

/// Pauses between attempts to come back.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// How long an attempt to come back goes on once the journal is closing.
const CLOSING_PATIENCE: Duration = Duration::from_secs(3);

/// The writer's session, and what keeps it the only one.
pub(super) struct Writer {
    pub(super) tasks: Arc<Tasks>,
    pub(super) connector: Connector,
    pub(super) truth: Arc<Truth>,
    pub(super) witness: Arc<Witness>,
    pub(super) owner: String,
    pub(super) timing: Timing,
    /// None from when it broke to when it is replaced.
    pub(super) session: Option<Session>,
    pub(super) lease: Lease,
}

impl Writer {
    /// Here too, for at the end nobody waits for the lease's task.
    fn note(&self) {
        self.witness.note(self.truth.store_id(), self.truth.told());
    }

    async fn come_back(&self) -> Result<(Session, Reopened), Trouble> {
        let session = self.connector.session(Purpose::Write, &self.truth).await?;
        let reopened = owner::come_back(&session, &self.owner).await?;
        Ok((session, reopened))
    }
}

impl Store for Writer {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        let Some(session) = &self.session else {
            return Err(AppendError::Unknown("there is no session".to_owned()));
        };
        let sum = own::sum(self.truth.store_id(), &group.meta);
        let writing =
            async { timeout(self.timing.answer, write::write(session, group, sum)).await };
        let written = self.tasks.run_here(writing);
        let written =
            written.unwrap_or_else(|_| Err(Failed::Unknown(Trouble::slow().text().to_owned())));
        match written {
            Ok(()) => {
                self.truth.tell(group.meta.end());
                Ok(())
            }
            Err(failed) => {
                match &failed {
                    Failed::Unknown(_) => self.session = None,
                    Failed::Lost(why) => self.truth.lose(why),
                    Failed::NotApplied(_) | Failed::Fenced => {}
                }
                Err(failed.into())
            }
        }
    }

    fn is_cut_off(&self) -> bool {
        self.session.as_ref().is_none_or(Session::is_closed)
    }

    fn reopen(&mut self, is_closing: &dyn Fn() -> bool) -> Result<Reopened, ReopenError> {
        self.session = None;
        let mut pause = BACKOFF.0;
        let mut closing_since = None;
        loop {
            let attempt = async { timeout(self.timing.answer, self.come_back()).await };
            let attempt = self.tasks.run_here(attempt);
            let trouble = match attempt.unwrap_or_else(|_| Err(Trouble::slow())) {
                Ok((session, reopened)) => {
                    self.session = Some(session);
                    self.truth.tell(reopened.end);
                    self.truth.set_away(None);
                    tracing::info!(epoch = reopened.epoch, "the store is there again");
                    return Ok(reopened);
                }
                Err(trouble) => trouble,
            };
            if let Trouble::Lost(why) = &trouble {
                self.truth.lose(why);
            }
            if let Some(why) = self.truth.lost() {
                return Err(ReopenError::Lost(why.to_string()));
            }
            tracing::warn!(why = trouble.text(), "the store is away, and tried again");
            self.truth.set_away(Some(trouble.text()));
            if is_closing() {
                let since = *closing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > CLOSING_PATIENCE {
                    return Err(ReopenError::GivenUp(trouble.text().to_owned()));
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError> {
        let attempted = "look for snapshots";
        if actors.is_empty() {
            return Ok(0);
        }
        let session = self.session.as_ref();
        let session = session.ok_or_else(|| StoreError::of(attempted)("there is no session"))?;
        let names: Vec<&str> = actors.iter().map(ActorId::as_str).collect();
        let names: [Param<'_>; 1] = [Box::new(names)];
        let counting = async {
            let rows = session.rows(
                "SELECT count(*) FROM unnest($1::text[]) AS its (actor)
                 WHERE NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.actor = its.actor)",
                &names,
            );
            let rows = timeout(self.timing.answer, rows).await;
            let rows = rows.unwrap_or_else(|_| Err(Trouble::slow()))?;
            Ok(rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?)
        };
        match self.tasks.run_here(counting) {
            Ok(missing) => Ok(missing.cast_unsigned()),
            Err(trouble) => {
                let trouble: Trouble = trouble;
                if matches!(trouble, Trouble::Broken(_)) {
                    self.session = None;
                }
                Err(StoreError::of(attempted)(trouble.text().to_owned()))
            }
        }
    }

    fn maintain(&mut self) {}

    fn close(self: Box<Self>) {
        self.note();
        self.lease.end(true);
    }

    fn abandon(self: Box<Self>) {
        self.note();
        self.lease.end(false);
    }
}
