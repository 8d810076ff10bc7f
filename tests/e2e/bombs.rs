//! What is far larger than it looks, and what is none: frames, packed bodies, heads. The
//! host refuses each before it has read, unpacked or kept it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use e2e::raw::{BINARY, CONTINUATION, NOT_FINAL, PING, Raw, TEXT, announced, frame};
use e2e::{http, wait};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use host_model::limits::PAYLOAD_BYTES_MAX;

use crate::abuse::Scene;

const GIB: u64 = 1 << 30;

#[test]
fn a_message_that_is_announced_too_long_is_refused_before_it_comes() {
    let scene = Scene::new();
    let begun = |first| frame(first & NOT_FINAL, b"[");
    let part = frame(CONTINUATION, &vec![b' '; 60 << 10]);
    let cases = [
        ("a text", announced(TEXT, GIB)),
        ("bytes", announced(BINARY, GIB)),
        (
            "a text's second part",
            [begun(TEXT), announced(CONTINUATION, GIB)].concat(),
        ),
        (
            "bytes' second part",
            [begun(BINARY), announced(CONTINUATION, GIB)].concat(),
        ),
        ("a text's parts", [begun(TEXT), part.repeat(40)].concat()),
        ("bytes' parts", [begun(BINARY), part.repeat(40)].concat()),
    ];
    for (what, bytes) in &cases {
        let (code, reason) = Raw::open(scene.port).unwrap().closed_after(bytes).unwrap();
        assert_eq!(code, 1009, "{what}: {reason}");
        assert!(reason.contains("the limit is"), "{what}: {reason}");
    }
    scene.has_counted("websockets_malformed", cases.len() as u64);
    // What is announced and may be, costs nothing before it comes.
    let waiting = (0..200).map(|number| {
        let mut client = Raw::open(scene.port).unwrap();
        let first = [TEXT, BINARY][number % 2];
        let head = announced(first, PAYLOAD_BYTES_MAX as u64);
        client.send(&head).unwrap();
        client.send(b"[").unwrap();
        client
    });
    let waiting: Vec<_> = waiting.collect();
    scene.goes_on();
    drop(waiting);
    scene.ends_unharmed();
}

#[test]
fn each_frame_that_is_none_is_closed_with_1002_and_counted() {
    let scene = Scene::new();
    let unmasked = |first: u8| vec![first, 1, b'x'];
    let mut cases: Vec<(Vec<u8>, &str)> = Vec::new();
    for first in [TEXT, BINARY, PING, 0x8a, 0x88] {
        cases.push((unmasked(first), "masked"));
        for bit in [0x40, 0x20, 0x10] {
            cases.push((frame(first | bit, b"x"), "reserved bits"));
        }
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push((frame(0x80 | opcode, b"x"), "opcode"));
    }
    for control in [PING, 0x8a, 0x88] {
        cases.push((frame(control & NOT_FINAL, b"x"), "fragmented"));
        cases.push((announced(control, GIB), "125"));
    }
    for (bytes, word) in &cases {
        let (code, reason) = Raw::open(scene.port).unwrap().closed_after(bytes).unwrap();
        assert_eq!(code, 1002, "{bytes:x?}: {reason}");
        assert!(reason.contains(word), "{bytes:x?}: {reason}");
    }
    scene.has_counted("websockets_malformed", cases.len() as u64);
    scene.ends_unharmed();
}

/// As much as a megabyte of it may have, unpacked: nearly a GiB of zeros, in parts, which
/// take as many bytes as one would.
fn gzip_bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 4 << 20]).unwrap();
    let part = packed.finish().unwrap();
    part.repeat((PAYLOAD_BYTES_MAX - 1) / part.len())
}

fn zstd_bomb() -> Vec<u8> {
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 4 << 20];
    for _ in 0..GIB / zeros.len() as u64 {
        packed.write_all(&zeros).unwrap();
    }
    packed.finish().unwrap()
}

