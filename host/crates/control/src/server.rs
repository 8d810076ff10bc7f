//! The socket, and who may open it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use host_journal::Outcome;
use host_model::control::Reloaded;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::actions::{Intent, Later};
use crate::problem::Refusal;
use crate::{
    Control, Peer, actions, actors, audit, extract, metrics, pins, repair, status, store, trace,
    upgrades, who, work,
};

/// Serves the control API until it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// The socket cannot be had. The operator is to blame.
#[derive(Debug, Error)]
#[error("listen on the control socket {}", path.display())]
pub struct ListenError {
    path: PathBuf,
    source: io::Error,
}

impl ControlServer {
    /// Listens on the Unix socket `path`, which only its owner may open; whoever got hold
    /// of it otherwise is told so. A socket of a host that is gone is replaced: whoever
    /// calls this owns the home's store.
    ///
    /// # Errors
    ///
    /// [`ListenError`]
    pub fn listen(path: &Path, control: Arc<Control>) -> Result<Self, ListenError> {
        let failed = |source| ListenError {
            path: path.to_owned(),
            source,
        };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let service = router(control).into_make_service_with_connect_info::<Peer>();
        let task = tokio::spawn(async move {
            // It ends with the task only.
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "the control socket is no longer served");
            }
        });
        Ok(Self {
            path: path.to_owned(),
            task,
        })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
        // A socket that stays is replaced by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/v1/status", get(status::show))
        .route("/v1/releases", get(upgrades::releases))
        .route("/v1/releases/remove", post(upgrades::remove))
        .route("/v1/releases/installed", post(upgrades::installed))
        .route("/v1/plan", get(upgrades::plan))
        .route("/v1/history", get(upgrades::history))
        .route("/v1/flight", get(upgrades::flight))
        .route("/v1/upgrade", get(upgrades::report).post(upgrades::upgrade))
        .route("/v1/rehearse", post(upgrades::rehearse))
        .route("/v1/upgrade/pause", post(upgrades::pause))
        .route("/v1/upgrade/resume", post(upgrades::resume))
        .route("/v1/rollback", post(upgrades::rollback))
        .route("/v1/commit", post(upgrades::commit))
        .route("/v1/actors", get(actors::list))
        .route("/v1/events", get(actors::events))
        .route("/v1/activity", get(metrics::activity))
        .route("/v1/state", get(actors::state))
        .route("/v1/trace", get(trace::trace))
        .route("/v1/rpc", post(actors::rpc))
        .route("/v1/quarantine", get(actors::quarantine))
        .route("/v1/quarantine/release", post(actors::quarantine_release))
        .route("/v1/quarantine/export", get(repair::export))
        .route("/v1/dead-letters", get(actors::dead_letters))
        .route("/v1/audit/verify", get(audit::verify))
        .route("/v1/audit/export", get(audit::export))
        .route("/v1/dead-letters/retry", post(repair::retry_letter))
        .route("/v1/dead-letters/drop", post(repair::drop_letter))
        .route("/v1/outbox", get(repair::outbox))
        .route("/v1/outbox/retry", post(repair::retry_webhook))
        .route("/v1/store/backup", post(store::backup))
        .route("/v1/store/check", get(store::check))
        .route("/v1/store/pins", get(pins::list))
        .route("/v1/store/pin", post(pins::pin))
        .route("/v1/store/unpin", post(pins::unpin))
        .route("/v1/stop", post(stop))
        .route("/v1/restart", post(restart))
        .route("/v1/reload", post(reload))
        .fallback(unknown)
        .method_not_allowed_fallback(extract::wrong_method)
        // What is recorded is read whole before, and bounded there.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&control), actions::recorded))
        // Before anything is read, and recorded.
        .layer(from_fn(who::only_ours))
        .with_state(control)
}

/// What the operators' port serves, on loopback.
pub fn admin(control: Arc<Control>) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .with_state(control)
}

async fn show_metrics(State(control): State<Arc<Control>>) -> impl IntoResponse {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], metrics::render(&control))
}

async fn stop(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
) -> impl IntoResponse {
    // Before the journal is closed.
    intent.end(Outcome::done()).await;
    control.stop.notify_one();
    (StatusCode::ACCEPTED, Extension(Later), "{}")
}

async fn restart(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
) -> Result<impl IntoResponse, Refusal> {
    // Before the keeper has the journal closed; a failure is recorded by who called this.
    let asked = Arc::clone(&control);
    work::blocking(move || (asked.may_restart)())
        .await
        .map_err(|(reason, why)| Refusal::new(StatusCode::CONFLICT, reason, why))?;
    intent.end(Outcome::done()).await;
    (control.restart)().map_err(|why| Refusal::new(StatusCode::CONFLICT, "no_keeper", why))?;
    Ok((StatusCode::ACCEPTED, Extension(Later), "{}"))
}

async fn reload(State(control): State<Arc<Control>>) -> Result<Json<Reloaded>, Refusal> {
    let reloaded = work::blocking(move || (control.reload)()).await;
    reloaded.map(Json).map_err(|problems| {
        let message = format!(
            "reload the configuration: nothing has changed, for this is wrong\n  - {}",
            problems.join("\n  - ")
        );
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_config", message)
    })
}

async fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "unknown_request",
        "the control API has no such path; is the command line newer than the host?",
    )
}
