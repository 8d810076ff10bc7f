//! The opening of a connection: bounded in time and in number, and its end counted.
//!
//! Whoever is slow is no reason to keep others out: where as many handshakes are under way
//! as there may be, the oldest is given up. An honest one takes a few round trips; to push
//! it out, an attacker would have to open all of them anew in that time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{ALPN_H2, Tls};
use crate::counters::{Counters, count};
use crate::limits::{HANDSHAKE_TIMEOUT, HANDSHAKES_MAX};

/// First byte of a connection that speaks TLS: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What goes to a client that speaks HTTP without TLS, which it can read.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 44\r\nConnection: close\r\n\r\nthis port speaks TLS: ask for it by https://\n";

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) is_h2: bool,
}

/// The handshakes under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    tls: Arc<Tls>,
    most: usize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    /// Dropped, each ends the handshake that it belongs to. The oldest comes first.
    held: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Handshakes {
    /// For a listener that takes so many connections at most.
    pub(crate) fn new(tls: Arc<Tls>, connections_max: usize) -> Self {
        Self {
            tls,
            most: HANDSHAKES_MAX.min(connections_max / 2).max(1),
            under_way: Mutex::default(),
        }
    }

    /// Does the handshake; none if it came to nothing.
    pub(crate) async fn open(&self, stream: TcpStream, counters: &Counters) -> Option<Spoken> {
        let (id, given_up) = self.enter();
        let outcome = tokio::select! {
            outcome = timeout(HANDSHAKE_TIMEOUT, self.shake(stream)) => outcome.ok(),
            _ = given_up => None,
        };
        self.under_way.lock().held.remove(&id);
        match outcome {
            Some(Ok(Some(stream))) => {
                count(&counters.handshakes);
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
                return Some(Spoken { stream, is_h2 });
            }
            // It has gone without a word, as whoever looks whether a port is open.
            Some(Ok(None)) => {}
            Some(Err(error)) => {
                count(&counters.handshakes_failed);
                tracing::debug!(%error, "a handshake of TLS has failed");
            }
            None => count(&counters.handshakes_slow),
        }
        None
    }

    /// Takes a place, the oldest's if need be.
    fn enter(&self) -> (u64, oneshot::Receiver<()>) {
        let (hold, given_up) = oneshot::channel();
        let mut under_way = self.under_way.lock();
        if under_way.held.len() >= self.most {
            under_way.held.pop_first();
        }
        let id = under_way.next;
        under_way.next += 1;
        under_way.held.insert(id, hold);
        (id, given_up)
    }

    async fn shake(&self, mut stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(None);
        }
        if first[0] != HANDSHAKE_RECORD {
            stream.write_all(SPEAK_TLS).await?;
            return Err(io::Error::other("it does not speak TLS"));
        }
        let acceptor = TlsAcceptor::from(self.tls.config());
        acceptor.accept(stream).await.map(Some)
    }
}
