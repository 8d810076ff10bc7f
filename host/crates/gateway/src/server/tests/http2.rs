//! HTTP/2, with TLS and without, and its bounds.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::*;
use crate::limits::{H2_PENDING_RESETS_MAX, H2_STREAMS_MAX, HEAD_BYTES_MAX};
use crate::tls::tests::Folder;

type Sender = http2::SendRequest<Empty<Bytes>>;

async fn speak(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Sender {
    let speaking = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = speaking.await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn plain(host: &Host) -> tokio::net::TcpStream {
    let address = (Ipv4Addr::LOCALHOST, host.gateway.port());
    tokio::net::TcpStream::connect(address).await.unwrap()
}

async fn get(sender: &mut Sender, path: &str) -> hyper::Result<(StatusCode, String)> {
    let request = Request::get(format!("http://localhost{path}"));
    let answer = sender
        .send_request(request.body(Empty::new()).unwrap())
        .await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

#[test]
fn requests_share_a_connection_without_tls() {
    let host = Host::start();
    host.control.block_on(async {
        let mut sender = speak(plain(&host).await).await;
        for _ in 0..3 {
            assert_eq!(get(&mut sender, "/healthz").await.unwrap().0, 200);
        }
        let (status, body) = get(&mut sender, "/api/v1/nobody/x/summary").await.unwrap();
        assert_eq!(status, 404, "{body}");
        // A WebSocket is opened in HTTP/1.1, and whoever tries is told so.
        let (status, body) = get(&mut sender, "/socket/websocket?vsn=2.0.0")
            .await
            .unwrap();
        assert_eq!(status, 426, "{body}");
    });
    assert_eq!(host.stop(), None, "an idle connection is closed in order");
}

#[test]
fn alpn_chooses_between_the_two() {
    let folder = Folder::new();
    let cert = folder.issue("localhost", 2000..4000);
    let host = super::tls::host(&folder, connections_max());
    host.control.block_on(async {
        for (offer, chosen) in [
            (&[&b"http/1.1"[..], b"h2"][..], &b"h2"[..]),
            (&[b"http/1.1"], b"http/1.1"),
        ] {
            let connector = TlsConnector::from(super::tls::client(&cert, offer));
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, plain(&host).await).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen));
            if chosen == b"h2" {
                let mut sender = speak(stream).await;
                assert_eq!(get(&mut sender, "/healthz").await.unwrap().0, 200);
            }
        }
    });
}

#[test]
fn headers_beyond_the_bound_are_refused_and_the_connection_goes_on() {
    let host = Host::start();
    host.control.block_on(async {
        let mut sender = speak(plain(&host).await).await;
        let request = Request::get("http://localhost/healthz")
            .header("x", "y".repeat(HEAD_BYTES_MAX))
            .body(Empty::new())
            .unwrap();
        // It is told of the bound, and does not even send them, or hears 431.
        match sender.send_request(request).await {
            Ok(answer) => assert_eq!(answer.status(), 431),
            Err(error) => assert!(!error.is_closed(), "{error}"),
        }
        assert_eq!(get(&mut sender, "/healthz").await.unwrap().0, 200);
    });
}

/// A frame: type, flags, stream, payload (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// GET http://x/healthz, by indices of the static table (RFC 7541, appendix A), literally
/// where there is none.
fn head() -> Vec<u8> {
    let mut head = vec![0x82, 0x86, 0x04, 8];
    head.extend(b"/healthz");
    head.extend([0x01, 1]);
    head.extend(b"x");
    head
}

fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Reads frames until one of `kind`, and gives its payload.
fn next(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == kind && head[4] & 1 == 0 {
            return payload;
        }
    }
}

#[test]
fn the_bounds_are_told_to_the_client() {
    let host = Host::start();
    let mut stream = host.connect();
    stream.write_all(&preface()).unwrap();
    let settings = next(&mut stream, SETTINGS);
    let settings: Vec<(u16, u32)> = settings
        .chunks(6)
        .map(|it| {
            let value = u32::from_be_bytes(it[2..].try_into().unwrap());
            (u16::from_be_bytes([it[0], it[1]]), value)
        })
        .collect();
    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE.
    assert!(settings.contains(&(3, H2_STREAMS_MAX)), "{settings:?}");
    assert!(
        settings.contains(&(6, HEAD_BYTES_MAX as u32)),
        "{settings:?}"
    );
}

#[test]
fn whoever_opens_and_resets_in_a_flood_is_closed_and_others_are_served() {
    let host = Host::start();
    let mut flood = host.connect();
    let mut bytes = preface();
    for at in 0..100 * H2_PENDING_RESETS_MAX as u32 {
        let stream = 2 * at + 1;
        bytes.extend(frame(HEADERS, 0x5, stream, &head()));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    // It may be closed in the middle.
    let _ = flood.write_all(&bytes);
    let payload = next(&mut flood, GOAWAY);
    let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
    assert_eq!(code, 11, "ENHANCE_YOUR_CALM");
    let answer = host.ask("GET /healthz HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
