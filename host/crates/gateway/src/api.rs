//! `/api/v1/{plugin}/{key}/{event}`: commands and queries over HTTP.
//!
//! `POST` sends a command or a query with a JSON object as body, or none. `GET`
//! asks a query; its arguments are the query string: `a=1&b[c]=2` is
//! `{"a":"1","b":{"c":"2"}}`, and every value is a string, because amounts are.
//! The answer's body is the plugin's reply, or problem details.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest as _, Path, Query, Request, State};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use host_actors::{Actors, CallError, Only};
use host_model::ActorId;
use host_model::id::is_plugin_name;
use host_model::limits::{CALL_TIMEOUT, IDEMPOTENCY_KEY_BYTES_MAX, PAYLOAD_BYTES_MAX};
use tokio::task::JoinError;

use crate::answer::Wanted;
use crate::arguments;
use crate::counters::count;
use crate::guard::{Caller, Guard};
use crate::limits::{BODY_READ_TIMEOUT, EVENT_BYTES_MAX};
use crate::problem::Problem;
use crate::server::{Admitted, App};

/// What the data runtime may take beyond the time of a call: it has the clock of
/// the call, and it may be stuck.
const CALL_GRACE: Duration = Duration::from_secs(1);

/// With what a body is refused that is too large, or comes too slowly.
const OVER_LIMIT: [StatusCode; 2] = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT];

/// Marks the first answer under an idempotency key that is given again.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Names a command, so that its repetition is known.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Target = Result<Path<(String, String, String)>, PathRejection>;

pub(crate) async fn post(
    State(app): State<Arc<App>>,
    target: Target,
    request: Request,
) -> Result<Response, Problem> {
    let caller = caller(&app, &request)?;
    let (actor, event) = read_target(target)?;
    let idempotency_key = read_idempotency_key(request.headers())?;
    let wanted = Wanted::read(request.headers());
    refuse_coded(request.headers())?;
    let payload = read_body(request).await.inspect_err(|problem| {
        if OVER_LIMIT.contains(&problem.status) {
            count(&app.shared.counters.over_limit);
        }
    })?;
    let mut request = call_of(actor, event, payload, Only::Either, caller);
    request.idempotency_key = idempotency_key;
    call(&app, request, wanted).await
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    target: Target,
    request: Request,
) -> Result<Response, Problem> {
    let caller = caller(&app, &request)?;
    let (actor, event) = read_target(target)?;
    let payload = read_arguments(&request)?;
    let wanted = Wanted::read(request.headers());
    let call_of = call_of(actor, event, payload, Only::Query, caller);
    call(&app, call_of, wanted).await
}

/// Who asks, and whether they may right now.
fn caller(app: &App, request: &Request) -> Result<Caller, Problem> {
    let admitted = request.extensions().get::<Admitted>();
    let admitted = admitted.expect("the server adds it to every request");
    let bytes = request.body().size_hint().lower();
    Guard::ask(&app.shared, request.headers(), admitted, bytes)
}

/// Calls the actor on the data runtime, where its answer is packed as well. The call goes on
/// if the client leaves.
async fn call(
    app: &App,
    request: host_actors::Request,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let actors = Arc::clone(&app.actors);
    let place = actors.admit(request.payload.len())?;
    let is_query = request.only == Only::Query || is_query(&actors, &request);
    let task = async move {
        let answer = actors.call(request).await;
        drop(place);
        let answer = answer?;
        let mut response = match is_query {
            true => wanted.kept(&answer.reply),
            false => wanted.once(answer.reply),
        };
        if answer.replayed {
            let headers = response.headers_mut();
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        Ok::<_, CallError>(response)
    };
    let task = app.shared.tasks.spawn_on(task, &app.data);
    match tokio::time::timeout(CALL_TIMEOUT + CALL_GRACE, task).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Ok(Err(error))) => Err(error.into()),
        Ok(Err(ended)) => Err(unanswered(&ended, is_query)),
        Err(_) => {
            let seconds = CALL_TIMEOUT.as_secs();
            Err(CallError::Timeout { seconds }.into())
        }
    }
}

