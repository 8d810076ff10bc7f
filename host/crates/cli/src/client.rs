//! HTTP/1.1 over the host's control socket.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use host_model::control::{Problem, Progress};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::failure::EXIT_NOT_RUNNING;
use crate::sse::Parser;

/// Bytes of an answer: a large state, with room.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How long the host may take to answer. Its own calls give up at 9 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The reason of a failure in the middle of an answer.
pub(crate) const CONNECTION_LOST: &str = "connection_lost";

/// Asks the host behind one socket. One connection a request: the host may have
/// been restarted between two of them.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the host that listens on `socket`. Does not connect.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// The answer to `GET path`.
    ///
    /// # Errors
    ///
    /// The host's problem, or that none runs.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.answer(self.request(Method::GET, path, Bytes::new()))
            .await
    }

    /// The answer to `POST path` with `body` as JSON.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::POST, path, json(body)))
            .await
    }

    /// The progress that `POST path` starts.
    ///
    /// # Errors
    ///
    /// As [`Client::get`], where the host refuses before anything begins.
    pub async fn follow(&self, path: &str, body: &impl Serialize) -> Result<Events, Failure> {
        self.events(Method::POST, path, json(body)).await
    }

    /// What happens, as `GET path` tells it.
    ///
    /// # Errors
    ///
    /// As [`Client::get`], where the host refuses before anything is told.
    pub(crate) async fn listen<T>(&self, path: &str) -> Result<Events<T>, Failure> {
        self.events(Method::GET, path, Bytes::new()).await
    }

    async fn events<T>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Events<T>, Failure> {
        let (response, connection) = self.request(method, path, body).await?;
        if !response.status().is_success() {
            return Err(problem(response).await);
        }
        Ok(Events {
            body: response.into_body(),
            parser: Parser::default(),
            ready: VecDeque::new(),
            _connection: connection,
            _of: PhantomData,
        })
    }

    /// The answer to `POST path`, however long it takes.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub(crate) async fn post_long<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let mut chunks = self.stream(Method::POST, path, json(body)).await?;
        let mut answer = Vec::new();
        while let Some(chunk) = chunks.next().await? {
            answer.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&answer).map_err(|e| strange(format!("its answer is strange: {e}")))
    }

    /// The answer to `GET path` as it is made.
    ///
    /// # Errors
    ///
    /// As [`Client::get`], where the host refuses before anything is answered.
    pub(crate) async fn look(&self, path: &str) -> Result<Chunks, Failure> {
        self.stream(Method::GET, path, Bytes::new()).await
    }

    /// The answer to `path` as it is made, however long that takes.
    ///
    /// # Errors
    ///
    /// As [`Client::get`], where the host refuses before anything is answered.
    async fn stream(&self, method: Method, path: &str, body: Bytes) -> Result<Chunks, Failure> {
        let (response, connection) = self.request(method, path, body).await?;
        if !response.status().is_success() {
            return Err(problem(response).await);
        }
        Ok(Chunks {
            body: response.into_body(),
            line: Vec::new(),
            _connection: connection,
        })
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: impl Future<Output = Result<(Response<Incoming>, Connection), Failure>>,
    ) -> Result<T, Failure> {
        let whole = async {
            let (response, _connection) = request.await?;
            if !response.status().is_success() {
                return Err(problem(response).await);
            }
            let body = collect(response).await?;
            serde_json::from_slice(&body).map_err(|e| {
                strange(format!(
                    "its answer is not what this program expects ({e}); is the program of another version than the host?"
                ))
            })
        };
        tokio::time::timeout(ANSWER_TIMEOUT, whole)
            .await
            .unwrap_or_else(|_| {
                Err(Failure::look(
                    "no_answer",
                    format!(
                        "ask the host on {}: no answer within {} s; look at `host logs`",
                        self.socket.display(),
                        ANSWER_TIMEOUT.as_secs()
                    ),
                ))
            })
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e))?;
        // Its error is the request's error too, and is told there.
        let connection = Connection(tokio::spawn(async {
            let _ = connection.await;
        }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "host")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| strange(format!("{path} is no path: {e}")))?;
        let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
        Ok((response, connection))
    }

    /// Whether a keeper holds the lock on its file, which lies beside the socket.
    fn has_keeper(&self) -> bool {
        let file = File::open(self.socket.with_file_name("keeper.pid"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused if self.has_keeper() => {
                Failure::new(
                    "not_running",
                    EXIT_NOT_RUNNING,
                    format!(
                        "the host is down or on its way up: nobody listens on {socket} yet, and its keeper runs and starts it again; try again in a moment, or see `host logs`"
                    ),
                )
            }
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::new(
                "not_running",
                EXIT_NOT_RUNNING,
                format!(
                    "no host runs here: nobody listens on {socket}; start one with `host start`"
                ),
            ),
            // Its path is longer than a socket's may be, which keeps a host from starting.
            io::ErrorKind::InvalidInput => Failure::new(
                "not_running",
                EXIT_NOT_RUNNING,
                format!(
                    "no host runs here, and none can: {socket} is too long for a socket ({error}); set HOST_DATA to a shorter folder"
                ),
            ),
            io::ErrorKind::PermissionDenied => Failure::refused(
                "permission_denied",
                format!(
                    "connect to {socket}: permission denied; run this as the user that the host runs as"
                ),
            ),
            _ => Failure::refused("unreachable", format!("connect to {socket}: {error}")),
        }
    }
}

