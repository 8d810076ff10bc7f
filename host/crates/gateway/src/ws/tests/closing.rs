//! The closing handshake, from either side.

use super::*;
use crate::ws::{AlreadyClosing, CloseCode, Encoded};

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

#[test]
fn a_close_of_the_client_is_answered_with_its_code() {
    let (messages, violation, mut codec) = read(&[close(1001, "tab"), frame(TEXT, "x")].concat());
    let expected = Message::Close {
        code: Some(CloseCode::GOING_AWAY),
        reason: "tab".to_owned(),
    };
    assert_eq!((messages, violation), (vec![expected], None));
    assert_eq!(codec.output(), [0x88, 2, 3, 0xe9]);
    assert!(codec.is_closed() && !codec.is_open());
    assert_eq!(codec.send_close(CloseCode::NORMAL, ""), Err(AlreadyClosing));
}

#[test]
fn a_close_without_a_code_is_answered_without_one() {
    let (messages, _, codec) = read(&frame(CLOSE, ""));
    assert_eq!(
        messages,
        [Message::Close {
            code: None,
            reason: String::new()
        }]
    );
    assert_eq!(codec.output(), [0x88, 0]);
}

#[test]
fn every_code_that_may_be_sent_is_taken() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4999,
    ] {
        let (messages, violation, _) = read(&close(code, ""));
        let expected = Message::Close {
            code: CloseCode::new(code),
            reason: String::new(),
        };
        assert_eq!((messages, violation), (vec![expected], None));
    }
}

#[test]
fn a_close_of_ours_waits_for_the_client_and_still_reads() {
    let mut codec = Codec::new(Limits::default());
    codec.send_close(CloseCode::RESTART, "upgrade").unwrap();
    assert_eq!(codec.output(), b"\x88\x09\x03\xf4upgrade");
    assert!(!codec.is_open() && !codec.is_closed());
    assert_eq!(codec.send_text("late"), Err(AlreadyClosing));
    assert_eq!(codec.send_binary(b"late"), Err(AlreadyClosing));
    assert_eq!(
        codec.send_encoded(&Encoded::text("late")),
        Err(AlreadyClosing)
    );

    let queued = codec.output().len();
    codec.receive(&[frame(TEXT, "crossed"), frame(PING, ""), close(1012, "")].concat());
    let (messages, violation) = drain(&mut codec);
    let answer = Message::Close {
        code: Some(CloseCode::RESTART),
        reason: String::new(),
    };
    assert_eq!(
        messages,
        [text("crossed"), Message::Ping("".into()), answer]
    );
    assert_eq!(violation, None);
    assert!(codec.is_closed());
    assert_eq!(
        codec.output().len(),
        queued,
        "nothing follows a close frame"
    );
}

#[test]
fn a_violation_after_our_close_sends_no_second_one() {
    let mut codec = Codec::new(Limits::default());
    codec.send_close(CloseCode::NORMAL, "").unwrap();
    codec.receive(&[0xff]);
    assert!(codec.next_message().is_err());
    assert_eq!(codec.output(), [0x88, 2, 3, 0xe8]);
    assert!(codec.is_closed());
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut codec = Codec::new(Limits::default());
    codec
        .send_close(CloseCode::NORMAL, &"é".repeat(100))
        .unwrap();
    let (header, reason) = codec.output().split_at(4);
    assert_eq!(header[1], 2 + 122);
    assert_eq!(reason, "é".repeat(61).as_bytes());
}