#[test]
fn compression_is_declined_and_what_is_packed_all_the_same_is_closed() {
    let scene = Scene::new();
    let offers = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
        Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n";
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![b'['; 64 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 100 << 10);
    for first in [TEXT, BINARY] {
        let localhost = Ipv4Addr::LOCALHOST.into();
        let client = Raw::open_with(localhost, scene.port, offers).unwrap();
        let head = client.head().to_lowercase();
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        let (code, reason) = client.closed_after(&frame(first | 0x40, &packed)).unwrap();
        assert_eq!(code, 1002, "{reason}");
        assert!(reason.contains("reserved bits"), "{reason}");
    }
    scene.has_counted("websockets_malformed", 2);
    scene.ends_unharmed();
}

/// What the host answers to a request with this body, whatever that is.
fn posted(port: u16, path: &str, headers: &str, body: &[u8]) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let answer = http::exchange(port, &[head.as_bytes(), body].concat()).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn packed_bodies_are_refused_as_they_are() {
    let scene = Scene::new();
    let bombs = [("gzip", gzip_bomb()), ("zstd", zstd_bomb())];
    for (coding, bomb) in &bombs {
        assert!(bomb.len() < PAYLOAD_BYTES_MAX, "it would be refused anyway");
        let coded = format!("Content-Encoding: {coding}\r\n");
        for path in [
            "/api/v1/donations/a/donate",
            "/api/v1/donations/a/summary",
            "/api/v1/nobody/a/summary",
        ] {
            let answer = posted(scene.port, path, &coded, bomb);
            assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
            assert!(answer.contains("\"unsupported_encoding\""), "{answer}");
            assert!(answer.contains(coding), "{answer}");
        }
        // A poll's body is never unpacked: it is no message as it is.
        let opened = http::request(scene.port, "GET", "/socket/longpoll?vsn=2.0.0", "");
        let token = opened.unwrap().json().unwrap()["token"].clone();
        let token = token.as_str().unwrap();
        let path = format!("/socket/longpoll?vsn=2.0.0&token={token}");
        let answer = posted(scene.port, &path, &coded, bomb);
        assert!(answer.contains(r#""status":400"#), "{answer}");
        // Nor is one that says it on its way.
        let coded = format!("Transfer-Encoding: {coding}, chunked\r\n");
        let answer = posted(scene.port, "/api/v1/donations/a/donate", &coded, bomb);
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    scene.ends_unharmed();
}

#[test]
fn heads_without_end_are_refused_and_counted() {
    const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let scene = Scene::new();
    let long = |bytes: usize| "x".repeat(bytes);
    let mut refused = 0;
    for (path, own) in [
        ("/socket/websocket?vsn=2.0.0", HANDSHAKE),
        ("/api/v1/donations/a/summary", ""),
        ("/nowhere", ""),
    ] {
        let many: String = (0..10_000).map(|n| format!("X-{n}: x\r\n")).collect();
        let few: String = (0..64).map(|n| format!("X-{n}: x\r\n")).collect();
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = |bytes| format!("{path}{separator}x={}", long(bytes));
        let cases = [
            ("many headers", path.to_owned(), many, "431"),
            ("some more than may be", path.to_owned(), few, "431"),
            (
                "a long header",
                path.to_owned(),
                format!("X: {}\r\n", long(100 << 10)),
                "431",
            ),
            (
                "a header without end",
                path.to_owned(),
                format!("X: {}", long(16 << 20)),
                "431",
            ),
            (
                "a long name",
                path.to_owned(),
                format!("{}: x\r\n", long(100 << 10)),
                "431",
            ),
            ("a long URL", url(100 << 10), String::new(), "431"),
            ("a URL without end", url(16 << 20), String::new(), "431"),
        ];
        for (what, path, headers, status) in cases {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{own}{headers}\r\n");
            let answer = http::exchange(scene.port, request.as_bytes()).unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            // Of a head that is still being sent when it is refused, the answer may be lost.
            let is_told = answer.starts_with(&format!("HTTP/1.1 {status} "));
            let may_be_lost = request.len() > 1 << 20 && answer.is_empty();
            assert!(is_told || may_be_lost, "{what}: {answer}");
            refused += 1;
        }
    }
    scene.has_counted("requests_over_limit", refused);
    scene.ends_unharmed();
}

/// Frames of HTTP/2 (RFC 9113) and fields of HPACK (RFC 7541), by hand.
mod h2 {
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;

    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// GET http://x/healthz.
    pub(super) fn request() -> Vec<u8> {
        [&b"\x82\x86\x04\x08/healthz"[..], b"\x01\x01x"].concat()
    }

    /// A field with a value of so many bytes; `remembered` under the index 62.
    pub(super) fn field(value: usize, remembered: bool) -> Vec<u8> {
        let mut field = vec![if remembered { 0x40 } else { 0x00 }, 1, b'x'];
        match u8::try_from(value) {
            Ok(short @ 0..=126) => field.push(short),
            _ => {
                field.push(127);
                let mut rest = value - 127;
                while rest >= 128 {
                    field.push((rest % 128) as u8 | 0x80);
                    rest /= 128;
                }
                field.push(rest as u8);
            }
        }
        field.extend(vec![b'y'; value]);
        field
    }

    /// Such a field's first place in the table.
    pub(super) const AGAIN: u8 = 0x80 | 62;

    /// `:status` by its name's index, and 431 by Huffman's code.
    pub(super) const STATUS_431: &[u8] = b"\x48\x83\x69\x90\xff";

    /// A head in as many frames as it takes, and with an end or without.
    pub(super) fn head(stream: u32, fields: &[u8], ends: bool) -> Vec<u8> {
        let pieces: Vec<_> = fields.chunks(16 << 10).collect();
        let frames = pieces.iter().enumerate().map(|(at, piece)| {
            let last = ends && at + 1 == pieces.len();
            let end = if last { END_HEADERS } else { 0 };
            match at {
                0 => frame(HEADERS, END_STREAM | end, stream, piece),
                _ => frame(CONTINUATION, end, stream, piece),
            }
        });
        frames.flatten().collect()
    }
}

/// Frames that the host sends for these, until it answers on a stream, resets one, or goes
/// away: kind and payload.
fn answered(port: u16, frames: &[u8]) -> (u8, Vec<u8>) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    // It may be closed in the middle.
    let _ = stream.write_all(&[h2::PREFACE, frames].concat());
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).unwrap();
        if [h2::HEADERS, h2::RST_STREAM, h2::GOAWAY].contains(&head[3]) {
            return (head[3], payload);
        }
    }
}

