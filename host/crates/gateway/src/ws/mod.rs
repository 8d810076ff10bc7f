//! WebSocket framing for the server's side of a connection (RFC 6455), without IO.
//!
//! Bytes of the client go in with [`Codec::receive`], whole messages come out
//! of [`Codec::next_message`]. What is to be written collects in
//! [`Codec::output`], so that a burst of frames is one write. [`Handshake`] does
//! the same for the HTTP request that opens a connection: headers in, the
//! answer's headers out.
//!
//! ```
//! use host_gateway::ws::{Codec, Limits, Message};
//!
//! let mut codec = Codec::new(Limits::default());
//! // RFC 6455, section 5.7: the masked text "Hello".
//! codec.receive(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
//! let Some(Message::Text(text)) = codec.next_message()? else { panic!("a whole frame came in") };
//! assert_eq!(text, "Hello");
//!
//! codec.send_text("Hi").expect("no close frame was sent");
//! assert_eq!(codec.output(), b"\x81\x02Hi");
//! codec.sent(4); // the caller wrote all four bytes
//! assert!(codec.output().is_empty());
//! # Ok::<(), host_gateway::ws::Violation>(())
//! ```
//!
//! # Invariants
//!
//! - **All state is plain data.** A [`Codec`] can be serialized between any two
//!   calls, even in the middle of a frame or of a UTF-8 sequence, and goes on
//!   in another process where it was. Use a format with named fields, so that a
//!   newer host can read it.
//! - **An idle connection holds no heap.** Buffers are freed when they are
//!   empty, and nothing is allocated for bytes that were only announced.
//! - **Work is linear** in the bytes received and sent, however they are split.
//! - **A message is handed out whole and checked, or not at all.** The first
//!   [`Violation`] ends the connection: its close frame is queued, and no
//!   further input is taken.
//!
//! Extensions are not negotiated. permessage-deflate in particular is off: it
//! costs tens of kilobytes per connection, its window cannot be handed to
//! another process, and a broadcast could not be encoded once for all. A frame
//! with a reserved bit is therefore always a violation.
//!
//! This module must not know sockets, tasks, channels or actors.

mod assembly;
mod close;
mod codec;
mod frame;
mod handshake;
pub mod limits;
mod message;
mod queue;
#[cfg(test)]
mod tests;
mod violation;

pub use self::close::CloseCode;
pub use self::codec::{AlreadyClosing, Codec};
pub use self::handshake::{Handshake, HandshakeError};
pub use self::limits::Limits;
pub use self::message::{Encoded, Message};
pub use self::violation::Violation;
