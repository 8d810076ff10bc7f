//! However a stream is split, and wherever its state moves to another process,
//! the same comes out.

use super::agreement::hand_over;
use super::*;

/// Streams that together pass through every state.
fn streams() -> Vec<Vec<u8>> {
    let long = "as-salāmu ʿalaykum 🌙 ".repeat(12);
    let (start, end) = long.as_bytes().split_at(38);
    vec![
        [frame(TEXT, "one"), frame(BINARY, [0, 255]), frame(TEXT, "")].concat(),
        [frame(TEXT, &long), frame(PING, "p"), frame(TEXT, "é€😀")].concat(),
        [
            unfinished(TEXT, start),
            frame(PING, "between"),
            unfinished(CONTINUATION, ""),
            frame(PONG, ""),
            frame(CONTINUATION, end),
            unfinished(BINARY, b"\xff"),
            frame(CONTINUATION, b""),
        ]
        .concat(),
        [
            frame(TEXT, "bye"),
            frame(CLOSE, b"\x03\xe8done"),
            frame(TEXT, "ignored"),
        ]
        .concat(),
        [
            frame(TEXT, "a"),
            unfinished(TEXT, b"b\xf4"),
            frame(CONTINUATION, b"\x90 c"),
        ]
        .concat(),
        [
            frame(PING, ""),
            frame(TEXT, "x"),
            ClientFrame::new(TEXT, "").header(1 << 40),
        ]
        .concat(),
        [unfinished(BINARY, "a"), frame(BINARY, "b")].concat(),
        [frame(CLOSE, [3, 0xec]), frame(TEXT, "ignored")].concat(),
    ]
}

/// Feeds the portions; after each the codec goes through `between`.
fn read_portions<'a>(
    portions: impl IntoIterator<Item = &'a [u8]>,
    between: impl Fn(Codec) -> Codec,
) -> (Vec<Message>, Option<Violation>, Codec) {
    let mut codec = Codec::new(Limits::default());
    let (mut messages, mut violation) = (Vec::new(), None);
    for portion in portions {
        codec.receive(portion);
        // Before the messages are taken, so that leftover input moves too.
        codec = between(codec);
        let (more, breach) = drain(&mut codec);
        messages.extend(more);
        violation = violation.or(breach);
        codec = between(codec);
    }
    (messages, violation, codec)
}

#[test]
fn every_split_in_two_gives_the_same() {
    for wire in streams() {
        let whole = read(&wire);
        for at in 0..=wire.len() {
            let (front, back) = wire.split_at(at);
            assert_eq!(
                read_portions([front, back], |codec| codec),
                whole,
                "at {at}"
            );
        }
    }
}

#[test]
fn a_byte_at_a_time_gives_the_same() {
    for wire in streams() {
        for portion in [1, 2, 3, 5, 7, 64] {
            assert_eq!(
                read_portions(wire.chunks(portion), |codec| codec),
                read(&wire)
            );
        }
    }
}

#[test]
fn a_codec_handed_over_at_any_byte_goes_on() {
    for wire in streams() {
        let whole = read(&wire);
        for at in 0..=wire.len() {
            let (front, back) = wire.split_at(at);
            let moved = read_portions([front, back], |codec| hand_over(&codec));
            assert_eq!(moved, whole, "at {at}");
        }
        assert_eq!(
            read_portions(wire.chunks(1), |codec| hand_over(&codec)),
            whole
        );
    }
}

#[test]
fn unsent_output_and_a_waiting_pong_are_handed_over() {
    let limits = Limits {
        pong_output_bytes_max: 3,
        ..Limits::default()
    };
    let mut codec = Codec::new(limits);
    codec.send_text("written in part").unwrap();
    codec.receive(&frame(PING, "later"));
    drain(&mut codec);
    codec.sent(9);
    let mut codec = hand_over(&codec);
    assert_eq!(codec.output(), b" in part");
    codec.sent(8);
    assert_eq!(hand_over(&codec).output(), b"\x8a\x05later");

    codec.send_close(CloseCode::RESTART, "").unwrap();
    let mut codec = hand_over(&codec);
    assert!(!codec.is_open() && !codec.is_closed());
    codec.receive(&frame(CLOSE, ""));
    drain(&mut codec);
    assert!(hand_over(&codec).is_closed());
}
