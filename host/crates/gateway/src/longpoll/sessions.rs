//! All clients that poll.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::client::Client;
use crate::connection::Shared;
use crate::limits::{POLL_LOOK_EVERY, POLL_SESSIONS_MAX};
use crate::offered::POLL_TOKEN;

/// Random bytes of a token. Who has it is the client: nobody guesses it.
const TOKEN_BYTES: usize = 32;

/// The sessions there are, by their tokens. A session is in here until it has ended.
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>, foldhash::fast::RandomState>>,
    shared: Arc<Shared>,
}

impl Sessions {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            open: Mutex::default(),
            shared,
        }
    }

    /// Opens a session, and gives its token; none if there are too many.
    pub(crate) fn open(&self, client: Client, shared: &Shared) -> Option<String> {
        let mut random = [0; TOKEN_BYTES];
        getrandom::fill(&mut random).ok()?;
        let token = format!("{POLL_TOKEN}{}", URL_SAFE_NO_PAD.encode(random));
        let mut open = self.open.lock();
        if open.len() >= POLL_SESSIONS_MAX {
            return None;
        }
        let session = Session::new(client, shared.registry.enter());
        open.insert(token.clone(), Arc::new(session));
        Some(token)
    }

    pub(crate) fn find(&self, token: &str) -> Option<Arc<Session>> {
        self.open.lock().get(token).cloned()
    }

    /// Ends a session, if it has not ended yet.
    pub(crate) fn end(&self, token: &str) {
        let session = self.open.lock().remove(token);
        if let Some(session) = session {
            session.end();
            self.shared.registry.leave(session.outbound().id);
        }
    }

    /// Ends those whose clients are silent, until the host stops.
    pub(crate) async fn look_after(self: Arc<Self>, stop: CancellationToken) {
        let mut look = tokio::time::interval(POLL_LOOK_EVERY);
        loop {
            tokio::select! {
                _ = look.tick() => self.end_idle(Instant::now()),
                () = stop.cancelled() => return,
            }
        }
    }

    pub(crate) fn end_idle(&self, now: Instant) {
        let all: Vec<_> = {
            let open = self.open.lock();
            open.iter()
                .map(|(token, session)| (token.clone(), Arc::clone(session)))
                .collect()
        };
        for (token, session) in all {
            if session.is_idle(now) {
                self.end(&token);
            }
        }
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("open", &self.open.lock().len())
            .finish()
    }
}
