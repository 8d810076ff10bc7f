//! Each violation, at the earliest byte that shows it.

use super::*;
use crate::ws::CloseCode;
use crate::ws::limits::CLOSE_REASON_BYTES_MAX;

/// A whole message goes before the breach and must come out.
#[track_caller]
fn assert_violation(breach: &[u8], expected: Violation, code: CloseCode) {
    let (messages, violation, mut codec) = read(&[&frame(TEXT, "before"), breach].concat());
    assert_eq!(
        (messages, violation),
        (vec![text("before")], Some(expected))
    );

    let reason = expected.to_string();
    assert!(
        reason.len() <= CLOSE_REASON_BYTES_MAX,
        "the reason is cut: {reason}"
    );
    let mut close = vec![0x88, 2 + reason.len() as u8];
    close.extend_from_slice(&code.get().to_be_bytes());
    close.extend_from_slice(reason.as_bytes());
    assert_eq!(codec.output(), close);

    assert!(codec.is_closed());
    codec.receive(&frame(TEXT, "after"));
    assert_eq!(drain(&mut codec), (Vec::new(), None));
    assert!(codec.send_text("after").is_err());
    codec.sent(codec.output().len());
    assert_eq!(codec.heap_bytes(), 0);
}

#[track_caller]
fn assert_protocol_error(breach: &[u8], expected: Violation) {
    assert_violation(breach, expected, CloseCode::PROTOCOL_ERROR);
}

#[test]
fn reserved_bits() {
    for bits in 1..8 {
        let first = ClientFrame {
            reserved: bits,
            ..ClientFrame::new(TEXT, "")
        }
        .encode()[0];
        assert_protocol_error(&[first], Violation::ReservedBits { bits });
    }
}

#[test]
fn reserved_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        assert_protocol_error(&[0x80 | opcode], Violation::ReservedOpcode { opcode });
    }
}

#[test]
fn an_unmasked_frame() {
    for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
        assert_protocol_error(&[0x80 | opcode, 1], Violation::Unmasked);
    }
}

#[test]
fn a_control_frame_of_126_bytes() {
    for opcode in [CLOSE, PING, PONG] {
        for (announced, shown_by) in [(126, 4), (70_000, 10)] {
            let header = ClientFrame::new(opcode, "").header(announced);
            assert_protocol_error(&header[..shown_by], Violation::ControlTooLong { announced });
        }
    }
    assert_eq!(
        read(&frame(PING, [7; 125])).0,
        [Message::Ping(vec![7; 125].into())]
    );
}

#[test]
fn a_fragmented_control_frame() {
    for opcode in [CLOSE, PING, PONG] {
        assert_protocol_error(&[opcode], Violation::ControlFragmented);
    }
}

#[test]
fn a_length_with_its_highest_bit_set() {
    let header = ClientFrame::new(BINARY, "").header(1 << 63);
    assert_protocol_error(&header, Violation::LengthOutOfRange);
}

#[test]
fn a_continuation_without_a_start() {
    let expected = Violation::ContinuationWithoutStart;
    assert_protocol_error(&frame(CONTINUATION, "x"), expected);
    assert_protocol_error(&unfinished(CONTINUATION, ""), expected);
    let ended = [unfinished(TEXT, "a"), frame(CONTINUATION, "b")].concat();
    let (_, violation, _) = read(&[ended, frame(CONTINUATION, "c")].concat());
    assert_eq!(violation, Some(expected));
}

#[test]
fn a_new_message_inside_a_fragmented_one() {
    for opcode in [TEXT, BINARY] {
        let wire = [unfinished(BINARY, "a"), frame(PING, ""), frame(opcode, "b")].concat();
        let (messages, violation, _) = read(&wire);
        assert_eq!(messages, [Message::Ping("".into())]);
        assert_eq!(violation, Some(Violation::MessageInterrupted));
    }
}

#[test]
fn a_close_frame_of_one_byte() {
    assert_protocol_error(&frame(CLOSE, [3]), Violation::CloseTruncated);
}

#[test]
fn close_codes_that_may_not_be_sent() {
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16,
    ] {
        let expected = Violation::CloseCodeInvalid { code };
        assert_protocol_error(&frame(CLOSE, code.to_be_bytes()), expected);
    }
}

#[test]
fn a_close_reason_that_is_no_utf8() {
    let breach = frame(CLOSE, [&1000_u16.to_be_bytes()[..], b"caf\xe9"].concat());
    assert_violation(
        &breach,
        Violation::CloseReasonInvalid,
        CloseCode::INVALID_PAYLOAD,
    );
}

