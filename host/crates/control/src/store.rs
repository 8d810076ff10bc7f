//! The store, as an operator copies and checks it.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use host_journal::{Archive, BackupError, Checked, unix_ms};
use host_model::Version;
use host_model::error::chain;
use host_model::keep::{
    BackupManifest, BackupReport, BackupRequest, CheckReport, Checking, DamageRow,
};
use host_upgrade::{BACKUP, Releases, describe};

use crate::Control;
use crate::audit::anchor_problem;
use crate::extract::Body;
use crate::problem::Refusal;
use crate::stream::{TELL_EVERY, answer};

pub(crate) async fn backup(
    State(control): State<Arc<Control>>,
    Body(request): Body<BackupRequest>,
) -> Result<Json<BackupReport>, Refusal> {
    let BackupRequest { file } = request;
    if !file.is_absolute() {
        let message = format!(
            "back the store up to {}: name an absolute path",
            file.display()
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_path", message));
    }
    let work = tokio::task::spawn_blocking(move || {
        let mut manifest = None;
        let copied = control.actors.journal().backup(&file, |copy| {
            let releases = control.upgrader.assembler().releases();
            let (described, value) = manifest_of(copy, releases, control.upgrader.host())?;
            manifest = Some(described);
            Ok((BACKUP.to_owned(), value))
        });
        let failed = |error: &dyn std::error::Error| {
            let attempted = format!("back the store up to {}", file.display());
            Refusal::internal(&attempted, error)
        };
        match (copied, manifest) {
            (Ok(copied), Some(manifest)) => Ok(Json(BackupReport {
                bytes: copied.bytes,
                file,
                manifest,
            })),
            (Ok(_), None) => Err(failed(&std::io::Error::other("the copy was not described"))),
            (Err(error @ BackupError::Exists(_)), _) => {
                let message = format!("back the store up: {error}");
                Err(Refusal::new(StatusCode::CONFLICT, "refused", message))
            }
            (Err(BackupError::File { path, source, .. }), _) if is_kept_out(&source) => {
                let message = format!(
                    "back the store up to {}: {source}; the host writes the file itself, as its own user and where its unit lets it: name one in a folder of its own below HOST_DATA",
                    path.display()
                );
                Err(Refusal::new(StatusCode::CONFLICT, "refused", message))
            }
            (Err(error), _) => Err(failed(&error)),
        }
    });
    let ended = work.await;
    ended.unwrap_or_else(|error| Err(Refusal::internal("back the store up", &error)))
}

/// Whether this process may not write there, whoever asks.
fn is_kept_out(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// What a backup says of itself, and the value that it is kept as.
///
/// # Errors
///
/// Why the copy cannot be described, in a sentence.
pub fn manifest_of(
    copy: &Archive,
    releases: &Releases,
    host: &Version,
) -> Result<(BackupManifest, Bytes), String> {
    let manifest = describe(copy, releases, host, unix_ms()).map_err(|e| chain(&e))?;
    let value = serde_json::to_vec(&manifest).map_err(|e| e.to_string())?;
    Ok((manifest, value.into()))
}

pub(crate) async fn check(State(control): State<Arc<Control>>) -> Result<Response, Refusal> {
    answer("application/x-ndjson", move |to| {
        let mut say = |said: &Checking| {
            // Nobody may listen any more; what was begun ends.
            let _gone = to.document(said);
        };
        let mut told = Instant::now();
        let journal = control.actors.journal();
        let checked = journal.check(|position, of| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let (position, of) = (position.0, of.0);
                say(&Checking::Progress { position, of });
            }
        });
        match checked {
            Ok(checked) => {
                let failed = |e: &dyn std::error::Error| Refusal::internal("check the store", e);
                let trail = journal.trail().map_err(|e| failed(&e))?;
                let anchor = anchor_problem(trail, journal.store_id(), &control.anchor_key);
                // What cannot be read of it was found above.
                say(&Checking::Checked(report(checked, anchor.ok().flatten())));
            }
            Err(error) => return Err(Refusal::internal("check the store", &error)),
        }
        Ok(())
    })
    .await
}

/// A check as it is reported, with what [`anchor_problem`] has found.
#[must_use]
pub fn report(checked: Checked, anchor: Option<String>) -> CheckReport {
    let damages = checked.findings.into_iter().map(|finding| DamageRow {
        what: finding.what,
        problem: finding.problem,
    });
    let anchor = anchor.map(|problem| DamageRow {
        what: "the anchor at which the chain begins".to_owned(),
        problem,
    });
    let damages: Vec<_> = damages.chain(anchor).collect();
    CheckReport {
        ok: damages.is_empty(),
        damages,
        groups: checked.groups,
        records: checked.records,
        snapshots: checked.snapshots,
        more: checked.more,
        replay: None,
    }
}
