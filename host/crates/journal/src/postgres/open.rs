//! Opening: reach the server, bring the tables up to date, look whether the store is
//! what this home had left, and only then take it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lease::{Keeper, Lease};
use super::owner::{self, Candidate, Taken};
use super::pool::Pool;
use super::session::{Connector, Purpose, Session, Trouble};
use super::tasks::Tasks;
use super::truth::Truth;
use super::writer::Writer;
use super::{Options, POOL_SIZE_MIN, schema};
use crate::error::{OpenError, StoreError};
use crate::store::Opened;
use crate::witness::{Found, Witness, random_name};

/// How long a start waits for a server that is away. Behind a power failure both come up
/// at once; and it is so long that a keeper, who gives up after five crashes within a
/// minute, goes on for as long as the server takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pauses between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Sessions beside those that read: the writer's, and the lease's.
const OTHER_SESSIONS: usize = POOL_SIZE_MIN - 1;

/// Opens the store, makes its tables where there are none, and takes ownership: the
/// epoch is one more than before. Waits for a lease that nobody renews to run out. For
/// [`Journal::start`](crate::Journal::start).
///
/// # Errors
///
/// See [`OpenError`]; the journal's content is not looked at yet.
pub fn open(options: &Options) -> Result<Opened, OpenError> {
    let witness = Arc::new(Witness::open(&options.witness)?);
    let tasks = Tasks::start().map_err(failed("start the store's threads"))?;
    let tasks = Arc::new(tasks);
    let candidate = Candidate {
        owner: random_name().map_err(failed("name this owner"))?,
        home: witness.home(),
        name: name(),
        take_over: options.take_over,
    };
    let connector = Connector::new(&options.address, &candidate.owner)
        .map_err(failed("prepare TLS for the database"))?;
    let opening = Opening {
        options: options.clone(),
        connector: connector.clone(),
        witness: Arc::clone(&witness),
        candidate: candidate.clone(),
    };
    let (session, taken) = tasks.run(opening.run())?;
    let truth = Arc::new(Truth::new(taken.store_id.clone(), taken.meta.end()));
    let (owner, timing) = (candidate.owner, options.timing);
    let keeper = Keeper {
        connector: connector.clone(),
        truth: Arc::clone(&truth),
        witness: Arc::clone(&witness),
        owner: owner.clone(),
        timing,
    };
    let readers = options.pool_size.max(POOL_SIZE_MIN) - OTHER_SESSIONS;
    let pool = Pool::new(
        Arc::clone(&tasks),
        connector.clone(),
        Arc::clone(&truth),
        schema::newest(),
        timing,
        readers,
    );
    let lease = Lease::start(&tasks, keeper);
    Ok(Opened {
        store: Box::new(Writer {
            tasks,
            connector,
            truth,
            witness,
            owner,
            timing,
            session: Some(session),
            lease,
        }),
        reader: Box::new(pool),
        epoch: taken.epoch,
        store_id: taken.store_id,
        meta: taken.meta,
        heads: None,
    })
}

struct Opening {
    options: Options,
    connector: Connector,
    witness: Arc<Witness>,
    candidate: Candidate,
}

impl Opening {
    /// Tries again while the server is away, if this home has used a store before: then
    /// its address was right.
    async fn run(self) -> Result<(Session, Taken), OpenError> {
        let began = Instant::now();
        let mut pause = PAUSE.0;
        loop {
            let error = match self.attempt().await {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            let is_over = began.elapsed() > PATIENCE || !self.witness.knows_a_store();
            if is_over || !may_pass(&error) {
                return Err(error);
            }
            tracing::warn!(%error, "the store is away, and tried again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn attempt(&self) -> Result<(Session, Taken), OpenError> {
        let address = self.options.address.to_string();
        let connected = self.connector.connect(Purpose::Write).await;
        let mut session = connected.map_err(|trouble| reached(trouble, &address))?;
        // Before anything is made or changed.
        let is_known = self.is_known(&session, &address).await?;
        schema::prepare(&mut session, &address).await?;
        warn_of_loss(&session)
            .await
            .map_err(failed_by("ask for the server's settings"))?;
        let timing = &self.options.timing;
        let (candidate, witness) = (&self.candidate, &self.witness);
        let taken = owner::take(&session, candidate, witness, is_known, timing).await?;
        self.witness.note(&taken.store_id, taken.meta.end());
        Ok((session, taken))
    }

    /// Whether the store is one that this home knows; refused if it knows another one, or
    /// this one had more, or what it says of itself does not hold.
    async fn is_known(&self, session: &Session, address: &str) -> Result<bool, OpenError> {
        let schema = schema::found(session, address).await?;
        if schema == 0 {
            self.witness.check_none(address)?;
            return Ok(false);
        }
        let looked = async {
            let own = owner::own_row(session, schema >= schema::SUMS).await?;
            let then = match self.witness.known(&own.store_id) {
                Some(known) => owner::hash_at(session, known.last).await?,
                None => None,
            };
            Ok((own, then))
        };
        let (own, then) = looked.await.map_err(failed_by("look at the store"))?;
        self.witness.check(Found {
            store_id: &own.store_id,
            end: own.end(),
            then,
            epoch: u64::MAX,
        })?;
        let is_known = self.witness.knows(&own.store_id);
        let believed = own.believed();
        believed.map_err(|problem| OpenError::OwnRow { problem })?;
        Ok(is_known)
    }
}

/// Says what this server may lose although it has acknowledged it.
async fn warn_of_loss(session: &Session) -> Result<(), Trouble> {
    let rows = session
        .rows(
            "SELECT current_setting('synchronous_standby_names') = '',
             current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let (alone, syncs): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if alone {
        tracing::warn!(
            "synchronous_standby_names is empty: a command is acknowledged when this one server has it on its disk. If that disk is lost, or a standby is promoted that was behind, the last acknowledged commands are lost; this host then stops with exit code 5 and rebuilds nothing"
        );
    }
    if !syncs {
        tracing::error!(
            "the server runs with fsync or full_page_writes off: a loss of power may lose or damage all that it has"
        );
    }
    Ok(())
}

/// For people, in the lease: machine and process.
fn name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let machine = machine.unwrap_or_else(|_| "an unnamed machine".to_owned());
    format!("process {} on {}", std::process::id(), machine.trim())
}

/// For `map_err`.
pub(super) fn failed<E>(attempted: &'static str) -> impl FnOnce(E) -> OpenError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    move |error| StoreError::of(attempted)(error).into()
}

/// As [`failed`].
pub(super) fn failed_by(attempted: &'static str) -> impl FnOnce(Trouble) -> OpenError {
    move |trouble| match trouble {
        Trouble::Lost(why) => OpenError::Incomplete { why },
        trouble => trouble.of(attempted).into(),
    }
}

/// Why no session came about.
pub(super) fn reached(trouble: Trouble, address: &str) -> OpenError {
    let (address, why) = (address.to_owned(), trouble.text().to_owned());
    match trouble {
        Trouble::Refused(_) => OpenError::Unusable { address, why },
        Trouble::Broken(_) | Trouble::Lost(_) => OpenError::Unreachable { address, why },
    }
}

/// Whether it may be otherwise in a moment.
fn may_pass(error: &OpenError) -> bool {
    match error {
        OpenError::Unreachable { .. } => true,
        OpenError::Store(error) => error.is_away,
        _ => false,
    }
}
