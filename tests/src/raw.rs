//! Sockets on which anything can be sent: what no client's library would write.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};

use anyhow::{Context, Result, bail, ensure};

use crate::wait::DEADLINE;

/// The first byte of a text message in one frame.
pub const TEXT: u8 = 0x81;

/// The first byte of a binary message in one frame.
pub const BINARY: u8 = 0x82;

/// The first byte of a frame that goes on with a message, and does not end it.
pub const CONTINUATION: u8 = 0x00;

/// The first byte of a ping.
pub const PING: u8 = 0x89;

/// Takes a first byte's end of the message away.
pub const NOT_FINAL: u8 = 0x7f;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A request for a WebSocket, up to its own headers; with the key of RFC 6455's example.
const HANDSHAKE: &str = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A close frame's code and reason.
pub type Closed = (u16, String);

/// An open WebSocket on which any bytes can be sent.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    head: String,
}

impl Raw {
    /// Opens a WebSocket on `port`.
    ///
    /// # Errors
    ///
    /// That it does not open.
    pub fn open(port: u16) -> Result<Self> {
        Self::open_with(Ipv4Addr::LOCALHOST.into(), port, "")
    }

    /// Opens one at an address of this machine, with more headers; each ends with CRLF.
    ///
    /// # Errors
    ///
    /// As [`Raw::open`].
    pub fn open_with(address: IpAddr, port: u16, headers: &str) -> Result<Self> {
        let mut stream = TcpStream::connect((address, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(stream, "{HANDSHAKE}{headers}\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("read the handshake")?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head)?;
        ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
        // The accept key of the same example.
        ensure!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Ok(Self { stream, head })
    }

    /// The head of the answer that has opened it.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// The system's: a host that has seen enough ends the connection before it has read all.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next text of the host, or with what it closes.
    ///
    /// # Errors
    ///
    /// That nothing comes, or something else.
    pub fn text(&mut self) -> Result<Result<String, Closed>> {
        match self.frame()? {
            (0x1, payload) => Ok(Ok(String::from_utf8(payload)?)),
            (0x8, payload) => Ok(Err(closed(&payload)?)),
            (opcode, _) => bail!("a text was expected, and opcode {opcode} has come"),
        }
    }

    /// Sends `bytes`, and reads up to the close frame: its code and reason.
    ///
    /// # Errors
    ///
    /// That none comes.
    pub fn closed_after(mut self, bytes: &[u8]) -> Result<Closed> {
        // A host that has seen enough may end the connection before it has read all.
        let _ = self.send(bytes);
        self.closed()
    }

    /// Reads up to the close frame: its code and reason.
    ///
    /// # Errors
    ///
    /// That none comes.
    pub fn closed(&mut self) -> Result<Closed> {
        loop {
            let (opcode, payload) = self.frame()?;
            if opcode == 0x8 {
                return closed(&payload);
            }
        }
    }

    /// A frame of the host: opcode and payload. None is masked, fragmented, or longer than
    /// 64 KiB.
    ///
    /// # Errors
    ///
    /// That none comes, or one that is otherwise.
    pub fn frame(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).context("read a frame")?;
        let [first, mut length] = head.map(usize::from);
        ensure!(first & 0xf0 == 0x80, "one whole frame without extensions");
        ensure!(length & 0x80 == 0, "a server masks no frame");
        if length == 126 {
            let mut long = [0; 2];
            self.stream.read_exact(&mut long)?;
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok((head[0] & 0x0f, payload))
    }
}

fn closed(payload: &[u8]) -> Result<Closed> {
    let parts = payload.split_first_chunk();
    let (code, reason) = parts.context("a close frame has a code")?;
    let reason = String::from_utf8(reason.to_vec())?;
    Ok((u16::from_be_bytes(*code), reason))
}

/// A client's frame, masked.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = announced(first, payload.len() as u64);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// The head of a client's frame whose payload is announced to have `length` bytes.
#[must_use]
pub fn announced(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => head.push(0x80 | short),
        (_, Ok(long)) => {
            head.push(0x80 | 126);
            head.extend(long.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend(MASK);
    head
}

/// An address of this machine that is no loopback's, if it has one. Nothing is sent for it.
#[must_use]
pub fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // To connect a socket of UDP is to look up the way, and nothing else.
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
