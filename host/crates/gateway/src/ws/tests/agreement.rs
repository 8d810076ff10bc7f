//! One stream of bytes, read by this codec and by tungstenite. What generates the
//! streams stands elsewhere: proptest in `oracle`, and a fuzzer in `fuzz`, which takes
//! this file as it is; so what it uses comes from the room above.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message as Theirs};

use super::{CloseCode, Codec, Limits, Message, Violation};

/// Small, so that random lengths come to lie on both sides of it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 300;

/// Takes all messages that are there.
pub(crate) fn drain(codec: &mut Codec) -> (Vec<Message>, Option<Violation>) {
    let mut messages = Vec::new();
    loop {
        match codec.next_message() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(violation) => return (messages, Some(violation)),
        }
    }
}

/// Another process: what arrives is what was written, and nothing else.
pub(crate) fn hand_over(codec: &Codec) -> Codec {
    let written = rmp_serde::to_vec_named(codec).unwrap();
    let arrived: Codec = rmp_serde::from_slice(&written).unwrap();
    assert_eq!(arrived, *codec);
    arrived
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// More is awaited.
    Open,
    /// The client closed in order.
    Closed,
    /// The client was refused, with this close code.
    Refused(CloseCode),
}

/// What this codec reads; between two portions it moves to another process.
fn ours(wire: &[u8], portions: &[usize]) -> (Vec<Message>, Verdict) {
    let mut codec = Codec::new(Limits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        ..Limits::default()
    });
    let (mut messages, mut refused, mut rest) = (Vec::new(), None, wire);
    for portion in portions.iter().copied().cycle() {
        let (front, back) = rest.split_at(portion.min(rest.len()));
        codec.receive(front);
        let (more, violation) = drain(&mut codec);
        messages.extend(more);
        refused = refused.or(violation);
        codec = hand_over(&codec);
        rest = back;
        if rest.is_empty() {
            break;
        }
    }
    let verdict = match refused {
        Some(violation) => Verdict::Refused(violation.close_code()),
        None if codec.is_closed() => Verdict::Closed,
        None => Verdict::Open,
    };
    (messages, verdict)
}

/// A socket that has received `wire` and takes whatever is written.
struct Memory<'a> {
    wire: &'a [u8],
    /// Zeros that follow the stream.
    filler: usize,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.wire.is_empty() {
            return self.wire.read(buffer);
        }
        let zeros = self.filler.min(buffer.len());
        if zeros == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..zeros].fill(0);
        self.filler -= zeros;
        Ok(zeros)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(wire: &[u8], filler: usize) -> (Vec<Message>, Verdict) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .read_buffer_size(1024);
    let memory = Memory { wire, filler };
    let mut socket = WebSocket::from_raw_socket(memory, Role::Server, Some(config));
    let mut messages = Vec::new();
    let verdict = loop {
        messages.push(match socket.read() {
            Ok(Theirs::Text(text)) => Message::Text(text.to_string()),
            Ok(Theirs::Binary(payload)) => Message::Binary(payload),
            Ok(Theirs::Ping(payload)) => Message::Ping(payload),
            Ok(Theirs::Pong(payload)) => Message::Pong(payload),
            // A close code that it does not allow, it replaces by this and goes on.
            Ok(Theirs::Close(Some(close))) if close.reason.as_str() == "Protocol violation" => {
                break Verdict::Refused(CloseCode::PROTOCOL_ERROR);
            }
            Ok(Theirs::Close(close)) => {
                let code = close
                    .as_ref()
                    .and_then(|close| CloseCode::new(close.code.into()));
                let reason = close
                    .map(|close| close.reason.to_string())
                    .unwrap_or_default();
                messages.push(Message::Close { code, reason });
                break Verdict::Closed;
            }
            Ok(Theirs::Frame(_)) => unreachable!("raw frames are never read"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                break Verdict::Open;
            }
            Err(Error::Utf8(_)) => break Verdict::Refused(CloseCode::INVALID_PAYLOAD),
            Err(Error::Capacity(_)) => break Verdict::Refused(CloseCode::TOO_BIG),
            Err(Error::Protocol(_)) => break Verdict::Refused(CloseCode::PROTOCOL_ERROR),
            Err(error) => panic!("tungstenite failed: {error}"),
        });
    };
    (messages, verdict)
}

/// What the two do not agree about, if anything.
pub(crate) fn disagreement(wire: &[u8], portions: &[usize]) -> Option<String> {
    let (our_messages, our_verdict) = ours(wire, portions);
    let (mut their_messages, mut their_verdict) = theirs(wire, 0);

    if let Verdict::Refused(_) = our_verdict
        && their_verdict == Verdict::Open
    {
        (their_messages, their_verdict) = theirs(wire, 2 * MESSAGE_BYTES_MAX);
    }
    let differ = || {
        let ours = format!("{our_verdict:?} behind {our_messages:?}");
        format!("here {ours}; there {their_verdict:?} behind {their_messages:?}")
    };
    // 1014 is registered by now, and tungstenite does not know it.
    if let Some(Message::Close {
        code: Some(code), ..
    }) = our_messages.last()
        && code.get() == 1014
    {
        let refused = Verdict::Refused(CloseCode::PROTOCOL_ERROR);
        return (their_verdict != refused).then(differ);
    }
    let agree = match (our_verdict, their_verdict) {
        // Of several things wrong with a frame, each names the first it looks
        // at, and this codec looks at the header's form before anything else.
        (Verdict::Refused(CloseCode::PROTOCOL_ERROR), Verdict::Refused(_)) => true,
        (ours, theirs) => ours == theirs,
    };
    (our_messages != their_messages || !agree).then(differ)
}
