//! WebSockets: the handshake, channels, and the end.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use super::*;
use crate::client::Client;
use crate::connection::Connection;
use crate::limits::{CLOSE_TIMEOUT, MESSAGE_BYTES_MAX};

const HANDSHAKE: &str = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const HEARTBEAT: &str = r#"[null,"7","phoenix","heartbeat",{}]"#;

/// The answer to a handshake, up to the empty line; what follows stays unread.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn shake(host: &Host, handshake: &str) -> String {
    let mut stream = host.connect();
    stream
        .write_all(format!("{handshake}\r\n").as_bytes())
        .unwrap();
    answer(&mut stream)
}

fn open(host: &Host) -> WebSocket<TcpStream> {
    let url = format!(
        "ws://127.0.0.1:{}/socket/websocket?vsn=2.0.0",
        host.gateway.port()
    );
    tungstenite::client(url, host.connect()).unwrap().0
}

fn say(socket: &mut WebSocket<TcpStream>, message: &Value) -> Value {
    socket.send(Message::text(message.to_string())).unwrap();
    match socket.read().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?} is no text"),
    }
}

/// Reads to the close frame and gives its code.
fn close_code(socket: &mut WebSocket<TcpStream>) -> CloseCode {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => return frame.code,
            Ok(_) => {}
            Err(error) => panic!("ended without a close frame: {error}"),
        }
    }
}