#[test]
fn heads_without_end_of_http_2_are_refused() {
    const COMPRESSION_ERROR: u32 = 9;
    const ENHANCE_YOUR_CALM: u32 = 11;
    let scene = Scene::new();
    let with = |fields: Vec<u8>| [h2::request(), fields].concat();
    let healthy = answered(scene.port, &h2::head(1, &h2::request(), true));
    assert_eq!(healthy, (h2::HEADERS, healthy.1.clone()), "200");
    assert_eq!(healthy.1[0], 0x88, "200 stands in the table");
    let cases = [
        (
            "many fields",
            with(h2::field(20, false).repeat(2_000)),
            true,
        ),
        ("a long field", with(h2::field(60 << 10, false)), true),
        (
            "a short one that stands for a long one, again and again",
            with([h2::field(3_900, true), vec![h2::AGAIN; 30 << 10]].concat()),
            true,
        ),
        (
            "a head without end",
            with(h2::field(100, false).repeat(100_000)),
            false,
        ),
        (
            "one that goes on with nothing",
            with(h2::field(100, false)),
            false,
        ),
    ];
    for (what, fields, ends) in cases {
        let mut frames = h2::head(1, &fields, ends);
        if what.ends_with("nothing") {
            frames.extend(h2::frame(h2::CONTINUATION, 0, 1, &[]).repeat(100_000));
        }
        let (kind, payload) = answered(scene.port, &frames);
        match kind {
            h2::GOAWAY => {
                let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                assert!(
                    [COMPRESSION_ERROR, ENHANCE_YOUR_CALM].contains(&code),
                    "{what}: {code}"
                );
            }
            h2::HEADERS => assert_eq!(&payload[..5], h2::STATUS_431, "{what}"),
            _ => panic!("{what}: reset with {payload:x?}"),
        }
    }
    scene.ends_unharmed();
}
