//! Which path is served by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn;
use axum::routing::{any, get};
use host_model::limits::PAYLOAD_BYTES_MAX;

use crate::cors::Cors;
use crate::problem::Problem;
use crate::request_id::identify;
use crate::server::App;
use crate::{api, health, longpoll, openapi, socket};

/// Everything.
pub(crate) fn all(app: &Arc<App>, cors: &Arc<Cors>) -> Router {
    let call = get(api::get).post(api::post);
    let api = Router::new()
        .route("/api/v1/{plugin}/{key}/{event}", call)
        .route("/api/openapi.json", get(openapi::get))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(PAYLOAD_BYTES_MAX))
        .layer(cors.layer());
    Router::new()
        .merge(api)
        .route("/socket/websocket", any(socket::open))
        .route("/socket/longpoll", get(longpoll::poll).post(longpoll::post))
        .merge(health())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn(identify))
        .with_state(Arc::clone(app))
}

/// How the host is, for connections beyond the limit.
pub(crate) fn health_only(app: &Arc<App>) -> Router {
    health()
        .route("/socket/longpoll", any(longpoll::no_room))
        .fallback(no_room)
        .layer(from_fn(identify))
        .with_state(Arc::clone(app))
}

fn health() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!(
        "nothing is served at {}; there are /socket/websocket, /socket/longpoll, \
         /api/v1/{{plugin}}/{{key}}/{{event}}, /api/openapi.json, /healthz and /readyz",
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
