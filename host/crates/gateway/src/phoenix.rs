//! Phoenix Channels V2: messages in and out, without IO.
//!
//! A message is `[join_ref, ref, topic, event, payload]`. The refs are the
//! client's own and are given back as they stood, so a number comes back as a
//! number. The payload is not looked into: it is the plugin that parses it. A client
//! whose payload is an `ArrayBuffer` sends the same in a binary frame, see `binary`.

mod binary;

use std::borrow::Cow;
use std::time::Duration;

use host_actors::{CallError, News, NotResumed};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::limits::{EVENT_BYTES_MAX, REF_BYTES_MAX};
use crate::ws::Encoded;

/// The topic of the connection itself.
pub(crate) const CONNECTION_TOPIC: &str = "phoenix";

/// The reason in the answer to a topic that no one serves, word for word.
pub(crate) const UNMATCHED_TOPIC: &str = "unmatched topic";

/// A `ref` or `join_ref` as it stands in the message: a JSON string, number or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ref(Option<Box<str>>);

/// A message of the client.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) asked: Asked,
    pub(crate) topic: Cow<'a, str>,
    pub(crate) event: Cow<'a, str>,
    /// Any JSON value; empty where binary data is none.
    pub(crate) payload: &'a str,
    /// Of the whole message.
    pub(crate) bytes: usize,
}

/// What a reply has to give back of the message that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) join_ref: Ref,
    pub(crate) message_ref: Ref,
    /// The form of the reply.
    pub(crate) form: Form,
}

/// How a payload is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Binary,
}

/// A message that is none. The connection is closed with the text of this
/// error as its reason: there is no `ref` to answer to, and a client that sends
/// such a thing is broken as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    #[error("a message is not JSON like [join_ref, ref, topic, event, payload]")]
    Shape,
    #[error("a join_ref or ref is neither string, number nor null, or over {REF_BYTES_MAX} bytes")]
    Ref,
    #[error("the name of an event has over {EVENT_BYTES_MAX} bytes")]
    Event,
    #[error("a binary message is not 0, four lengths, join_ref, ref, topic, event, data")]
    Binary,
}

/// The five elements, each as it stands.
#[derive(Deserialize)]
struct Envelope<'a>(
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] &'a RawValue,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] &'a RawValue,
);

/// Whether the client speaks the version that is spoken here: `~> 2.0.0`.
pub(crate) fn speaks(vsn: &str) -> bool {
    vsn.parse::<host_model::Version>()
        .is_ok_and(|vsn| (vsn.major, vsn.minor) == (2, 0) && vsn.pre.is_empty())
}

impl<'a> Incoming<'a> {
    /// Reads a text message.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|_| Malformed::Shape)?;
        if envelope.3.len() > EVENT_BYTES_MAX {
            return Err(Malformed::Event);
        }
        Ok(Self {
            asked: Asked {
                join_ref: Ref::parse(envelope.0)?,
                message_ref: Ref::parse(envelope.1)?,
                form: Form::Text,
            },
            topic: envelope.2,
            event: envelope.3,
            payload: envelope.4.get(),
            bytes: text.len(),
        })
    }

    /// The same, to be answered in another form.
    pub(crate) fn answered_in(mut self, form: Form) -> Self {
        self.asked.form = form;
        self
    }

    /// Reads a binary message. Its data is to be JSON, as every payload is.
    pub(crate) fn parse_binary(bytes: &'a [u8]) -> Result<Self, Malformed> {
        binary::parse(bytes)
    }
}

impl Ref {
    fn parse(raw: &RawValue) -> Result<Self, Malformed> {
        match raw.get() {
            "null" => Ok(Self(None)),
            text if text.len() > REF_BYTES_MAX || text.starts_with(['[', '{', 't', 'f']) => {
                Err(Malformed::Ref)
            }
            text => Ok(Self(Some(text.into()))),
        }
    }

    /// Whether a message with this `join_ref` belongs to the join with `current`.
    pub(crate) fn belongs_to(&self, current: &Self) -> bool {
        self.0.is_none() || self == current
    }

    /// Of a message that belongs to no join.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn as_json(&self) -> &str {
        self.0.as_deref().unwrap_or("null")
    }

    /// As text, where it is not JSON: without quotes, and empty for null.
    fn as_text(&self) -> Cow<'_, str> {
        let Some(json) = self.0.as_deref() else {
            return Cow::Borrowed("");
        };
        serde_json::from_str(json).unwrap_or(Cow::Borrowed(json))
    }
}

/// `phx_reply` with status `ok`; `response` is JSON and stands in it as it is.
pub(crate) fn reply_ok(asked: &Asked, topic: &str, response: &[u8]) -> Encoded {
    let response = if response.is_empty() { b"{}" } else { response };
    reply(asked, topic, "ok", response)
}

/// `phx_reply` with status `error`.
pub(crate) fn reply_error(asked: &Asked, topic: &str, reason: &str, text: &str) -> Encoded {
    reply_refused(asked, topic, reason, text, None)
}

/// As [`reply_error`], of a call, with when to try it again where that is the host's advice.
pub(crate) fn reply_failed(asked: &Asked, topic: &str, error: &CallError) -> Encoded {
    let (reason, text) = (error.reason(), error.to_string());
    reply_refused(asked, topic, reason, &text, error.retry_after())
}