/// Of a call that has ended without an answer. The end of the host cuts calls off where an
/// actor's code does not return, with whoever waits behind it: a command may be in the journal
/// by then. A panic is a defect of the host.
fn unanswered(ended: &JoinError, is_query: bool) -> Problem {
    let (reason, detail) = match ended.is_cancelled() {
        true if is_query => return CallError::Stopping.into(),
        true => (
            "outcome_unknown",
            "the host ended before it had an answer: it may have happened or not; try again with the same key",
        ),
        false => (
            "internal",
            "the call has failed inside the host; the host's log says why",
        ),
    };
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, reason, detail)
}

/// Whether the release that rules the actor has a query of this name.
fn is_query(actors: &Actors, request: &host_actors::Request) -> bool {
    let release = actors.release_of(&request.actor);
    let ruling = release.plugins.get(request.actor.plugin());
    ruling.is_some_and(|it| it.code.plugin().manifest().has_query(&request.event))
}

fn call_of(
    actor: ActorId,
    event: String,
    payload: Bytes,
    only: Only,
    caller: Caller,
) -> host_actors::Request {
    host_actors::Request {
        actor,
        event,
        payload,
        only,
        claims: caller.claims,
        principal: caller.principal,
        version: None,
        idempotency_key: None,
    }
}

fn read_target(target: Target) -> Result<(ActorId, String), Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad_path", detail);
    let Path((plugin, key, event)) = target.map_err(|error| bad(error.body_text()))?;
    if !is_plugin_name(&plugin) {
        let detail = format!("{plugin:?} is no plugin's name; one is 1 to 64 of a-z 0-9 - _");
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_plugin",
            detail,
        ));
    }
    if event.len() > EVENT_BYTES_MAX {
        let detail = format!("the name of an event has over {EVENT_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown_event", detail));
    }
    let actor = ActorId::new(&plugin, &key).map_err(|error| bad(error.to_string()))?;
    Ok((actor, event))
}

fn read_idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    match key.to_str() {
        _ if keys.next().is_some() => {
            let detail = "there is more than one header Idempotency-Key: send one";
            Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "bad_idempotency_key",
                detail,
            ))
        }
        Ok(key) if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            let detail = format!(
                "the header Idempotency-Key is not 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible \
                 characters of ASCII"
            );
            Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "bad_idempotency_key",
                detail,
            ))
        }
    }
}

/// A body is taken as it is: what a few bytes unpack to has no bound that a client would
/// keep by itself.
fn refuse_coded(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coded = codings.find(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"));
    let Some(coding) = coded else {
        return Ok(());
    };
    let detail = format!(
        "the body is coded ({}); send it as it is, without Content-Encoding",
        String::from_utf8_lossy(coding.as_bytes())
    );
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Problem::new(status, "unsupported_encoding", detail))
}

/// The body: a JSON object or nothing. Whether it is valid JSON is the plugin's
/// to find, which parses it anyway.
async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {PAYLOAD_BYTES_MAX} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    };
    if request.body().size_hint().lower() > PAYLOAD_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let read = tokio::time::timeout(BODY_READ_TIMEOUT, Bytes::from_request(request, &())).await;
    let Ok(read) = read else {
        let seconds = BODY_READ_TIMEOUT.as_secs();
        let detail = format!("the body has not come within {seconds} s");
        return Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            detail,
        ));
    };
    let body = read.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status => Problem::new(status, "bad_payload", error.body_text()),
    })?;
    let content = body.trim_ascii();
    if !content.is_empty() && !content.starts_with(b"{") {
        let detail = "the body is not a JSON object";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_payload", detail));
    }
    Ok(if content.is_empty() {
        Bytes::new()
    } else {
        body
    })
}

fn read_arguments(request: &Request) -> Result<Bytes, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad_payload", detail);
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|error| bad(error.body_text()))?;
    let object = arguments::object(&pairs).map_err(|error| bad(error.to_string()))?;
    let payload = serde_json::to_vec(&object).expect("names and texts are JSON");
    Ok(payload.into())
}
