//! Tests of the framing, and the client that they share.

mod agreement;
mod closing;
mod handshake;
mod linear;
mod oracle;
mod output;
mod splits;
mod violations;

use self::agreement::drain;
use super::frame::unmask;
use super::{CloseCode, Codec, Limits, Message, Violation};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame as it goes over the wire; every part can be made wrong.
#[derive(Clone, Debug)]
struct ClientFrame {
    fin: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
}

impl ClientFrame {
    fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self {
            fin: true,
            reserved: 0,
            opcode,
            mask: Some(MASK),
            payload,
        }
    }

    /// The same frame with more to follow.
    fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    fn encode(&self) -> Vec<u8> {
        let mut wire = self.header(self.payload.len() as u64);
        let start = wire.len();
        wire.extend_from_slice(&self.payload);
        unmask_plainly(&mut wire[start..], self.mask.unwrap_or_default());
        wire
    }

    /// The header alone, announcing `length` bytes.
    fn header(&self, length: u64) -> Vec<u8> {
        let mut wire = vec![u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode];
        let masked = u8::from(self.mask.is_some()) << 7;
        match length {
            0..126 => wire.push(masked | length as u8),
            126..0x1_0000 => {
                wire.push(masked | 126);
                wire.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                wire.push(masked | 127);
                wire.extend_from_slice(&length.to_be_bytes());
            }
        }
        wire.extend(self.mask.into_iter().flatten());
        wire
    }
}

/// The mask as the RFC states it, byte by byte.
fn unmask_plainly(payload: &mut [u8], mask: [u8; 4]) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
}

fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    ClientFrame::new(opcode, payload).encode()
}

fn unfinished(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    ClientFrame::new(opcode, payload).unfinished().encode()
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

/// Messages and violation of a whole stream, and the codec after it.
fn read(wire: &[u8]) -> (Vec<Message>, Option<Violation>, Codec) {
    let mut codec = Codec::new(Limits::default());
    codec.receive(wire);
    let (messages, violation) = drain(&mut codec);
    (messages, violation, codec)
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // Section 5.7, the frames that a client sends.
    let masked = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let pong = [
        0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(frame(TEXT, "Hello"), masked);
    assert_eq!(read(&masked).0, [text("Hello")]);
    assert_eq!(read(&pong).0, [Message::Pong("Hello".into())]);
    let fragments = [unfinished(TEXT, "Hel"), frame(CONTINUATION, "lo")].concat();
    assert_eq!(read(&fragments).0, [text("Hello")]);
}

#[test]
fn every_form_of_length_is_read() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let (messages, violation, _) = read(&frame(BINARY, &payload));
        assert_eq!(
            (messages, violation),
            (vec![Message::Binary(payload.into())], None)
        );
    }
}

#[test]
fn a_length_in_more_bytes_than_needed_is_read() {
    let in_two = [&[0x82, 0x80 | 126, 0, 1][..], &[0; 4], b"x"].concat();
    let in_eight = [
        &[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0; 4],
        b"x",
    ]
    .concat();
    for wire in [in_two, in_eight] {
        assert_eq!(read(&wire).0, [Message::Binary("x".into())]);
    }
}

#[test]
fn control_frames_pass_between_fragments() {
    let wire = [
        unfinished(TEXT, "a"),
        frame(PING, "1"),
        unfinished(CONTINUATION, ""),
        frame(PONG, ""),
        frame(CONTINUATION, "b"),
    ];
    let (messages, violation, codec) = read(&wire.concat());
    let expected = [
        Message::Ping("1".into()),
        Message::Pong("".into()),
        text("ab"),
    ];
    assert_eq!((messages.as_slice(), violation), (&expected[..], None));
    assert_eq!(codec.output(), b"\x8a\x011");
}

#[test]
fn a_word_at_a_time_unmasks_as_a_byte_at_a_time() {
    for length in 0..40 {
        let mut expected: Vec<u8> = (0..length).collect();
        let mut payload = expected.clone();
        unmask(&mut payload, MASK);
        unmask_plainly(&mut expected, MASK);
        assert_eq!(payload, expected, "{length} bytes");
    }
}
