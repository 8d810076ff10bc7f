//! What an operator is shown of the audit trail, held against the book.

use anyhow::{Context, Result, bail};
use host_model::keep::Verifying;
use serde_json::{Value, json};

use super::audit::{self, Findings};
use super::book::Book;
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
    let ran = home.done(&["audit", "export", "--actor", actor])?;
    let mut donated = Vec::new();
    for line in ran.stdout.lines() {
        let event: Value = serde_json::from_str(line).context("read the export")?;
        if event["event"] == "donated" {
            donated.push(event["fields"].clone());
        }
    }
    // The events are what the ledger is made of.
    let state = json!({"campaign": {"ledger": donated}});
    let mut findings = Findings::default();
    audit::of_actor(actor, &state, book, &mut findings)?;
    Ok(findings)
}
