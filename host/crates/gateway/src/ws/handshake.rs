//! The opening handshake: a request's headers in, the answer's headers out
//! (RFC 6455, section 4.2).

use axum::http::header::{
    ALLOW, CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest as _, Sha1};

/// Appended to the key before it is hashed (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The one version of the protocol (RFC 6455).
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// A key is 16 random bytes; its value has no meaning beyond that. Clients that
/// draw 22 random letters instead set bits that encode nothing; let them.
const KEY_BYTES: usize = 16;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request to open a WebSocket, found to be in order.
///
/// ```
/// use axum::http::{HeaderMap, Method, header};
/// use host_gateway::ws::Handshake;
///
/// let mut request = HeaderMap::new();
/// request.insert(header::UPGRADE, "websocket".parse()?);
/// request.insert(header::CONNECTION, "keep-alive, Upgrade".parse()?);
/// request.insert(header::SEC_WEBSOCKET_VERSION, "13".parse()?);
/// request.insert(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse()?);
///
/// let answer = Handshake::read(&Method::GET, &request)?.accept(None); // status 101
/// assert_eq!(answer[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    accept: HeaderValue,
    protocols: Vec<HeaderValue>,
}

/// Why a request does not open a WebSocket. It blames the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Another method than GET.
    #[error("a WebSocket is opened with GET; send the request with that method")]
    Method,
    /// No `Upgrade: websocket`.
    #[error("the request does not ask for a WebSocket; send the header `Upgrade: websocket`")]
    UpgradeMissing,
    /// No `Connection: Upgrade`, as when a proxy has dropped it.
    #[error(
        "the header `Connection: Upgrade` is missing; send it, and let proxies in between pass it on"
    )]
    ConnectionMissing,
    /// Another version of the protocol, or none.
    #[error("the WebSocket version is missing or unknown; send `Sec-WebSocket-Version: 13`")]
    Version,
    /// No key.
    #[error("the header `Sec-WebSocket-Key` is missing; send 16 random bytes in base64")]
    KeyMissing,
    /// A key of another length or alphabet, or more than one.
    #[error("the header `Sec-WebSocket-Key` is not 16 bytes in base64; send 16 random bytes, once")]
    KeyInvalid,
}

impl Handshake {
    /// Reads the request that opens a connection.
    ///
    /// # Errors
    ///
    /// What is missing or wrong, the first in the order of [`HandshakeError`].
    pub fn read(method: &Method, headers: &HeaderMap) -> Result<Self, HandshakeError> {
        if method != Method::GET {
            return Err(HandshakeError::Method);
        }
        if !has_item(headers, UPGRADE, "websocket") {
            return Err(HandshakeError::UpgradeMissing);
        }
        if !has_item(headers, CONNECTION, "upgrade") {
            return Err(HandshakeError::ConnectionMissing);
        }
        if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(HandshakeError::Version);
        }
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let key = keys.next().ok_or(HandshakeError::KeyMissing)?;
        let decoded = BASE64.decode(key).map_err(|_| HandshakeError::KeyInvalid)?;
        if decoded.len() != KEY_BYTES || keys.next().is_some() {
            return Err(HandshakeError::KeyInvalid);
        }
        let protocols = items(headers, SEC_WEBSOCKET_PROTOCOL)
            .map(|item| {
                item.parse()
                    .expect("a part of a header's value is a header's value")
            })
            .collect();
        Ok(Self {
            accept: accept_value(key.as_bytes()),
            protocols,
        })
    }

    /// The subprotocols that the client offers, in its order of preference.
    ///
    /// They are taken as they stand: some clients send a token for
    /// authentication here, with characters that a protocol's name cannot have.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols
            .iter()
            .filter_map(|protocol| protocol.to_str().ok())
    }

    /// The headers of the answer, whose status is 101.
    ///
    /// `protocol` is the subprotocol to select, one of
    /// [`protocols`](Self::protocols); a client ends the connection when it is
    /// given one that it did not offer, so any other is left out. Extensions
    /// that the client offers are declined by silence.
    #[must_use]
    pub fn accept(self, protocol: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        let selected = |offered: &HeaderValue| protocol.is_some_and(|protocol| offered == protocol);
        if let Some(selected) = self.protocols.into_iter().find(selected) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, selected);
        }
        headers
    }
}

impl HandshakeError {
    /// The answer: 405, 426 where another protocol or version would do, or 400;
    /// with the headers that go with the status.
    #[must_use]
    pub fn answer(&self) -> (StatusCode, HeaderMap) {
        let upgrade = (UPGRADE, HeaderValue::from_static("websocket"));
        // `Upgrade` is a hop-by-hop header, which `Connection` must name.
        let connection = (CONNECTION, HeaderValue::from_static("Upgrade"));
        let version = (SEC_WEBSOCKET_VERSION, VERSION);
        match self {
            Self::Method => {
                let allow = (ALLOW, HeaderValue::from_static("GET"));
                (
                    StatusCode::METHOD_NOT_ALLOWED,
                    HeaderMap::from_iter([allow]),
                )
            }
            Self::UpgradeMissing | Self::Version => (
                StatusCode::UPGRADE_REQUIRED,
                HeaderMap::from_iter([upgrade, connection, version]),
            ),
            Self::ConnectionMissing | Self::KeyMissing | Self::KeyInvalid => {
                (StatusCode::BAD_REQUEST, HeaderMap::new())
            }
        }
    }
}

/// The value of `Sec-WebSocket-Accept` for a key as it stands in the request.
fn accept_value(key: &[u8]) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::from_str(&BASE64.encode(digest)).expect("base64 is visible ASCII")
}

/// Whether a header that is a list has `wanted`, in any case, in any of its lines.
fn has_item(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

/// The items of a header that is a list, over all its lines. Lines that are not
/// visible ASCII are passed over.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
