//! How values go from one process to another: frames, one behind the other.
//!
//! ```text
//! 0        4                     4 + length
//! ┌────────┬──────────────────────┐
//! │ length │ MessagePack          │
//! │ u32 LE │ one value            │
//! └────────┴──────────────────────┘
//! ```
//!
//! A frame has at most [`FRAME_BYTES_MAX`] bytes: more than the largest state that a
//! store takes, twice. Of a frame that is announced as larger nothing is read.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// See the module.
const FRAME_BYTES_MAX: usize = 768 << 20;

/// Writes one frame, and waits until it is on its way.
pub(crate) fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut frame = Vec::new();
    write(&mut frame, value)?;
    to.write_all(&frame)?;
    to.flush()
}

/// Writes a frame to the end of `out`.
pub(crate) fn write(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    rmp_serde::encode::write(out, value).map_err(io::Error::other)?;
    let length = out.len() - begin - 4;
    if length > FRAME_BYTES_MAX {
        out.truncate(begin);
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let length = u32::try_from(length).expect("below a bound that fits");
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Reads a frame; none at the end. `buffer` is reused.
pub(crate) fn read<T: DeserializeOwned>(
    from: &mut impl Read,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    buffer.clear();
    from.take(length as u64).read_to_end(buffer)?;
    if buffer.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    rmp_serde::from_slice(buffer)
        .map(Some)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_no_other() {
        let mut out = Vec::new();
        write(&mut out, &"one").unwrap();
        send(&mut out, &("two", 2)).unwrap();
        let (mut from, mut buffer) = (&out[..], Vec::new());
        let first = read::<String>(&mut from, &mut buffer).unwrap();
        assert_eq!(first.as_deref(), Some("one"));
        let second = read::<(String, u8)>(&mut from, &mut buffer).unwrap();
        assert_eq!(second, Some(("two".to_owned(), 2)));
        assert_eq!(read::<String>(&mut from, &mut buffer).unwrap(), None);

        let mut cut = &out[..6];
        assert!(read::<String>(&mut cut, &mut buffer).is_err());
        let huge = u32::MAX.to_le_bytes();
        let refused = read::<String>(&mut &huge[..], &mut buffer).unwrap_err();
        assert!(
            refused.to_string().contains("4294967295 bytes"),
            "{refused}"
        );
        assert!(read::<String>(&mut &[1, 0, 0, 0, 0xc1][..], &mut buffer).is_err());
    }
}
