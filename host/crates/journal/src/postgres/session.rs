//! Sessions: a connection that is configured, checked, and has its statements prepared.

use std::collections::HashMap;
use std::error::Error as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Address;
use super::tls::{self, TlsError};
use super::truth::Truth;
use crate::Position;
use crate::error::StoreError;
use crate::group::Hash;
use crate::store::End;
use crate::witness::Found;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that has not acknowledged anything for this long is gone.
const PEER_TIMEOUT: Duration = Duration::from_secs(15);

/// A value for a statement.
pub(super) type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// What a session is for: it is in `pg_stat_activity`, and fencing goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
    /// One long transaction that reads.
    Inspect,
    Lease,
}

impl Purpose {
    /// `application_name`, of 63 bytes at most.
    pub(super) fn name(self, owner: &str) -> String {
        let purpose = match self {
            Self::Write => "writer",
            Self::Read => "reader",
            Self::Inspect => "inspector",
            Self::Lease => "lease",
        };
        format!("host {purpose} {owner}")
    }

    /// What holds for the session, whatever the role's own settings are.
    fn settings(self) -> &'static str {
        match self {
            // A statement that is cancelled while it waits for a synchronous standby
            // counts as committed, and is not on the standby: nothing may cancel it.
            Self::Write => {
                "SET statement_timeout = 0;
                 SET lock_timeout = '5s';
                 SET idle_in_transaction_session_timeout = '10s';
                 SELECT set_config('synchronous_commit', 'on', false)
                 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
            }
            Self::Read => "SET default_transaction_read_only = on",
            // A replay thinks for minutes between two reads.
            Self::Inspect => {
                "SET default_transaction_read_only = on;
                 SET idle_in_transaction_session_timeout = 0;
                 SET statement_timeout = 0"
            }
            Self::Lease => "SET lock_timeout = '5s'",
        }
    }
}

/// Why a statement, or a connection, came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server answered with an error, and holds nothing of it.
    Refused(String),
    /// No answer, or one that ends the session.
    Broken(String),
    /// An operator must look; see [`Truth`].
    Lost(String),
}

impl Trouble {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Broken(text) | Self::Lost(text) => text,
        }
    }

    /// As the store's error; see [`StoreError::is_away`].
    pub(super) fn of(self, attempted: &'static str) -> StoreError {
        let is_away = !matches!(self, Self::Refused(_));
        let (Self::Refused(text) | Self::Broken(text) | Self::Lost(text)) = self;
        StoreError {
            is_away,
            ..StoreError::of(attempted)(text)
        }
    }

    pub(super) fn slow() -> Self {
        Self::Broken("PostgreSQL has not answered in time".to_owned())
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // Nobody of ours drops one: the store is not what it was.
            Some(said) if *said.code() == SqlState::UNDEFINED_TABLE => Self::Lost(format!(
                "the database has not all tables of the store any more: {}",
                in_words(said)
            )),
            Some(said) if said.parsed_severity() == Some(Severity::Error) => {
                Self::Refused(in_words(said))
            }
            // FATAL and PANIC end the session, at whatever moment.
            Some(said) => Self::Broken(in_words(said)),
            None => {
                let cause = error.source().map(|cause| format!(": {cause}"));
                Self::Broken(format!("PostgreSQL: {error}{}", cause.unwrap_or_default()))
            }
        }
    }
}

/// Why there is no connection. A server that is not to be trusted, or lets nobody in,
/// will not be another one the next time.
fn no_connection(error: tokio_postgres::Error) -> Trouble {
    if let Some(why) = error.source().and_then(tls::distrust) {
        return Trouble::Refused(why);
    }
    let said = error.as_db_error();
    let is_final = |said: &&DbError| {
        // Invalid authorization, and a database that there is not.
        let code = said.code().code();
        code.starts_with("28") || code.starts_with("3D")
    };
    match said.filter(is_final) {
        Some(said) => Trouble::Refused(in_words(said)),
        None => error.into(),
    }
}

fn in_words(said: &DbError) -> String {
    let detail = said.detail().map(|detail| format!(" ({detail})"));
    format!(
        "PostgreSQL: {}{} [{}]",
        said.message(),
        detail.unwrap_or_default(),
        said.code().code()
    )
}

