//! One connection's codec: input to messages, messages to output, and the
//! closing handshake between them.

use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::close::{self, CloseCode};
use super::frame::{self, Header, Opcode, unmask};
use super::limits::Limits;
use super::message::{Encoded, Message};
use super::queue::Queue;
use super::violation::Violation;

/// The framing of one connection, server side, as plain data.
///
/// The turn of a caller is: read from the socket, [`receive`](Self::receive),
/// [`next_message`](Self::next_message) until it gives nothing, write
/// [`output`](Self::output) once, [`sent`](Self::sent). When
/// [`is_closed`](Self::is_closed) and the output is empty, the socket is to be
/// shut down.
///
/// Two bounds are the caller's: input is held until it is asked for, so a
/// caller drains the messages before it reads on; and output is held until it
/// is written, so a caller looks at the length of [`output`](Self::output) and
/// gives up on a client that does not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codec {
    limits: Limits,
    phase: Phase,
    /// Received and not yet taken. After `next_message` gave nothing: less than
    /// one header, or less than one control frame.
    input: Queue,
    assembly: Assembly,
    /// Encoded and not yet written.
    output: Queue,
    /// The payload of the latest ping, while its pong waits for the output to drain.
    #[serde(with = "serde_bytes")]
    pong_due: Option<Vec<u8>>,
}

/// How far the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Open,
    /// Our close frame is queued, the client's has not come. Its messages are
    /// still read: it sent them before it could know.
    CloseSent,
    /// Nothing more is read, nothing more can be sent.
    Closed,
}

/// A message was to be sent after the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot send on a WebSocket whose close frame is already queued; drop the message")]
pub struct AlreadyClosing;

impl Codec {
    /// The codec of a connection whose opening handshake is done.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Open,
            input: Queue::default(),
            assembly: Assembly::default(),
            output: Queue::default(),
            pong_due: None,
        }
    }

    /// Takes bytes of the client, in any portions. Dropped once the codec is closed.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Closed {
            self.input.extend(bytes);
        }
    }

    /// The next message, or nothing until more is received.
    ///
    /// Pings and the client's close frame are answered into the output by this
    /// call; they are handed out for the caller's information.
    ///
    /// # Errors
    ///
    /// The client's first [`Violation`]. Its close frame is in the output then,
    /// the codec is closed, and every later call gives nothing.
    pub fn next_message(&mut self) -> Result<Option<Message>, Violation> {
        let read = self.read();
        if let Err(violation) = &read {
            if self.phase == Phase::Open {
                self.queue_close(Some(violation.close_code()), &violation.to_string());
            }
            self.end();
        }
        read
    }

    /// Queues a text message, as one frame.
    ///
    /// # Errors
    ///
    /// When a close frame was queued before.
    pub fn send_text(&mut self, text: &str) -> Result<(), AlreadyClosing> {
        self.require_open()?;
        self.queue_frame(Opcode::Text, text.as_bytes());
        Ok(())
    }

    /// Queues a binary message, as one frame.
    ///
    /// # Errors
    ///
    /// When a close frame was queued before.
    pub fn send_binary(&mut self, payload: &[u8]) -> Result<(), AlreadyClosing> {
        self.require_open()?;
        self.queue_frame(Opcode::Binary, payload);
        Ok(())
    }

    /// Queues a frame that was encoded for many clients.
    ///
    /// # Errors
    ///
    /// When a close frame was queued before.
    pub fn send_encoded(&mut self, frame: &Encoded) -> Result<(), AlreadyClosing> {
        self.require_open()?;
        self.output.extend(frame.as_bytes());
        Ok(())
    }

    /// Begins the closing handshake. Messages are still received until the
    /// client's close frame comes; how long to wait for it is the caller's to
    /// decide. A reason of more than 123 bytes is cut at a character.
    ///
    /// # Errors
    ///
    /// When a close frame was queued before.
    pub fn send_close(&mut self, code: CloseCode, reason: &str) -> Result<(), AlreadyClosing> {
        self.require_open()?;
        self.queue_close(Some(code), reason);
        self.phase = Phase::CloseSent;
        Ok(())
    }

    /// What is to be written, in order. Its length is what the client has not
    /// taken yet.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    /// Drops the first `written` bytes of the output: the socket has them.
    ///
    /// # Panics
    ///
    /// When the output is shorter than that.
    pub fn sent(&mut self, written: usize) {
        self.output.consume(written);
        if self.output.len() < self.limits.pong_output_bytes_max
            && let Some(payload) = self.pong_due.take()
        {
            self.queue_frame(Opcode::Pong, &payload);
        }
    }

    /// Whether messages can be sent: no close frame was queued.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the closing handshake is done, or a violation has ended the
    /// connection. What is left is to write the output and shut the socket down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Heap held by all buffers, in bytes: 0 when the connection is idle.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.input.heap_bytes()
            + self.assembly.heap_bytes()
            + self.output.heap_bytes()
            + self.pong_due.as_ref().map_or(0, Vec::capacity)
    }

    fn read(&mut self) -> Result<Option<Message>, Violation> {
        while self.phase != Phase::Closed {
            if self.assembly.in_frame() {
                let message = self.assembly.fill(&mut self.input)?;
                if message.is_some() || self.assembly.in_frame() {
                    return Ok(message);
                }
            }
            let Some(header) = Header::parse(self.input.as_slice())? else {
                break;
            };
            if header.opcode.is_control() {
                return self.read_control(&header);
            }
            self.assembly
                .begin(&header, self.limits.message_bytes_max)?;
            self.input.consume(header.header_bytes);
        }
        Ok(None)
    }

    /// Takes a control frame once all of it is there.
    fn read_control(&mut self, header: &Header) -> Result<Option<Message>, Violation> {
        let frame_bytes = header.header_bytes + header.length as usize;
        let frame = self.input.as_slice().get(header.header_bytes..frame_bytes);
        let Some(mut payload) = frame.map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        unmask(&mut payload, header.mask);
        self.input.consume(frame_bytes);
        Ok(Some(match header.opcode {
            Opcode::Ping => {
                self.answer_ping(&payload);
                Message::Ping(payload.into())
            }
            Opcode::Pong => Message::Pong(payload.into()),
            _ => {
                let message = close::parse(&payload)?;
                self.answer_close(&message);
                message
            }
        }))
    }

    fn answer_ping(&mut self, payload: &[u8]) {
        if self.phase != Phase::Open {
            return;
        }
        if self.output.len() < self.limits.pong_output_bytes_max {
            self.queue_frame(Opcode::Pong, payload);
        } else {
            self.pong_due = Some(payload.to_vec());
        }
    }

    fn answer_close(&mut self, message: &Message) {
        if self.phase == Phase::Open
            && let Message::Close { code, .. } = message
        {
            self.queue_close(*code, "");
        }
        self.end();
    }

    fn queue_close(&mut self, code: Option<CloseCode>, reason: &str) {
        // A pong behind the close frame would be a violation of our own.
        self.pong_due = None;
        self.queue_frame(Opcode::Close, &close::payload(code, reason));
    }

    fn queue_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let head = frame::head(opcode, payload.len());
        self.output.reserve(head.as_slice().len() + payload.len());
        self.output.extend(head.as_slice());
        self.output.extend(payload);
    }

    /// Reads nothing more, and frees what was held for reading.
    fn end(&mut self) {
        self.phase = Phase::Closed;
        self.input.clear();
        self.assembly = Assembly::Idle;
    }

    fn require_open(&self) -> Result<(), AlreadyClosing> {
        if self.is_open() {
            Ok(())
        } else {
            Err(AlreadyClosing)
        }
    }
}
