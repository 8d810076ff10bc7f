//! Whether the host behind the prompt lives, told while nothing is asked of it.
//!
//! A connection to its socket is held: it ends when the host does. The kernel says whose
//! it is, so nothing is sent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Between two looks whether there is a host again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Tells when the host goes and when one is back, until the task is ended. `known` is the
/// process that the prompt has told of already.
pub(super) async fn watch(
    socket: PathBuf,
    mut known: Option<u32>,
    mut tell: impl FnMut(String) + Send,
) {
    loop {
        let found = connect(&socket).await;
        let now = found.as_ref().map(|(pid, _)| *pid);
        match (known, now) {
            (Some(_), None) => {
                tell("the host is gone; this prompt waits for the next one".to_owned());
            }
            (before, Some(pid)) if before != now => tell(format!("a host is here: process {pid}")),
            _ => {}
        }
        known = now;
        match found {
            // Nothing was asked, so there is nothing to read but the end.
            Some((_, mut stream)) => drop(stream.read(&mut [0; 64]).await),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// A connection, and the process that listens there; 0 where it cannot be seen from here.
async fn connect(socket: &Path) -> Option<(u32, UnixStream)> {
    let stream = UnixStream::connect(socket).await.ok()?;
    let pid = stream.peer_cred().ok()?.pid();
    let pid = pid.and_then(|pid| u32::try_from(pid).ok());
    Some((pid.unwrap_or(0), stream))
}
