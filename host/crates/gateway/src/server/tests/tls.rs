//! TLS: the handshake and its bounds, WebSockets inside it, and a certificate replaced.

use std::sync::atomic::Ordering;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tungstenite::{Message, WebSocket};

use super::*;
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::tls::tests::Folder;

pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

pub(super) fn host(folder: &Folder, connections_max: usize) -> Host {
    let config = Config {
        tls: Some(Tls::open(folder.files()).unwrap()),
        ..on_loopback()
    };
    Host::listening(config, connections_max, Vec::new())
}

/// A client that trusts `cert`, and offers these protocols in ALPN.
pub(super) fn client(cert: &CertificateDer<'static>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    Arc::new(config)
}

fn connect(host: &Host, config: &Arc<ClientConfig>) -> std::io::Result<Stream> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(session, host.connect());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn ask(stream: &mut Stream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn open(host: &Host, config: &Arc<ClientConfig>) -> WebSocket<Stream> {
    let stream = connect(host, config).unwrap();
    let url = "wss://localhost/socket/websocket?vsn=2.0.0";
    tungstenite::client(url, stream).unwrap().0
}

fn say(socket: &mut WebSocket<Stream>, message: &serde_json::Value) -> serde_json::Value {
    socket.send(Message::text(message.to_string())).unwrap();
    serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap()
}

fn counted(host: &Host, counter: fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
    counter(host.gateway.counters()).load(Ordering::Relaxed)
}

#[test]
fn requests_and_sockets_go_through_both_versions() {
    let folder = Folder::new();
    let cert = folder.issue("localhost", 2000..4000);
    let host = host(&folder, connections_max());
    let any = client(&cert, &[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::clone(any.crypto_provider());
        let mut roots = RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        let mut stream = connect(&host, &config).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        let answer = ask(&mut stream, "/healthz");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let mut socket = open(&host, &config);
        for at in 0..100 {
            let reference = at.to_string();
            let answer = say(
                &mut socket,
                &json!([null, reference, "phoenix", "heartbeat", {}]),
            );
            assert_eq!(answer[1], reference);
        }
    }
    assert_eq!(counted(&host, |it| &it.handshakes), 4);
    assert_eq!(counted(&host, |it| &it.handshakes_failed), 0);
}

#[test]
fn a_message_of_many_records_and_an_answer_that_is_read_late_are_whole() {
    let folder = Folder::new();
    let cert = folder.issue("localhost", 2000..4000);
    let host = host(&folder, connections_max());
    let mut socket = open(&host, &client(&cert, &[]));
    // More goes there than the socket's buffers hold, and comes back late.
    const MESSAGES: usize = 20_000;
    const AHEAD: usize = 500;
    let mut read = 0;
    for at in 0..MESSAGES {
        let message = json!([null, at.to_string(), "phoenix", "heartbeat", {"x": "x".repeat(100)}]);
        socket.write(Message::text(message.to_string())).unwrap();
        if at % AHEAD == 0 {
            socket.flush().unwrap();
            while read + AHEAD < at {
                let answer = socket.read().unwrap().into_text().unwrap();
                let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
                assert_eq!(answer[1], read.to_string());
                read += 1;
            }
        }
    }
    let topic = "x".repeat(600_000);
    let answer = say_last(
        &mut socket,
        &json!(["1", "last", "nobody:1", "phx_join", {"x": topic}]),
    );
    assert_eq!(answer[1], "last");
}

/// As [`say`], past what else comes.
fn say_last(socket: &mut WebSocket<Stream>, message: &serde_json::Value) -> serde_json::Value {
    let wanted = &message[1];
    socket.send(Message::text(message.to_string())).unwrap();
    loop {
        let answer: serde_json::Value =
            serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
        if answer[1] == *wanted {
            return answer;
        }
    }
}

#[test]
fn a_client_without_tls_is_told_and_one_that_trusts_nobody_is_counted() {
    let folder = Folder::new();
    folder.issue("localhost", 2000..4000);
    let stranger = Folder::new().issue("localhost", 2000..4000);
    let host = host(&folder, connections_max());
    let answer = host.ask("GET /healthz HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.ends_with("ask for it by https://\n"), "{answer}");
    assert!(connect(&host, &client(&stranger, &[])).is_err());
    wait_until("both are counted", || {
        counted(&host, |it| &it.handshakes_failed) == 2
    });
    // Whoever only looks whether the port is open has not failed.
    drop(host.connect());
    let mut garbage = host.connect();
    garbage.write_all(&[22, 3, 1, 0, 5, 9, 9, 9, 9, 9]).unwrap();
    read_to_end(&mut garbage);
    wait_until("garbage is counted", || {
        counted(&host, |it| &it.handshakes_failed) == 3
    });
}

#[test]
fn the_slow_are_given_up_in_time_and_keep_nobody_out() {
    const ROOM: usize = 16;
    let folder = Folder::new();
    let cert = folder.issue("localhost", 2000..4000);
    let host = host(&folder, ROOM);
    let begun = Instant::now();
    // More than there may be at once: each new one takes the oldest's place.
    let mut slow: Vec<_> = (0..ROOM)
        .map(|_| {
            let mut stream = host.connect();
            stream.write_all(&[22, 3, 1]).unwrap();
            stream
        })
        .collect();
    wait_until("the oldest are given up", || {
        counted(&host, |it| &it.handshakes_slow) >= (ROOM / 2) as u64
    });
    let answer = ask(
        &mut connect(&host, &client(&cert, &[])).unwrap(),
        "/healthz",
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(begun.elapsed() < HANDSHAKE_TIMEOUT, "nobody was waited for");
    // The others are, and no longer than that.
    for stream in &mut slow {
        read_to_end(stream);
    }
    wait_until("all are given up", || {
        counted(&host, |it| &it.handshakes_slow) == ROOM as u64
    });
}

#[test]
fn a_certificate_is_replaced_and_who_is_connected_stays() {
    let folder = Folder::new();
    let old = client(&folder.issue("localhost", 2000..4000), &[]);
    let host = host(&folder, connections_max());
    let mut socket = open(&host, &old);
    let new = client(&folder.issue("localhost", 2000..4001), &[]);
    let tls = host.gateway.tls().unwrap();
    assert!(tls.replace(tls.read().unwrap()).is_some());
    let heartbeat = json!([null, "1", "phoenix", "heartbeat", {}]);
    assert_eq!(say(&mut socket, &heartbeat)[1], "1");
    // The old client has a ticket of the old session, and is not to come in by it.
    assert!(connect(&host, &old).is_err());
    assert_eq!(say(&mut open(&host, &new), &heartbeat)[1], "1");
    assert_eq!(say(&mut socket, &heartbeat)[1], "1");
}

#[test]
fn a_stop_closes_sockets_and_ends_tls_in_order() {
    let folder = Folder::new();
    let cert = folder.issue("localhost", 2000..4000);
    let host = host(&folder, connections_max());
    let mut socket = open(&host, &client(&cert, &[]));
    let mut shaking = host.connect();
    shaking.write_all(&[22]).unwrap();
    let reader = std::thread::spawn(move || {
        let Ok(Message::Close(Some(frame))) = socket.read() else {
            panic!("it ends without a close frame");
        };
        // The answer to it is sent; then the host says that nothing more comes.
        while socket.read().is_ok() {}
        (u16::from(frame.code), socket.get_mut().read(&mut [0]))
    });
    assert_eq!(host.stop(), None);
    let (code, end) = reader.join().unwrap();
    assert_eq!(code, 1012);
    assert!(matches!(end, Ok(0)), "no word of the end: {end:?}");
}
