//! Records and snapshots as bytes: what was written comes back, nothing else does.

use proptest::prelude::*;

use super::*;
use crate::Pieces;
use crate::pieces::Parts;
use crate::sealed::{Sealed, open_record, open_snapshot};

fn sealed_snapshot(state: Vec<u8>) -> Vec<u8> {
    let mut snapshot = snapshot(&actor("ali"), 7);
    snapshot.state = state.into();
    let sealed = Sealed::new(of_snapshot(snapshot));
    sealed.snapshot.unwrap().body
}

fn sealed_record(event: Vec<u8>) -> Vec<u8> {
    let mut record = record(&actor("ali"), 7);
    record.event = event.into();
    Sealed::new(of_record(record)).record.unwrap().bytes
}

proptest! {
    #[test]
    fn what_was_sealed_is_opened(bytes: Vec<u8>) {
        let record = open_record(&sealed_record(bytes.clone())).unwrap();
        prop_assert_eq!(&record.event[..], &bytes[..]);
        let snapshot = open_snapshot(&sealed_snapshot(bytes.clone())).unwrap();
        prop_assert_eq!(&snapshot.state[..], &bytes[..]);
    }

    #[test]
    fn any_bytes_are_no_record_and_no_snapshot(bytes: Vec<u8>) {
        prop_assert!(open_record(&bytes).is_err());
        prop_assert!(open_snapshot(&bytes).is_err());
        prop_assert!(!matches!(Parts::of(&bytes), Ok(Some(_))));
    }

    #[test]
    fn any_content_under_a_right_checksum_does_not_panic(content: Vec<u8>) {
        prop_assert!(open_snapshot(&summed(&content)).is_err());
    }

    /// The tag, and a length that may be true.
    #[test]
    fn any_content_that_says_it_is_packed_does_not_panic(length: u16, content: Vec<u8>) {
        let length = u32::from(length).to_le_bytes();
        let content = [&[0xc1][..], &length, &content].concat();
        prop_assert!(open_snapshot(&summed(&content)).is_err());
    }

    /// A body is packed, or as long as what it has: never longer.
    #[test]
    fn what_repeats_is_packed_and_opened(what: Vec<u8>, times in 1..200_usize) {
        let state = what.repeat(times);
        let body = sealed_snapshot(state.clone());
        let snapshot = open_snapshot(&body).unwrap();
        prop_assert_eq!(&snapshot.state[..], &state[..]);
        let plain = rmp_serde::to_vec_named(&snapshot).unwrap();
        prop_assert!(body.len() <= 4 + plain.len(), "{} of {}", body.len(), plain.len());
        if times >= 20 {
            prop_assert!(body.len() < 500 + 4 * what.len(), "{} of {}", body.len(), plain.len());
        }
    }

    /// A record has no checksum of its own: the group's covers it.
    #[test]
    fn a_changed_record_does_not_panic(bytes: Vec<u8>, at: prop::sample::Index, to: u8) {
        let mut changed = sealed_record(bytes);
        let at = at.index(changed.len());
        changed[at] = to;
        let _ = open_record(&changed);
    }
}

fn summed(content: &[u8]) -> Vec<u8> {
    [&crc32c::crc32c(content).to_le_bytes()[..], content].concat()
}

/// A store from before bodies were packed has those.
#[test]
fn a_body_that_is_not_packed_is_opened() {
    let snapshot = snapshot(&actor("ali"), 7);
    let plain = rmp_serde::to_vec_named(&snapshot).unwrap();
    assert_eq!(open_snapshot(&summed(&plain)).unwrap(), snapshot);
}

#[test]
fn a_packed_body_that_says_a_wrong_length_is_refused() {
    let body = sealed_snapshot(vec![7; 10_000]);
    let length = u32::from_le_bytes(body[5..9].try_into().unwrap());
    for (wrong, why) in [
        (length - 1, "it cannot be unpacked"),
        (length + 1, "bytes unpacked, and says"),
        (u32::MAX, "it says that it has 4294967295 bytes unpacked"),
    ] {
        let content = [&body[4..5], &wrong.to_le_bytes(), &body[9..]].concat();
        let refused = open_snapshot(&summed(&content)).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_of_a_snapshot_is_refused() {
    for state in [b"a state".to_vec(), b"a state ".repeat(100)] {
        is_refused_if_touched(&sealed_snapshot(state));
    }
}

fn is_refused_if_touched(body: &[u8]) {
    for len in 0..body.len() {
        assert!(open_snapshot(&body[..len]).is_err(), "cut to {len}");
    }
    for bit in 0..body.len() * 8 {
        let mut flipped = body.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open_snapshot(&flipped).is_err(), "bit {bit}");
    }
}

/// What stands in the place of the body of a snapshot in pieces.
fn sealed_whole() -> Vec<u8> {
    let mut large = snapshot(&actor("ali"), 7);
    large.state = vec![7; 2 << 20].into();
    let mut pieces = Pieces::new(large);
    for position in 4.. {
        match pieces.next() {
            Some(_) => pieces.appended(Position(position)),
            None => break,
        }
    }
    Sealed::new(pieces.whole()).snapshot.unwrap().body
}

#[test]
fn every_truncation_and_every_flipped_bit_of_where_pieces_are_is_refused() {
    let body = sealed_whole();
    let parts = Parts::of(&body).unwrap().unwrap();
    assert_eq!((parts.first, parts.count), (Position(4), 3));
    let is_refused = |body: &[u8]| match Parts::of(body) {
        Ok(Some(_)) => false,
        Ok(None) => open_snapshot(body).is_err(),
        Err(_) => true,
    };
    for len in 0..body.len() {
        assert!(is_refused(&body[..len]), "cut to {len}");
    }
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(is_refused(&flipped), "bit {bit}");
    }
}

#[test]
#[should_panic(expected = "written in pieces")]
fn a_large_snapshot_shares_no_group() {
    let mut large = snapshot(&actor("ali"), 7);
    large.state = vec![7; 2 << 20].into();
    let _ = Sealed::new(of_snapshot(large));
}

#[test]
fn every_truncation_of_a_record_is_refused() {
    let bytes = sealed_record(b"{}".to_vec());
    for len in 0..bytes.len() {
        assert!(open_record(&bytes[..len]).is_err(), "cut to {len}");
    }
}

/// The number of fields stands in the first byte of so short an array.
#[test]
fn a_record_of_an_older_and_of_a_newer_host_is_opened() {
    let mut record = record(&actor("ali"), 7);
    record.effects = Bytes::from_static(b"[]");
    let sealed = Sealed::new(of_record(record.clone())).record.unwrap();
    let fields = sealed.bytes[0];
    let last = rmp_serde::to_vec(&record.effects).unwrap();

    let mut older = sealed.bytes.clone();
    older[0] = fields - 1;
    older.truncate(older.len() - last.len());
    let newer = [&[fields + 1], &sealed.bytes[1..], b"\xa3new"].concat();

    assert_eq!(open_record(&newer).unwrap(), record);
    record.effects = Bytes::new();
    assert_eq!(open_record(&older).unwrap(), record);
}
