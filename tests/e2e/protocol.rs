//! What clients send wrong, byte by byte: each is answered with a clear error, and
//! the host serves everyone else as before.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use e2e::load::{Load, Shape, campaign};
use e2e::raw::{BINARY, PING, Raw, TEXT, frame};
use e2e::{Client, Home, http, wait};
use host_model::limits::PAYLOAD_BYTES_MAX;
use serde_json::{Value, json};

/// A home that runs, with an open campaign and a client that has joined it.
struct Scene {
    home: Home,
    port: u16,
    bystander: Client,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new().unwrap();
        let port = home.start().unwrap().port;
        let mut bystander = Client::connect(port).unwrap();
        bystander.join("donations:c").unwrap().ok().unwrap();
        let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
        bystander
            .push("donations:c", "open", &open)
            .unwrap()
            .ok()
            .unwrap();
        Self {
            home,
            port,
            bystander,
        }
    }

    /// The same process still serves the same client, and has fewer connections again.
    fn still_serves(mut self) {
        let gift = json!({"donation_id": "d1", "amount": "1.00", "currency": "USD"});
        let reply = self.bystander.push("donations:c", "donate", &gift).unwrap();
        assert_eq!(reply.ok().unwrap()["total"], "1.00");
        wait::until_is("only the bystander is connected", &1, || {
            self.home.status().unwrap().connections
        })
        .unwrap();
        assert!(!self.home.log().contains("keeper: the host has ended"));
        assert!(!self.home.log().contains("panicked"));
    }
}

#[test]
fn frames_that_break_the_protocol_close_with_a_reason() {
    let scene = Scene::new();
    let unmasked = [&[TEXT, 2][..], b"{}"].concat();
    let mut endless = vec![TEXT, 0x80 | 127];
    endless.extend(u64::MAX.to_be_bytes());
    let mut huge = vec![TEXT, 0x80 | 127];
    huge.extend((1_u64 << 40).to_be_bytes());
    huge.extend([0; 4]);
    let cases: [(&str, Vec<u8>, u16, &str); 10] = [
        ("not masked", unmasked, 1002, "masked"),
        ("a long ping", frame(PING, &[b'x'; 126]), 1002, "125"),
        ("a ping in parts", frame(0x09, b"x"), 1002, "fragmented"),
        (
            "reserved bits",
            frame(TEXT | 0x40, b"[]"),
            1002,
            "reserved bits",
        ),
        ("a reserved opcode", frame(0x83, b"x"), 1002, "opcode"),
        (
            "a continuation of nothing",
            frame(0x80, b"x"),
            1002,
            "continuation",
        ),
        ("no UTF-8", frame(TEXT, b"\xff\xfe"), 1007, "UTF-8"),
        ("half a character", frame(TEXT, b"\xc3"), 1007, "UTF-8"),
        ("a length above all", endless, 1002, "2^63"),
        ("a terabyte", huge, 1009, "limit"),
    ];
    for (what, bytes, code, word) in cases {
        let (found, reason) = Raw::open(scene.port).unwrap().closed_after(&bytes).unwrap();
        assert_eq!(found, code, "{what}: {reason}");
        assert!(reason.contains(word), "{what}: {reason}");
    }
    scene.still_serves();
}

#[test]
fn messages_that_are_none_close_with_a_reason() {
    let scene = Scene::new();
    let nested = "[".repeat(100_000);
    for text in [
        "",
        "no JSON",
        "{}",
        "[1,2,3]",
        r#"["1","1","donations:c","donate"]"#,
        r#"["1","1","donations:c","donate",{}"#,
        r#"[{},"1","donations:c","donate",{}]"#,
        r#"["1","1",7,"donate",{}]"#,
        &nested,
    ] {
        let bytes = frame(TEXT, text.as_bytes());
        let (code, reason) = Raw::open(scene.port).unwrap().closed_after(&bytes).unwrap();
        assert_ne!(code, 1000, "a client would not come back");
        assert!(!reason.is_empty(), "{code} for {text:.40}");
    }
    let (code, reason) = Raw::open(scene.port)
        .unwrap()
        .closed_after(&frame(BINARY, b"\x00\x01"))
        .unwrap();
    assert_eq!(code, 1007, "{reason}");
    scene.still_serves();
}

