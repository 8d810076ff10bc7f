//! What the codec hands out, and what can be sent to many clients at once.

use bytes::Bytes;

use super::close::CloseCode;
use super::frame::{self, Opcode};

/// A whole message of the client, or one of its control frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text, checked to be UTF-8.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// A ping, at most 125 bytes. The codec has answered it, or will once the
    /// output has drained.
    Ping(Bytes),
    /// A pong, at most 125 bytes.
    Pong(Bytes),
    /// The client's close frame. The codec has queued its answer; nothing
    /// follows but [`Codec::output`](super::Codec::output) and the end.
    Close {
        /// The code, where the client gave one.
        code: Option<CloseCode>,
        /// The reason, at most 123 bytes; empty where none was given.
        reason: String,
    },
}

/// One frame of the server, encoded once for any number of clients.
///
/// Frames of a server are not masked, so their bytes are the same for all; a
/// clone shares them.
///
/// ```
/// use host_gateway::ws::{Codec, Encoded, Limits};
///
/// let news = Encoded::text("to all");
/// let mut subscribers = vec![Codec::new(Limits::default()); 3];
/// for codec in &mut subscribers {
///     codec.send_encoded(&news).expect("no close frame was sent");
/// }
/// assert!(subscribers.iter().all(|codec| codec.output() == news.as_bytes()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes a text message as one frame.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::frame(Opcode::Text, text.as_bytes())
    }

    /// Encodes a binary message as one frame.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self::frame(Opcode::Binary, payload)
    }

    /// The frame's bytes: header and payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The message itself, without the frame's header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0[frame::head_bytes(&self.0)..]
    }

    /// Whether it is a text message.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0[0] & 0x0f == Opcode::Text as u8
    }

    fn frame(opcode: Opcode, payload: &[u8]) -> Self {
        let head = frame::head(opcode, payload.len());
        Self([head.as_slice(), payload].concat().into())
    }
}
