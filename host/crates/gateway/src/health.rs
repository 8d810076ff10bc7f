//! `/healthz` and `/readyz`, answered on the control runtime.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::limits::DATA_PING_TIMEOUT;
use crate::server::App;

/// Says why the host wants no clients, a sentence each; nothing if it does.
pub type Readiness = dyn Fn() -> Vec<String> + Send + Sync;

#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
    /// Whether the threads that run plugins take up work: `ok` or `stuck`.
    data_threads: &'static str,
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    reasons: Vec<String>,
}

/// Asks the data runtime whether it takes up work, with one question at a time:
/// one that is stuck does not gather more.
#[derive(Debug)]
pub(crate) struct Pulse {
    data: Handle,
    /// Whether a question is open.
    asked: watch::Sender<bool>,
}

impl Pulse {
    pub(crate) fn new(data: Handle) -> Self {
        Self {
            data,
            asked: watch::Sender::new(false),
        }
    }

    /// Whether the data runtime answers in time.
    pub(crate) async fn beats(&self) -> bool {
        if !self.asked.send_replace(true) {
            let asked = self.asked.clone();
            self.data.spawn(async move { asked.send_replace(false) });
        }
        let mut answer = self.asked.subscribe();
        let answered = answer.wait_for(|asked| !asked);
        matches!(
            tokio::time::timeout(DATA_PING_TIMEOUT, answered).await,
            Ok(Ok(_))
        )
    }
}

/// 200 as long as this is answered at all: to be killed for a stuck plugin would
/// take every actor down for one. What is wrong stands in the body.
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Json<Health> {
    Json(if app.pulse.beats().await {
        Health {
            status: "ok",
            data_threads: "ok",
        }
    } else {
        Health {
            status: "degraded",
            data_threads: "stuck",
        }
    })
}

/// 200, or 503 with the reasons.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let reasons = (app.readiness)();
    if reasons.is_empty() {
        let status = "ready";
        return Json(Ready { status, reasons }).into_response();
    }
    let status = "not_ready";
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(Ready { status, reasons }),
    )
        .into_response()
}
