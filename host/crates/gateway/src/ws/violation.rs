//! What a client can do wrong on an open connection, and the close code it gets.

use super::close::CloseCode;
use super::limits::CONTROL_BYTES_MAX;

/// A breach of RFC 6455 or of a limit. It always blames the client.
///
/// The text is what the client finds as the reason in its close frame: it says
/// what came and what was allowed, and is never longer than a close reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A bit that only an extension could give a meaning; none is negotiated.
    #[error("reserved bits {bits:#05b} are set in a frame, but no extension was negotiated")]
    ReservedBits {
        /// RSV1 to RSV3, RSV1 the highest of three bits.
        bits: u8,
    },
    /// An opcode without a meaning.
    #[error("the opcode {opcode:#x} of a frame is reserved; use 0x0 to 0x2 or 0x8 to 0xa")]
    ReservedOpcode {
        /// The four bits of the opcode.
        opcode: u8,
    },
    /// Every frame of a client must be masked.
    #[error("a frame is not masked; a client masks every frame")]
    Unmasked,
    /// A close, ping or pong frame with a long payload.
    #[error("a control frame announces {announced} bytes; the limit is {CONTROL_BYTES_MAX} bytes")]
    ControlTooLong {
        /// Payload bytes that the frame announced.
        announced: u64,
    },
    /// A close, ping or pong frame without FIN.
    #[error("a control frame is fragmented; send it whole")]
    ControlFragmented,
    /// A 64-bit length with its highest bit set.
    #[error("a frame announces a length of 2^63 bytes or more")]
    LengthOutOfRange,
    /// A continuation frame where no message had begun.
    #[error("a continuation frame came without a message to continue")]
    ContinuationWithoutStart,
    /// A text or binary frame where a continuation was due.
    #[error("a new message began inside a fragmented one; finish that one first")]
    MessageInterrupted,
    /// A message longer than [`Limits::message_bytes_max`](super::Limits::message_bytes_max).
    #[error("a message of at least {announced} bytes was announced; the limit is {limit} bytes")]
    TooBig {
        /// Payload bytes of the message, as far as its frames announced them.
        announced: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The payload of a text message is no UTF-8.
    #[error("a text message is not valid UTF-8")]
    InvalidUtf8,
    /// A close frame with one byte of payload: too short for a code.
    #[error("a close frame has one byte; it has none, or a code of two bytes and a reason")]
    CloseTruncated,
    /// A close code that must not appear in a frame.
    #[error("the close code {code} may not be sent in a frame")]
    CloseCodeInvalid {
        /// The code as received.
        code: u16,
    },
    /// The reason in a close frame is no UTF-8.
    #[error("the reason in a close frame is not valid UTF-8")]
    CloseReasonInvalid,
}

impl Violation {
    /// The code of the close frame that answers this violation: 1002, 1007 or 1009.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooBig { .. } => CloseCode::TOO_BIG,
            Self::InvalidUtf8 | Self::CloseReasonInvalid => CloseCode::INVALID_PAYLOAD,
            Self::ReservedBits { .. }
            | Self::ReservedOpcode { .. }
            | Self::Unmasked
            | Self::ControlTooLong { .. }
            | Self::ControlFragmented
            | Self::LengthOutOfRange
            | Self::ContinuationWithoutStart
            | Self::MessageInterrupted
            | Self::CloseTruncated
            | Self::CloseCodeInvalid { .. } => CloseCode::PROTOCOL_ERROR,
        }
    }
}
