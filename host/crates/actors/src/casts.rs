//! Casts on their way: rows of the journal, delivered in order, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_journal::{CastId, CastRow, Letter};
use host_model::error::chain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Actors;
use crate::line::{Begun, Line};
use crate::message::Message;

/// Before a cast that could not be delivered is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Rows read at a time.
const PAGE: usize = 512;

#[derive(Debug)]
pub(crate) struct Casts {
    line: Mutex<Line>,
    /// Whether rows may wait in the journal that are not in flight.
    left_behind: AtomicBool,
    bell: Notify,
}

impl Default for Casts {
    fn default() -> Self {
        Self {
            line: Mutex::default(),
            // At the start: what the last process left.
            left_behind: AtomicBool::new(true),
            bell: Notify::new(),
        }
    }
}

impl Casts {
    /// It is used up, durably.
    pub(crate) fn done(&self, id: CastId) {
        self.line.lock().done(id);
        if self.left_behind.load(Ordering::SeqCst) {
            self.bell.notify_one();
        }
    }

    /// It could not be delivered now, and stays a row.
    pub(crate) fn put_off(&self, id: CastId) {
        let again = self.line.lock().put_off(id);
        if again {
            self.look_again();
        }
    }

    /// Its target does not know it: it stays a row until another release is installed.
    pub(crate) fn wait(&self, id: CastId) {
        let again = self.line.lock().wait(id);
        if again {
            self.look_again();
        }
    }

    /// Whether one that has come to its target stays a row, because one before it from the
    /// same sender does.
    pub(crate) fn stays_behind(&self, id: CastId) -> bool {
        let stays = self.line.lock().is_behind(id);
        if stays {
            self.put_off(id);
        }
        stays
    }

    /// Tries those again that wait for another release.
    pub(crate) fn let_go(&self) {
        let any = self.line.lock().let_go();
        if any {
            self.look_again();
        }
    }

    /// Has rows that were kept from their targets be delivered, before any cast that comes
    /// now, once `open` has seen to it that they are kept no more.
    pub(crate) fn open(&self, open: impl FnOnce()) {
        self.line.lock().close();
        open();
        self.line.lock().reopen();
        self.look_again();
    }

    /// Rows may wait that can be delivered now.
    fn look_again(&self) {
        self.left_behind.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }
}

impl Actors {
    /// Hands a durable cast that its sender has just sent to its target, behind what waits
    /// there. One to an actor that is set aside stays a row until that is released, and has
    /// had its dead letters.
    pub(crate) fn deliver_cast(self: &Arc<Self>, row: CastRow) {
        let CastRow { id, letter } = row;
        let kept = self.supervisor.keeps_from(&letter.to);
        let between = (&letter.from, &letter.to);
        let begun = self.casts.line.lock().begin_new(id, between, kept);
        self.hand_over(begun, id, letter);
    }

    fn deliver_row(self: &Arc<Self>, row: CastRow) {
        let CastRow { id, letter } = row;
        if self.supervisor.keeps_from(&letter.to) {
            return;
        }
        let between = (&letter.from, &letter.to);
        let begun = self.casts.line.lock().begin_row(id, between);
        self.hand_over(begun, id, letter);
    }

    fn hand_over(self: &Arc<Self>, begun: Begun, id: CastId, letter: Letter) {
        match begun {
            Begun::Now => {
                let to = letter.to.clone();
                self.post(&to, Message::Cast(id, Box::new(letter)));
            }
            Begun::Not => {}
            Begun::LookAgain => self.casts.look_again(),
        }
    }

    /// Reads all rows, and delivers those that may be, in order.
    fn deliver_left_behind(self: &Arc<Self>) -> Result<(), host_journal::ReadError> {
        let line = &self.casts.line;
        let mut after = None;
        loop {
            line.lock().begin_page();
            let page = self.journal.casts(after, PAGE)?;
            let last = page.last().map(|row| row.id);
            for row in page {
                self.deliver_row(row);
            }
            let mut line = line.lock();
            if line.is_cut_short() || (last.is_none() && line.is_through()) {
                return Ok(());
            }
            after = last.or(after);
        }
    }
}

/// Delivers what waits in the journal, whenever something was left behind there.
pub(crate) async fn run(actors: Arc<Actors>) {
    while !actors.is_stopping() {
        if actors.casts.left_behind.swap(false, Ordering::SeqCst) {
            let left = actors.casts.line.lock().begin_pass();
            if left {
                actors.casts.left_behind.store(true, Ordering::SeqCst);
            }
            let read = tokio::task::block_in_place(|| actors.deliver_left_behind());
            actors.casts.line.lock().end_pass();
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