#[test]
fn a_message_over_the_limit_is_refused_on_a_header() {
    let limit = Limits::default().message_bytes_max;
    let too_big = |announced| Violation::TooBig { announced, limit };
    let code = CloseCode::TOO_BIG;
    for announced in [limit as u64 + 1, (1 << 63) - 1] {
        let header = ClientFrame::new(TEXT, "").header(announced);
        assert_violation(&header, too_big(announced), code);
    }
    let start = unfinished(BINARY, "abc");
    let header = ClientFrame::new(CONTINUATION, "").header(limit as u64 - 2);
    assert_violation(&[start, header].concat(), too_big(limit as u64 + 1), code);
}

#[test]
fn a_message_at_the_limit_is_read() {
    let limits = Limits {
        message_bytes_max: 6,
        ..Limits::default()
    };
    let mut codec = Codec::new(limits);
    codec.receive(&[unfinished(TEXT, "abc"), frame(CONTINUATION, "def")].concat());
    codec.receive(&frame(BINARY, "ghijkl"));
    let expected = vec![text("abcdef"), Message::Binary("ghijkl".into())];
    assert_eq!(drain(&mut codec), (expected, None));
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut codec = Codec::new(Limits::default());
    codec.receive(&ClientFrame::new(BINARY, "").header(1_000_000));
    assert_eq!(drain(&mut codec), (Vec::new(), None));
    assert_eq!(codec.heap_bytes(), 0);
    codec.receive(b"x");
    assert_eq!(drain(&mut codec), (Vec::new(), None));
    assert!(
        codec.heap_bytes() < 64,
        "{} bytes for one",
        codec.heap_bytes()
    );
}

#[test]
fn invalid_utf8_fails_on_its_first_impossible_byte() {
    // From Markus Kuhn's list, as the cases 6.* of Autobahn use it. The length
    // is that of the shortest prefix that no continuation can make valid.
    let cases: [(&[u8], usize); 11] = [
        (
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
            13,
        ),
        (b"\x80", 1),
        (b"\xc0\xaf", 1),
        (b"\xe0\x80\xaf", 2),
        (b"\xf0\x80\x80\xaf", 2),
        (b"\xed\xa0\x80", 2),
        (b"\xf4\x90\x80\x80", 2),
        (b"\xf5\x80", 1),
        (b"\xff", 1),
        (b"ab\xc3\x28", 4),
        (b"\xe2\x82A", 3),
    ];
    for (payload, shortest) in cases {
        let whole = [payload, &[b'.'; 50]].concat();
        // In the middle of a frame.
        let wire = frame(TEXT, &whole);
        let header_bytes = wire.len() - whole.len();
        assert_eq!(
            read(&wire[..header_bytes + shortest - 1]).1,
            None,
            "{payload:x?}"
        );
        assert_violation(
            &wire[..header_bytes + shortest],
            Violation::InvalidUtf8,
            CloseCode::INVALID_PAYLOAD,
        );
        // At the end of a fragment, and with one byte in each.
        let wire = unfinished(TEXT, &payload[..shortest]);
        assert_eq!(read(&wire).1, Some(Violation::InvalidUtf8), "{payload:x?}");
        let mut wire = unfinished(TEXT, "");
        for byte in &payload[..shortest] {
            assert_eq!(read(&wire).1, None, "{payload:x?}");
            wire.extend(unfinished(CONTINUATION, [*byte]));
        }
        assert_eq!(read(&wire).1, Some(Violation::InvalidUtf8), "{payload:x?}");
    }
}

#[test]
fn a_text_that_ends_inside_a_character() {
    let wire = frame(TEXT, b"caf\xc3");
    assert_violation(&wire, Violation::InvalidUtf8, CloseCode::INVALID_PAYLOAD);
    let wire = [unfinished(TEXT, b"\xf0\x9f\x98"), frame(CONTINUATION, "")].concat();
    assert_violation(&wire, Violation::InvalidUtf8, CloseCode::INVALID_PAYLOAD);
}

#[test]
fn bytes_that_are_no_utf8_pass_in_a_binary_message() {
    let wire = [
        unfinished(BINARY, b"\xff\xfe"),
        frame(CONTINUATION, b"\xc0"),
    ]
    .concat();
    assert_eq!(
        read(&wire).0,
        [Message::Binary(b"\xff\xfe\xc0".as_slice().into())]
    );
}
