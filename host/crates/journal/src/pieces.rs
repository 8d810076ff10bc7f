//! A snapshot that is too large for a group: it goes into the store piece by piece, and
//! is valid by its last entry, which is small.
//!
//! Whoever writes it appends the next piece when the one before it is durable, so that
//! the line never has more than one of them, and commands stand between. A piece is
//! named by where the first one stands, which is never given again, and by its number.
//! Nobody reads a piece but through a snapshot that has it; one that no snapshot has is
//! stray, and is removed some time.
//!
//! ```text
//! a piece                               in the place of the snapshot's own body
//! offset  bytes                         offset  bytes
//!      0      4  CRC-32C of the rest         0      4  CRC-32C of the rest
//!      4      4  its number: 0, 1, 2, …      4      4  "HSP\0", no beginning of a map
//!      8      4  how many there are          8      8  where the first piece stands
//!     12      …  its bytes                  16      4  how many there are
//!                                           20      8  bytes of all together
//!                                           28      4  CRC-32C of those
//! ```
//!
//! All numbers are little-endian. The pieces' bytes together are what a small snapshot
//! has as its body.

use bytes::Bytes;
use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;
use host_model::{ActorId, Version};

use crate::error::StoreError;
use crate::sealed::{ROW_BYTES_MAX, SealedSnapshot, open_snapshot};
use crate::store::Reader;
use crate::{Position, Rows, Snapshot};

const CRC_BYTES: usize = 4;
const PIECE_HEADER_BYTES: usize = 12;
const TAG: [u8; 4] = *b"HSP\0";
const WHOLE_BYTES: usize = 32;

/// Names a piece for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceId {
    /// Of the entry with the first piece of the same snapshot.
    pub first: Position,
    /// 0, 1, 2, ... within the snapshot.
    pub index: u32,
}

/// A piece, as an entry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// See [`PieceId::first`]. None: it is the first, and stands here.
    pub first: Option<Position>,
    /// See [`PieceId::index`].
    pub index: u32,
    /// See the module.
    pub body: Bytes,
}

impl Piece {
    /// Its name, in an entry that stands at `position`.
    #[must_use]
    pub fn id(&self, position: Position) -> PieceId {
        PieceId {
            first: self.first.unwrap_or(position),
            index: self.index,
        }
    }
}

/// A snapshot whose pieces are in the store, or stand before this in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// [`Snapshot::actor`].
    pub actor: ActorId,
    /// [`Snapshot::seq`].
    pub seq: u64,
    /// [`Snapshot::version`].
    pub version: Version,
    /// [`Snapshot::time_ms`].
    pub time_ms: i64,
    /// Where its bytes are.
    pub parts: Parts,
}

/// Where the bytes of a snapshot in pieces are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// See [`PieceId::first`].
    pub first: Position,
    /// How many pieces there are.
    pub count: u32,
    /// Bytes of all together.
    pub bytes: u64,
    /// CRC-32C of those.
    pub crc: u32,
}

/// A snapshot on its way into the store. Append what [`next`](Self::next) gives, tell
/// [`appended`](Self::appended), wait until that is durable, and so on; behind the last
/// piece append [`whole`](Self::whole). Whoever gives up only drops it.
///
/// ```
/// # use host_journal::{Pieces, Position, Snapshot};
/// # let snapshot = Snapshot {
/// #     actor: "donations:ramadan-2026".parse()?, seq: 7, time_ms: 0, version: "0.1.0".parse()?,
/// #     state_schema: 1, state: vec![0; 3 << 20].into(), carries: Vec::new(),
/// # };
/// assert!(snapshot.is_large());
/// let mut pieces = Pieces::new(snapshot);
/// let mut position = 0;
/// while let Some(_rows) = pieces.next() {
///     position += 1;
///     pieces.appended(Position(position));
/// }
/// assert_eq!(position, 4, "3 MiB and a few bytes");
/// assert!(pieces.whole().whole.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pieces {
    sealed: SealedSnapshot,
    count: u32,
    /// How many have been appended.
    appended: u32,
    first: Position,
}

impl Pieces {
    /// Encodes a snapshot. Nothing is appended yet.
    ///
    /// # Panics
    ///
    /// If it is above [`ROW_BYTES_MAX`].
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        let sealed = SealedSnapshot::new(&snapshot);
        let count = sealed.body.len().div_ceil(SNAPSHOT_PIECE_BYTES_MAX);
        Self {
            sealed,
            count: u32::try_from(count).expect("a snapshot's bytes are bounded"),
            appended: 0,
            first: Position(0),
        }
    }

    /// The rows of the next piece; none when all have been appended.
    #[must_use]
    pub fn next(&self) -> Option<Rows> {
        let mut cut = self.sealed.body.chunks(SNAPSHOT_PIECE_BYTES_MAX);
        let bytes = cut.nth(self.appended as usize)?;
        let mut body = Vec::with_capacity(PIECE_HEADER_BYTES + bytes.len());
        body.extend_from_slice(&[0; CRC_BYTES]);
        body.extend_from_slice(&self.appended.to_le_bytes());
        body.extend_from_slice(&self.count.to_le_bytes());
        body.extend_from_slice(bytes);
        seal(&mut body);
        Some(Rows {
            piece: Some(Piece {
                first: (self.appended > 0).then_some(self.first),
                index: self.appended,
                body: body.into(),
            }),
            ..Rows::default()
        })
    }

    /// Takes note of where the last that [`next`](Self::next) gave stands.
    pub fn appended(&mut self, position: Position) {
        if self.appended == 0 {
            self.first = position;
        }
        self.appended += 1;
    }

    /// The rows that make it valid.
    ///
    /// # Panics
    ///
    /// If a piece has not been appended.
    #[must_use]
    pub fn whole(&self) -> Rows {
        assert!(
            self.appended == self.count,
            "a snapshot is valid by its last entry"
        );
        let sealed = &self.sealed;
        Rows {
            whole: Some(Whole {
                actor: sealed.actor.clone(),
                seq: sealed.seq,
                version: sealed.version.clone(),
                time_ms: sealed.time_ms,
                parts: Parts {
                    first: self.first,
                    count: self.count,
                    bytes: sealed.body.len() as u64,
                    crc: crc32c::crc32c(&sealed.body),
                },
            }),
            ..Rows::default()
        }
    }
}

