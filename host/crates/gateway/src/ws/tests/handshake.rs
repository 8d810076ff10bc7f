//! The opening handshake, header by header.

use axum::http::header::{
    ALLOW, CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{Method, StatusCode};

use crate::ws::{Handshake, HandshakeError};

/// The request of RFC 6455, section 1.3, less its origin.
fn request() -> HeaderMap {
    HeaderMap::from_iter([
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (
            SEC_WEBSOCKET_KEY,
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        ),
        (
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("chat, superchat"),
        ),
        (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
    ])
}

fn with(name: HeaderName, value: &'static str) -> HeaderMap {
    let mut headers = request();
    headers.insert(name, HeaderValue::from_static(value));
    headers
}

fn without(name: HeaderName) -> HeaderMap {
    let mut headers = request();
    headers.remove(name);
    headers
}

fn read(headers: &HeaderMap) -> Result<Handshake, HandshakeError> {
    Handshake::read(&Method::GET, headers)
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let mut headers = request();
    headers.insert(
        SEC_WEBSOCKET_EXTENSIONS,
        HeaderValue::from_static("permessage-deflate"),
    );
    let handshake = read(&headers).unwrap();
    assert_eq!(
        handshake.protocols().collect::<Vec<_>>(),
        ["chat", "superchat"]
    );
    let expected = HeaderMap::from_iter([
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (
            SEC_WEBSOCKET_ACCEPT,
            HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ),
        (
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("superchat"),
        ),
    ]);
    assert_eq!(handshake.accept(Some("superchat")), expected);
}

#[test]
fn only_an_offered_protocol_is_selected() {
    let handshake = read(&request()).unwrap();
    assert!(
        !handshake
            .clone()
            .accept(None)
            .contains_key(SEC_WEBSOCKET_PROTOCOL)
    );
    assert!(
        !handshake
            .accept(Some("phoenix"))
            .contains_key(SEC_WEBSOCKET_PROTOCOL)
    );
}

#[test]
fn a_token_among_the_protocols_is_kept_as_it_stands() {
    let mut headers = with(
        SEC_WEBSOCKET_PROTOCOL,
        "phoenix,, base64url.bearer.phx.aGk+/w",
    );
    headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(" other "));
    let handshake = read(&headers).unwrap();
    let expected = ["phoenix", "base64url.bearer.phx.aGk+/w", "other"];
    assert_eq!(handshake.protocols().collect::<Vec<_>>(), expected);
    let none = read(&without(SEC_WEBSOCKET_PROTOCOL)).unwrap();
    assert_eq!(none.protocols().count(), 0);
}

#[test]
fn lists_and_letters_of_any_case_are_read() {
    assert!(read(&with(CONNECTION, "keep-alive, UPGRADE")).is_ok());
    assert!(read(&with(UPGRADE, "h2c, WebSocket")).is_ok());
    let mut headers = with(CONNECTION, "keep-alive");
    headers.append(CONNECTION, HeaderValue::from_static("Upgrade"));
    assert!(read(&headers).is_ok());
}

#[test]
fn each_thing_missing_is_named() {
    use HandshakeError::*;
    let cases = [
        (
            without(UPGRADE),
            UpgradeMissing,
            StatusCode::UPGRADE_REQUIRED,
        ),
        (
            with(UPGRADE, "websockets"),
            UpgradeMissing,
            StatusCode::UPGRADE_REQUIRED,
        ),
        (
            without(CONNECTION),
            ConnectionMissing,
            StatusCode::BAD_REQUEST,
        ),
        (
            with(CONNECTION, "close"),
            ConnectionMissing,
            StatusCode::BAD_REQUEST,
        ),
        (
            without(SEC_WEBSOCKET_VERSION),
            Version,
            StatusCode::UPGRADE_REQUIRED,
        ),
        (
            with(SEC_WEBSOCKET_VERSION, "8"),
            Version,
            StatusCode::UPGRADE_REQUIRED,
        ),
        (
            without(SEC_WEBSOCKET_KEY),
            KeyMissing,
            StatusCode::BAD_REQUEST,
        ),
        (
            with(SEC_WEBSOCKET_KEY, ""),
            KeyInvalid,
            StatusCode::BAD_REQUEST,
        ),
        (
            with(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25j"),
            KeyInvalid,
            StatusCode::BAD_REQUEST,
        ),
        (
            with(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZSE="),
            KeyInvalid,
            StatusCode::BAD_REQUEST,
        ),
        (
            with(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZ!=="),
            KeyInvalid,
            StatusCode::BAD_REQUEST,
        ),
    ];
    for (headers, expected, status) in cases {
        assert_eq!(read(&headers), Err(expected), "{headers:?}");
        assert_eq!(expected.answer().0, status, "{headers:?}");
    }
    let mut twice = request();
    twice.append(
        SEC_WEBSOCKET_KEY,
        HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
    );
    assert_eq!(read(&twice), Err(KeyInvalid));
}

#[test]
fn a_refusal_says_what_would_do() {
    let (_, headers) = HandshakeError::Version.answer();
    assert_eq!(headers[SEC_WEBSOCKET_VERSION], "13");
    assert_eq!(headers[UPGRADE], "websocket");
    assert_eq!(headers[CONNECTION], "Upgrade");
    let refused = Handshake::read(&Method::POST, &request());
    assert_eq!(refused, Err(HandshakeError::Method));
    let (status, headers) = HandshakeError::Method.answer();
    assert_eq!(
        (status, &headers[ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET".parse().unwrap())
    );
}

#[test]
fn a_key_whose_last_bits_encode_nothing_is_taken() {
    assert!(read(&with(SEC_WEBSOCKET_KEY, "abcdefghijklmnopqrstuv==")).is_ok());
}
