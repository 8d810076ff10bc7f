//! Binary frames: lengths of one byte each, the fields, and the data.
//!
//! ```text
//! client's push   0, join_ref, ref, topic, event       then the four, then the data
//! reply           1, join_ref, ref, topic, status      then the four, then the data
//! ```
//!
//! Plugins take and give JSON. So the data of a push is JSON, in UTF-8, and so is that of
//! its reply, which the client hands to whoever pushed as an `ArrayBuffer`. All else is
//! sent as text, to every client alike.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Asked, Form, Incoming, Malformed, Ref};
use crate::limits::{EVENT_BYTES_MAX, REF_BYTES_MAX};
use crate::ws::Encoded;

const PUSH: u8 = 0;
const REPLY: u8 = 1;

pub(super) fn parse(bytes: &[u8]) -> Result<Incoming<'_>, Malformed> {
    let (&[kind, lengths @ ..], mut rest) =
        bytes.split_first_chunk::<5>().ok_or(Malformed::Binary)?;
    if kind != PUSH {
        return Err(Malformed::Binary);
    }
    let mut fields = [""; 4];
    for (field, length) in fields.iter_mut().zip(lengths) {
        let (text, behind) = rest
            .split_at_checked(length.into())
            .ok_or(Malformed::Binary)?;
        *field = str::from_utf8(text).map_err(|_| Malformed::Binary)?;
        rest = behind;
    }
    let [join_ref, message_ref, topic, event] = fields;
    if event.len() > EVENT_BYTES_MAX {
        return Err(Malformed::Event);
    }
    let payload = serde_json::from_slice::<&RawValue>(rest).map_or("", RawValue::get);
    Ok(Incoming {
        asked: Asked {
            join_ref: ref_of(join_ref)?,
            message_ref: ref_of(message_ref)?,
            form: Form::Binary,
        },
        topic: Cow::Borrowed(topic),
        event: Cow::Borrowed(event),
        payload,
        bytes: bytes.len(),
    })
}

/// As it would stand in a text message: a client has one counter for both.
fn ref_of(text: &str) -> Result<Ref, Malformed> {
    if text.is_empty() {
        return Ok(Ref(None));
    }
    let json = serde_json::to_string(text).expect("a text is JSON");
    if json.len() > REF_BYTES_MAX {
        return Err(Malformed::Ref);
    }
    Ok(Ref(Some(json.into())))
}

/// The reply to a binary push, whose fields fit therefore.
pub(super) fn reply(asked: &Asked, topic: &str, status: &str, response: &[u8]) -> Encoded {
    let (join_ref, message_ref) = (asked.join_ref.as_text(), asked.message_ref.as_text());
    let fields = [&*join_ref, &*message_ref, topic, status];
    let bytes: usize = fields.iter().map(|field| field.len()).sum();
    let mut out = Vec::with_capacity(5 + bytes + response.len());
    out.push(REPLY);
    for field in fields {
        out.push(u8::try_from(field.len()).expect("it came with a length of one byte"));
    }
    for field in fields {
        out.extend_from_slice(field.as_bytes());
    }
    out.extend_from_slice(response);
    Encoded::binary(&out)
}
