//! A client of Phoenix Channels V2, written from the protocol: it blocks, and it
//! keeps what it hears until it is asked.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::WebSocket;
use tungstenite::{Error, HandshakeError};

use crate::wait::DEADLINE;

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<TcpStream>,
    next_ref: u64,
    /// The `join_ref` of each topic that is joined.
    joined: BTreeMap<String, String>,
    heard: VecDeque<Message>,
}

/// The answer of a host that opens no WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// Its body, as far as it came; null where that is no JSON.
    pub problem: Value,
}

/// What the server sent: a broadcast, a push, the end of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Of the join that it belongs to.
    pub join_ref: Option<String>,
    /// Of the message that it answers.
    pub message_ref: Option<String>,
    /// Its topic.
    pub topic: String,
    /// Its event.
    pub event: String,
    /// Its payload.
    pub payload: Value,
}

/// The answer to a push or a join.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Status `ok`, with the response.
    Ok(Value),
    /// Status `error`.
    Error {
        /// One word for programs.
        reason: String,
        /// A sentence for people.
        message: String,
    },
}

impl Reply {
    /// The response of an answer that is `ok`.
    ///
    /// # Errors
    ///
    /// The answer, where it is an error.
    pub fn ok(self) -> Result<Value> {
        match self {
            Self::Ok(response) => Ok(response),
            Self::Error { reason, message } => bail!("the answer is an error: {reason}: {message}"),
        }
    }

    /// The reason of an answer that is an error.
    ///
    /// # Errors
    ///
    /// The answer, where it is `ok`.
    pub fn reason(self) -> Result<String> {
        match self {
            Self::Error { reason, .. } => Ok(reason),
            Self::Ok(response) => bail!("the answer is no error: {response}"),
        }
    }
}

impl Client {
    /// Connects to the host on `port`.
    ///
    /// # Errors
    ///
    /// That it is not there, or does not speak.
    pub fn connect(port: u16) -> Result<Self> {
        match Self::ask(port, "", &[])? {
            Ok(client) => Ok(client),
            Err(answer) => bail!("open a WebSocket on port {port}: {answer:?}"),
        }
    }

