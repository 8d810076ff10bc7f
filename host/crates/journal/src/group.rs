//! The body of a group: the records of one commit, as one blob.
//!
//! ```text
//! offset  bytes
//!      0      4  magic "HJG\0"
//!      4      4  format version, 1
//!      8      4  number of frames
//!     12      4  bytes of all frames
//!     16      …  frames, each:
//!                   0    4  bytes of the record
//!                   4    8  its position
//!                  12    8  position of the same actor's record before, if no
//!                           snapshot included that one when this was written; or 0
//!                  20    …  the record, MessagePack
//!    end      4  CRC-32C of all before
//! ```
//!
//! All numbers are little-endian. A group is bounded by
//! [`GROUP_BYTES_MAX`](host_model::limits::GROUP_BYTES_MAX) plus one entry. The
//! records are not read here: who walks back along `prev` decodes only those it
//! wants. A record grows by fields at its end: one that lacks them has a default, and an
//! older host passes over those it does not know. Any other change raises the format
//! version.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Position;

const MAGIC: [u8; 4] = *b"HJG\0";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 16;
const FRAME_HEADER_BYTES: usize = 20;
const CRC_BYTES: usize = 4;

/// SHA-256 of a group and of all groups before it.
pub type Hash = [u8; 32];

/// One record in a group's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Of the record.
    pub position: Position,
    /// Of the same actor's record before it, or 0.
    pub prev: Position,
    /// MessagePack.
    pub record: &'a [u8],
}

/// Bytes that are no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GroupError {
    /// Fewer bytes than the header and the frames it announces, or more.
    #[error("it has {found} bytes where {expected} belong")]
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Not a group, or its first bytes are damaged.
    #[error("it does not start like a group")]
    Magic,
    /// Written by a newer host.
    #[error("it has format {0}, this host knows {FORMAT}")]
    Format(u32),
    /// Bits have changed.
    #[error("its checksum is {found:08x} where {expected:08x} belongs")]
    Checksum {
        /// Of the bytes there are.
        found: u32,
        /// As it was written.
        expected: u32,
    },
    /// The checksum holds and the content does not: it was written wrong.
    #[error("its frame {0} is malformed")]
    Frame(u32),
}

/// Builds a body, frame by frame.
#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    frames: u32,
}

impl Encoder {
    /// An encoder of a body of about `bytes` bytes of records.
    #[must_use]
    pub fn with_capacity(frames: usize, bytes: usize) -> Self {
        let mut buffer =
            Vec::with_capacity(HEADER_BYTES + bytes + frames * FRAME_HEADER_BYTES + CRC_BYTES);
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&FORMAT.to_le_bytes());
        buffer.extend_from_slice(&[0; 8]);
        Self {
            bytes: buffer,
            frames: 0,
        }
    }

    /// Adds a frame. Positions must rise.
    pub fn push(&mut self, frame: Frame<'_>) {
        let len = u32::try_from(frame.record.len()).expect("append bounds a record's bytes");
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes
            .extend_from_slice(&frame.position.0.to_le_bytes());
        self.bytes.extend_from_slice(&frame.prev.0.to_le_bytes());
        self.bytes.extend_from_slice(frame.record);
        self.frames += 1;
    }

    /// Number of frames so far.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// The body.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let frame_bytes = u32::try_from(self.bytes.len() - HEADER_BYTES)
            .expect("a group holds a few MiB and one more entry");
        self.bytes[8..12].copy_from_slice(&self.frames.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&frame_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// The frames of a body, in order.
///
/// # Errors
///
/// [`GroupError`] on any bytes that no [`Encoder`] wrote; it never panics.
pub fn decode(body: &[u8]) -> Result<Vec<Frame<'_>>, GroupError> {
    let length = |expected| GroupError::Length {
        found: body.len(),
        expected,
    };
    let Some((header, _)) = body.split_at_checked(HEADER_BYTES) else {
        return Err(length(HEADER_BYTES + CRC_BYTES));
    };
    if header[..4] != MAGIC {
        return Err(GroupError::Magic);
    }
    let format = u32_at(header, 4);
    if format != FORMAT {
        return Err(GroupError::Format(format));
    }
    let expected = HEADER_BYTES + u32_at(header, 12) as usize + CRC_BYTES;
    if body.len() != expected {
        return Err(length(expected));
    }
    let (content, crc) = body.split_at(body.len() - CRC_BYTES);
    let (found, expected) = (crc32c::crc32c(content), u32_at(crc, 0));
    if found != expected {
        return Err(GroupError::Checksum { found, expected });
    }
    decode_frames(u32_at(header, 8), &content[HEADER_BYTES..])
}

fn decode_frames(count: u32, mut rest: &[u8]) -> Result<Vec<Frame<'_>>, GroupError> {
    // The count is not trusted with memory: each frame takes its header at least.
    let mut frames = Vec::with_capacity((count as usize).min(rest.len() / FRAME_HEADER_BYTES));
    let mut before = Position(0);
    for index in 0..count {
        let malformed = GroupError::Frame(index);
        let (header, behind) = rest.split_at_checked(FRAME_HEADER_BYTES).ok_or(malformed)?;
        let (record, behind) = behind
            .split_at_checked(u32_at(header, 0) as usize)
            .ok_or(malformed)?;
        let frame = Frame {
            position: Position(u64_at(header, 4)),
            prev: Position(u64_at(header, 12)),
            record,
        };
        if frame.position <= before || frame.prev >= frame.position {
            return Err(malformed);
        }
        before = frame.position;
        frames.push(frame);
        rest = behind;
    }
    if rest.is_empty() {
        Ok(frames)
    } else {
        Err(GroupError::Frame(count))
    }
}

/// The hash of a group: of the one before it, the owner's epoch, the time of the
/// commit in Unix milliseconds, and the body.
#[must_use]
pub fn hash(prev: &Hash, epoch: u64, time_ms: i64, body: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(prev);
    hasher.update(epoch.to_le_bytes());
    hasher.update(time_ms.to_le_bytes());
    hasher.update(body);
    hasher.finalize().into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
