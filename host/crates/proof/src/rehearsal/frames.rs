//! What goes over the socket: frames, one behind the other, both ways.
//!
//! ```text
//! 0        4                     4 + length
//! ┌────────┬──────────────────────┐
//! │ length │ MessagePack          │
//! │ u32 LE │ one value            │
//! └────────┴──────────────────────┘
//!
//! host ─► Setup, once           ready or failed ─► host
//! host ─► Spare, now and then
//! host ─► Subject, many         for each, in order: judged ─► host
//!                               (a step now and then, where it takes its time)
//!         (traced: told step by step)   step, step, ..., judged ─► host
//! host closes: the child ends
//! ```
//!
//! A frame has at most [`FRAME_BYTES_MAX`] bytes: more than the largest state that a
//! store takes, twice. Of a frame that is announced as larger nothing is read.

use std::io::{self, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Judged, Setup, Subject};

/// See the module.
pub(super) const FRAME_BYTES_MAX: usize = 768 << 20;

/// What the host says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// First of all.
    Setup(Setup),
    /// An actor.
    Subject(Subject),
    /// An actor, with each step told before it is taken.
    Traced(Subject),
    /// Whether to rest between bursts from now on, for clients are served.
    Spare(bool),
}

/// As [`Ask`], by reference: what is sent stays with its sender.
#[derive(Debug, Serialize)]
pub(super) enum Asked<'a> {
    Setup(&'a Setup),
    Subject(&'a Subject),
    Traced(&'a Subject),
    Spare(bool),
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// All libraries are open, but for what is said of those that are to spare, and it can
    /// do nothing any more but compute.
    Ready(Vec<String>),
    /// It could not come so far.
    Failed(String),
    /// What it is about to do.
    Step(String),
    /// What it has found of an actor.
    Judged(Judged),
}

/// Writes a frame to the end of `out`.
pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
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
pub(super) fn read<T: DeserializeOwned>(
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
        write(&mut out, &Answer::Step("up".to_owned())).unwrap();
        let remarks = vec!["one".to_owned()];
        write(&mut out, &Answer::Ready(remarks)).unwrap();
        let (mut from, mut buffer) = (&out[..], Vec::new());
        let first = read::<Answer>(&mut from, &mut buffer).unwrap();
        assert!(matches!(first, Some(Answer::Step(step)) if step == "up"));
        let second = read::<Answer>(&mut from, &mut buffer).unwrap();
        assert!(matches!(second, Some(Answer::Ready(remarks)) if remarks == ["one"]));
        assert!(read::<Answer>(&mut from, &mut buffer).unwrap().is_none());

        let mut cut = &out[..6];
        assert!(read::<Answer>(&mut cut, &mut buffer).is_err());
        let huge = u32::MAX.to_le_bytes();
        let refused = read::<Answer>(&mut &huge[..], &mut buffer).unwrap_err();
        assert!(
            refused.to_string().contains("4294967295 bytes"),
            "{refused}"
        );
        assert!(read::<Answer>(&mut &[1, 0, 0, 0, 0xc1][..], &mut buffer).is_err());
    }
}
