//! A few sessions that only read, beside the writer's.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;

use super::Timing;
use super::schema::{ROW_SUMS, SUMS};
use super::session::{Connector, Param, Purpose, Session, Trouble};
use super::tasks::Tasks;
use super::truth::Truth;
use crate::error::StoreError;

/// Pauses between attempts of a read whose server is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What a row could not be read as.
pub(super) type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// Sessions, opened when they are first needed.
pub(super) struct Pool {
    tasks: Arc<Tasks>,
    shared: Arc<Shared>,
}

struct Shared {
    connector: Connector,
    truth: Arc<Truth>,
    /// Of the tables.
    schema: i64,
    timing: Timing,
    idle: Mutex<Vec<Session>>,
    permits: Semaphore,
    /// The only session there is, in a transaction that sees one state of the store.
    frozen: Option<Session>,
}

impl Pool {
    pub(super) fn new(
        tasks: Arc<Tasks>,
        connector: Connector,
        truth: Arc<Truth>,
        schema: i64,
        timing: Timing,
        sessions: usize,
    ) -> Self {
        Self {
            tasks,
            shared: Arc::new(Shared {
                connector,
                truth,
                schema,
                timing,
                idle: Mutex::default(),
                permits: Semaphore::new(sessions),
                frozen: None,
            }),
        }
    }

    /// One session more, in a transaction that sees the store as it is now.
    pub(super) fn frozen(&self) -> Result<Self, StoreError> {
        let shared = Arc::clone(&self.shared);
        let frozen = self.tasks.run(async move {
            let frozen = timeout(shared.timing.answer, shared.freeze()).await;
            frozen.unwrap_or_else(|_| Err(Trouble::slow()))
        });
        let shared = &self.shared;
        Ok(Self {
            tasks: Arc::clone(&self.tasks),
            shared: Arc::new(Shared {
                connector: shared.connector.clone(),
                truth: Arc::clone(&shared.truth),
                schema: shared.schema,
                timing: shared.timing,
                idle: Mutex::default(),
                permits: Semaphore::new(1),
                frozen: Some(frozen.map_err(|trouble| trouble.of("begin to read"))?),
            }),
        })
    }

    /// Whether the store's own row may have a checksum.
    pub(super) fn has_sums(&self) -> bool {
        self.shared.schema >= SUMS
    }

    /// Whether the rows beside the groups may have checksums.
    pub(super) fn has_row_sums(&self) -> bool {
        self.shared.schema >= ROW_SUMS
    }

    /// The session of a pool that is [`frozen`](Self::frozen).
    pub(super) fn frozen_session(&self) -> Option<&Session> {
        self.shared.frozen.as_ref()
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.shared.timing
    }

    /// See [`Tasks::run_here`].
    pub(super) fn wait<F: Future>(&self, task: F) -> F::Output {
        self.tasks.run_here(task)
    }

    pub(super) fn truth(&self) -> &Truth {
        &self.shared.truth
    }

    /// All rows of one statement, which sees one state of the store.
    pub(super) fn rows<T>(
        &self,
        attempted: &'static str,
        sql: &'static str,
        params: Vec<Param<'static>>,
        read: impl Fn(&Row) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let rows = self
            .tasks
            .run(async move { shared.rows(sql, &params).await });
        let rows = rows.map_err(|trouble| trouble.of(attempted))?;
        let rows: Result<Vec<T>, Unreadable> = rows.iter().map(read).collect();
        rows.map_err(StoreError::of(attempted))
    }

    /// The first row of one statement, if it gives any.
    pub(super) fn row<T>(
        &self,
        attempted: &'static str,
        sql: &'static str,
        params: Vec<Param<'static>>,
        read: impl Fn(&Row) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, StoreError> {
        let rows = self.rows(attempted, sql, params, read)?;
        Ok(rows.into_iter().next())
    }
}

impl Shared {
    /// Tries again while the server is away, for as long as a read may take.
    async fn rows(
        &self,
        sql: &'static str,
        params: &[Param<'static>],
    ) -> Result<Vec<Row>, Trouble> {
        let permit = self.permits.acquire().await;
        let _permit = permit.expect("it is never closed");
        if let Some(session) = &self.frozen {
            let rows = timeout(self.timing.answer, within(session, sql, params)).await;
            return rows.unwrap_or_else(|_| Err(Trouble::slow()));
        }
        let began = Instant::now();
        let mut pause = BACKOFF.0;
        loop {
            let trouble = match timeout(self.timing.answer, self.attempt(sql, params)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(trouble @ Trouble::Broken(_))) => trouble,
                Ok(Err(Trouble::Lost(why))) => {
                    self.truth.lose(&why);
                    return Err(Trouble::Lost(why));
                }
                Ok(Err(trouble)) => return Err(trouble),
                Err(_) => Trouble::slow(),
            };
            if began.elapsed() > self.timing.read {
                return Err(trouble);
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn freeze(&self) -> Result<Session, Trouble> {
        let session = self
            .connector
            .session(Purpose::Inspect, &self.truth)
            .await?;
        // A transaction sees the state in which it first reads.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        for sql in [begin, "SELECT 1 FROM store", "SAVEPOINT begun"] {
            session.client().batch_execute(sql).await?;
        }
        Ok(session)
    }

    async fn attempt(
        &self,
        sql: &'static str,
        params: &[Param<'static>],
    ) -> Result<Vec<Row>, Trouble> {
        let idle = loop {
            match self.idle.lock().pop() {
                Some(session) if session.is_closed() => {}
                other => break other,
            }
        };
        let session = match idle {
            Some(session) => session,
            None => self.connector.session(Purpose::Read, &self.truth).await?,
        };
        let rows = session.rows(sql, params).await;
        // A statement that was refused leaves its session as it was.
        if !matches!(rows, Err(Trouble::Broken(_))) {
            self.idle.lock().push(session);
        }
        rows
    }
}

/// A statement of a transaction that goes on though the statement may fail, so that
/// several damages are told apart.
async fn within(
    session: &Session,
    sql: &'static str,
    params: &[Param<'static>],
) -> Result<Vec<Row>, Trouble> {
    let rows = session.rows(sql, params).await;
    if matches!(rows, Err(Trouble::Refused(_))) {
        let back = session
            .client()
            .batch_execute("ROLLBACK TO SAVEPOINT begun");
        back.await?;
    }
    rows
}
