//! A database brought up to date, and left alone again.

use super::open::{failed, reached};
use super::session::{Connector, Purpose};
use super::tasks::Tasks;
use super::{Address, schema};
use crate::Migrated;
use crate::error::OpenError;
use crate::witness::random_name;

/// Brings the tables of the store at this address up to date: all steps, or none. Its
/// owner, if one lives, works on with them.
///
/// # Errors
///
/// See [`OpenError`]: a store that is not there is not made.
pub fn migrate(address: &Address) -> Result<Migrated, OpenError> {
    let tasks = Tasks::start().map_err(failed("start the store's threads"))?;
    let name = random_name().map_err(failed("name this session"))?;
    let connector =
        Connector::new(address, &name).map_err(failed("prepare TLS for the database"))?;
    let shown = address.to_string();
    tasks.run(async move {
        let session = connector.connect(Purpose::Write).await;
        let mut session = session.map_err(|trouble| reached(trouble, &shown))?;
        let from = schema::version(&session, &shown).await?;
        schema::prepare(&mut session, &shown).await?;
        let to = schema::version(&session, &shown).await?;
        Ok(Migrated { from, to })
    })
}
