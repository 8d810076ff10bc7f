//! Timers: rows of the journal, which fire late rather than never, and once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use host_journal::TimerRow;
use host_model::ActorId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Actors;
use crate::clock::unix_ms;
use crate::message::Message;
use crate::slots::Claim;
use crate::turn::Settled;

/// Timers handed to their actors and not yet durably used up.
const IN_FLIGHT_MAX: usize = 4_096;

/// The longest sleep between two looks, in case the clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Before timers that could not fire are tried again, and between two looks when
/// more are due than may be in flight.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    in_flight: Mutex<HashSet<(ActorId, String)>>,
    bell: Notify,
}

impl Timers {
    pub(crate) fn done(&self, actor: &ActorId, name: &str) {
        self.in_flight
            .lock()
            .remove(&(actor.clone(), name.to_owned()));
    }

    /// It could not fire now, and stays a row.
    pub(crate) fn put_off(&self, timer: &TimerRow) {
        self.done(&timer.actor, &timer.name);
    }

    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }
}

impl Actors {
    /// Whether a timer that has come due still stands: it may have been cancelled
    /// or set anew by what its actor handled meanwhile. None: not known before all
    /// that the actor has appended is durable.
    pub(crate) fn timer_stands(&self, claim: &Claim, timer: &TimerRow) -> Option<bool> {
        if self.settled(claim) == Settled::Pending {
            return None;
        }
        let rows = tokio::task::block_in_place(|| self.journal.timers_of(&timer.actor));
        match rows {
            Ok(rows) => Some(
                rows.iter()
                    .any(|row| row.name == timer.name && row.set_at == timer.set_at),
            ),
            Err(error) => {
                tracing::error!(%error, actor = %timer.actor, "a timer could not be read; it will be tried again");
                Some(false)
            }
        }
    }

    /// Fires what is due. Returns how long to wait before the next look.
    fn fire(self: &Arc<Self>) -> Result<Duration, host_journal::ReadError> {
        let now_ms = unix_ms();
        let due = self.journal.timers_due(now_ms, IN_FLIGHT_MAX)?;
        let waiting = !due.is_empty();
        for timer in due {
            let key = (timer.actor.clone(), timer.name.clone());
            let begun = {
                let mut in_flight = self.timers.in_flight.lock();
                in_flight.len() < IN_FLIGHT_MAX && in_flight.insert(key)
            };
            if begun {
                let id = timer.actor.clone();
                self.post(&id, Message::Timer(Box::new(timer)));
            }
        }
        if waiting {
            return Ok(RETRY_AFTER);
        }
        let next = self.journal.next_timer()?;
        let wait_ms = next.map_or(i64::MAX, |at_ms| at_ms.saturating_sub(now_ms));
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        Ok(wait.min(LOOK_EVERY))
    }
}

/// Fires timers as they come due.
pub(crate) async fn run(actors: Arc<Actors>) {
    while !actors.is_stopping() {
        let wait = tokio::task::block_in_place(|| actors.fire()).unwrap_or_else(|error| {
            tracing::error!(%error, "timers could not be read; they will be tried again");
            RETRY_AFTER
        });
        // Woken early when a timer was set that is due sooner.
        let _ = tokio::time::timeout(wait, actors.timers.bell.notified()).await;
    }
}