#[test]
fn messages_that_cannot_be_served_are_answered_with_an_error() {
    let mut scene = Scene::new();
    let large = json!({"donation_id": "d".repeat(PAYLOAD_BYTES_MAX - 100)});
    let deep: Value = (0..100).fold(json!({}), |inner, _| json!({ "x": inner }));
    let client = &mut scene.bystander;
    for (topic, event, payload, wanted) in [
        ("donations:c", "no_such_event", json!({}), "unknown_event"),
        ("donations:c", "donate", json!({"amount": 1}), "bad_payload"),
        (
            "donations:c",
            "donate",
            json!({"donation_id": "d9", "amount": deep}),
            "bad_payload",
        ),
        ("donations:c", "donate", json!([1]), "bad_payload"),
        ("donations:c", "donate", json!("text"), "bad_payload"),
        ("donations:other", "summary", json!({}), "unmatched topic"),
        ("livestock:c", "phx_join", json!({}), "unmatched topic"),
        ("donations:", "phx_join", json!({}), "unmatched topic"),
    ] {
        let reason = client
            .push(topic, event, &payload)
            .unwrap()
            .reason()
            .unwrap();
        assert_eq!(reason, wanted, "{topic} {event}");
    }
    // It fits a message, and no donation has such an id.
    let reply = client.push("donations:c", "donate", &large).unwrap();
    reply.reason().unwrap();
    scene.still_serves();
}

#[test]
fn a_payload_above_the_limit_is_refused_and_a_message_far_above_it_closes() {
    let mut scene = Scene::new();
    let text = json!({"title": "x".repeat(PAYLOAD_BYTES_MAX)});
    let reply = scene.bystander.push("donations:c", "open", &text).unwrap();
    assert_eq!(reply.reason().unwrap(), "payload_too_large");
    let bytes = frame(TEXT, &vec![b' '; PAYLOAD_BYTES_MAX * 2]);
    let (code, reason) = Raw::open(scene.port).unwrap().closed_after(&bytes).unwrap();
    assert_eq!(code, 1009, "{reason}");
    scene.still_serves();
}

