//! A snapshot's bytes, packed: the names of its fields stand in it again and again, so a
//! third is left of a usual state, and the store's log and its file have the rest less to
//! write.
//!
//! ```text
//! offset  bytes
//!      0      1  0xC1, which MessagePack never uses: what is not packed begins with a map
//!      1      4  bytes unpacked, little-endian
//!      5      …  one block of LZ4
//! ```

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::RangeInclusive;

use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

const TAG: u8 = 0xc1;
const HEADER_BYTES: usize = 5;

/// How many bytes are packed. In fewer nothing repeats that is worth it; more are written
/// piece by piece, and would stand in memory once more meanwhile.
const PACKED_BYTES: RangeInclusive<usize> = 128..=SNAPSHOT_PIECE_BYTES_MAX;

/// Bytes of scratch that a thread keeps: the next state is as small, as a rule, and is not to
/// pay for room that it does not need in the end.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Appends `plain` to `body`, packed where that makes it shorter.
pub(crate) fn append(body: &mut Vec<u8>, plain: &[u8]) {
    if PACKED_BYTES.contains(&plain.len()) {
        let length = u32::try_from(plain.len()).expect("it is one piece at most");
        let is_packed = SCRATCH.with_borrow_mut(|scratch| {
            let room = get_maximum_output_size(plain.len());
            scratch.resize(room.max(scratch.len()), 0);
            let packed = compress_into(plain, scratch).expect("there is room for the worst");
            let is_shorter = HEADER_BYTES + packed < plain.len();
            if is_shorter {
                body.reserve_exact(HEADER_BYTES + packed);
                body.push(TAG);
                body.extend_from_slice(&length.to_le_bytes());
                body.extend_from_slice(&scratch[..packed]);
            }
            if scratch.len() > SCRATCH_BYTES_KEPT {
                *scratch = Vec::new();
            }
            is_shorter
        });
        if is_packed {
            return;
        }
    }
    body.extend_from_slice(plain);
}

/// What [`append`] was given.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub(crate) fn open(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if bytes.first() != Some(&TAG) {
        return Ok(Cow::Borrowed(bytes));
    }
    let (header, block) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or("it is packed, and too short")?;
    let [_, length @ ..] = *header;
    let length = u32::from_le_bytes(length) as usize;
    if !PACKED_BYTES.contains(&length) {
        return Err(format!("it says that it has {length} bytes unpacked"));
    }
    let mut plain = vec![0; length];
    match decompress_into(block, &mut plain) {
        Ok(found) if found == length => Ok(Cow::Owned(plain)),
        Ok(found) => Err(format!("it has {found} bytes unpacked, and says {length}")),
        Err(error) => Err(format!("it cannot be unpacked: {error}")),
    }
}
