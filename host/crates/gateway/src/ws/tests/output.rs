//! What is queued to be written, and what memory stays behind.

use super::*;
use crate::ws::{CloseCode, Encoded};

#[test]
fn frames_are_encoded_in_their_shortest_form() {
    let cases: [(usize, &[u8]); 6] = [
        (0, &[0x82, 0]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (70_000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
    ];
    for (length, header) in cases {
        let payload = vec![b'x'; length];
        let mut codec = Codec::new(Limits::default());
        codec.send_binary(&payload).unwrap();
        assert_eq!(codec.output(), [header, payload.as_slice()].concat());
        assert_eq!(codec.output(), Encoded::binary(&payload).as_bytes());
    }
}

#[test]
fn a_burst_is_one_slice_in_order() {
    let mut codec = Codec::new(Limits::default());
    codec.send_text("a").unwrap();
    codec.send_encoded(&Encoded::text("b")).unwrap();
    codec.receive(&frame(PING, "c"));
    codec.next_message().unwrap();
    codec.send_close(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(
        codec.output(),
        b"\x81\x01a\x81\x01b\x8a\x01c\x88\x02\x03\xe9"
    );
}

#[test]
fn a_partial_write_leaves_the_rest() {
    let mut codec = Codec::new(Limits::default());
    codec.send_text("abc").unwrap();
    codec.sent(3);
    assert_eq!(codec.output(), b"bc");
    codec.send_text("d").unwrap();
    assert_eq!(codec.output(), b"bc\x81\x01d");
    codec.sent(5);
    assert_eq!(codec.output(), b"");
}

#[test]
#[should_panic(expected = "2 bytes were consumed of 0 queued")]
fn more_cannot_be_sent_than_is_queued() {
    Codec::new(Limits::default()).sent(2);
}

#[test]
fn every_ping_of_a_burst_is_answered_in_order() {
    let wire: Vec<u8> = (b'0'..=b'9').flat_map(|n| frame(PING, [n])).collect();
    let (_, _, codec) = read(&wire);
    let pongs: Vec<u8> = (b'0'..=b'9').flat_map(|n| [0x8a, 1, n]).collect();
    assert_eq!(codec.output(), pongs);
}

#[test]
fn pings_of_a_client_that_reads_nothing_are_bounded() {
    let limits = Limits {
        pong_output_bytes_max: 1000,
        ..Limits::default()
    };
    let mut codec = Codec::new(limits);
    for n in 0..10_000_u32 {
        codec.receive(&frame(PING, n.to_be_bytes()));
        codec.next_message().unwrap();
    }
    let queued = codec.output().len();
    assert!(queued < 1000 + 127, "{queued} bytes are queued");
    codec.sent(queued);
    assert_eq!(
        codec.output(),
        [&[0x8a, 4][..], &9_999_u32.to_be_bytes()].concat()
    );
}

#[test]
fn a_pong_that_waits_never_follows_a_close_frame() {
    let limits = Limits {
        pong_output_bytes_max: 1,
        ..Limits::default()
    };
    let mut codec = Codec::new(limits);
    codec.receive(&[frame(PING, "1"), frame(PING, "2")].concat());
    drain(&mut codec);
    codec.send_close(CloseCode::NORMAL, "").unwrap();
    codec.sent(3);
    assert_eq!(codec.output(), [0x88, 2, 3, 0xe8]);
    codec.sent(4);
    assert_eq!(codec.output(), b"");
}

#[test]
fn an_idle_connection_holds_no_heap() {
    assert!(size_of::<Codec>() <= 256, "{} bytes", size_of::<Codec>());
    let mut codec = Codec::new(Limits::default());
    assert_eq!(codec.heap_bytes(), 0);
    codec.receive(&[unfinished(TEXT, "a".repeat(9000)), frame(PING, "p")].concat());
    codec.receive(&frame(CONTINUATION, "b".repeat(9000)));
    let (messages, _) = drain(&mut codec);
    assert_eq!(messages.len(), 2);
    codec.send_text(&"c".repeat(100_000)).unwrap();
    codec.sent(50_000);
    codec.sent(codec.output().len());
    assert_eq!(codec.heap_bytes(), 0);
}

#[test]
fn a_message_in_one_frame_has_no_memory_to_spare() {
    let wire = frame(TEXT, "x".repeat(100_000));
    for portion in [wire.len(), 4096, 100] {
        let mut codec = Codec::new(Limits::default());
        let messages: Vec<_> = wire
            .chunks(portion)
            .filter_map(|portion| {
                codec.receive(portion);
                codec.next_message().unwrap()
            })
            .collect();
        let [Message::Text(text)] = messages.as_slice() else {
            panic!("one text")
        };
        assert_eq!(text.capacity(), text.len(), "in portions of {portion}");
    }
}

#[test]
fn a_message_that_grows_a_byte_at_a_time_is_seldom_moved() {
    let count = 10_000;
    let in_one_frame = frame(TEXT, "x".repeat(count));
    let mut in_fragments = unfinished(TEXT, "x");
    in_fragments.extend(unfinished(CONTINUATION, "x").repeat(count - 1));
    for wire in [&in_one_frame[..in_one_frame.len() - 1], &in_fragments] {
        let mut codec = Codec::new(Limits::default());
        let (mut held, mut moves) = (0, 0);
        for byte in wire {
            codec.receive(&[*byte]);
            codec.next_message().unwrap();
            // A header in part is input, and no part of the message.
            if codec.heap_bytes() > held + 16 {
                held = codec.heap_bytes();
                moves += 1;
            }
        }
        assert!(
            held >= count - 1 && moves < 20,
            "{held} bytes were moved {moves} times"
        );
    }
}

#[test]
fn an_output_that_never_runs_dry_keeps_its_size() {
    let mut codec = Codec::new(Limits::default());
    codec.send_binary(&[0; 1020]).unwrap();
    for _ in 0..10_000 {
        codec.send_binary(&[0; 98]).unwrap();
        codec.sent(100);
    }
    assert_eq!(codec.output().len(), 1024);
    assert!(
        codec.heap_bytes() <= 8192,
        "{} bytes for 1024",
        codec.heap_bytes()
    );
}

#[test]
fn a_close_inside_a_message_frees_the_message() {
    let wire = [unfinished(TEXT, "x".repeat(1000)), frame(CLOSE, "")].concat();
    let (_, _, mut codec) = read(&wire);
    codec.sent(2);
    assert_eq!(codec.heap_bytes(), 0);
}
