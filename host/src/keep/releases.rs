//! The releases of a home in which no host runs.

use host_cli::{Failure, Output};
use host_journal::Archive;
use host_model::Version;
use host_model::control::RemoveReport;
use host_model::error::chain;
use host_upgrade::Booked;

use super::store::alone;
use super::{archive, failed, knows_a_store};
use crate::config::Store;
use crate::launcher::{Found, home_failure};

/// `host releases`
pub(crate) fn releases(found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let attempted = "list the releases";
    let mut booked = match store(found)? {
        Some(store) => Booked::read_archive(&store).map_err(|e| failed(attempted, e))?,
        None => Booked::default(),
    };
    if booked.permanent.is_none() {
        booked.permanent = found.home.booked_permanent().map_err(home_failure)?;
    }
    let rows = found.home.releases().rows(&booked, None);
    host_cli::releases(&rows.map_err(|e| home_failure(e.into()))?, out)?;
    Ok(0)
}

/// `host remove V`
pub(crate) fn remove(
    version: Version,
    no_way_back: bool,
    found: &Found,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let _alone = alone(found, "remove a release")?;
    let permanent = found.home.booked_permanent().map_err(home_failure)?;
    let releases = found.home.releases();
    let store = store(found)?;
    let removed = releases.remove_offline(&version, store.as_ref(), permanent, no_way_back);
    removed.map_err(|error| Failure::refused(error.reason(), chain(&error)))?;
    host_cli::removed(&RemoveReport { version }, out)?;
    Ok(0)
}

/// The store, unless this home has never had one.
fn store(found: &Found) -> Result<Option<Archive>, Failure> {
    let is_there = match &found.config()?.store {
        Store::Sqlite { path, .. } => path.exists(),
        Store::Postgres { .. } => true,
    };
    match is_there || knows_a_store(&found.home) {
        true => archive(found).map(Some),
        false => Ok(None),
    }
}
