//! What a WebSocket is spoken over: a TCP stream, with TLS inside it or without.
//!
//! It reads and writes as far as the socket does and never waits, so that a turn of the
//! connection stays one that does not await. What TLS has encrypted and the socket did not
//! take is kept here, at most [`WRITE_BYTES`] of it and what a record adds.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::limits::WRITE_BYTES;

/// A connection's stream, belonging to a runtime.
#[derive(Debug)]
pub(crate) enum Transport {
    /// As it is.
    Plain(TcpStream),
    /// Inside TLS.
    Tls(Box<Secured>),
}

/// A stream on its way from one runtime to another.
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) session: Option<Box<ServerConnection>>,
}

/// A stream and the TLS in it, whose handshake is done.
#[derive(Debug)]
pub(crate) struct Secured {
    stream: TcpStream,
    session: Box<ServerConnection>,
}

impl Transport {
    /// Hands the stream to the current runtime.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn attach(detached: Detached) -> io::Result<Self> {
        let stream = TcpStream::from_std(detached.stream)?;
        Ok(match detached.session {
            None => Self::Plain(stream),
            Some(mut session) => {
                session.set_buffer_limit(Some(WRITE_BYTES));
                Self::Tls(Box::new(Secured { stream, session }))
            }
        })
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read_ready(cx)
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(cx)
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nothing is there; whatever the peer or the system did.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buffer),
            Self::Tls(secured) => secured.try_read(buffer),
        }
    }

    /// Writes as much as is taken, and all that was taken before comes first.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nothing is taken; whatever the peer or the system did.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Tls(secured) => secured.try_write(bytes),
        }
    }

    /// Writes what was taken and has not been written.
    ///
    /// # Errors
    ///
    /// As [`Transport::try_write`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(secured) => secured.flush(),
        }
    }

    /// Whether something was taken and has not been written.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secured) => secured.session.wants_write(),
        }
    }

    /// Says to the peer, where TLS can, that nothing more comes: else the end could be
    /// somebody else's doing. As far as the socket takes it.
    pub(crate) fn say_end(&mut self) {
        if let Self::Tls(secured) = self {
            secured.session.send_close_notify();
            // Fails where the peer has gone, or does not read.
            let _ = secured.flush();
        }
    }

    /// Ends the sending side. Fails only where the client was quicker; the next read tells.
    pub(crate) fn shut_sending(&mut self) {
        self.say_end();
        let _ = SockRef::from(self.stream()).shutdown(Shutdown::Write);
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(secured) => &secured.stream,
        }
    }
}

impl Secured {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.session.read_tls(&mut NoWait(&self.stream))? == 0 {
                return Ok(0);
            }
            if let Err(error) = self.session.process_new_packets() {
                // The alert that says why; the peer may be gone.
                let _ = self.flush();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        match self.flush() {
            // It is kept, and `has_unsent` says so.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(taken),
            flushed => flushed.map(|()| taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut NoWait(&self.stream))?;
        }
        Ok(())
    }
}

/// A stream whose `WouldBlock` its runtime knows of.
struct NoWait<'a>(&'a TcpStream);

impl Read for NoWait<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for NoWait<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
