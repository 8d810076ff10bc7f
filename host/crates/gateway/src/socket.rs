//! `/socket/websocket`: a request becomes a WebSocket and moves to the data runtime.

use std::io::{self, Read as _};
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::client::Client;
use crate::connection::Connection;
use crate::guard::{Entered, Guard};
use crate::offered::{Offered, PROTOCOL};
use crate::problem::Problem;
use crate::server::{Admitted, App};
use crate::transport::Detached;
use crate::ws::Handshake;

/// Answers the opening handshake.
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Extension(mut admitted): Extension<Admitted>,
    mut request: Request,
) -> Response {
    let handshake = match Handshake::read(request.method(), request.headers()) {
        Ok(handshake) => handshake,
        Err(error) => {
            let (status, headers) = error.answer();
            let problem = Problem::new(status, "bad_handshake", error.to_string());
            return (headers, problem).into_response();
        }
    };
    let offered = Offered::read(request.uri(), request.headers(), handshake.protocols());
    if !offered.speaks_our_version() {
        let detail = "this host speaks version 2.0.0 of the channels' protocol; connect with \
                      `vsn=2.0.0` in the query (without it, the version is 1.0.0)";
        return Problem::new(StatusCode::FORBIDDEN, "bad_vsn", detail).into_response();
    }
    let token = offered.token.as_deref();
    let entered = Guard::enter(&app.shared, request.headers(), &mut admitted, token);
    let entered = match entered {
        Ok(entered) => entered,
        Err(problem) => return problem.into_response(),
    };
    if app.stop.is_cancelled() {
        let detail = "the host is stopping; try again in a moment";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).into_response();
    }
    let upgrade = hyper::upgrade::on(&mut request);
    app.http
        .spawn(hand_over(upgrade, Arc::clone(&app), admitted, entered));
    let headers = handshake.accept(Some(PROTOCOL));
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Takes the socket out of the HTTP server, once the answer is written, and lets
/// the data runtime serve it.
async fn hand_over(upgrade: OnUpgrade, app: Arc<App>, admitted: Admitted, entered: Entered) {
    let Ok(upgraded) = upgrade.await else {
        return; // The client was gone before the answer was written.
    };
    match take_apart(upgraded) {
        Ok((stream, read_ahead)) => {
            let shared = Arc::clone(&app.shared);
            let client = Client::new(&app, entered);
            let serve = Connection::serve(stream, read_ahead, client, shared, admitted);
            app.shared.tasks.spawn_on(serve, &app.data);
        }
        Err(error) => tracing::warn!(%error, "a new WebSocket could not leave its runtime"),
    }
}

/// The socket of a request that was answered with 101, and what was read behind it.
pub(crate) fn take_apart(upgraded: Upgraded) -> io::Result<(Detached, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner().into_std()?;
            let session = None;
            return Ok((Detached { stream, session }, parts.read_buf));
        }
        Err(upgraded) => upgraded,
    };
    let parts = upgraded
        .downcast::<TokioIo<TlsStream<TcpStream>>>()
        .expect("the server serves nothing but TCP streams, with TLS inside or without");
    let (stream, mut session) = parts.io.into_inner().into_inner();
    // What is decrypted already comes behind what was read.
    let mut read_ahead = parts.read_buf.to_vec();
    match session.reader().read_to_end(&mut read_ahead) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    let detached = Detached {
        stream: stream.into_std()?,
        session: Some(Box::new(session)),
    };
    Ok((detached, read_ahead.into()))
}
