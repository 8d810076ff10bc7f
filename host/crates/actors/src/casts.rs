//! Casts on their way: rows of the journal, delivered in order, once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_journal::{CastId, CastRow};
use host_model::error::chain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Actors;
use crate::message::Message;

/// Casts handed to their targets and not yet durably used up. The rest waits in
/// the journal and is read from there.
const IN_FLIGHT_MAX: usize = 16_384;

/// Before a cast that could not be delivered is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Rows read at a time.
const PAGE: usize = 512;

#[derive(Debug)]
pub(crate) struct Casts {
    ways: Mutex<Ways>,
    /// Whether rows may wait in the journal that are not in flight.
    left_behind: AtomicBool,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Ways {
    in_flight: HashSet<CastId>,
    /// Those that their target does not know, and may know under another release.
    waiting: HashSet<CastId>,
    /// While rows are read: those used up meanwhile, which a page may still show.
    used_up: Option<HashSet<CastId>>,
    /// Whether one had to wait because as many were in flight as may be.
    full: bool,
}

impl Default for Casts {
    fn default() -> Self {
        Self {
            ways: Mutex::default(),
            // At the start: what the last process left.
            left_behind: AtomicBool::new(true),
            bell: Notify::new(),
        }
    }
}

impl Casts {
    /// True: deliver it now. False: it is on its way already, used up, or waits its turn.
    fn begin(&self, id: CastId) -> bool {
        let mut ways = self.ways.lock();
        if ways.used_up.as_ref().is_some_and(|used| used.contains(&id))
            || ways.waiting.contains(&id)
        {
            return false;
        }
        if ways.in_flight.len() >= IN_FLIGHT_MAX {
            ways.full = true;
            self.left_behind.store(true, Ordering::SeqCst);
            return false;
        }
        ways.in_flight.insert(id)
    }

    /// It is used up, durably.
    pub(crate) fn done(&self, id: CastId) {
        {
            let mut ways = self.ways.lock();
            ways.in_flight.remove(&id);
            if let Some(used_up) = &mut ways.used_up {
                used_up.insert(id);
            }
        }
        if self.left_behind.load(Ordering::SeqCst) {
            self.bell.notify_one();
        }
    }

    /// It could not be delivered now, and stays a row.
    pub(crate) fn put_off(&self, id: CastId) {
        self.ways.lock().in_flight.remove(&id);
        self.look_again();
    }

    /// Its target does not know it: it stays a row until another release is installed.
    pub(crate) fn wait(&self, id: CastId) {
        let mut ways = self.ways.lock();
        if ways.waiting.len() >= IN_FLIGHT_MAX {
            drop(ways);
            return self.put_off(id);
        }
        ways.in_flight.remove(&id);
        ways.waiting.insert(id);
    }

    /// Tries those again that wait for another release.
    pub(crate) fn let_go(&self) {
        let waiting = std::mem::take(&mut self.ways.lock().waiting);
        if !waiting.is_empty() {
            self.look_again();
        }
    }

    /// Rows may wait that can be delivered now.
    pub(crate) fn look_again(&self) {
        self.left_behind.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    fn begin_reading(&self) {
        let mut ways = self.ways.lock();
        ways.used_up = Some(HashSet::new());
        ways.full = false;
    }

    fn end_reading(&self) {
        self.ways.lock().used_up = None;
    }

    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }
}

impl Actors {
    /// Hands a durable cast to its target, behind what waits there. One to an actor that is
    /// set aside stays a row until that is released, and has had its dead letters.
    pub(crate) fn deliver_cast(self: &Arc<Self>, row: CastRow) {
        if self.supervisor.keeps_from(&row.letter.to) {
            return;
        }
        if self.casts.begin(row.id) {
            let to = row.letter.to.clone();
            self.post(&to, Message::Cast(row.id, Box::new(row.letter)));
        }
    }

    fn deliver_left_behind(self: &Arc<Self>) -> Result<(), host_journal::ReadError> {
        let mut after = None;
        loop {
            let page = self.journal.casts(after, PAGE)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for row in page {
                self.deliver_cast(row);
            }
            if self.casts.ways.lock().full {
                return Ok(());
            }
        }
    }
}

/// Delivers what waits in the journal, whenever something was left behind there.
pub(crate) async fn run(actors: Arc<Actors>) {
    while !actors.is_stopping() {
        if actors.casts.left_behind.swap(false, Ordering::SeqCst) {
            actors.casts.begin_reading();
            let read = tokio::task::block_in_place(|| actors.deliver_left_behind());
            actors.casts.end_reading();
            if let Err(error) = read {
                tracing::error!(
                    error = chain(&error),
                    "casts that wait could not be read; they will be tried again"
                );
                actors.casts.left_behind.store(true, Ordering::SeqCst);
            }
            // Also gives those that were put off time to find their target ready.
            tokio::time::sleep(RETRY_AFTER).await;
        } else {
            actors.casts.bell.notified().await;
        }
    }
}
