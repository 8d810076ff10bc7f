//! Sleep: leaving memory, and keeping the journal's tail short.

use std::sync::{Arc, Weak};
use std::time::Duration;

use host_journal::Rows;
use host_model::limits::{HANDLER_WARN, TAIL_SPAN_MAX};

use crate::Actors;
use crate::clock::monotonic_ms;
use crate::message::Message;
use crate::slots::{Claim, Phase, Slot};
use crate::token::Token;

/// Between two looks at who should sleep.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Actors put to sleep, or asked for a snapshot, in one look.
const AT_ONCE_MAX: usize = 1_024;

impl Actors {
    /// Writes what the journal needs to wake the claimed actor at once, and lets it
    /// leave memory when that is durable and nothing has come meanwhile.
    pub(crate) fn sleep(self: &Arc<Self>, claim: &mut Claim) {
        let snapshot = match claim.live.as_mut() {
            Some(live) if !live.exists() => return,
            Some(live) if live.tail_bytes > 0 => self.take_snapshot(&claim.slot.id.clone(), live),
            Some(_) => None,
            None => return,
        };
        let token = Token::Asleep(Arc::clone(&claim.slot));
        let rows = Rows {
            snapshot,
            ..Rows::default()
        };
        self.append(claim, rows, token);
    }

    /// Writes a snapshot of the claimed actor, if it has moved since the last.
    pub(crate) fn snapshot(self: &Arc<Self>, claim: &mut Claim) {
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        if live.exists() && live.tail_bytes > 0 {
            let rows = Rows {
                snapshot: self.take_snapshot(&id, live),
                ..Rows::default()
            };
            self.append(claim, rows, Token::Nobody);
        }
    }

    /// Takes an actor out of memory if what was appended at `position` is still its last.
    pub(crate) fn leave(&self, slot: &Slot, position: host_journal::Position) {
        self.slots
            .remove_if(slot, |inner| inner.at.position == position);
    }

    /// Puts the least recently used tenth of the actors to sleep.
    fn make_room(self: &Arc<Self>) {
        let mut used: Vec<(u32, Arc<Slot>)> = self
            .slots
            .shards()
            .flat_map(|shard| self.slots.of_shard(shard))
            .filter_map(|slot| {
                let inner = slot.inner.lock();
                let may = inner.phase == Phase::Idle && inner.live.is_some();
                may.then_some((inner.used_s, Arc::clone(&slot)))
            })
            .collect();
        let tenth = (used.len() / 10).max(1).min(used.len());
        if tenth < used.len() {
            used.select_nth_unstable_by_key(tenth, |(used_s, _)| *used_s);
        }
        for (_, slot) in used.into_iter().take(tenth) {
            self.post_to(&slot, Message::Sleep);
        }
    }

    fn put_idle_to_sleep(self: &Arc<Self>) {
        let idle_s = u32::try_from(self.limits.idle.as_secs()).unwrap_or(u32::MAX);
        let Some(before) = self.uptime_s(monotonic_ms()).checked_sub(idle_s) else {
            return;
        };
        let mut left = AT_ONCE_MAX;
        for shard in self.slots.shards() {
            for slot in self.slots.of_shard(shard) {
                let (idle, live) = {
                    let inner = slot.inner.lock();
                    let idle = inner.phase == Phase::Idle && inner.used_s < before;
                    (idle, inner.live.is_some())
                };
                if idle && live {
                    self.post_to(&slot, Message::Sleep);
                    left -= 1;
                } else if idle {
                    // It crashed, and nobody has asked for it since.
                    self.forget_if_empty(&slot);
                }
                if left == 0 {
                    return;
                }
            }
        }
    }

    /// A start reads the journal from the oldest record that no snapshot covers: the
    /// actors that hold it back are asked for one.
    fn shorten_tail(self: &Arc<Self>) {
        if self.journal.tail_span() > TAIL_SPAN_MAX {
            for id in self.journal.oldest_tails(AT_ONCE_MAX) {
                self.post(&id, Message::Snapshot);
            }
        }
    }
}

/// Asks for a tenth of the actors to leave memory.
pub(crate) fn make_room(actors: &Arc<Actors>) {
    actors.make_room();
}

/// Looks after memory, the journal's tail, and handlers that run for too long,
/// until the actors are gone.
pub(crate) async fn run(actors: Weak<Actors>) {
    let mut looks = 0_u32;
    let mut named: Vec<(host_model::ActorId, String)> = Vec::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(actors) = actors.upgrade() else {
            return;
        };
        if actors.is_stopping() {
            return;
        }
        looks = looks.wrapping_add(1);
        if actors.slots.awake() > actors.limits.awake_max / 10 * 9 {
            actors.make_room();
        }
        if looks.is_multiple_of(10) {
            actors.put_idle_to_sleep();
            actors.shorten_tail();
        }
        let slow = actors.running(HANDLER_WARN);
        for run in &slow {
            let key = (run.actor.clone(), run.event.clone());
            if !named.contains(&key) {
                tracing::warn!(actor = %run.actor, event = run.event,
                    running_ms = run.for_.as_millis() as u64, "a handler has run for too long");
                named.push(key);
            }
        }
        named.retain(|(actor, event)| slow.iter().any(|r| r.actor == *actor && r.event == *event));
    }
}
