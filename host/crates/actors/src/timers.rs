//! Timers: rows of the journal, which fire late rather than never, and once.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

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

/// Rows read at a time, and the most of one actor that are kept until it has room.
const PAGE: usize = 1_024;

/// Rows that are kept until their actors have room.
const WAITING_MAX: usize = 8 * PAGE;

/// Bytes of a payload that is kept with them: together some MiB. A row with more is read
/// again.
const WAITING_BYTES_MAX: usize = 1 << 10;

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
    /// When the next look is, at the latest, Unix milliseconds: what is due later rings
    /// nobody.
    next_ms: AtomicI64,
    bell: Notify,
}

#[derive(Debug, Default)]
struct InFlight {
    of: HashMap<ActorId, Own>,
    count: usize,
    /// Rows of all actors in [`Own::waiting`].
    waiting: usize,
    /// Whether one was passed over because as many are in flight as may be.
    passed_over: bool,
}

/// What an actor has in flight: something, as long as it is in the map.
#[derive(Debug, Default)]
struct Own {
    names: HashSet<String>,
    /// What is due as well, by due time and name. Each follows as one before it is used
    /// up: else all that is due would be read again for every few of them.
    waiting: BTreeMap<(i64, String), TimerRow>,
    /// Whether one was passed over for which there was no room there either.
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
        let InFlight {
            of,
            count,
            waiting,
            passed_over,
        } = &mut *in_flight;
        if *count >= IN_FLIGHT_MAX {
            *passed_over = true;
            return Begun::Full;
        }
        let own = of.entry(timer.actor.clone()).or_default();
        if own.names.contains(&timer.name) {
            return Begun::No;
        }
        let at = (timer.due_ms, timer.name.clone());
        if own.names.len() < IN_FLIGHT_PER_ACTOR_MAX {
            let has_waited = own.waiting.remove(&at).is_some();
            own.names.insert(at.1);
            *waiting -= usize::from(has_waited);
            *count += 1;
            return Begun::Yes;
        }
        let has_room = own.waiting.len() < PAGE && *waiting < WAITING_MAX;
        if has_room && timer.payload.len() <= WAITING_BYTES_MAX {
            let is_new = own.waiting.insert(at, timer.clone()).is_none();
            *waiting += usize::from(is_new);
        } else {
            own.passed_over = true;
        }
        Begun::No
    }

    /// It is used up, or stands no more. Gives another one of its actor, which is in
    /// flight now.
    #[must_use]
    fn done(&self, actor: &ActorId, name: &str) -> Option<TimerRow> {
        let (next, rings) = self.in_flight.lock().done(actor, name);
        if rings {
            self.bell.notify_one();
        }
        next
    }

    /// It could not fire now, and stays a row.
    pub(crate) fn put_off(&self, actor: &ActorId, name: &str) {
        self.in_flight.lock().remove(actor, name);
    }

    /// One was set that is due then, Unix milliseconds.
    pub(crate) fn set(&self, due_ms: i64) {
        if due_ms < self.next_ms.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }
}

impl InFlight {
    /// See [`Timers::done`]; and whether the bell is to be rung.
    fn done(&mut self, actor: &ActorId, name: &str) -> (Option<TimerRow>, bool) {
        let Some(own) = self.of.get_mut(actor) else {
            return (None, false);
        };
        let passed_over = own.passed_over;
        self.count -= usize::from(own.names.remove(name));
        while let Some((_, next)) = own.waiting.pop_first() {
            self.waiting -= 1;
            if own.names.insert(next.name.clone()) {
                self.count += 1;
                return (Some(next), false);
            }
        }
        let is_last = self.remove(actor, name);
        let has_room = is_last || self.count == IN_FLIGHT_MAX / 2;
        let others = has_room && std::mem::take(&mut self.passed_over);
        (None, others || (is_last && passed_over))
    }

    /// True if it was the actor's last: what waits behind it is forgotten then, and read
    /// again.
    fn remove(&mut self, actor: &ActorId, name: &str) -> bool {
        let Entry::Occupied(mut own) = self.of.entry(actor.clone()) else {
            return false;
        };
        self.count -= usize::from(own.get_mut().names.remove(name));
        let is_last = own.get().names.is_empty();
        if is_last {
            self.waiting -= own.remove().waiting.len();
        }
        is_last
    }
}

impl Actors {
    /// Whether a timer that has come due still stands: it may have been cancelled
    /// or set anew by what its actor handled meanwhile. If not, it is in flight no more.
    /// None: not known before all that the actor has appended is durable.
    pub(crate) fn timer_stands(self: &Arc<Self>, claim: &Claim, timer: &TimerRow) -> Option<bool> {
        if self.settled(claim) == Settled::Pending {
            return None;
        }
        let (actor, name) = (&timer.actor, &timer.name);
        match tokio::task::block_in_place(|| self.journal.timer(actor, name)) {
            Ok(Some(row)) if row.set_at == timer.set_at => Some(true),
            Ok(_) => {
                self.timer_done(actor, name);
                Some(false)
            }
            Err(error) => {
                tracing::error!(error = chain(&error), actor = %timer.actor, "a timer could not be read; it will be tried again");
                self.timers.put_off(actor, name);
                Some(false)
            }
        }
    }

    /// A timer is used up, or stands no more: another one of its actor fires, if one waits.
    pub(crate) fn timer_done(self: &Arc<Self>, actor: &ActorId, name: &str) {
        if let Some(next) = self.timers.done(actor, name) {
            self.post(actor, Message::Timer(Box::new(next)));
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
    let next_in = |wait: Duration| {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let next_ms = &actors.timers.next_ms;
        next_ms.store(unix_ms().saturating_add(wait_ms), Ordering::SeqCst);
    };
    while !actors.is_stopping() {
        // Of what is set during the look it is not known whether that has seen it.
        next_in(LOOK_EVERY);
        let began = Instant::now();
        let look = tokio::task::block_in_place(|| actors.fire(&mut behind));
        let wait = look.unwrap_or_else(|error| {
            tracing::error!(
                error = chain(&error),
                "timers could not be read; they will be tried again"
            );
            RETRY_AFTER
        });
        let wait = wait.min(LOOK_EVERY.saturating_sub(began.elapsed()));
        next_in(wait);
        // Woken early when a timer was set that is due sooner.
        let _ = tokio::time::timeout(wait, actors.timers.bell.notified()).await;
    }
}
