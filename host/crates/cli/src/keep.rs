//! The audit trail and the store of a running host, and how both are shown: the
//! binary shows those of a stopped home in the same way.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use host_model::keep::{ExportQuery, Proof, Verifying};
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::query;
use crate::failure::EXIT_LOOK;
use crate::instant::rfc3339;
use crate::{Client, Failure, Output, Table};

/// Bytes of one line of an answer.
const LINE_BYTES_MAX: usize = 16 << 20;

/// `host audit verify` on a running host.
///
/// # Errors
///
/// The failure, not yet told. That the chain is broken is none.
pub async fn verify(client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let mut chunks = client.stream("/v1/audit/verify").await?;
    let progress = Progress::new(out.is_json());
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.next().await? {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let said = serde_json::from_slice(&line)
                .map_err(|e| Failure::look("strange_answer", format!("verify: {e}")))?;
            progress.tell(&said);
            if !matches!(said, Verifying::Progress { .. }) {
                progress.done();
                return verified(&said, out);
            }
        }
        if rest.len() > LINE_BYTES_MAX {
            break;
        }
    }
    Err(Failure::look(
        "connection_lost",
        "verify the audit trail: the host closed the connection before the end; look at `host status` and `host logs`",
    ))
}

/// Shows how a verification ended. What to exit with: 0 it holds, 5 it does not.
///
/// # Errors
///
/// It cannot be written.
pub fn verified(said: &Verifying, out: &mut Output<'_>) -> Result<u8, Failure> {
    out.document(said, text)?;
    Ok(match said {
        Verifying::Verified(_) => 0,
        _ => EXIT_LOOK,
    })
}

/// `host audit export` of a running host.
///
/// # Errors
///
/// The failure, not yet told; what was written before is not whole.
pub async fn export(
    asked: &ExportQuery,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let path = query(&[
        ("actor", asked.actor.as_ref().map(ToString::to_string)),
        ("since_ms", asked.since_ms.map(|ms| ms.to_string())),
        ("format", Some(asked.format.name().to_owned())),
    ]);
    let mut chunks = client.stream(&format!("/v1/audit/export{path}")).await?;
    while let Some(chunk) = chunks.next().await? {
        out.raw(&chunk)?;
        if out.is_closed() {
            break;
        }
    }
    Ok(0)
}

/// A bar on a terminal for what takes longer than a moment; otherwise nothing.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// No bar yet: it appears when something is told.
    #[must_use]
    pub fn new(json: bool) -> Self {
        if json || !stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} {elapsed}")
                .expect("the template is a constant"),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Shows how far it is.
    pub fn tell(&self, said: &Verifying) {
        if let (Some(bar), Verifying::Progress { position, of }) = (&self.0, said) {
            bar.set_length(*of);
            bar.set_position(*position);
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn text(said: &Verifying) -> String {
    match said {
        Verifying::Progress { position, of } => format!("{position} of {of}"),
        Verifying::Broken { problem, .. } => format!("the audit trail does not hold: {problem}"),
        Verifying::Verified(proof) => proven(proof),
    }
}

fn proven(proof: &Proof) -> String {
    let mut table = Table::facts();
    table.fact("audit trail", "it holds");
    table.fact("store", &proof.store_id);
    table.fact(
        "proven",
        format!("{} records in {} groups", proof.records, proof.groups),
    );
    let from = match &proof.anchor {
        None => "from the first record ever written".to_owned(),
        Some(anchor) => format!(
            "from behind position {}; {} records before it were removed by {}, anchor signed by {}",
            anchor.position,
            anchor.records,
            rfc3339(anchor.time_ms),
            anchor.public_key
        ),
    };
    table.fact("from", from);
    table.fact("to", format!("position {}", proof.position));
    table.fact("hash", &proof.hash);
    let foreign = proof.anchor.as_ref().is_some_and(|anchor| {
        let home = proof.public_key.as_ref();
        home.is_none_or(|home| *home != anchor.public_key)
    });
    if let Some(key) = &proof.public_key {
        table.fact("key of this home", key);
    }
    if foreign {
        table.fact(
            "look",
            "the anchor is not signed by a key of this home: compare it with the one you wrote down",
        );
    }
    table.text()
}
