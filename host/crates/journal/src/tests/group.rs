//! The format of a group's body: what was written comes back, nothing else does.

use proptest::prelude::*;

use crate::Position;
use crate::group::{Encoder, Frame, GroupError, decode};

fn body(records: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = Encoder::with_capacity(records.len(), 0);
    for (index, record) in (1..).zip(records) {
        encoder.push(Frame {
            position: Position(index * 3),
            prev: Position(index - 1),
            record,
        });
    }
    encoder.finish()
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(records: Vec<Vec<u8>>) {
        let body = body(&records);
        let frames = decode(&body).unwrap();
        let back: Vec<_> = frames.iter().map(|frame| frame.record.to_vec()).collect();
        prop_assert_eq!(back, records);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn any_frames_under_a_right_checksum_do_not_panic(frames: Vec<u8>, count: u32) {
        let mut bytes = b"HJG\0\x01\0\0\0".to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.extend(u32::try_from(frames.len()).unwrap().to_le_bytes());
        bytes.extend(&frames);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        if let Ok(frames) = decode(&bytes) {
            prop_assert_eq!(frames.len(), count as usize);
        }
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let body = body(&[b"first".to_vec(), Vec::new(), b"third".to_vec()]);
    for len in 0..body.len() {
        assert!(decode(&body[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
    let longer = [&body[..], &[0]].concat();
    assert!(matches!(decode(&longer), Err(GroupError::Length { .. })));
}

#[test]
fn a_newer_format_is_named() {
    let mut body = body(&[b"record".to_vec()]);
    body[4] = 2;
    assert_eq!(decode(&body), Err(GroupError::Format(2)));
}
