//! The audit trail, as an operator verifies and exports it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use host_journal::{Anchor, AnchorKey, KeyError, ReadError, Trail, hex};
use host_model::keep::{AnchorRow, ExportFormat, ExportQuery, Proof, Verifying};

use crate::extract::Query;
use crate::problem::Refusal;
use crate::stream::{TELL_EVERY, answer};
use crate::{Control, ExportError};

pub(crate) async fn verify(State(control): State<Arc<Control>>) -> Result<Response, Refusal> {
    answer("application/x-ndjson", move |to| {
        let journal = control.actors.journal();
        let failed = |e: ReadError| Refusal::internal("verify the audit trail", &e);
        let trail = journal.trail().map_err(failed)?;
        let mut say = |said: &Verifying| {
            // Nobody listens any more: nobody wants to know.
            to.document(said)
                .map_or(ControlFlow::Break(()), ControlFlow::Continue)
        };
        let ended = verify_with(trail, journal.store_id(), &control.anchor_key, &mut say);
        let ended = ended.map_err(|e| Refusal::internal("verify the audit trail", &e))?;
        let _gone = say(&ended);
        Ok(())
    })
    .await
}

pub(crate) async fn export(
    State(control): State<Arc<Control>>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Refusal> {
    let content_type = match query.format {
        ExportFormat::Json => "application/x-ndjson",
        ExportFormat::Csv => "text/csv; charset=utf-8",
    };
    answer(content_type, move |to| {
        let failed = |e: &dyn std::error::Error| Refusal::internal("export the audit trail", e);
        let trail = control.actors.journal().trail();
        let trail = trail.map_err(|e| failed(&e))?;
        match crate::export(trail, &query, to) {
            Ok(_) | Err(ExportError::Write(_)) => Ok(()),
            Err(ExportError::Read(error)) => Err(failed(&error)),
        }
    })
    .await
}

/// Verifies the chain of the store `store_id`. `say` hears how far it is, and may end
/// it. Gives the last word: [`Verifying::Verified`] or [`Verifying::Broken`].
///
/// # Errors
///
/// The store cannot be read, or the key in the file `key` cannot: that says nothing
/// about the chain.
pub fn verify_with(
    trail: Trail<'_>,
    store_id: &str,
    key: &Path,
    say: &mut dyn FnMut(&Verifying) -> ControlFlow<()>,
) -> Result<Verifying, VerifyError> {
    let public_key = AnchorKey::read(key)?.map(|key| key.public());
    let of = trail.end()?.unwrap_or_default().0;
    let mut told = Instant::now();
    let tell = |so_far: &host_journal::Verified| {
        if told.elapsed() < TELL_EVERY {
            return ControlFlow::Continue(());
        }
        told = Instant::now();
        let position = so_far.last.0;
        say(&Verifying::Progress { position, of })
    };
    match trail.verify(tell) {
        Ok(verified) => Ok(Verifying::Verified(Proof {
            store_id: store_id.to_owned(),
            groups: verified.groups,
            records: verified.records,
            position: verified.last.0,
            hash: hex::encode(&verified.hash),
            anchor: verified.anchor.as_ref().map(anchor_row),
            public_key,
        })),
        Err(ReadError::Chain(damage)) => Ok(Verifying::Broken {
            problem: damage.to_string(),
            first: Some(damage.first.0),
            last: Some(damage.last.0),
        }),
        Err(damaged @ ReadError::Damaged { .. }) => Ok(Verifying::Broken {
            problem: damaged.to_string(),
            first: None,
            last: None,
        }),
        Err(error) => Err(error.into()),
    }
}

/// A chain could not be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn anchor_row(anchor: &Anchor) -> AnchorRow {
    AnchorRow {
        position: anchor.position.0,
        hash: hex::encode(&anchor.hash),
        groups: anchor.groups,
        records: anchor.records,
        time_ms: anchor.time_ms,
        public_key: hex::encode(&anchor.public_key),
    }
}
