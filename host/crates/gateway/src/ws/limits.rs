//! The bounds of one connection, with unit and reason.

use serde::{Deserialize, Serialize};

use crate::limits::MESSAGE_BYTES_MAX;

/// Queued output, in bytes, above which a ping is not answered at once: 16 KiB.
///
/// A client that sends pings and reads nothing would otherwise grow the output
/// for ever. Above the bound only the latest ping is remembered, as RFC 6455,
/// section 5.5.3, allows, and answered when the output has drained.
pub const PONG_OUTPUT_BYTES_MAX: usize = 16 * 1024;

/// Longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Longest reason of a close frame, in bytes: a control frame less the code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// What a [`Codec`](super::Codec) accepts from its client.
///
/// A single frame has no limit of its own: its payload joins its message as it
/// arrives, and the message's limit is checked on the frame's header.
///
/// ```
/// use host_gateway::ws::Limits;
///
/// let small = Limits { message_bytes_max: 4096, ..Limits::default() };
/// assert!(small.message_bytes_max < Limits::default().message_bytes_max);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest message, in payload bytes over all its fragments.
    pub message_bytes_max: usize,
    /// Queued output, in bytes, above which pings wait for their pong.
    pub pong_output_bytes_max: usize,
}

impl Limits {
    /// Those of the channels.
    pub const CHANNELS: Self = Self {
        message_bytes_max: MESSAGE_BYTES_MAX,
        pong_output_bytes_max: PONG_OUTPUT_BYTES_MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::CHANNELS
    }
}
