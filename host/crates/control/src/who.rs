//! Who asks: the user behind a process, as the kernel and `/etc/passwd` name it.

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use host_journal::Action;
use host_model::Version;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::problem::Refusal;

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

    /// Whether it may ask: root, and the user that this process runs as. The socket's mode
    /// says the same; this holds also where somebody has changed that.
    fn may_ask(&self, own: u32) -> bool {
        self.uid.is_some_and(|uid| uid == 0 || uid == own)
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

    /// What it asks for, as it stands in the audit trail. `release` is the one that rules.
    #[must_use]
    pub fn action(&self, name: &str, arguments: Value, release: &Version) -> Action {
        Action {
            name: name.to_owned(),
            principal: self.principal(),
            peer: self.facts(),
            arguments,
            release: release.clone(),
        }
    }

    /// All that is known of it.
    #[must_use]
    pub fn facts(&self) -> Value {
        json!({"uid": self.uid, "pid": self.pid})
    }
}

/// Around every request: none of another user is carried out.
pub(crate) async fn only_ours(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    let peer = peer.map_or_else(Peer::default, |it| it.0);
    let own = rustix::process::geteuid().as_raw();
    if peer.may_ask(own) {
        return next.run(request).await;
    }
    tracing::warn!(uid = ?peer.uid, pid = ?peer.pid, "another user asked at the control socket, and was refused");
    let asks = match peer.uid {
        Some(uid) => format!("user {uid} asks"),
        None => "the kernel does not say who asks".to_owned(),
    };
    let message = format!(
        "ask the host: {asks}, and it answers root and its own user {own} only; run this as that user"
    );
    Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message).into_response()
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
    fn nobody_asks_but_root_and_the_hosts_own_user() {
        let peer = |uid| Peer { uid, pid: Some(1) };
        assert!(peer(Some(0)).may_ask(1000));
        assert!(peer(Some(1000)).may_ask(1000));
        assert!(!peer(Some(1001)).may_ask(1000));
        // Not even to a host that runs as root.
        assert!(!peer(Some(1000)).may_ask(0));
        assert!(!peer(None).may_ask(0));
    }

    #[test]
    fn a_user_is_named_if_it_has_a_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nali:x:1000:1000::/srv/ali:\n";
        assert_eq!(name(users, 0), Some("root"));
        assert_eq!(name(users, 1000), Some("ali"));
        assert_eq!(name(users, 7), None);
    }
}
