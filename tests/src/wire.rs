//! A WebSocket connection that speaks Phoenix Channels V2, in two halves: one
//! thread sends when a call is due, another reads when an answer comes.

use std::borrow::Cow;
use std::net::TcpStream;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket};

use crate::wait::DEADLINE;

/// The half that sends.
#[derive(Debug)]
pub struct Sender {
    socket: WebSocket<TcpStream>,
}

/// The half that reads.
#[derive(Debug)]
pub struct Receiver {
    socket: WebSocket<TcpStream>,
}

/// An answer to something in a visit.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The visit's number.
    pub visit: u32,
    /// What it answers.
    pub to: Asked,
    /// The response as JSON, or the reason of the error.
    pub result: Result<String, String>,
}

/// What was asked in a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To join.
    Join,
    /// The push of this index.
    Push(u32),
    /// To leave.
    Leave,
}

/// Connects to the host on `port`.
///
/// # Errors
///
/// That it cannot.
pub fn connect(port: u16) -> Result<(Sender, Receiver)> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let sending = stream.try_clone()?;
    let url = format!("ws://127.0.0.1:{port}/socket/websocket?vsn=2.0.0");
    let (reading, _response) = tungstenite::client(url, stream)
        .map_err(|e| anyhow::anyhow!("open a WebSocket on port {port}: {e}"))?;
    // The host sends no ping: only closing would make the reading half write.
    let sending = WebSocket::from_raw_socket(sending, Role::Client, None);
    let sender = Sender { socket: sending };
    Ok((sender, Receiver { socket: reading }))
}

impl Sender {
    /// Joins `topic`, pushes, and leaves, all in one write: over a connection, 100
    /// channels may be joined at once, and there are more campaigns than that.
    ///
    /// # Errors
    ///
    /// That the connection is gone.
    pub fn visit(&mut self, visit: u32, topic: &str, pushes: &[(&str, String)]) -> Result<()> {
        self.write(format!(
            r#"["{visit}","{visit}.j","{topic}","phx_join",{{}}]"#
        ))?;
        for (index, (event, payload)) in pushes.iter().enumerate() {
            self.write(format!(
                r#"["{visit}","{visit}.{index}","{topic}","{event}",{payload}]"#
            ))?;
        }
        self.write(format!(
            r#"["{visit}","{visit}.l","{topic}","phx_leave",{{}}]"#
        ))?;
        self.socket.flush().context("send a visit")
    }

    fn write(&mut self, text: String) -> Result<()> {
        let written = self.socket.write(Message::text(text));
        written.context("send a message")
    }
}

impl Receiver {
    /// Waits for the next answer. Broadcasts, and the goodbyes of channels, are
    /// passed over.
    ///
    /// # Errors
    ///
    /// That the connection is gone, or what came is no answer.
    pub fn answer(&mut self) -> Result<Answer> {
        loop {
            match self.socket.read().context("wait for an answer")? {
                Message::Text(text) => {
                    if let Some(answer) = parse(&text)? {
                        return Ok(answer);
                    }
                }
                Message::Close(frame) => bail!("the host closed the connection: {frame:?}"),
                _ => {}
            }
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a>(
    IgnoredAny,
    Option<Cow<'a, str>>,
    IgnoredAny,
    Cow<'a, str>,
    #[serde(borrow)] &'a RawValue,
);

#[derive(Deserialize)]
struct Reply<'a> {
    status: Cow<'a, str>,
    #[serde(borrow)]
    response: &'a RawValue,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    reason: Cow<'a, str>,
}

fn parse(text: &str) -> Result<Option<Answer>> {
    let read = || format!("read the message {text}");
    let Envelope(_, message_ref, _, event, payload) =
        serde_json::from_str(text).with_context(read)?;
    let (Some(message_ref), "phx_reply") = (message_ref, &*event) else {
        return Ok(None);
    };
    let (visit, to) = message_ref.split_once('.').with_context(read)?;
    let to = match to {
        "j" => Asked::Join,
        "l" => Asked::Leave,
        index => Asked::Push(index.parse().with_context(read)?),
    };
    let reply: Reply<'_> = serde_json::from_str(payload.get()).with_context(read)?;
    let response = reply.response.get();
    let result = match &*reply.status {
        "ok" => Ok(response.to_owned()),
        _ => {
            let refusal: Refusal<'_> = serde_json::from_str(response).with_context(read)?;
            Err(refusal.reason.into_owned())
        }
    };
    Ok(Some(Answer {
        visit: visit.parse().with_context(read)?,
        to,
        result,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_all_else() {
        let ok = r#"["7","7.0","donations:c1","phx_reply",{"status":"ok","response":{"a":1}}]"#;
        let answer = parse(ok).unwrap().unwrap();
        assert_eq!((answer.visit, answer.to), (7, Asked::Push(0)));
        assert_eq!(answer.result.unwrap(), r#"{"a":1}"#);

        let error = r#"["7","7.j","t:c","phx_reply",{"status":"error","response":{"reason":"x"}}]"#;
        let answer = parse(error).unwrap().unwrap();
        assert_eq!((answer.to, answer.result), (Asked::Join, Err("x".into())));

        for other in [
            r#"[null,null,"donations:c1","donation_received",{"seq":3}]"#,
            r#"["7","7","donations:c1","phx_close",{}]"#,
        ] {
            assert_eq!(parse(other).unwrap(), None);
        }
    }
}
