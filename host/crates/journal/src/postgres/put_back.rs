//! A store that is put into a database from a file: all of it in one transaction, so that
//! of one that was not finished nothing is there.

use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::open::{failed, reached};
use super::session::{Connector, Purpose, Session, Trouble};
use super::tasks::Tasks;
use super::{Address, Timing, answers, schema};
use crate::Position;
use crate::error::{OpenError, StoreError};
use crate::sqlite::Source;
use crate::sums::without_zeros;
use crate::tables::{ANSWERS, Kind, OWN, TABLES, Table, Value};
use crate::witness::random_name;

const PUT: &str = "put the backup into the database";

/// Whether a store's own row is that of a store that nobody has used yet.
const UNUSED: &str = "owner = '' AND epoch = 0 AND last_pos = 0";

/// Why a store is not in a database. But for `Unknown`, nothing of it is there.
#[derive(Debug, Error)]
pub enum PutBackError {
    /// There is a store already, and it stays as it is.
    #[error(
        "{address} has a store, {store_id}, which ends at position {}, and it stays as it is; name an empty database in DATABASE_URL, or drop the tables of this one if it is given up",
        last.0
    )]
    Occupied {
        /// The database.
        address: String,
        /// See [`Archive::store_id`](crate::Archive::store_id).
        store_id: String,
        /// Where it ends.
        last: Position,
    },
    /// The file or the database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file cannot be read, or the database has refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server went away during COMMIT, and has not come back.
    #[error(
        "the server went away when all was sent ({why}): all of it is there, or nothing; `host store check` tells when the server is back"
    )]
    Unknown {
        /// In the server's or the library's words.
        why: String,
    },
}

/// Refuses if the database at this address has a store. Tables that no host has used yet,
/// as a killed [`put_back`] leaves them, are none.
///
/// # Errors
///
/// [`PutBackError`]
pub fn vacant(address: &Address) -> Result<(), PutBackError> {
    let target = Target::reach(address)?;
    match target.schema()? {
        0 => Ok(()),
        _ => target.must_be_vacant(),
    }
}

/// Puts the store in the file `from`, which has today's schema and is nobody's, into the
/// database at this address. Reads and sends one row after the other. Not from a thread
/// that runs tasks of a runtime.
///
/// # Errors
///
/// [`PutBackError`]
pub fn put_back(address: &Address, from: &Path) -> Result<(), PutBackError> {
    let source = Source::open(from)?;
    let mut target = Target::reach(address)?;
    if target.schema()? < schema::newest() {
        let shown = address.to_string();
        let made = schema::prepare(&mut target.session, &shown);
        target.tasks.run_here(made)?;
    }
    target.batch("BEGIN")?;
    let store_id = target.put_own(&source)?;
    // Whoever would take the store, or put another one there, waits from here on.
    for table in &TABLES {
        target.put(&source, table)?;
    }
    target.analyze()?;
    target.commit(&store_id)
}

/// A database that is written to.
struct Target<'a> {
    tasks: Tasks,
    address: &'a Address,
    connector: Connector,
    session: Session,
    /// How long an answer may take.
    bound: Duration,
}

impl<'a> Target<'a> {
    fn reach(address: &'a Address) -> Result<Self, OpenError> {
        let tasks = Tasks::start().map_err(failed("start the store's threads"))?;
        let name = random_name().map_err(failed("name this session"))?;
        let connector =
            Connector::new(address, &name).map_err(failed("prepare TLS for the database"))?;
        let session = tasks.run_here(connector.connect(Purpose::Write));
        let session = session.map_err(|trouble| reached(trouble, &address.to_string()))?;
        Ok(Self {
            tasks,
            address,
            connector,
            session,
            bound: Timing::default().answer,
        })
    }

    fn client(&self) -> &Client {
        self.session.client()
    }

    /// Of the tables that are there; 0 if none are.
    fn schema(&self) -> Result<i64, OpenError> {
        let shown = self.address.to_string();
        self.tasks.run_here(schema::found(&self.session, &shown))
    }

    fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.answered(async { Ok(self.client().batch_execute(sql).await?) })
    }

    /// Waits for an answer of the server, for as long as one may take.
    fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, StoreError> {
        let answered = self
            .tasks
            .run_here(async { timeout(self.bound, answer).await });
        let answered = answered.unwrap_or_else(|_| Err(Trouble::slow()));
        answered.map_err(|trouble| trouble.of(PUT))
    }

    /// Refuses if the database's tables have anything.
    fn must_be_vacant(&self) -> Result<(), PutBackError> {
        let sql = format!("SELECT store_id, last_pos, {UNUSED} FROM store WHERE id = 0");
        let row = self.answered(async { Ok(self.client().query_opt(&sql, &[]).await?) })?;
        let (store_id, last, is_unused) = match row {
            Some(row) => (row.get(0), row.get::<_, i64>(1).cast_unsigned(), row.get(2)),
            None => ("without a row of its own".to_owned(), 0, false),
        };
        if is_unused {
            return Ok(());
        }
        Err(PutBackError::Occupied {
            address: self.address.to_string(),
            store_id,
            last: Position(last),
        })
    }

    /// Puts the store's own row in the place of one of a store that nobody has used, which
    /// is locked from here on. Its name.
    fn put_own(&self, source: &Source) -> Result<String, PutBackError> {
        let set = OWN.listed(|index, column| format!("{} = ${}", column.name, index + 1));
        let sql = format!("UPDATE store SET {set} WHERE id = 0 AND {UNUSED} RETURNING store_id");
        let mut store_id = None;
        source.each(&OWN, |row| {
            let row: Vec<_> = row
                .iter()
                .map(|value| value as &(dyn ToSql + Sync))
                .collect();
            let updated =
                self.answered(async { Ok(self.client().query_opt(&sql, &row).await?) })?;
            store_id = updated.map(|row| row.get(0));
            Ok::<_, PutBackError>(())
        })?;
        match store_id {
            Some(store_id) => Ok(store_id),
            None => {
                self.must_be_vacant()?;
                Err(StoreError::of(PUT)("it has no row of its own").into())
            }
        }
    }

    /// Puts all rows of a table there, which must have none.
    fn put(&self, source: &Source, table: &Table) -> Result<(), PutBackError> {
        let name = table.name;
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {name})");
        let row = self.answered(async { Ok(self.client().query_one(&sql, &[]).await?) })?;
        if row.get(0) {
            let problem = format!("its table {name} has rows of something else");
            return Err(StoreError::of(PUT)(problem).into());
        }
        let is_answers = *table == ANSWERS;
        let mut types: Vec<_> = table.columns.iter().map(|it| type_of(it.kind)).collect();
        types.extend(is_answers.then_some(Type::BYTEA));
        let id = if is_answers { ", id" } else { "" };
        let sql = format!("COPY {name} ({}{id}) FROM STDIN BINARY", table.names());
        let sink = self.answered(async { Ok(self.client().copy_in(&sql).await?) })?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        let sent = source.each(table, |row| {
            let id = is_answers.then(|| answers::id_of(&answers::key(row).collect::<Vec<_>>()));
            let id = id.as_ref().map(|id| Value::Bytes(&id[..]));
            let row: Vec<_> = row.iter().chain(&id).collect();
            let sent = writer.as_mut().write_raw(row);
            self.answered(async { Ok(sent.await?) })
        })?;
        // The server may check a large table for longer than it takes it in.
        let put = self.tasks.run_here(writer.as_mut().finish());
        let put = put.map_err(|error| Trouble::from(error).of(PUT))?;
        if put != sent {
            let problem = format!("of {sent} rows of {name} it has taken {put}");
            return Err(StoreError::of(PUT)(problem).into());
        }
        if table.is_numbered {
            self.number_above(name, source.numbered(table)?)?;
        }
        Ok(())
    }

    /// The next row of a numbered table has a number above `last`.
    fn number_above(&self, table: &str, last: i64) -> Result<(), StoreError> {
        let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), $1::bigint)");
        match last {
            0 => Ok(()),
            last => self.answered(async {
                self.client().query_one(&sql, &[&last]).await?;
                Ok(())
            }),
        }
    }

    /// Else a start would have to guess how large the tables are.
    fn analyze(&self) -> Result<(), StoreError> {
        let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        let sql = format!("ANALYZE {}", names.join(", "));
        let analyzed = self.tasks.run_here(self.client().batch_execute(&sql));
        analyzed.map_err(|error| Trouble::from(error).of(PUT))
    }

    /// A standby may have to take in all of it first: this has no bound but the
    /// connection's.
    fn commit(&self, store_id: &str) -> Result<(), PutBackError> {
        let committed = self.tasks.run_here(self.client().batch_execute("COMMIT"));
        match committed.map_err(Trouble::from) {
            Ok(()) => Ok(()),
            Err(refused @ Trouble::Refused(_)) => Err(refused.of(PUT).into()),
            Err(trouble) => match self.tasks.run_here(self.is_there(store_id)) {
                Ok(true) => Ok(()),
                Ok(false) => Err(trouble.of(PUT).into()),
                Err(_) => Err(PutBackError::Unknown {
                    why: trouble.text().to_owned(),
                }),
            },
        }
    }

    /// Whether it is there after all; waits for what the old session has under way.
    async fn is_there(&self, store_id: &str) -> Result<bool, Trouble> {
        let session = self.connector.connect(Purpose::Write).await?;
        let sql = "SELECT store_id FROM store WHERE id = 0 FOR UPDATE";
        let rows = session.rows(sql, &[]).await?;
        let found: Option<&str> = rows.first().map(|row| row.try_get(0)).transpose()?;
        Ok(found == Some(store_id))
    }
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Number => Type::INT8,
        Kind::Count => Type::INT4,
        Kind::Flag => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Number(number), &Type::INT8) => number.to_sql(ty, out),
            (Value::Number(number), &Type::INT4) => {
                u32::try_from(*number)?.cast_signed().to_sql(ty, out)
            }
            (Value::Number(number @ (0 | 1)), &Type::BOOL) => (*number == 1).to_sql(ty, out),
            (Value::Text(it), &Type::TEXT) => without_zeros(it).to_sql(ty, out),
            (Value::Bytes(bytes), &Type::BYTEA) => bytes.to_sql(ty, out),
            (Value::Number(_) | Value::Text(_) | Value::Bytes(_), _) => {
                Err(format!("the backup has a value that is no {ty}").into())
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