#[test]
fn requests_that_cannot_be_served_are_answered_with_a_problem() {
    let scene = Scene::new();
    let large = format!(r#"{{"donation_id":"{}"}}"#, "x".repeat(PAYLOAD_BYTES_MAX));
    for (method, path, body, status, reason) in [
        (
            "POST",
            "/api/v1/donations/c/donate",
            "no JSON",
            400,
            "bad_payload",
        ),
        (
            "POST",
            "/api/v1/donations/c/donate",
            "{\"amount\":",
            400,
            "bad_payload",
        ),
        (
            "POST",
            "/api/v1/donations/c/donate",
            "[]",
            400,
            "bad_payload",
        ),
        (
            "POST",
            "/api/v1/donations/c/donate",
            "{\"donation_id\": 5}",
            400,
            "bad_payload",
        ),
        (
            "POST",
            "/api/v1/donations/c/donate",
            &large,
            413,
            "payload_too_large",
        ),
        (
            "POST",
            "/api/v1/donations/c/fly",
            "{}",
            404,
            "unknown_event",
        ),
        (
            "POST",
            "/api/v1/livestock/c/donate",
            "{}",
            404,
            "unknown_plugin",
        ),
        (
            "POST",
            "/api/v1/donations/c/open",
            r#"{"title":"T","currency":"USD","goal":"1.00"}"#,
            422,
            "already_open",
        ),
        (
            "GET",
            "/api/v1/donations/c/donate",
            "",
            404,
            "unknown_query",
        ),
        (
            "DELETE",
            "/api/v1/donations/c/donate",
            "",
            405,
            "method_not_allowed",
        ),
        ("GET", "/nowhere", "", 404, "not_found"),
    ] {
        let answer = http::request(scene.port, method, path, body).unwrap();
        assert_eq!(
            (answer.status, &*answer.reason()),
            (status, reason),
            "{method} {path} {answer:?}"
        );
        assert!(
            answer.head.contains("application/problem+json"),
            "{answer:?}"
        );
        let detail = answer.json().unwrap()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(!detail.is_empty(), "{answer:?}");
    }
    scene.still_serves();
}

#[test]
fn bytes_that_are_no_http_end_the_connection() {
    let scene = Scene::new();
    let long_head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"HELLO\r\n\r\n",
        long_head.as_bytes(),
    ] {
        let answer = http::exchange(scene.port, bytes).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    scene.still_serves();
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let scene = Scene::new();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (what, vsn, headers) in [
        ("nothing", "2.0.0", String::new()),
        ("no key", "2.0.0", format!("{upgrade}{version}")),
        (
            "a short key",
            "2.0.0",
            format!("{upgrade}{version}Sec-WebSocket-Key: eA==\r\n"),
        ),
        (
            "an old version",
            "2.0.0",
            format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"),
        ),
        ("another vsn", "9.0.0", format!("{upgrade}{version}{key}")),
    ] {
        let request =
            format!("GET /socket/websocket?vsn={vsn} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(("127.0.0.1", scene.port)).unwrap();
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 4"), "{what}: {head}");
    }
    scene.still_serves();
}

#[test]
fn an_idempotency_key_holds_over_http() {
    let scene = Scene::new();
    let donate = |key: &str, amount: &str| {
        let body = json!({"donation_id": "keyed", "amount": amount, "currency": "USD"});
        let headers = format!("Idempotency-Key: {key}\r\n");
        let path = "/api/v1/donations/c/donate";
        http::request_with(scene.port, "POST", path, &headers, &body.to_string()).unwrap()
    };
    let first = donate("k1", "2.00");
    assert_eq!(first.status, 200, "{first:?}");
    let again = donate("k1", "2.00");
    assert_eq!(again.status, 200, "{again:?}");
    let first = first.json().unwrap()["receipt_no"].clone();
    assert_eq!(again.json().unwrap()["receipt_no"], first);
    let other = donate("k1", "3.00");
    assert_eq!(
        (other.status, &*other.reason()),
        (422, "conflict"),
        "{other:?}"
    );
    let summary = http::request(scene.port, "GET", "/api/v1/donations/c/summary", "").unwrap();
    assert_eq!(summary.json().unwrap()["count"], 1);
}

/// However much is told on the topic at that moment: what came before the answer would count
/// as seen, and what is replayed behind it as new.
#[test]
fn nothing_comes_before_the_answer_to_a_join() {
    const JOINS: usize = 400;
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let shape = Shape {
        port,
        clients: 32,
        campaigns: 1,
        pace: Duration::ZERO,
    };
    let load = Load::start(shape).unwrap();
    load.more(100).unwrap();
    let topic = campaign(0);
    let mut client = Client::connect(port).unwrap();
    let (mut seen, mut told) = (0, 0);
    for round in 0..JOINS {
        let asked = (round % 2 == 1).then_some(seen);
        let wishes = asked.map_or(json!({}), |seq| json!({"seq": seq}));
        let answer = client.join_with(&topic, &wishes).unwrap().ok().unwrap();
        let answered = answer["seq"].as_u64().unwrap();
        let replays = asked.filter(|_| answer["resumed"] == true);
        let heard = client.listen(Duration::from_millis(5)).unwrap();
        let gifts = heard.iter().filter(|it| it.event == "donation_received");
        let seqs: Vec<_> = gifts
            .map(|it| it.payload["seq"].as_u64().unwrap())
            .collect();
        let first = replays.unwrap_or(answered) + 1;
        let wanted: Vec<_> = (first..).take(seqs.len()).collect();
        assert_eq!(seqs, wanted, "join {round}, {answer}");
        told += seqs.len();
        seen = seqs.last().copied().unwrap_or(answered).saturating_sub(20);
        client
            .push(&topic, "phx_leave", &json!({}))
            .unwrap()
            .ok()
            .unwrap();
        client.listen(Duration::ZERO).unwrap();
    }
    load.stop().unwrap();
    assert!(told > JOINS, "hardly anything was told: {told}");
}