/// A connection that is driven as long as this lives.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is told as it happens, event by event.
pub struct Events<T = Progress> {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<String>,
    _connection: Connection,
    _of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    /// The next report; none when the host has closed the stream.
    ///
    /// # Errors
    ///
    /// The stream broke, or is not of this version. What it told of goes on.
    pub async fn next(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return serde_json::from_str(&event).map(Some).map_err(|e| {
                    strange(format!("it reports {event:?}, which this program does not know ({e}); is it of another version than the host?"))
                });
            }
            let frame = match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => frame.map_err(|e| broken(&e))?,
            };
            if let Some(bytes) = frame.data_ref() {
                let events = self
                    .parser
                    .feed(bytes)
                    .map_err(|e| strange(e.to_string()))?;
                self.ready.extend(events);
            }
        }
    }
}

/// An answer as it is made.
pub(crate) struct Chunks {
    body: Incoming,
    line: Vec<u8>,
    _connection: Connection,
}

impl Chunks {
    /// The next document of an answer with one a line; none at its end.
    ///
    /// # Errors
    ///
    /// It broke off, or is not of this version.
    pub(crate) async fn document<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|e| strange(format!("it says what is not of this version: {e}")));
            }
            match self.next().await? {
                Some(chunk) => self.line.extend_from_slice(&chunk),
                None => return Ok(None),
            }
            if self.line.len() > ANSWER_BYTES_MAX {
                return Err(strange("its answer has no end".to_owned()));
            }
        }
    }

    /// Some more of it; none at its end.
    ///
    /// # Errors
    ///
    /// It broke off: what came before is not whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|e| {
                Failure::look(
                    "broken_off",
                    format!("read the host's answer: it broke off ({e}), and is not whole; look at `host audit verify` and `host logs`"),
                )
            })?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// `name=value&...` for a query string; values may be any text.
#[must_use]
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    text
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .expect("requests are plain data")
        .into()
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|e| strange(format!("its answer cannot be read: {e}")))
}

async fn problem(response: Response<Incoming>) -> Failure {
    let status = response.status();
    match collect(response).await {
        Ok(body) => match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => problem.into(),
            Err(_) => strange(format!(
                "it answers {status} without a reason; is this program of another version than the host?"
            )),
        },
        Err(failure) => failure,
    }
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::look(
        CONNECTION_LOST,
        format!(
            "ask the host: the connection broke ({error}), perhaps because it stopped or crashed; look at `host status` and `host logs`"
        ),
    )
}

fn strange(what: String) -> Failure {
    Failure::look("strange_answer", format!("ask the host: {what}"))
}
