//! A store that is only read, whoever owns it.

use std::sync::Arc;

use super::open::{failed, failed_by, reached};
use super::pool::Pool;
use super::session::{Connector, Purpose};
use super::tasks::Tasks;
use super::truth::Truth;
use super::{Address, Timing, lease, owner, schema};
use crate::Archive;
use crate::error::OpenError;
use crate::witness::random_name;

/// Sessions that read at once; a look at everything has one more.
const SESSIONS: usize = 2;

/// Opens the store at this address for reading: changes nothing, and takes neither the
/// lease nor an epoch. What this home knows of the store's end is compared by
/// [`Archive::lost`]: an operator reads here what is there.
///
/// # Errors
///
/// See [`OpenError`]; the journal's content is not looked at yet.
pub fn archive(address: &Address) -> Result<Archive, OpenError> {
    let tasks = Tasks::start().map_err(failed("start the store's threads"))?;
    let name = random_name().map_err(failed("name this reader"))?;
    let connector =
        Connector::new(address, &name).map_err(failed("prepare TLS for the database"))?;
    let (first, shown) = (connector.clone(), address.to_string());
    let (schema, (store_id, end), bytes) = tasks.run(async move {
        let session = first.connect(Purpose::Read).await;
        let session = session.map_err(|trouble| reached(trouble, &shown))?;
        let schema = schema::readable(&session, &shown).await?;
        let looked = owner::look(&session).await;
        let bytes = lease::size(&session).await;
        Ok::<_, OpenError>((
            schema,
            looked.map_err(failed_by("look at the store"))?,
            bytes.map_err(failed_by("ask for the store's size"))?,
        ))
    })?;
    let truth = Truth::new(store_id.clone(), end);
    truth.set_bytes(bytes);
    let pool = Pool::new(
        Arc::new(tasks),
        connector,
        Arc::new(truth),
        schema,
        Timing::default(),
        SESSIONS,
    );
    Ok(Archive {
        reader: Box::new(pool),
        store_id,
        schema,
        lacks_log: None,
    })
}
