//! Says "ready" as systemd's `sd_notify(3)` does.
//!
//! One word for both: systemd, and the keeper of a host in the background.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket to say it to.
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// What is said.
pub(crate) const READY: &[u8] = b"READY=1";

/// Tells whoever started this process that it is ready, if they asked.
pub(crate) fn ready() {
    if let Ok(address) = std::env::var(NOTIFY_SOCKET)
        && let Err(e) = send(&address, READY)
    {
        // The host serves all the same; who waits for the word gives up in time.
        eprintln!("tell {address} that the host is ready: {e}");
    }
}

fn send(address: &str, message: &[u8]) -> io::Result<()> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(message, &address)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_arrives_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify.sock");
        let name = format!("host-notify-test-{}", std::process::id());
        let named = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, address) in [
            (UnixDatagram::bind(&path), path.display().to_string()),
            (UnixDatagram::bind_addr(&named), format!("@{name}")),
        ] {
            let socket = socket.unwrap();
            send(&address, READY).unwrap();
            let mut buffer = [0; 64];
            let n = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n], READY);
        }
        assert!(send("/nowhere/notify.sock", READY).is_err());
    }
}
