//! Which path is served by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::routing::{any, get};
use host_model::limits::PAYLOAD_BYTES_MAX;

use crate::problem::Problem;
use crate::server::App;
use crate::{api, health, socket};

/// Everything.
pub(crate) fn all(app: &Arc<App>) -> Router {
    let call = get(api::get).post(api::post);
    Router::new()
        .route("/api/v1/{plugin}/{key}/{event}", call)
        .layer(DefaultBodyLimit::max(PAYLOAD_BYTES_MAX))
        .route("/socket/websocket", any(socket::open))
        .merge(health())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(Arc::clone(app))
}

/// How the host is, for connections beyond the limit.
pub(crate) fn health_only(app: &Arc<App>) -> Router {
    health().fallback(no_room).with_state(Arc::clone(app))
}

fn health() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!(
        "nothing is served at {}; there are /socket/websocket, /api/v1/{{plugin}}/{{key}}/{{event}}, \
         /healthz and /readyz",
        uri.path()
    );
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

async fn method_not_allowed() -> Problem {
    let detail = "commands are sent with POST, queries with GET or POST";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn no_room() -> Problem {
    let detail = "the host has as many connections as it has room for; try again later";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        detail,
    )
}
