//! Answers that are made while they are read: a thread that waits for the disk writes
//! them, no faster than they are taken.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::problem::Refusal;

/// Bytes that are handed over at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that wait to be taken.
const CHUNKS_MAX: usize = 4;

/// How often it is said how far something is.
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(200);

/// What the thread writes to.
pub(crate) struct Chunks {
    sender: mpsc::Sender<Result<Bytes, Refusal>>,
    buffer: Vec<u8>,
}

impl Chunks {
    /// Writes a document as one line, and hands it over at once.
    pub(crate) fn document(&mut self, document: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self, document)?;
        self.write_all(b"\n")?;
        self.flush()
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        let sent = self.sender.blocking_send(Ok(chunk));
        sent.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))
    }
}

/// An answer that `write` makes. If it fails before its first chunk has left, that is
/// the answer; later it breaks the answer off, so that nobody takes it for whole.
pub(crate) async fn answer(
    content_type: &'static str,
    write: impl FnOnce(&mut Chunks) -> Result<(), Refusal> + Send + 'static,
) -> Result<Response, Refusal> {
    let (sender, mut chunks) = mpsc::channel(CHUNKS_MAX);
    tokio::task::spawn_blocking(move || {
        let mut to = Chunks {
            sender,
            buffer: Vec::new(),
        };
        match write(&mut to) {
            // A reader that has gone misses nothing.
            Ok(()) => drop(to.flush()),
            Err(refusal) => drop(to.sender.blocking_send(Err(refusal))),
        }
    });
    let first = match chunks.recv().await {
        Some(Err(refusal)) => return Err(refusal),
        Some(Ok(chunk)) => chunk,
        None => Bytes::new(),
    };
    let rest = stream::unfold((Some(first), chunks), |(first, mut chunks)| async {
        let chunk = match first {
            Some(first) => Ok(first),
            None => chunks.recv().await?.map_err(|refusal| {
                tracing::error!(?refusal, "an answer was broken off");
                io::Error::other("broken off")
            }),
        };
        Some((chunk, (None, chunks)))
    });
    let headers = [(header::CONTENT_TYPE, content_type)];
    Ok((headers, Body::from_stream(rest)).into_response())
}