#[test]
fn a_handshake_that_is_not_one_is_told_why() {
    let host = Host::start();
    for (old, new, status, word) in [
        ("?vsn=2.0.0", "", "403", "bad_vsn"),
        ("?vsn=2.0.0", "?vsn=1.0.0", "403", "bad_vsn"),
        ("?vsn=2.0.0", "?token=a%20b&params[x]=1", "403", "bad_vsn"),
        ("GET", "POST", "405", "bad_handshake"),
        ("Upgrade: websocket\r\n", "", "426", "bad_handshake"),
        ("Version: 13", "Version: 8", "426", "bad_handshake"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400", "bad_handshake"),
    ] {
        let mut stream = host.connect();
        let request = HANDSHAKE
            .replace(old, new)
            .replace("Connection: Upgrade", "Connection: Upgrade, close");
        stream
            .write_all(format!("{request}\r\n").as_bytes())
            .unwrap();
        let found = read_to_end(&mut stream);
        assert_eq!(&found[9..12], status, "{found}");
        assert!(found.contains(word), "{found}");
    }
    assert_eq!(host.gateway.connections(), 0);
}

#[test]
fn a_handshake_is_accepted_and_the_protocol_of_phoenix_selected() {
    let host = Host::start();
    let found = shake(&host, HANDSHAKE);
    assert!(found.starts_with("HTTP/1.1 101 "), "{found}");
    assert!(found.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{found}");
    let offer = "Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.dG9rZW4\r\n";
    let found = shake(&host, &format!("{HANDSHAKE}{offer}"));
    assert!(
        found.contains("sec-websocket-protocol: phoenix\r\n"),
        "{found}"
    );
}

#[test]
fn what_comes_right_behind_the_handshake_is_not_lost() {
    let host = Host::start();
    let mut stream = host.connect();
    let mut request = format!("{HANDSHAKE}\r\n").into_bytes();
    // Masked with zeroes, which leaves the text as it is.
    request.extend([0x81, 0x80 | HEARTBEAT.len() as u8, 0, 0, 0, 0]);
    request.extend(HEARTBEAT.as_bytes());
    stream.write_all(&request).unwrap();
    answer(&mut stream);
    let mut frame = [0; 80];
    stream.read_exact(&mut frame[..2]).unwrap();
    let length = frame[1] as usize;
    stream.read_exact(&mut frame[..length]).unwrap();
    let expected = r#"[null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]"#;
    assert_eq!(str::from_utf8(&frame[..length]).unwrap(), expected);
}

#[test]
fn heartbeats_and_unmatched_topics_are_answered() {
    let host = Host::start();
    let mut socket = open(&host);
    wait_until("the connection counts", || host.gateway.connections() == 1);
    assert_eq!(
        say(&mut socket, &json!([null, "1", "phoenix", "heartbeat", {}])),
        json!([null, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}])
    );
    assert_eq!(
        say(
            &mut socket,
            &json!(["2", "2", "donations:a", "phx_join", {}])
        ),
        json!(["2", "2", "donations:a", "phx_reply",
            {"status": "error", "response": {"reason": "unmatched topic",
                "message": "no plugin that runs serves this topic; topics are plugin:key"}}])
    );
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    wait_until("the connection is gone", || host.gateway.connections() == 0);
}

#[test]
fn who_sends_nonsense_is_closed_alone() {
    let host = Host::start();
    let mut bystander = open(&host);
    let too_long = format!("[{}", " ".repeat(MESSAGE_BYTES_MAX));
    for (message, code) in [
        (Message::text("nonsense"), CloseCode::Invalid),
        (Message::text("[]"), CloseCode::Invalid),
        (Message::text(r#"[null,{},"t","e",{}]"#), CloseCode::Invalid),
        (Message::binary(&b"\0"[..]), CloseCode::Invalid),
        (Message::text(too_long), CloseCode::Size),
    ] {
        let mut socket = open(&host);
        // The host may close before it has taken all of a long message.
        let _ = socket.send(message);
        assert_eq!(close_code(&mut socket), code);
    }
    let mut socket = open(&host);
    // A text without a mask.
    socket.get_mut().write_all(&[0x81, 0x01, b'x']).unwrap();
    assert_eq!(close_code(&mut socket), CloseCode::Protocol);
    assert_eq!(host.gateway.counters().malformed.load(Ordering::Relaxed), 6);
    say(
        &mut bystander,
        &json!([null, "1", "phoenix", "heartbeat", {}]),
    );
}

#[test]
fn a_client_that_does_not_read_is_dropped_with_1013() {
    let host = Host::start();
    let mut socket = open(&host);
    let counter = &host.gateway.counters().slow_clients;
    wait_until("the client is taken for slow", || {
        for _ in 0..1_000 {
            if socket.write(Message::text(HEARTBEAT)).is_err() {
                break;
            }
        }
        counter.load(Ordering::Relaxed) == 1
    });
    assert_eq!(close_code(&mut socket), CloseCode::Again);
}

#[test]
fn a_stop_sends_clients_away_to_come_back() {
    let host = Host::start();
    let mut sockets = [open(&host), open(&host)];
    wait_until("both are connected", || host.gateway.connections() == 2);
    let readers = sockets.each_mut().map(|socket| {
        say(socket, &json!([null, "1", "phoenix", "heartbeat", {}]));
        socket
    });
    std::thread::scope(|scope| {
        for socket in readers {
            scope.spawn(|| {
                assert_eq!(close_code(socket), CloseCode::Restart);
                while socket.read().is_ok() {}
            });
        }
        let began = Instant::now();
        assert_eq!(host.stop(), None);
        assert!(
            began.elapsed() < CLOSE_TIMEOUT,
            "no one had to be waited for"
        );
    });
    assert_eq!(host.gateway.connections(), 0);
}

#[test]
fn a_client_that_ignores_a_stop_is_cut_off() {
    let host = Host::start();
    let silent = open(&host);
    wait_until("it is connected", || host.gateway.connections() == 1);
    let left = host.control.block_on(host.gateway.stop(Duration::ZERO));
    assert_eq!(left.map(|left| left.connections), Some(1));
    wait_until("it is gone", || host.gateway.connections() == 0);
    drop(silent);
}

#[test]
fn an_idle_connection_is_small() {
    fn size_of_future<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }
    let bytes = size_of_future(Connection::<Client>::serve);
    assert!(bytes <= 1_024, "the task of a connection has {bytes} bytes");
}
