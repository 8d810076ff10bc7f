//! The stores that are measured: each with a journal and with a bare loop over it.

use std::path::Path;

use anyhow::Result;
use bare_loop::Commit;
use host_journal::postgres::{self, Address, SslMode, Timing};
use host_journal::store::Opened;
use test_postgres::Server;
use tokio::runtime::Builder;
use tokio_postgres::NoTls;

/// A kind of store. What is in `folder` is of one run.
pub(crate) trait Store {
    fn name(&self) -> &'static str;

    /// The share of the bare loop's rate that a journal with enough callers is to reach.
    fn least(&self) -> f64;

    fn bare(&self, folder: &Path) -> Result<Commit>;

    fn journal(&self, folder: &Path) -> Result<Opened>;
}

/// The embedded one.
pub(crate) struct Sqlite;

impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn least(&self) -> f64 {
        0.7
    }

    fn bare(&self, folder: &Path) -> Result<Commit> {
        bare_loop::sqlite(folder)
    }

    fn journal(&self, folder: &Path) -> Result<Opened> {
        Ok(host_journal::open_sqlite(&folder.join("host.db"), None)?)
    }
}

/// A server of the bench's own, with a new database for each run. Its bare loop has one
/// session and one statement a group, on the thread that waits for it.
pub(crate) struct Postgres(pub(crate) Server);

impl Store for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn least(&self) -> f64 {
        0.6
    }

    fn bare(&self, _folder: &Path) -> Result<Commit> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let address = self.0.database()?;
        let connecting = tokio_postgres::connect(&address, NoTls);
        let (client, connection) = runtime.block_on(connecting)?;
        runtime.spawn(connection);
        let insert = runtime.block_on(async {
            let table = "CREATE TABLE groups (
                             id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                             body BYTEA NOT NULL);
                         ALTER TABLE groups ALTER COLUMN body SET STORAGE EXTERNAL";
            client.batch_execute(table).await?;
            let insert = "INSERT INTO groups (body) VALUES ($1)";
            client.prepare(insert).await
        })?;
        Ok(Box::new(move |group| {
            runtime.block_on(client.execute(&insert, &[&group]))?;
            Ok(())
        }))
    }

    fn journal(&self, folder: &Path) -> Result<Opened> {
        let address = Address::parse(&self.0.database()?, SslMode::Disable, None);
        Ok(postgres::open(&postgres::Options {
            address: address.map_err(anyhow::Error::msg)?,
            pool_size: 10,
            witness: folder.join("store.json"),
            take_over: false,
            timing: Timing::default(),
        })?)
    }
}
