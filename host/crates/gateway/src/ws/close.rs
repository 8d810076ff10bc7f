//! Close codes, and the payload of a close frame.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::CLOSE_REASON_BYTES_MAX;
use super::message::Message;
use super::violation::Violation;

/// A close code that may stand in a frame (RFC 6455, section 7.4, and the IANA
/// registry): 1000 to 1003, 1007 to 1014, 3000 to 4999.
///
/// ```
/// use host_gateway::ws::CloseCode;
///
/// assert_eq!(CloseCode::new(1012), Some(CloseCode::RESTART));
/// assert_eq!(CloseCode::new(1005), None); // stands for "no code", never sent
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled. The `phoenix` client does not reconnect.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away, for example a host that shuts down.
    pub const GOING_AWAY: Self = Self(1001);
    /// A breach of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that is not taken, for example binary.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A payload inconsistent with its type, for example a text that is no UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A message against a policy, where no other code fits.
    pub const POLICY: Self = Self(1008);
    /// A message too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// A condition of the server that keeps it from going on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts; the client may come back.
    pub const RESTART: Self = Self(1012);
    /// The service is overloaded; the client may come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The code, or nothing where it may not stand in a frame.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads the unmasked payload of a close frame.
pub(super) fn parse(payload: &[u8]) -> Result<Message, Violation> {
    let (code, reason) = match payload {
        [] => {
            return Ok(Message::Close {
                code: None,
                reason: String::new(),
            });
        }
        [_] => return Err(Violation::CloseTruncated),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    let code = CloseCode::new(code).ok_or(Violation::CloseCodeInvalid { code })?;
    let reason = str::from_utf8(reason).map_err(|_| Violation::CloseReasonInvalid)?;
    Ok(Message::Close {
        code: Some(code),
        reason: reason.to_owned(),
    })
}

/// Writes the payload of a close frame. A longer reason is cut at a character.
pub(super) fn payload(code: Option<CloseCode>, reason: &str) -> Vec<u8> {
    let Some(code) = code else { return Vec::new() };
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    [&code.get().to_be_bytes(), reason.as_bytes()].concat()
}
