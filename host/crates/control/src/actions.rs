//! Every operator's action in the chain: its intent before it is begun, its outcome
//! when it has ended, whoever has gone meanwhile.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use host_actors::Actors;
use host_journal::{Action, Lost, Outcome, Position, Record, unix_ms};
use host_model::control::Problem;
use host_model::flight::Asker;
use serde_json::Value;

use crate::problem::Refusal;
use crate::{Control, Peer};

/// Bytes of a request: the largest payload of an `rpc`, with room.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// How long a record of an action may take to become durable: far above any commit.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// What is begun though it cannot be recorded.
const STOP: &str = "stop";

/// An action whose intent is durable. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intent(Arc<Inner>);

struct Inner {
    actors: Arc<Actors>,
    action: Action,
    /// None: it could not be recorded, and goes on all the same.
    position: Option<Position>,
}

/// In a response: whoever made it records the outcome, when it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Later;

impl Intent {
    /// Whose action it is.
    pub(crate) fn principal(&self) -> &str {
        &self.0.action.principal
    }

    /// Who asks, for the flight record.
    pub(crate) fn asker(&self) -> Asker {
        Asker {
            by: self.0.action.principal.clone(),
            peer: self.0.action.peer.clone(),
        }
    }

    /// Records how it ended.
    pub(crate) async fn end(&self, outcome: Outcome) {
        let Inner {
            actors,
            action,
            position,
        } = &*self.0;
        let intent = position.unwrap_or_default();
        let written = write(actors, action.ended(unix_ms(), intent, &outcome)).await;
        if let Err(lost) = written {
            tracing::error!(action = action.name, ?outcome, %lost, "the outcome of an operator's action is not in the audit trail");
        }
    }
}

/// Around every request: what only looks passes, what changes something is recorded.
pub(crate) async fn recorded(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    // To its end, though the operator's connection may break before.
    let work = tokio::spawn(async move {
        match begin(&control, request).await {
            Ok((intent, request)) => carry_out(&intent, request, next).await,
            Err(refusal) => refusal.into_response(),
        }
    });
    let ended = work.await;
    ended.unwrap_or_else(|error| {
        Refusal::internal("carry out what was asked", &error).into_response()
    })
}

async fn begin(control: &Arc<Control>, request: Request) -> Result<(Intent, Request), Refusal> {
    let (mut parts, body) = request.into_parts();
    let name = parts.uri.path().trim_start_matches("/v1/").to_owned();
    let body = to_bytes(body, REQUEST_BYTES_MAX).await.map_err(|error| {
        let message =
            format!("read the request: {error}; it may have {REQUEST_BYTES_MAX} bytes at most");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    })?;
    let peer = parts.extensions.get::<ConnectInfo<Peer>>();
    let peer = peer.map_or_else(Peer::default, |it| it.0);
    // What is no JSON is refused further on; that it was tried is recorded.
    let arguments = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let action = peer.action(&name, arguments, &control.actors.release().version);
    let intended = write_intent(&control.actors, &action).await;
    let position = match intended {
        Ok(position) => Some(position),
        // A host whose store takes nothing must still be stopped.
        Err(lost) if action.name == STOP => {
            tracing::error!(by = action.principal, %lost, "a stop is not in the audit trail");
            None
        }
        Err(lost) => {
            let message = format!(
                "record in the audit trail that {} is asked for: {lost}; nothing was begun",
                action.name
            );
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_recorded",
                message,
            ));
        }
    };
    let intent = Intent(Arc::new(Inner {
        actors: Arc::clone(&control.actors),
        action,
        position,
    }));
    parts.extensions.insert(intent.clone());
    Ok((intent, Request::from_parts(parts, Body::from(body))))
}

async fn carry_out(intent: &Intent, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.extensions().get::<Later>().is_none() {
        intent.end(outcome(&response)).await;
    }
    response
}

fn outcome(response: &Response) -> Outcome {
    if response.status().is_success() {
        return Outcome::done();
    }
    match response.extensions().get::<Problem>() {
        Some(problem) => Outcome {
            outcome: problem.reason.clone(),
            message: problem.message.clone(),
        },
        None => Outcome {
            outcome: "refused".to_owned(),
            message: response.status().to_string(),
        },
    }
}

async fn write(actors: &Actors, record: Record) -> Result<Position, Lost> {
    let written = tokio::time::timeout(RECORD_TIMEOUT, actors.record_action(record)).await;
    written.unwrap_or_else(|_| Err(too_late()))
}

/// As [`write`]; an intent that becomes durable after that has an outcome all the same:
/// that it was not begun.
async fn write_intent(actors: &Arc<Actors>, action: &Action) -> Result<Position, Lost> {
    let mut writing = tokio::spawn({
        let (actors, record) = (Arc::clone(actors), action.intended(unix_ms()));
        async move { actors.record_action(record).await }
    });
    if let Ok(written) = tokio::time::timeout(RECORD_TIMEOUT, &mut writing).await {
        let ended = || Lost::Unknown("the record's task has ended".into());
        return written.unwrap_or_else(|_| Err(ended()));
    }
    let (actors, action) = (Arc::clone(actors), action.clone());
    // A stop is begun without its record.
    if action.name != STOP {
        tokio::spawn(async move {
            let Ok(Ok(intent)) = writing.await else {
                return;
            };
            let outcome = Outcome {
                outcome: "not_begun".to_owned(),
                message: "its intent was durable too late".to_owned(),
            };
            let record = action.ended(unix_ms(), intent, &outcome);
            if let Err(lost) = actors.record_action(record).await {
                tracing::error!(action = action.name, %lost, "that an operator's action was not begun is not in the audit trail");
            }
        });
    }
    Err(too_late())
}

fn too_late() -> Lost {
    let seconds = RECORD_TIMEOUT.as_secs();
    Lost::Unknown(format!("the store has not answered within {seconds} s").into())
}
