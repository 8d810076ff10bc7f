//! Who asks: the user behind a process, as the kernel and `/etc/passwd` name it.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use serde_json::{Value, json};
use tokio::net::UnixListener;

/// The process at the other end of the control socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its user, as the kernel says (`SO_PEERCRED`); none if it does not.
    pub uid: Option<u32>,
    /// Its id when it connected; it may be gone.
    pub pid: Option<i32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self {
            uid: credentials.map(|it| it.uid()),
            pid: credentials.and_then(|it| it.pid()),
        }
    }
}

impl Peer {
    /// This process, where an operator works on a home that is stopped.
    #[must_use]
    pub fn this_process() -> Self {
        Self {
            uid: Some(rustix::process::getuid().as_raw()),
            pid: i32::try_from(std::process::id()).ok(),
        }
    }

    /// `operator:ali`; the user's number where it has no name here.
    #[must_use]
    pub fn principal(&self) -> String {
        let Some(uid) = self.uid else {
            return "operator".to_owned();
        };
        // Read each time: an operator comes by seldom, and users are renamed.
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        match name(&users, uid) {
            Some(name) => format!("operator:{name}"),
            None => format!("operator:{uid}"),
        }
    }

    /// All that is known of it.
    #[must_use]
    pub fn facts(&self) -> Value {
        json!({"uid": self.uid, "pid": self.pid})
    }
}

/// The user's name in the text of a `/etc/passwd`.
fn name(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_if_it_has_a_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nali:x:1000:1000::/srv/ali:\n";
        assert_eq!(name(users, 0), Some("root"));
        assert_eq!(name(users, 1000), Some("ali"));
        assert_eq!(name(users, 7), None);
    }
}
