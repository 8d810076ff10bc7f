//! What an operator is shown of the audit trail, held against the book and the keys.

use anyhow::{Context, Result, bail};
use host_model::keep::Verifying;
use serde_json::{Value, json};

use super::audit::{self, Findings};
use super::book::Book;
use super::keys::Keys;
use crate::Home;

/// `host audit verify`: groups and records.
///
/// # Errors
///
/// The first group that does not hold.
pub(crate) fn verify(home: &Home) -> Result<(u64, u64)> {
    let ran = home.host(&["audit", "verify", "--json"])?;
    match ran.json::<Verifying>()? {
        Verifying::Verified(proof) => Ok((proof.groups, proof.records)),
        _ => bail!("the chain does not hold: {ran:?}"),
    }
}

/// `host audit export`: looks for the gifts to an actor, while nobody gives.
///
/// # Errors
///
/// The export does not come to its end.
pub(crate) fn audit(home: &Home, book: &Book, actor: &str) -> Result<Findings> {
    let donated = exported(home, actor, "donated")?;
    let donated: Vec<_> = donated.iter().map(|it| it["fields"].clone()).collect();
    // The events are what the ledger is made of.
    let state = json!({"campaign": {"ledger": donated}});
    let mut findings = Findings::default();
    audit::of_actor(actor, &state, book, &mut findings)?;
    Ok(findings)
}

/// `host audit export`: looks for the keys under which an owner has declared, while
/// nobody does.
///
/// # Errors
///
/// As [`audit`].
pub(crate) fn keys(home: &Home, keys: &Keys, actor: &str) -> Result<Findings> {
    let declared = exported(home, actor, "asset_declared")?;
    let mut findings = Findings::default();
    keys.of_trail(actor, &declared, &mut findings);
    Ok(findings)
}

fn exported(home: &Home, actor: &str, event: &str) -> Result<Vec<Value>> {
    let ran = home.done(&["audit", "export", "--actor", actor])?;
    let lines = ran.stdout.lines().map(serde_json::from_str::<Value>);
    let mut events = lines
        .collect::<Result<Vec<_>, _>>()
        .context("read the export")?;
    events.retain(|it| it["event"] == event);
    Ok(events)
}
