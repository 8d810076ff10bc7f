//! `/socket/longpoll`: the channels for clients that cannot open a WebSocket.
//!
//! The status of HTTP is always 200, and the one that counts stands in the body, as the
//! client of Phoenix wants it: it takes no other, and with a status that it does not know
//! it would never come back.
//!
//! | status | |
//! |---|---|
//! | 410 | there is no such session (any more); with `token`, here is a new one |
//! | 200 | of a `GET`: these are the `messages`; of a `POST`: they have been taken |
//! | 204 | nothing has come; ask again |
//! | 403 | the client speaks another version of the protocol |
//! | 400, 413 | what was posted is no message, or too much; the session has ended |
//! | 500 | not now; come back in a moment |

mod session;
mod sessions;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use crate::client::Client;
use crate::counters::count;
use crate::guard::Guard;
use crate::limits::{BODY_READ_TIMEOUT, POLL_BODY_BYTES_MAX, POLL_SESSIONS_MAX};
use crate::offered::Offered;
use crate::server::{Admitted, App};
use crate::ws::Encoded;

use session::Session;
pub(crate) use sessions::Sessions;

/// The body of an answer.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Answer {
    status: u16,
    token: Option<String>,
    messages: Vec<String>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl Answer {
    /// The session has ended, or never was one.
    pub(crate) fn gone(why: impl Into<String>) -> Self {
        Self::refused(410, why)
    }

    fn refused(status: u16, why: impl Into<String>) -> Self {
        Self {
            status,
            message: why.into(),
            ..Self::default()
        }
    }

    fn nothing() -> Self {
        Self::refused(204, "")
    }

    fn taken() -> Self {
        Self::refused(200, "")
    }

    fn messages(frames: &[Encoded]) -> Self {
        let text = |frame: &Encoded| String::from_utf8_lossy(frame.payload()).into_owned();
        Self {
            status: 200,
            messages: frames.iter().map(text).collect(),
            ..Self::default()
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-store"),
        ];
        let body = serde_json::to_vec(&self).expect("a number and texts are JSON");
        (headers, body).into_response()
    }
}

/// For a connection beyond the limit.
pub(crate) async fn no_room() -> Answer {
    Answer::refused(500, "the host has as many connections as it has room for")
}

/// Opens a session, or waits for what comes to one.
pub(crate) async fn poll(State(app): State<Arc<App>>, request: Request) -> Answer {
    let offered = Offered::read(request.uri(), request.headers(), []);
    if !offered.speaks_our_version() {
        return Answer::refused(
            403,
            "this host speaks version 2.0.0 of the channels' protocol",
        );
    }
    let Some(token) = &offered.session else {
        return open(&app, &request, &offered);
    };
    let Some(session) = app.polls.find(token) else {
        return Answer::gone("this session has ended; the client opens a new one");
    };
    // A poll that nobody waits for any more ends its session: the client begins anew,
    // and what it would have been given is not lost in between.
    let leaves = Leaves(&app.polls, token);
    let (shared, polled) = (Arc::clone(&app.shared), Arc::clone(&session));
    let task = async move { polled.poll(&shared).await };
    let answer = app.shared.tasks.spawn_on(task, &app.data).await;
    std::mem::forget(leaves);
    let mut answer = answer.unwrap_or_else(|_| Answer::refused(500, "the poll has failed"));
    match session.is_over() {
        true => app.polls.end(token),
        // The client goes on with the token of the last answer.
        false => answer.token = offered.session,
    }
    answer
}

/// Takes up to [`POLL_LINES_MAX`](crate::limits::POLL_LINES_MAX) messages, one a line.
pub(crate) async fn post(State(app): State<Arc<App>>, request: Request) -> Answer {
    let offered = Offered::read(request.uri(), request.headers(), []);
    let found = offered.session.and_then(|token| {
        let session = app.polls.find(&token)?;
        Some((token, session))
    });
    let Some((token, session)) = found else {
        return Answer::gone("this session has ended; the client opens a new one");
    };
    let taken = match read_body(request.into_body()).await {
        Ok(body) => {
            let (shared, posted) = (Arc::clone(&app.shared), Arc::clone(&session));
            let task = async move { posted.post(&shared, &body).await };
            let taken = app.shared.tasks.spawn_on(task, &app.data).await;
            taken.unwrap_or_else(|_| Err(Answer::refused(500, "the messages were not taken")))
        }
        Err(answer) => {
            count(&app.shared.counters.over_limit);
            Err(answer)
        }
    };
    taken.map_or_else(
        |refused| {
            app.polls.end(&token);
            refused
        },
        |()| Answer::taken(),
    )
}

fn open(app: &Arc<App>, request: &Request, offered: &Offered) -> Answer {
    if app.stop.is_cancelled() {
        return Answer::refused(500, "the host is stopping; try again in a moment");
    }
    let admitted = request.extensions().get::<Admitted>();
    let mut admitted = admitted
        .cloned()
        .expect("the server adds it to every request");
    let token = offered.token.as_deref();
    let entered = match Guard::enter(&app.shared, request.headers(), &mut admitted, token) {
        Ok(entered) => entered,
        // What is no 403 the client of Phoenix does not know, and tries again after a 500.
        Err(problem) if problem.status == StatusCode::FORBIDDEN => {
            return Answer::refused(403, problem.detail);
        }
        Err(problem) => return Answer::refused(500, problem.detail),
    };
    let client = Client::new(app, entered);
    let Some(token) = app.polls.open(client, &app.shared) else {
        count(&app.shared.counters.over_limit);
        let why = format!("{POLL_SESSIONS_MAX} sessions of long polls are open; try again later");
        return Answer::refused(500, why);
    };
    count(&app.shared.counters.polls_opened);
    Answer {
        status: 410,
        token: Some(token),
        ..Answer::default()
    }
}

async fn read_body(body: Body) -> Result<Bytes, Answer> {
    let read = tokio::time::timeout(BODY_READ_TIMEOUT, to_bytes(body, POLL_BODY_BYTES_MAX)).await;
    let Ok(read) = read else {
        let seconds = BODY_READ_TIMEOUT.as_secs();
        return Err(Answer::refused(
            400,
            format!("the body has not come within {seconds} s"),
        ));
    };
    read.map_err(|_| {
        let why = format!("the body is larger than {POLL_BODY_BYTES_MAX} bytes, or has broken off");
        Answer::refused(413, why)
    })
}

/// Ends a session when it is dropped.
struct Leaves<'a>(&'a Sessions, &'a str);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}
