//! The releases of a home in which no host runs.

use host_cli::{Failure, Output};
use host_journal::{Archive, Outcome};
use host_model::control::{InstalledNote, RemoveReport, RemoveRequest};
use host_model::error::chain;
use host_upgrade::Booked;
use serde_json::json;

use super::offline::Offline;
use super::store::{alone, opened};
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
    asked: RemoveRequest,
    found: &Found,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let attempted = "remove a release";
    let _alone = alone(found, attempted)?;
    let permanent = found.home.booked_permanent().map_err(home_failure)?;
    let releases = found.home.releases();
    let store = store(found)?;
    let action = match &store {
        Some(_) => Some(begin(&asked, found, attempted)?),
        None => None,
    };
    let removed = releases.remove_offline(&asked, store.as_ref(), permanent);
    if let Some(action) = action {
        let outcome = match &removed {
            Ok(()) => Outcome::done(),
            Err(error) => Outcome {
                outcome: error.reason().to_owned(),
                message: chain(error),
            },
        };
        action.end(&outcome).map_err(|e| failed(attempted, e))?;
    }
    removed.map_err(|error| Failure::refused(error.reason(), chain(&error)))?;
    let version = asked.version;
    host_cli::removed(&RemoveReport { version }, out)?;
    Ok(0)
}

/// Has the audit trail know what `host install` has done. A home that never had a store has
/// no trail: its first `start` begins one.
pub(crate) fn record_installed(note: &InstalledNote, found: &Found) -> Result<(), Failure> {
    if !knows_a_store(&found.home) {
        return Ok(());
    }
    let attempted = "record it in the store";
    let _alone = alone(found, attempted)?;
    let release = found.booting()?.manifest.version;
    let arguments = json!(note);
    Offline::begin(
        opened(found, attempted)?,
        "releases/installed",
        arguments,
        &release,
    )
    .and_then(|action| action.end(&Outcome::done()))
    .map_err(|e| failed(attempted, e))
}

/// Writes into the audit trail of this home's store what is about to be done.
fn begin(asked: &RemoveRequest, found: &Found, attempted: &str) -> Result<Offline, Failure> {
    let arguments = json!(asked);
    let release = found.booting()?.manifest.version;
    let opened = opened(found, attempted)?;
    let begun = Offline::begin(opened, "releases/remove", arguments, &release);
    begun.map_err(|e| failed(attempted, e))
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