    /// Connects with a token.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn with_token(port: u16, token: &str) -> Result<Self> {
        match Self::ask(port, &format!("&token={token}"), &[])? {
            Ok(client) => Ok(client),
            Err(answer) => bail!("open a WebSocket on port {port}: {answer:?}"),
        }
    }

    /// Asks to connect with more in the query, and with these headers; gives the answer of a
    /// host that refuses it.
    ///
    /// # Errors
    ///
    /// That the host is not there, or does not speak.
    pub fn ask(
        port: u16,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Result<Self, Refusal>> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let url = format!("ws://127.0.0.1:{port}/socket/websocket?vsn=2.0.0{query}");
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse()?);
        }
        let (socket, _response) = match tungstenite::client(request, stream) {
            Ok(opened) => opened,
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let body = answer.body().as_deref().unwrap_or_default();
                let problem: Value = serde_json::from_slice(body).unwrap_or_default();
                return Ok(Err(Refusal {
                    status: answer.status().as_u16(),
                    problem,
                }));
            }
            Err(e) => bail!("open a WebSocket on port {port}: {e}"),
        };
        Ok(Ok(Self {
            socket,
            next_ref: 0,
            joined: BTreeMap::new(),
            heard: VecDeque::new(),
        }))
    }

    /// Joins a topic.
    ///
    /// # Errors
    ///
    /// That the connection is gone, or no answer comes in time.
    pub fn join(&mut self, topic: &str) -> Result<Reply> {
        self.join_with(topic, &json!({}))
    }

    /// Joins a topic with what it wants to be told beyond the answer.
    ///
    /// # Errors
    ///
    /// As [`Client::join`].
    pub fn join_with(&mut self, topic: &str, wishes: &Value) -> Result<Reply> {
        let join_ref = (self.next_ref + 1).to_string();
        self.joined.insert(topic.to_owned(), join_ref);
        self.push(topic, "phx_join", wishes)
    }

    /// Pushes a command or a query, and waits for its answer.
    ///
    /// # Errors
    ///
    /// That the connection is gone, or no answer comes in time.
    pub fn push(&mut self, topic: &str, event: &str, payload: &Value) -> Result<Reply> {
        let message_ref = self.send(topic, event, payload)?;
        let began = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(began.elapsed());
            let Some(message) = self.read(left)? else {
                bail!(
                    "no answer to {event} on {topic} came within {} s",
                    DEADLINE.as_secs()
                );
            };
            if message.event == "phx_reply" && message.message_ref.as_deref() == Some(&message_ref)
            {
                return reply(&message.payload);
            }
            self.heard.push_back(message);
        }
    }

    /// Pushes without waiting for an answer; gives the `ref`.
    ///
    /// # Errors
    ///
    /// That the connection is gone.
    pub fn send(&mut self, topic: &str, event: &str, payload: &Value) -> Result<String> {
        self.next_ref += 1;
        let message_ref = self.next_ref.to_string();
        let join_ref = self.joined.get(topic);
        let text = json!([join_ref, message_ref, topic, event, payload]).to_string();
        self.send_text(text)?;
        Ok(message_ref)
    }

    /// Sends a text message as it is.
    ///
    /// # Errors
    ///
    /// That the connection is gone.
    pub fn send_text(&mut self, text: String) -> Result<()> {
        let sent = self.socket.send(tungstenite::Message::text(text));
        sent.context("send a message")
    }

    /// The next message that was not the answer to a push, once it comes.
    ///
    /// # Errors
    ///
    /// That the connection is gone, or nothing comes in time.
    pub fn next_message(&mut self) -> Result<Message> {
        if let Some(message) = self.heard.pop_front() {
            return Ok(message);
        }
        let next = self.read(DEADLINE)?;
        next.context("waited for a message in vain")
    }

    /// The next message with this event, once it comes; those before it are dropped.
    ///
    /// # Errors
    ///
    /// As [`Client::next_message`].
    pub fn next_of(&mut self, event: &str) -> Result<Message> {
        loop {
            let next = self.next_message();
            let message = next.with_context(|| format!("wait for the event {event}"))?;
            if message.event == event {
                return Ok(message);
            }
        }
    }

    /// Everything heard so far and within `time` from now.
    ///
    /// # Errors
    ///
    /// That the connection is gone.
    pub fn listen(&mut self, time: Duration) -> Result<Vec<Message>> {
        let until = Instant::now() + time;
        let mut heard: Vec<_> = self.heard.drain(..).collect();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(heard);
            }
            match self.read(left)? {
                Some(message) => heard.push(message),
                None => return Ok(heard),
            }
        }
    }

    /// Reads one message; none if nothing comes within `time`.
    fn read(&mut self, time: Duration) -> Result<Option<Message>> {
        // A time of zero would mean to wait for ever.
        let time = time.max(Duration::from_millis(1));
        self.socket.get_ref().set_read_timeout(Some(time))?;
        loop {
            match self.socket.read() {
                Ok(tungstenite::Message::Text(text)) => return parse(&text).map(Some),
                Ok(tungstenite::Message::Close(frame)) => bail!("the host closed: {frame:?}"),
                Ok(_) => {}
                Err(tungstenite::Error::Io(e)) if is_timeout(&e) => return Ok(None),
                Err(e) => return Err(e).context("read a message"),
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

fn parse(text: &str) -> Result<Message> {
    let parts: (Option<String>, Option<String>, String, String, Value) =
        serde_json::from_str(text).with_context(|| format!("read the message {text}"))?;
    let (join_ref, message_ref, topic, event, payload) = parts;
    ensure!(payload.is_object(), "the payload of {text} is no object");
    Ok(Message {
        join_ref,
        message_ref,
        topic,
        event,
        payload,
    })
}

fn reply(payload: &Value) -> Result<Reply> {
    let response = &payload["response"];
    let word = |key: &str| response[key].as_str().unwrap_or_default().to_owned();
    match payload["status"].as_str() {
        Some("ok") => Ok(Reply::Ok(response.clone())),
        Some("error") => Ok(Reply::Error {
            reason: word("reason"),
            message: word("message"),
        }),
        _ => bail!("a reply without a status: {payload}"),
    }
}
