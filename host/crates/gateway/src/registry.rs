//! The connections there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::outbound::{ConnectionId, Outbound, Signals};

/// Every WebSocket connection, by the way to it.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
    last_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    connections: HashMap<ConnectionId, Arc<Outbound>, foldhash::fast::RandomState>,
    stopping: bool,
}

impl Registry {
    /// Enters a new connection. One that comes while the host stops is told so at once.
    pub(crate) fn enter(&self) -> Arc<Outbound> {
        let outbound = Outbound::new(self.last_id.fetch_add(1, Ordering::Relaxed));
        let mut inner = self.inner.lock();
        inner.connections.insert(outbound.id, Arc::clone(&outbound));
        if inner.stopping {
            outbound.signal(|signals| signals.stop = true);
        }
        outbound
    }

    pub(crate) fn leave(&self, id: ConnectionId) {
        self.inner.lock().connections.remove(&id);
    }

    pub(crate) fn len(&self) -> usize {
        self.inner.lock().connections.len()
    }

    /// Asks every connection to end, those to come included.
    pub(crate) fn stop(&self) {
        self.inner.lock().stopping = true;
        self.signal(|signals| signals.stop = true);
    }

    /// Ends every connection.
    pub(crate) fn kill(&self) {
        self.signal(|signals| signals.kill = true);
    }

    fn signal(&self, change: impl Fn(&mut Signals)) {
        let all: Vec<_> = self.inner.lock().connections.values().cloned().collect();
        for outbound in all {
            outbound.signal(&change);
        }
    }
}
