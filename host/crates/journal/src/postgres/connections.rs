//! How many connections a server has to give.

use super::Address;
use super::open::{failed, failed_by, reached};
use super::session::{Connector, Purpose};
use super::tasks::Tasks;
use crate::error::OpenError;
use crate::witness::random_name;

/// Those of `reserved_connections`, which PostgreSQL 16 brought, are for roles that are
/// granted them.
const CONNECTIONS: &str = "SELECT current_setting('max_connections')::int4 \
    - current_setting('superuser_reserved_connections')::int4 \
    - coalesce(current_setting('reserved_connections', true)::int4, 0) AS given";

/// How many connections the server at this address gives to all of its clients, without
/// those that it keeps for superusers and other roles. The database may have no store yet.
///
/// # Errors
///
/// See [`OpenError`]: that it cannot be asked. It is tried once.
pub fn connections(address: &Address) -> Result<usize, OpenError> {
    let tasks = Tasks::start().map_err(failed("start the store's threads"))?;
    let name = random_name().map_err(failed("name this session"))?;
    let connector =
        Connector::new(address, &name).map_err(failed("prepare TLS for the database"))?;
    let shown = address.to_string();
    tasks.run(async move {
        let session = connector.connect(Purpose::Read).await;
        let session = session.map_err(|trouble| reached(trouble, &shown))?;
        let rows = session.rows(CONNECTIONS, &[]).await;
        let rows = rows.map_err(failed_by("ask the server for its max_connections"))?;
        let given = rows
            .first()
            .and_then(|row| row.try_get::<_, i32>("given").ok());
        Ok(given
            .and_then(|given| usize::try_from(given).ok())
            .unwrap_or(0))
    })
}