/// Makes sessions.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    owner: Arc<str>,
}

impl Connector {
    /// For the owner of this name.
    pub(super) fn new(address: &Address, owner: &str) -> Result<Self, TlsError> {
        let mut config = address.config.clone();
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(PEER_TIMEOUT)
            .keepalives_idle(PEER_TIMEOUT);
        Ok(Self {
            config,
            tls: tls::connector(address.ssl_mode, address.certificates.as_deref())?,
            owner: owner.into(),
        })
    }

    /// A session on a server that nothing is known of yet.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<Session, Trouble> {
        let connecting = async {
            let mut config = self.config.clone();
            config.application_name(purpose.name(&self.owner));
            let connected = config.connect(self.tls.clone()).await;
            let (client, connection) = connected.map_err(no_connection)?;
            tokio::spawn(drive(connection));
            client.batch_execute(purpose.settings()).await?;
            Ok(Session {
                client,
                prepared: Mutex::default(),
            })
        };
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(Trouble::slow()))
    }

    /// A session on a server that has all that this host was told of.
    pub(super) async fn session(
        &self,
        purpose: Purpose,
        truth: &Truth,
    ) -> Result<Session, Trouble> {
        let session = self.connect(purpose).await?;
        let told = truth.told();
        let at: [Param<'_>; 1] = [Box::new(told.last.0.cast_signed())];
        let looking = session.rows(
            "SELECT store_id, last_pos, last_hash, (SELECT hash FROM groups
             WHERE first_pos <= $1 AND last_pos <= $1 ORDER BY first_pos DESC LIMIT 1)
             FROM store",
            &at,
        );
        let rows = timeout(CONNECT_TIMEOUT, looking).await;
        let rows = rows.unwrap_or_else(|_| Err(Trouble::slow()))?;
        let row = rows.first().ok_or_else(|| {
            let why = "the database has no store any more";
            truth.lose(why);
            Trouble::Lost(why.to_owned())
        })?;
        let (store_id, end): (String, End) = (row.try_get(0)?, end_of(row, 1)?);
        let found = Found {
            store_id: &store_id,
            end,
            then: match row.try_get::<_, Option<&[u8]>>(3)? {
                Some(_) => Some(hash_of(row, 3)?),
                None => None,
            },
            epoch: u64::MAX,
        };
        truth
            .check(told, found)
            .map_err(Trouble::Lost)
            .map(|()| session)
    }
}

/// Keeps a connection going until its session is dropped.
async fn drive<S, T>(mut connection: Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            // As when a commit has waited for a synchronous standby in vain.
            Ok(AsyncMessage::Notice(said)) => match said.parsed_severity() {
                Some(Severity::Warning) => tracing::warn!(said = in_words(&said)),
                _ => tracing::debug!(said = in_words(&said)),
            },
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a session with PostgreSQL has ended");
                return;
            }
        }
    }
}

/// A connection with its statements.
pub(super) struct Session {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

impl Session {
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The statement, prepared when it is first needed.
    pub(super) async fn prepare(&self, sql: &'static str) -> Result<Statement, Trouble> {
        if let Some(statement) = self.prepared.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    /// All rows of a statement.
    pub(super) async fn rows(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.query(&statement, &borrowed(params)).await?)
    }
}

/// Values as the client library takes them.
pub(super) fn borrowed<'a>(params: &'a [Param<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    let params = params.iter();
    params
        .map(|param| &**param as &(dyn ToSql + Sync))
        .collect()
}

/// A position and a hash, in two columns.
pub(super) fn end_of(row: &Row, first: usize) -> Result<End, tokio_postgres::Error> {
    Ok(End {
        last: Position(row.try_get::<_, i64>(first)?.cast_unsigned()),
        hash: hash_of(row, first + 1)?,
    })
}

/// A hash in a column, which a CHECK of the table holds to its length.
pub(super) fn hash_of(row: &Row, column: usize) -> Result<Hash, tokio_postgres::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    Ok(bytes.try_into().expect("the table holds 32 bytes"))
}