/// The same, with how long to wait before it is worth trying again.
pub(crate) fn reply_refused(
    asked: &Asked,
    topic: &str,
    reason: &str,
    text: &str,
    retry_after: Option<Duration>,
) -> Encoded {
    let mut response = br#"{"reason":"#.to_vec();
    append_string(&mut response, reason);
    if !text.is_empty() {
        response.extend_from_slice(br#","message":"#);
        append_string(&mut response, text);
    }
    if let Some(retry_after) = retry_after {
        let member = format!(r#","retry_after_ms":{}"#, retry_after.as_millis());
        response.extend_from_slice(member.as_bytes());
    }
    response.push(b'}');
    reply(asked, topic, "error", &response)
}

fn reply(asked: &Asked, topic: &str, status: &str, response: &[u8]) -> Encoded {
    if asked.form == Form::Binary {
        return binary::reply(asked, topic, status, response);
    }
    let head = format!(r#"{{"status":"{status}","response":"#);
    message(
        &asked.join_ref,
        &asked.message_ref,
        topic,
        "phx_reply",
        &[head.as_bytes(), response, b"}"],
    )
}

/// The response to a join. `summary` is JSON; each is null where it is not known.
/// `replayed`: how many broadcasts follow that were missed, or why none do, where the
/// client has asked.
pub(crate) fn join_response(
    summary: Option<&[u8]>,
    seq: Option<u64>,
    replayed: Option<Result<usize, NotResumed>>,
) -> Vec<u8> {
    let mut response = br#"{"summary":"#.to_vec();
    response.extend_from_slice(summary.unwrap_or(b"null"));
    response.extend_from_slice(br#","seq":"#);
    let seq = seq.map_or_else(|| "null".to_owned(), |seq| seq.to_string());
    response.extend_from_slice(seq.as_bytes());
    let replayed = replayed.map_or_else(String::new, |replayed| match replayed {
        Ok(count) => format!(r#","resumed":true,"replayed":{count}"#),
        Err(why) => format!(r#","resumed":false,"replayed":0,"reason":"{why}""#),
    });
    response.extend_from_slice(replayed.as_bytes());
    response.push(b'}');
    response
}

/// `phx_close`: the channel has ended, by the client's own will.
pub(crate) fn close(join_ref: &Ref, topic: &str) -> Encoded {
    message(join_ref, join_ref, topic, "phx_close", &[b"{}"])
}

/// `phx_error`: the channel has crashed; the client joins again.
pub(crate) fn error(join_ref: &Ref, topic: &str, reason: &str) -> Encoded {
    let mut payload = br#"{"reason":"#.to_vec();
    append_string(&mut payload, reason);
    payload.push(b'}');
    message(join_ref, join_ref, topic, "phx_error", &[&payload])
}

/// A broadcast, with `seq` in the payload: to everyone who has joined, or to one of them
/// by its `join_ref`. A payload that is no object, which the protocol does not know,
/// becomes its `value`.
pub(crate) fn news(join_ref: &Ref, news: &News) -> Encoded {
    let text = news.payload.get();
    let seq = format!("\"seq\":{}}}", news.seq);
    let fields = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    let (head, fields) = match fields.map(str::trim) {
        Some("") => ("{", ""),
        Some(fields) => ("{", fields),
        None => ("{\"value\":", text),
    };
    let comma = if fields.is_empty() { "" } else { "," };
    let parts = [head, fields, comma, &seq].map(str::as_bytes);
    let topic = news.actor.as_str();
    message(join_ref, &Ref(None), topic, &news.event, &parts)
}

/// A message to everyone who has joined; `payload` is a JSON object.
pub(crate) fn to_all(topic: &str, event: &str, payload: &[u8]) -> Encoded {
    message(&Ref(None), &Ref(None), topic, event, &[payload])
}

/// A message of the host's own to one who has joined.
pub(crate) fn push(join_ref: &Ref, topic: &str, event: &str, payload: &[u8]) -> Encoded {
    message(join_ref, &Ref(None), topic, event, &[payload])
}

/// `host:release`: the topic's actor has come over to another version.
pub(crate) fn release(
    topic: &str,
    release: &host_model::Version,
    plugin: &host_model::Version,
) -> Encoded {
    let payload = format!(r#"{{"version":"{release}","plugin":"{plugin}"}}"#);
    to_all(topic, "host:release", payload.as_bytes())
}

fn message(
    join_ref: &Ref,
    message_ref: &Ref,
    topic: &str,
    event: &str,
    payload: &[&[u8]],
) -> Encoded {
    let bytes: usize = payload.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(bytes + topic.len() + event.len() + 64);
    out.push(b'[');
    out.extend_from_slice(join_ref.as_json().as_bytes());
    out.push(b',');
    out.extend_from_slice(message_ref.as_json().as_bytes());
    out.push(b',');
    append_string(&mut out, topic);
    out.push(b',');
    append_string(&mut out, event);
    out.push(b',');
    for part in payload {
        out.extend_from_slice(part);
    }
    out.push(b']');
    // A reply is a plugin's bytes; were they no UTF-8, the client would drop the
    // whole connection for it.
    match str::from_utf8(&out) {
        Ok(text) => Encoded::text(text),
        Err(_) => Encoded::text(&String::from_utf8_lossy(&out)),
    }
}

fn append_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is JSON, and memory takes what is written");
}

#[cfg(test)]
pub(crate) mod tests;
