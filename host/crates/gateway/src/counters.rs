//! What the gateway counts since the start of the process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters for the metrics; each counts one limit or fault.
#[derive(Debug, Default)]
pub struct Counters {
    /// TCP connections that were turned away because there are too many.
    pub refused: AtomicU64,
    /// TCP connections that were given up: no first request came over them in time, or what
    /// was answered was not taken.
    pub connections_slow: AtomicU64,
    /// Requests and calls that were refused because they, or what else comes over
    /// their connection, are over a bound.
    pub over_limit: AtomicU64,
    /// Handshakes of TLS that were done.
    pub handshakes: AtomicU64,
    /// Handshakes of TLS that failed by what the client sent or refused.
    pub handshakes_failed: AtomicU64,
    /// Handshakes of TLS that were given up, for they took too long or too much room.
    pub handshakes_slow: AtomicU64,
    /// WebSockets opened.
    pub opened: AtomicU64,
    /// Sessions of long polls opened.
    pub polls_opened: AtomicU64,
    /// Clients sent away because they read too slowly.
    pub slow_clients: AtomicU64,
    /// WebSockets closed because nothing was heard of their client.
    pub idle: AtomicU64,
    /// Clients sent away because of what they sent.
    pub malformed: AtomicU64,
    /// Tokens that were not taken.
    pub tokens_refused: AtomicU64,
    /// WebSockets that a page of somewhere else wanted to open.
    pub origins_refused: AtomicU64,
    /// Connections turned away because their address has too many.
    pub limited_connections: AtomicU64,
    /// Joins refused for the rate of a connection or an address.
    pub limited_joins: AtomicU64,
    /// Messages and requests refused for it.
    pub limited_messages: AtomicU64,
    /// Messages and requests refused for the rate of their bytes.
    pub limited_bytes: AtomicU64,
    /// WebSockets closed because their client did not heed those answers.
    pub flooded: AtomicU64,
}

impl Counters {
    /// Each with its name in the metrics.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("connections_refused", read(&self.refused)),
            ("connections_slow", read(&self.connections_slow)),
            ("requests_over_limit", read(&self.over_limit)),
            ("tls_handshakes", read(&self.handshakes)),
            ("tls_handshakes_failed", read(&self.handshakes_failed)),
            ("tls_handshakes_slow", read(&self.handshakes_slow)),
            ("websockets_opened", read(&self.opened)),
            ("longpolls_opened", read(&self.polls_opened)),
            ("websockets_slow", read(&self.slow_clients)),
            ("websockets_idle", read(&self.idle)),
            ("websockets_malformed", read(&self.malformed)),
            ("websockets_flooded", read(&self.flooded)),
            ("tokens_refused", read(&self.tokens_refused)),
            ("origins_refused", read(&self.origins_refused)),
            ("limited_connections", read(&self.limited_connections)),
            ("limited_joins", read(&self.limited_joins)),
            ("limited_messages", read(&self.limited_messages)),
            ("limited_bytes", read(&self.limited_bytes)),
        ]
    }
}

/// Counts one more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
