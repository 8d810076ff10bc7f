//! HTTP/1.1 and HTTP/2 on one connection, each within its bounds.
//!
//! Inside TLS the client chooses by ALPN; without TLS it says HTTP/2 from the first byte
//! on ("prior knowledge", RFC 9113, section 3.3), or else it speaks HTTP/1.1. WebSockets
//! are opened in HTTP/1.1.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::http::Request;
use host_model::limits::{HEADER_READ_TIMEOUT, IDLE_TIMEOUT, PAYLOAD_BYTES_MAX};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at, timeout};
use tower::ServiceExt as _;

use crate::counters::{Counters, count};
use crate::limits::{
    H2_BODY_BYTES_MAX, H2_CONNECTION_WINDOW_BYTES, H2_FRAME_BYTES_MAX, H2_OWN_RESETS_MAX,
    H2_PENDING_RESETS_MAX, H2_PING_EVERY, H2_SEND_BYTES_MAX, H2_STREAM_WINDOW_BYTES,
    H2_STREAMS_MAX, HEAD_BYTES_MAX, HEADERS_MAX, POLL_BODY_BYTES_MAX,
};
use crate::server::{Admitted, App};

/// How a client of HTTP/2 begins; no method of HTTP/1.1 is called so.
const H2_BEGINNING: &[u8] = b"PRI ";

/// Whether the client begins as one of HTTP/2 does; none if it says nothing in time, or the
/// host stops.
pub(crate) async fn begins_as_h2(stream: &TcpStream, app: &App) -> Option<bool> {
    let mut first = [0; H2_BEGINNING.len()];
    let peeked = tokio::select! {
        peeked = timeout(HEADER_READ_TIMEOUT, stream.peek(&mut first)) => peeked,
        () = app.stop.cancelled() => return None,
    };
    let Ok(peeked) = peeked else {
        count(&app.shared.counters.connections_slow);
        return None;
    };
    // A beginning in pieces is taken for HTTP/1.1: nobody writes so few bytes at once.
    peeked.ok().map(|_| first == H2_BEGINNING)
}

/// Serves the requests of one connection, until it ends or becomes a WebSocket. When the
/// host stops, those under way are answered and no more are taken.
pub(crate) async fn serve<S>(stream: S, is_h2: bool, router: Router, admitted: Admitted, app: &App)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match is_h2 {
        // Apart, for it is several times as large.
        true => Box::pin(serve_h2(stream, router, admitted, app)).await,
        false => serve_h1(stream, router, admitted, app).await,
    }
}

async fn serve_h1<S>(stream: S, router: Router, admitted: Admitted, app: &App)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let has_asked = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(admitted.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = app.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        count_end(&error, has_asked.into_inner(), &app.shared.counters);
    }
}

async fn serve_h2<S>(stream: S, router: Router, admitted: Admitted, app: &App)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begun = Arc::new(AtomicU64::new(0));
    let room = Arc::new(Semaphore::new(H2_BODY_BYTES_MAX));
    let service = service_fn({
        let begun = Arc::clone(&begun);
        move |mut request: Request<Incoming>| {
            begun.fetch_add(1, Ordering::Relaxed);
            request.extensions_mut().insert(admitted.clone());
            let (router, room) = (router.clone(), Arc::clone(&room));
            async move {
                let _room = room.acquire_many(body_bytes(&request)).await;
                router.oneshot(request).await
            }
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .max_send_buf_size(H2_SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_OWN_RESETS_MAX)
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_EVERY)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // Pings say that a client lives; only requests say that it has something to do.
    let mut idle = interval_at(Instant::now() + IDLE_TIMEOUT, IDLE_TIMEOUT);
    let mut heard = 0;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    count_end(&error, begun.load(Ordering::Relaxed) > 0, &app.shared.counters);
                }
                return;
            }
            () = app.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                // Bounded by whoever stops the host.
                let _ = connection.await;
                return;
            }
            _ = idle.tick() => {
                let now = begun.load(Ordering::Relaxed);
                if now == std::mem::replace(&mut heard, now) {
                    connection.as_mut().graceful_shutdown();
                    // One that does not take its answers is cut off.
                    let _ = timeout(IDLE_TIMEOUT, connection).await;
                    return;
                }
            }
        }
    }
}

/// Counts a connection that has failed, which is its client's doing and ends nothing else.
fn count_end(error: &hyper::Error, has_asked: bool, counters: &Counters) {
    let broke = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    // The system gives up a client that takes nothing.
    let is_unread = broke.is_some_and(|it| it.kind() == io::ErrorKind::TimedOut);
    if error.is_parse_too_large() {
        count(&counters.over_limit);
    } else if is_unread || (error.is_timeout() && !has_asked) {
        // One that has asked before had nothing more to ask.
        count(&counters.connections_slow);
    }
}

/// What a request's body takes of a connection's room; as much as one may have, where it
/// does not say.
fn body_bytes(request: &Request<Incoming>) -> u32 {
    let most = match request.uri().path() {
        "/socket/longpoll" => POLL_BODY_BYTES_MAX,
        _ => PAYLOAD_BYTES_MAX,
    };
    let hint = request.body().size_hint();
    let bytes = hint.upper().unwrap_or(u64::MAX).min(most as u64);
    u32::try_from(bytes).expect("a payload's bound fits")
}
