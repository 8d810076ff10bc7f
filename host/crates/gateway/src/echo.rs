//! A server that sends every message back, over the codec and the connection's loop that
//! the channels are spoken on: what a conformance suite asks is asked of both.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::connection::{Connection, Dialogue, Refused, Shared};
use crate::outbound::{Delivery, Outbound};
use crate::server::Admitted;
use crate::socket;
use crate::ws::{Encoded, Handshake, Limits, Message};

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;

/// The largest message, which the cases 9.* of Autobahn send.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

struct Echo;

impl Dialogue for Echo {
    const LIMITS: Limits = Limits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        ..Limits::CHANNELS
    };

    fn on_message(&mut self, message: Message, outbound: &Arc<Outbound>) -> Result<(), Refused> {
        match message {
            Message::Text(text) => outbound.push(Delivery::Frame(Encoded::text(&text))),
            Message::Binary(bytes) => outbound.push(Delivery::Frame(Encoded::binary(&bytes))),
            Message::Ping(_) | Message::Pong(_) | Message::Close { .. } => {}
        }
        Ok(())
    }

    fn on_delivery(
        &mut self,
        delivery: Delivery,
        _outbound: &Arc<Outbound>,
        frames: &mut Vec<Encoded>,
    ) {
        match delivery {
            Delivery::Frame(frame) => frames.push(frame),
            _ => unreachable!("an echo subscribes to nothing and calls nobody"),
        }
    }

    fn is_at_rest(&self) -> bool {
        true
    }

    fn end(&mut self, _outbound: &Outbound) {}
}

/// Serves WebSockets at any path, and sends their messages back, until it is dropped. To be
/// awaited on a runtime of tokio; at most 256 connections at once, further ones wait.
/// `examples/echo.rs` is it as a program.
///
/// # Errors
///
/// Of accepting a connection.
pub async fn echo(listener: TcpListener) -> std::io::Result<()> {
    let shared = Arc::<Shared>::default();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let permit = permit.expect("it is never closed");
        let (stream, peer) = listener.accept().await?;
        let admitted = Admitted::new(permit, peer.ip(), None);
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, Arc::clone(&shared), admitted));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, admitted: Admitted) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = open(request, &shared, &admitted);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A connection's own failure is its client's doing.
    let _ = connection.await;
}

fn open(
    mut request: Request<Incoming>,
    shared: &Arc<Shared>,
    admitted: &Admitted,
) -> Response<String> {
    let (status, headers, body) = match Handshake::read(request.method(), request.headers()) {
        Ok(handshake) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let (shared, admitted) = (Arc::clone(shared), admitted.clone());
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else {
                    return; // The client was gone before the answer was written.
                };
                match socket::take_apart(upgraded) {
                    Ok((stream, read_ahead)) => {
                        Connection::serve(stream, read_ahead, Echo, shared, admitted).await;
                    }
                    Err(error) => tracing::warn!(%error, "a WebSocket could not be taken over"),
                }
            });
            let headers = handshake.accept(None);
            (StatusCode::SWITCHING_PROTOCOLS, headers, String::new())
        }
        Err(error) => {
            let (status, headers) = error.answer();
            (status, headers, format!("{error}\n"))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