impl Whole {
    /// As a row beside those of small snapshots.
    pub(crate) fn sealed(self) -> SealedSnapshot {
        SealedSnapshot {
            actor: self.actor,
            seq: self.seq,
            version: self.version,
            time_ms: self.time_ms,
            body: self.parts.body(),
            pieces: Some((self.parts.first, self.parts.count)),
        }
    }
}

impl Parts {
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(WHOLE_BYTES);
        body.extend_from_slice(&[0; CRC_BYTES]);
        body.extend_from_slice(&TAG);
        body.extend_from_slice(&self.first.0.to_le_bytes());
        body.extend_from_slice(&self.count.to_le_bytes());
        body.extend_from_slice(&self.bytes.to_le_bytes());
        body.extend_from_slice(&self.crc.to_le_bytes());
        seal(&mut body);
        body
    }

    /// What the body of a snapshot's row says of its pieces; none if it is not in
    /// pieces.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, in words.
    pub fn of(body: &[u8]) -> Result<Option<Self>, String> {
        if body.get(CRC_BYTES..CRC_BYTES + TAG.len()) != Some(&TAG[..]) {
            return Ok(None);
        }
        let fields = checked(body)?;
        let fields: &[u8; WHOLE_BYTES - CRC_BYTES] =
            fields.try_into().map_err(|_| "it has a wrong length")?;
        let parts = Self {
            first: Position(u64::from_le_bytes(array(&fields[4..12]))),
            count: u32::from_le_bytes(array(&fields[12..16])),
            bytes: u64::from_le_bytes(array(&fields[16..24])),
            crc: u32::from_le_bytes(array(&fields[24..28])),
        };
        if parts.bytes > ROW_BYTES_MAX as u64 {
            return Err(format!("it announces {} bytes", parts.bytes));
        }
        Ok(Some(parts))
    }
}

/// A snapshot from the body of its row, and its pieces where it is in pieces.
///
/// # Errors
///
/// The store's; or, within, what is wrong with which bytes, in words.
pub(crate) fn open(
    reader: &dyn Reader,
    body: &[u8],
) -> Result<Result<Snapshot, String>, StoreError> {
    let parts = match Parts::of(body) {
        Ok(None) => return Ok(open_snapshot(body)),
        Ok(Some(parts)) => parts,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut bytes = Vec::new();
    for index in 0..parts.count {
        let id = PieceId {
            first: parts.first,
            index,
        };
        let piece = reader.piece(id)?;
        let taken = match &piece {
            None => Err("is missing".to_owned()),
            Some(piece) => take(piece, id, parts.count, &mut bytes),
        };
        if let Err(problem) = taken {
            let named = name(id, parts.count);
            return Ok(Err(format!("{named} {problem}")));
        }
    }
    if bytes.len() as u64 != parts.bytes || crc32c::crc32c(&bytes) != parts.crc {
        return Ok(Err("its pieces are not those that it was cut into".into()));
    }
    Ok(open_snapshot(&bytes))
}

/// A piece as people read it, who count from 1.
fn name(id: PieceId, count: u32) -> String {
    let number = u64::from(id.index) + 1;
    format!("piece {number} of {count} (first at {})", id.first.0)
}

/// Adds a piece's bytes to those before it.
fn take(piece: &[u8], id: PieceId, count: u32, bytes: &mut Vec<u8>) -> Result<(), String> {
    let content = checked(piece).map_err(|problem| format!("is damaged: {problem}"))?;
    let (header, own) = content
        .split_at_checked(PIECE_HEADER_BYTES - CRC_BYTES)
        .ok_or("is damaged: it is too short")?;
    let index = u32::from_le_bytes(array(&header[..4]));
    let of = u32::from_le_bytes(array(&header[4..]));
    if (index, of) != (id.index, count) {
        return Err(format!("holds the bytes of piece {} of {of}", index + 1));
    }
    bytes.extend_from_slice(own);
    Ok(())
}

/// Puts the checksum of all behind it in the first bytes.
fn seal(body: &mut [u8]) {
    let crc = crc32c::crc32c(&body[CRC_BYTES..]);
    body[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn checked(body: &[u8]) -> Result<&[u8], String> {
    let (crc, content) = body
        .split_first_chunk::<CRC_BYTES>()
        .ok_or("it is too short")?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err("its checksum does not hold".into());
    }
    Ok(content)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("it was cut to this length")
}
