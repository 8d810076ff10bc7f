//! Opening the port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::limits::LISTEN_BACKLOG;

/// Why the port could not be opened. It blames the operator.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program has it.
    #[error(
        "cannot listen on port {port}: another program listens there; stop that one, or set PORT \
         to a free port"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// Ports below 1024 need a permission.
    #[error(
        "cannot listen on port {port}: the permission is missing; set PORT to one from 1024 up, or \
         grant CAP_NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The port.
        port: u16,
    },
    /// Anything else.
    #[error("cannot listen on {address}; check that this machine has the address")]
    Other {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens each of `addresses`; without one, `port` (0: any free one) on all addresses of both
/// families: one socket for IPv6 and IPv4, or IPv4 alone where the system has no IPv6.
///
/// `[::]` takes IPv4 too, unless an address of IPv4 with the same port is there.
pub(crate) fn listen(
    addresses: &[SocketAddr],
    port: u16,
) -> Result<Vec<std::net::TcpListener>, ListenError> {
    if addresses.is_empty() {
        let opened = match open((Ipv6Addr::UNSPECIFIED, port).into(), false) {
            Err((_, error)) if has_no_ipv6(&error) => {
                open((Ipv4Addr::UNSPECIFIED, port).into(), false)
            }
            opened => opened,
        };
        return Ok(vec![opened.map_err(told)?]);
    }
    let has_v4 = |port| addresses.iter().any(|it| it.is_ipv4() && it.port() == port);
    let opened = addresses
        .iter()
        .map(|address| open(*address, has_v4(address.port())).map_err(told));
    opened.collect()
}

/// Whether this machine has an address: one that others may listen on is none the less.
#[must_use]
pub fn has_address(address: IpAddr) -> bool {
    let bound = std::net::TcpListener::bind((address, 0));
    !bound.is_err_and(|error| has_no_ipv6(&error))
}

fn told((address, source): (SocketAddr, io::Error)) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::PortInUse {
            port: address.port(),
        },
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted {
            port: address.port(),
        },
        _ => ListenError::Other { address, source },
    }
}

/// Hands the socket to the current runtime, and tells its address.
pub(crate) fn register(
    socket: std::net::TcpListener,
) -> Result<(SocketAddr, tokio::net::TcpListener), ListenError> {
    let address = socket.local_addr();
    let address = address.unwrap_or_else(|_| (Ipv6Addr::UNSPECIFIED, 0).into());
    tokio::net::TcpListener::from_std(socket)
        .map(|listener| (address, listener))
        .map_err(|source| ListenError::Other { address, source })
}

fn open(
    address: SocketAddr,
    only_v6: bool,
) -> Result<std::net::TcpListener, (SocketAddr, io::Error)> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        // A port that was just closed is free; one that is open is not.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error| (address, error))
}

/// Whether the failure is that of a system without IPv6, or without the address.
fn has_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}
