//! A client that costs next to nothing: frames as bytes, over a socket of its own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use e2e::wait::DEADLINE;

/// A WebSocket whose answers are counted.
pub(crate) struct Client {
    stream: TcpStream,
    /// What has come of a frame that is not whole.
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        // The key of RFC 6455, section 1.3: nobody in between is to be told apart.
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).context("read the handshake")?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    /// Connects to a host and joins a topic.
    pub(crate) fn join(port: u16, topic: &str) -> Result<Self> {
        let mut client = Self::connect(port, "/socket/websocket?vsn=2.0.0")?;
        client.send(&frame(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#)))?;
        let answer = client.text()?;
        ensure!(answer.contains(r#""status":"ok""#), "{answer}");
        Ok(client)
    }

    pub(crate) fn send(&mut self, frames: &[u8]) -> Result<()> {
        self.stream.write_all(frames).context("send")
    }

    /// Waits for so many frames, and gives the bytes of those that came last.
    pub(crate) fn take(&mut self, mut frames: usize) -> Result<()> {
        while frames > 0 {
            frames = frames.saturating_sub(self.whole()?);
            if frames > 0 {
                self.fill()?;
            }
        }
        Ok(())
    }

    /// Frames that have come by now.
    pub(crate) fn come(&mut self) -> Result<usize> {
        self.stream.set_nonblocking(true)?;
        let filled = self.fill();
        self.stream.set_nonblocking(false)?;
        match filled {
            Err(error) if is_would_block(&error) => Ok(0),
            Err(error) => Err(error),
            Ok(()) => self.whole(),
        }
    }

    /// The next frame as text.
    pub(crate) fn text(&mut self) -> Result<String> {
        loop {
            if let Some((head, length)) = first(&self.read)? {
                let text = String::from_utf8(self.read[head..head + length].to_vec())?;
                self.read.drain(..head + length);
                return Ok(text);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = self.stream.read(&mut buffer)?;
        ensure!(count > 0, "the connection was closed");
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Counts the whole frames, and drops them.
    fn whole(&mut self) -> Result<usize> {
        let (mut at, mut count) = (0, 0);
        while let Some((head, length)) = first(&self.read[at..])? {
            at += head + length;
            count += 1;
        }
        self.read.drain(..at);
        Ok(count)
    }
}

fn is_would_block(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Bytes of the first frame's head and payload, if it is whole. What closes is an error.
fn first(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let &[opcode, short, ..] = bytes else {
        return Ok(None);
    };
    if opcode & 0x0f == 8 {
        bail!("closed: {}", String::from_utf8_lossy(&bytes[2..]));
    }
    let (head, length) = match short {
        126 if bytes.len() >= 4 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        126 => return Ok(None),
        127 => bail!("a frame above 64 KiB is not expected"),
        short => (2, usize::from(short)),
    };
    Ok((bytes.len() >= head + length).then_some((head, length)))
}

/// A text frame of a client. It is masked with zeros, which masks nothing.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            let length = u16::try_from(text.len()).expect("a bench sends short texts");
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}
