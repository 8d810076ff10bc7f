//! Timers: rows of the journal, which fire late rather than never, and once.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Duration;

use host_journal::{TimerMark, TimerRow};
use host_model::ActorId;
use host_model::error::chain;
use host_model::limits::SLOW_HANDLERS_MAX;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Actors;
use crate::clock::unix_ms;
use crate::message::Message;
use crate::slots::Claim;
use crate::turn::Settled;

/// Timers handed to their actors and not yet durably used up.
const IN_FLIGHT_MAX: usize = 4_096;

/// Those of one actor. As many handlers as may be slow at once could all hang without
/// their actors' timers taking the room of the others.
const IN_FLIGHT_PER_ACTOR_MAX: usize = IN_FLIGHT_MAX / SLOW_HANDLERS_MAX / 2;

/// Rows read at a time.
const PAGE: usize = 1_024;

/// Pages of one look: the next one goes on from there, so that timers which cannot
/// fire, however many, keep no other from its turn.
const PAGES_MAX: usize = 16;

/// The longest sleep between two looks, in case the clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Before timers that could not fire are tried again, and between two looks when
/// more are due than may be in flight.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    in_flight: Mutex<InFlight>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct InFlight {
    of: HashMap<ActorId, HashSet<String>>,
    count: usize,
    /// Whether one was passed over because there was no room for it.
    passed_over: bool,
}

/// Whether a timer fires now.
enum Begun {
    Yes,
    /// It does already, or its actor has enough.
    No,
    /// As many are in flight as may be.
    Full,
}

impl Timers {
    fn begin(&self, timer: &TimerRow) -> Begun {
        let mut in_flight = self.in_flight.lock();
        if in_flight.count >= IN_FLIGHT_MAX {
            in_flight.passed_over = true;
            return Begun::Full;
        }
        let names = in_flight.of.entry(timer.actor.clone()).or_default();
        if names.contains(&timer.name) {
            return Begun::No;
        }
        if names.len() >= IN_FLIGHT_PER_ACTOR_MAX {
            in_flight.passed_over = true;
            return Begun::No;
        }
        names.insert(timer.name.clone());
        in_flight.count += 1;
        Begun::Yes
    }

    /// It is used up, or stands no more.
    pub(crate) fn done(&self, actor: &ActorId, name: &str) {
        let rings = {
            let mut in_flight = self.in_flight.lock();
            let was_last = in_flight.remove(actor, name);
            let has_room = was_last || in_flight.count == IN_FLIGHT_MAX / 2;
            has_room && std::mem::take(&mut in_flight.passed_over)
        };
        if rings {
            self.bell.notify_one();
        }
    }

    /// It could not fire now, and stays a row.
    pub(crate) fn put_off(&self, actor: &ActorId, name: &str) {
        self.in_flight.lock().remove(actor, name);
    }

    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }
}

impl InFlight {
    /// True if it was the actor's last.
    fn remove(&mut self, actor: &ActorId, name: &str) -> bool {
        let Entry::Occupied(mut names) = self.of.entry(actor.clone()) else {
            return false;
        };
        if names.get_mut().remove(name) {
            self.count -= 1;
        }
        let is_last = names.get().is_empty();
        if is_last {
            names.remove();
        }
        is_last
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
                tracing::error!(error = chain(&error), actor = %timer.actor, "a timer could not be read; it will be tried again");
                Some(false)
            }
        }
    }

    /// Fires what is due, from `behind` on. Returns how long to wait before the next
    /// look; `behind` is then where that goes on.
    fn fire(
        self: &Arc<Self>,
        behind: &mut Option<TimerMark>,
    ) -> Result<Duration, host_journal::ReadError> {
        let now_ms = unix_ms();
        let mut is_due = behind.is_some();
        for _ in 0..PAGES_MAX {
            let page = self.journal.timers_due(now_ms, behind.as_ref(), PAGE)?;
            let is_last = page.len() < PAGE;
            is_due |= !page.is_empty();
            let mark = page.last().map(TimerMark::behind);
            let mut before = None;
            for timer in page {
                // What is set aside does not fire; it stays for when it is released.
                if self.supervisor.keeps_from(&timer.actor) {
                    continue;
                }
                match self.timers.begin(&timer) {
                    Begun::Full => {
                        *behind = before.or(behind.take());
                        return Ok(RETRY_AFTER);
                    }
                    Begun::No => {}
                    Begun::Yes => {
                        before = Some(TimerMark::behind(&timer));
                        let id = timer.actor.clone();
                        self.post(&id, Message::Timer(Box::new(timer)));
                    }
                }
            }
            *behind = mark;
            if is_last {
                *behind = None;
                break;
            }
        }
        if is_due {
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
    let mut behind = None;
    while !actors.is_stopping() {
        let look = tokio::task::block_in_place(|| actors.fire(&mut behind));
        let wait = look.unwrap_or_else(|error| {
            tracing::error!(
                error = chain(&error),
                "timers could not be read; they will be tried again"
            );
            RETRY_AFTER
        });
        // Woken early when a timer was set that is due sooner.
        let _ = tokio::time::timeout(wait, actors.timers.bell.notified()).await;
    }
}
