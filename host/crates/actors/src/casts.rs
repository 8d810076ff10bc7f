//! Casts on their way: rows of the journal, delivered in order, once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_journal::{CastId, CastRow, ReadError};
use host_model::error::chain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Actors;
use crate::line::{Between, Line};
use crate::message::Message;

/// Between two passes over the rows, if casts are used up meanwhile that others stand behind:
/// so a queue that was full is filled again. Otherwise the time doubles, up to the longest.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(10);
const RETRY_AFTER_MAX: Duration = Duration::from_millis(200);

/// And no sooner than after so many times as long as the pass took.
const REST: u32 = 4;

/// Rows read at a time.
const PAGE: usize = 512;

/// How often a pass comes to the last row and goes on with what has come meanwhile.
const ENDS_MAX: u32 = 16;

#[derive(Debug, Default)]
pub(crate) struct Casts {
    line: Mutex<Line>,
    bell: Notify,
}

impl Casts {
    /// It is used up, durably.
    pub(crate) fn done(&self, id: CastId) {
        let due = self.line.lock().done(id);
        self.ring_if(due);
    }

    /// It could not be delivered now, and stays a row.
    pub(crate) fn put_off(&self, id: CastId) {
        let due = self.line.lock().put_off(id);
        self.ring_if(due);
    }

    /// Its target does not know it: it stays a row until another release is installed.
    pub(crate) fn wait(&self, id: CastId) {
        let due = self.line.lock().wait(id);
        self.ring_if(due);
    }

    /// Whether one that has come to its target stays a row, because one before it from the
    /// same sender does.
    pub(crate) fn stays_behind(&self, id: CastId) -> bool {
        let mut line = self.line.lock();
        let stays = line.is_behind(id);
        let due = stays && line.put_off(id);
        drop(line);
        self.ring_if(due);
        stays
    }

    /// Tries those again that wait for another release.
    pub(crate) fn let_go(&self) {
        let any = self.line.lock().let_go();
        self.ring_if(any);
    }

    /// Rows may wait that can be delivered now.
    pub(crate) fn look_again(&self) {
        self.line.lock().look_again();
        self.bell.notify_one();
    }

    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    fn ring_if(&self, due: bool) {
        if due {
            self.bell.notify_one();
        }
    }
}

impl Actors {
    /// Hands a durable cast to its target, behind what waits there. One to an actor that is
    /// set aside stays a row until that is released, and has had its dead letters.
    pub(crate) fn deliver_cast(self: &Arc<Self>, row: CastRow) {
        self.hand_on(row, Line::begin_new);
    }

    fn hand_on(
        self: &Arc<Self>,
        CastRow { id, letter }: CastRow,
        begin: impl FnOnce(&mut Line, CastId, Between<'_>, bool) -> bool,
    ) {
        let kept = self.supervisor.keeps_from(&letter.to);
        let between = (&letter.from, &letter.to);
        if begin(&mut self.casts.line.lock(), id, between, kept) {
            let to = letter.to.clone();
            self.post(&to, Message::Cast(id, Box::new(letter)));
        } else if kept && !self.supervisor.keeps_from(&letter.to) {
            // It was released before the line knew of this one.
            self.casts.look_again();
        }
    }

    /// Reads rows in their order, and delivers those that may be.
    fn deliver_left_behind(self: &Arc<Self>) -> Result<(), ReadError> {
        let line = &self.casts.line;
        let mut after = line.lock().behind();
        let mut ends = 0;
        while ends < ENDS_MAX {
            line.lock().begin_page();
            let page = self.journal.casts(after, PAGE)?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|row| row.id).or(after);
            for row in page {
                self.hand_on(row, Line::begin_row);
            }
            if line.lock().is_over(is_last) {
                return Ok(());
            }
            ends += u32::from(is_last);
        }
        // Others come faster than they are read: it is the turn of those that were put off.
        self.casts.look_again();
        Ok(())
    }
}

/// Delivers what waits in the journal, whenever something was left behind there.
pub(crate) async fn run(actors: Arc<Actors>) {
    let (mut wait, mut freed) = (RETRY_AFTER_MIN, 0);
    while !actors.is_stopping() {
        if !actors.casts.line.lock().begin_pass() {
            actors.casts.bell.notified().await;
            continue;
        }
        let began = Instant::now();
        let read = tokio::task::block_in_place(|| actors.deliver_left_behind());
        let before = std::mem::replace(&mut freed, actors.casts.line.lock().end_pass());
        if let Err(error) = read {
            tracing::error!(
                error = chain(&error),
                "casts that wait could not be read; they will be tried again"
            );
            actors.casts.look_again();
        }
        wait = match freed == before {
            true => wait * 2,
            false => RETRY_AFTER_MIN,
        };
        wait = wait.max(began.elapsed() * REST).min(RETRY_AFTER_MAX);
        // Also gives those that were put off time to find their target ready.
        tokio::time::sleep(wait).await;
    }
}
