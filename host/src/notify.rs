//! Says how this process is, as systemd's `sd_notify(3)` does.
//!
//! One language for both: systemd, and the keeper of a host in the background. What the
//! keeper alone is told is said in it, too.

use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;

/// The variable that names the socket to say it to.
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Clients are served, and what was to be read anew has been.
pub(crate) const READY: &[u8] = b"READY=1";

/// To the keeper: end your host, and boot it anew.
pub(crate) const RESTART: &[u8] = b"RESTART=1";

/// How long a word may take where its hearer has much to read: whoever says it has other
/// things to do.
const SAY_TIMEOUT: Duration = Duration::from_secs(1);

/// What this process has said so far.
static SAID: Said = Said::new();

/// Whether it stops is said: whatever was begun before and ends behind that, a reload, has
/// nothing to say any more.
struct Said(Mutex<bool>);

impl Said {
    const fn new() -> Self {
        Self(Mutex::new(false))
    }

    fn unless_stopping(&self, say: impl FnOnce()) {
        let stops = self.0.lock();
        if !*stops {
            say();
        }
    }

    fn stopping(&self, say: impl FnOnce()) {
        let mut stops = self.0.lock();
        *stops = true;
        say();
    }
}

/// Tells whoever started this process that it is ready, if they asked.
pub(crate) fn ready() {
    SAID.unless_stopping(|| say(READY));
}

/// The configuration is read anew; [`ready`] follows. systemd wants to know since when.
pub(crate) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now_us = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    let word = format!("RELOADING=1\nMONOTONIC_USEC={now_us}");
    SAID.unless_stopping(|| say(word.as_bytes()));
}

/// How the host is, in a line for people.
pub(crate) fn status(line: &str) {
    say(format!("STATUS={line}").as_bytes());
}

/// The start goes on, and may be silent for so long from now on, whatever limit it was given.
pub(crate) fn extend(by: Duration) {
    say(format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()).as_bytes());
}

/// The host is alive.
pub(crate) fn watchdog() {
    say(b"WATCHDOG=1");
}

/// Whether anybody has asked to be told.
pub(crate) fn is_asked() -> bool {
    std::env::var_os(NOTIFY_SOCKET).is_some()
}

/// For how long this process may be silent before it is taken for dead; none where
/// nobody watches it. sd_watchdog_enabled(3).
pub(crate) fn watchdog_timeout() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    let timeout = number("WATCHDOG_USEC").map(Duration::from_micros);
    timeout.filter(|timeout| !timeout.is_zero())
}

/// The host has begun to stop.
pub(crate) fn stopping() {
    SAID.stopping(|| say(b"STOPPING=1"));
}

/// Tells the keeper that listens at `socket` to end its host and to boot it anew.
///
/// # Errors
///
/// That nobody listens there.
pub(crate) fn restart(socket: &Path) -> io::Result<()> {
    send(&socket.display().to_string(), RESTART)
}

fn say(message: &[u8]) {
    if let Ok(address) = std::env::var(NOTIFY_SOCKET)
        && let Err(error) = send(&address, message)
    {
        // The host serves all the same; who waits for a word gives up in time.
        let message = String::from_utf8_lossy(message);
        drop(writeln!(
            io::stderr(),
            "tell {address} {message:?}: {error}"
        ));
    }
}

fn send(address: &str, message: &[u8]) -> io::Result<()> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SAY_TIMEOUT))?;
    socket.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_stopping_nobody_is_told_that_the_host_is_ready() {
        let said = Said::new();
        let mut words = Vec::new();
        said.unless_stopping(|| words.push("reloading"));
        said.stopping(|| words.push("stopping"));
        said.unless_stopping(|| words.push("ready"));
        assert_eq!(words, ["reloading", "stopping"]);
    }

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
