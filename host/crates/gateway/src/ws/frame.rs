//! The frame's header, read and written, and its mask (RFC 6455, section 5.2).
//!
//! ```text
//! byte 0   FIN RSV1 RSV2 RSV3 opcode(4)
//! byte 1   MASK length(7): the length itself up to 125,
//!          126: 2 bytes of length follow, 127: 8 bytes follow, big endian
//! then     the mask, 4 bytes, in every frame of a client and none of a server
//! then     the payload
//! ```
//!
//! A length in more bytes than it needs is accepted: the RFC binds the sender
//! to the shortest form, small clients exist that always use two bytes, and
//! there is nothing ambiguous in it.

use super::limits::CONTROL_BYTES_MAX;
use super::violation::Violation;

const FIN: u8 = 0b1000_0000;
const RESERVED: u8 = 0b0111_0000;
const OPCODE: u8 = 0b0000_1111;
const MASKED: u8 = 0b1000_0000;
const LENGTH: u8 = 0b0111_1111;
/// Values of the seven bits that say how many bytes of length follow.
const LENGTH_IN_2: u8 = 126;
const LENGTH_IN_8: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    fn parse(opcode: u8) -> Result<Self, Violation> {
        Ok(match opcode {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return Err(Violation::ReservedOpcode { opcode }),
        })
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the frame is the last of its message.
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// Payload bytes that follow.
    pub(super) length: u64,
    pub(super) mask: [u8; 4],
    /// Bytes of the header itself.
    pub(super) header_bytes: usize,
}

impl Header {
    /// Reads the header at the front of `input`; nothing while it is incomplete.
    ///
    /// # Errors
    ///
    /// What is wrong with a header is said on the byte that shows it, before
    /// the rest has come.
    pub(super) fn parse(input: &[u8]) -> Result<Option<Self>, Violation> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        let (fin, reserved) = (first & FIN != 0, first & RESERVED);
        if reserved != 0 {
            return Err(Violation::ReservedBits {
                bits: reserved >> 4,
            });
        }
        let opcode = Opcode::parse(first & OPCODE)?;
        if opcode.is_control() && !fin {
            return Err(Violation::ControlFragmented);
        }

        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & LENGTH;
        let rest = &input[2..];
        let (length, length_bytes) = match short {
            LENGTH_IN_2 => (rest.first_chunk().map(|n| u16::from_be_bytes(*n).into()), 2),
            LENGTH_IN_8 => (rest.first_chunk().map(|n| u64::from_be_bytes(*n)), 8),
            length => (Some(u64::from(length)), 0),
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length >> 63 != 0 {
            return Err(Violation::LengthOutOfRange);
        }
        if opcode.is_control() && length > CONTROL_BYTES_MAX as u64 {
            return Err(Violation::ControlTooLong { announced: length });
        }
        let Some(&mask) = rest[length_bytes..].first_chunk() else {
            return Ok(None);
        };
        let header_bytes = 2 + length_bytes + mask.len();
        Ok(Some(Self {
            fin,
            opcode,
            length,
            mask,
            header_bytes,
        }))
    }
}

/// The header of a server's frame: whole and unmasked, 2 to 10 bytes.
pub(super) struct Head {
    bytes: [u8; 10],
    len: usize,
}

impl Head {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Writes the header of a server's frame in its shortest form.
pub(super) fn head(opcode: Opcode, payload_bytes: usize) -> Head {
    let mut bytes = [0; 10];
    bytes[0] = FIN | opcode as u8;
    let length = payload_bytes as u64;
    let len = if length < u64::from(LENGTH_IN_2) {
        bytes[1] = length as u8;
        2
    } else if let Ok(length) = u16::try_from(length) {
        bytes[1] = LENGTH_IN_2;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        4
    } else {
        bytes[1] = LENGTH_IN_8;
        bytes[2..].copy_from_slice(&length.to_be_bytes());
        10
    };
    Head { bytes, len }
}

/// Bytes of the header that [`head`] wrote at the front of `frame`.
pub(super) fn head_bytes(frame: &[u8]) -> usize {
    match frame[1] {
        LENGTH_IN_2 => 4,
        LENGTH_IN_8 => 10,
        _ => 2,
    }
}

/// Removes (or applies) `mask`, whose first byte belongs to the first of `payload`.
///
/// Eight bytes at a time: the byte order does not matter to an exclusive or
/// when both sides are read in the same one.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}
