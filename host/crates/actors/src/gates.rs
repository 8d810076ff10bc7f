//! Gates: a plugin is held still for a moment, while its version changes.
//!
//! Whoever claims an actor of a plugin whose gate is closed parks it with its message,
//! so that messages queue and are handled behind the gate, in the version that then
//! rules. Handlers that were inside when it closed end as they would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use host_model::ActorId;
use parking_lot::Mutex;
use thiserror::Error;

use crate::Actors;
use crate::slots::{Phase, Slot};

/// Between two looks at who is still inside.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The gates that are closed. Most of the time none is.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    closed: Mutex<BTreeMap<String, Gate>>,
    /// How many are, to be looked at without the lock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Gate {
    since: Instant,
    /// Who waits before it, parked.
    waiting: BTreeMap<ActorId, Arc<Slot>>,
}

/// Someone was still inside a plugin when its patience had ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{actor} was still inside {what} after the {} ms that its plugin's gate may be closed{}",
    patience.as_millis(), and_more(*others))]
pub struct StillInside {
    /// One of them.
    pub actor: ActorId,
    /// What it runs, as far as that is known.
    pub what: String,
    /// How many others there are.
    pub others: usize,
    /// How long they were waited for.
    pub patience: Duration,
}

fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    }
}

impl Gates {
    /// Whether any is closed.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Whether the claimed actor is to be parked before its plugin's gate; it will be
    /// resumed.
    pub(crate) fn holds(&self, slot: &Arc<Slot>) -> bool {
        if !self.any() {
            return false;
        }
        let mut closed = self.closed.lock();
        let Some(gate) = closed.get_mut(slot.id.plugin()) else {
            return false;
        };
        gate.waiting.insert(slot.id.clone(), Arc::clone(slot));
        true
    }

    fn close(&self, plugin: &str) {
        let mut closed = self.closed.lock();
        closed.entry(plugin.to_owned()).or_insert_with(|| Gate {
            since: Instant::now(),
            waiting: BTreeMap::new(),
        });
        self.count.store(closed.len(), Ordering::SeqCst);
    }

    fn open(&self, plugin: &str) -> Option<Gate> {
        let mut closed = self.closed.lock();
        let gate = closed.remove(plugin);
        self.count.store(closed.len(), Ordering::SeqCst);
        gate
    }
}

impl Actors {
    /// Closes the gate of `plugin`, and waits until nobody is inside any more. From then
    /// until [`Actors::resume`] no handler of it runs; what is sent to its actors queues,
    /// within the bound of their mailboxes. Closed already, it stays closed.
    ///
    /// # Errors
    ///
    /// [`StillInside`] after `patience`; then it is open again.
    pub async fn suspend(
        self: &Arc<Self>,
        plugin: &str,
        patience: Duration,
    ) -> Result<(), StillInside> {
        self.gates.close(plugin);
        let deadline = Instant::now() + patience;
        // Who claims an actor from now on finds the gate closed. Who has claimed one
        // before is inside, until that actor is seen without a claim once.
        let mut inside = self.claimed(plugin).await;
        loop {
            inside.retain(|slot| slot.inner.lock().phase == Phase::Claimed);
            let Some(slot) = inside.first() else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let still = StillInside {
                    actor: slot.id.clone(),
                    what: self.inside(&slot.id),
                    others: inside.len() - 1,
                    patience,
                };
                self.resume(plugin);
                return Err(still);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Opens the gate of `plugin`; whoever waits before it goes on.
    pub fn resume(self: &Arc<Self>, plugin: &str) {
        let Some(gate) = self.gates.open(plugin) else {
            return;
        };
        for slot in gate.waiting.into_values() {
            let waited = slot.inner.lock().queue_len() as u64;
            self.migrations.paused(waited, gate.since);
            self.resume_soon(slot);
        }
    }

    /// The actors of `plugin` that someone has claimed.
    async fn claimed(self: &Arc<Self>, plugin: &str) -> Vec<Arc<Slot>> {
        let (actors, plugin) = (Arc::clone(self), plugin.to_owned());
        let claimed = tokio::task::spawn_blocking(move || {
            let slots = actors.slots.shards();
            let slots = slots.flat_map(|shard| actors.slots.of_shard(shard));
            let own = slots.filter(|slot| slot.id.plugin() == plugin);
            own.filter(|slot| slot.inner.lock().phase == Phase::Claimed)
                .collect()
        });
        claimed.await.expect("it compares, and runs no plugin")
    }

    fn inside(&self, id: &ActorId) -> String {
        let runs = self.running(Duration::ZERO);
        match runs.into_iter().find(|run| run.actor == *id) {
            Some(run) => format!("`{}`, for {} ms already,", run.event, run.for_.as_millis()),
            None => "a handler".to_owned(),
        }
    }
}
