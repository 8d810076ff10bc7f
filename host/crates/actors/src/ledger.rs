//! What the migrations to the release that rules have done: counts, failures, and how long
//! messages waited.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use host_model::control::{Quantiles, QuarantineRow, WayBack};
use host_model::limits::SET_ASIDE_NAMED_MAX;
use host_model::{ActorId, Version};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::times::Times;

/// Actors that [`Migrations::left_behind`] names.
const LEFT_BEHIND_NAMED_MAX: usize = 3;

/// What the migrations to the release that rules have done so far.
#[derive(Debug, Default)]
pub struct Migrations {
    migrated: AtomicU64,
    /// At most one for each actor.
    failures: Mutex<BTreeMap<ActorId, FailedMigration>>,
    /// Actors in quarantine that could not come over, with the reason: they stay as they
    /// are, and hold up no one.
    left_behind: Mutex<BTreeMap<ActorId, String>>,
    /// Actors that came over by their commands, durably.
    rebuilt: Mutex<BTreeSet<ActorId>>,
    /// Actors that could not come over and were set aside, with the reason.
    set_aside: Mutex<BTreeMap<ActorId, String>>,
    /// Dead letters that led to something when they were delivered again.
    redelivered: AtomicU64,
    /// Actors that no sweep waits for, for their code does not return.
    given_up: Mutex<BTreeSet<ActorId>>,
    /// Those of them whose way is why.
    stranded: Mutex<BTreeSet<ActorId>>,
    /// Whether there ever was one: no reset ends its code.
    something_hangs: AtomicBool,
    /// Actors of which the store does not give what it has, while it gives all else.
    unreadable: Mutex<BTreeSet<ActorId>>,
    /// Rung at each failure.
    failure: Notify,
    pauses_us: Mutex<Times>,
}

/// An actor that could not come over. It is whole, in its old version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedMigration {
    /// Which.
    pub actor: ActorId,
    /// The version that it has.
    pub from: Version,
    /// The version that it should have.
    pub to: Version,
    /// Why.
    pub why: String,
    /// Whether a way was there. Without one nothing was tried, which says nothing of a release.
    pub is_tried: bool,
}

impl Migrations {
    /// Begins anew, for another upgrade.
    pub fn reset(&self) {
        self.turn_back();
        self.rebuilt.lock().clear();
        self.set_aside.lock().clear();
        self.redelivered.store(0, Ordering::Relaxed);
        *self.pauses_us.lock() = Times::default();
    }

    /// Begins the way back of an upgrade, perhaps once more: whoever was not waited for is
    /// tried anew. Its last record has still whom it set aside, and what messages waited.
    pub fn turn_back(&self) {
        self.migrated.store(0, Ordering::Relaxed);
        self.failures.lock().clear();
        self.left_behind.lock().clear();
        self.given_up.lock().clear();
        self.stranded.lock().clear();
        self.unreadable.lock().clear();
    }

    /// Actors that have come over, durably.
    pub fn migrated(&self) -> u64 {
        self.migrated.load(Ordering::Relaxed)
    }

    /// Migrations that failed.
    pub fn failed(&self) -> usize {
        self.failures.lock().len()
    }

    /// One of those that failed, if any has.
    pub fn first_failure(&self) -> Option<FailedMigration> {
        self.failures.lock().values().next().cloned()
    }

    /// Those that failed.
    pub fn failures(&self) -> Vec<FailedMigration> {
        self.failures.lock().values().cloned().collect()
    }

    /// Those that failed, and none of them any more.
    pub fn take_failures(&self) -> Vec<FailedMigration> {
        std::mem::take(&mut *self.failures.lock())
            .into_values()
            .collect()
    }

    /// Waits until one has failed.
    pub async fn failure(&self) {
        loop {
            let rung = self.failure.notified();
            if self.failed() > 0 {
                return;
            }
            rung.await;
        }
    }

    /// How long messages waited while their actor came over, in microseconds.
    pub fn pauses_us(&self) -> Quantiles {
        self.pauses_us.lock().quantiles()
    }

    /// Actors in quarantine that stay in another version, in a sentence: the first few
    /// with the reason.
    pub fn left_behind(&self) -> Option<String> {
        let left = self.left_behind.lock();
        let named = left.iter().take(LEFT_BEHIND_NAMED_MAX);
        let named: Vec<_> = named.map(|(id, why)| format!("{id} ({why})")).collect();
        let more = match left.len() - named.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        (!left.is_empty()).then(|| {
            format!(
                "left in the old version, for they are in quarantine and cannot come over: {}{more}",
                named.join(", ")
            )
        })
    }

    /// What the way back took that is not the rule.
    pub fn way_back(&self) -> WayBack {
        let set_aside = self.set_aside.lock();
        let named = set_aside.iter().take(SET_ASIDE_NAMED_MAX);
        let row = |(actor, reason): (&ActorId, &String)| QuarantineRow {
            actor: actor.clone(),
            reason: reason.clone(),
        };
        WayBack {
            rebuilt: self.rebuilt.lock().len() as u64,
            redelivered: self.redelivered.load(Ordering::Relaxed),
            set_aside: set_aside.len() as u64,
            named: named.map(row).collect(),
        }
    }

    pub(crate) fn set_aside(&self, id: &ActorId, reason: &str) {
        let mut set_aside = self.set_aside.lock();
        set_aside.insert(id.clone(), reason.to_owned());
    }

    pub(crate) fn redelivered(&self, letters: u64) {
        self.redelivered.fetch_add(letters, Ordering::Relaxed);
    }

    pub(crate) fn rebuilt(&self, id: ActorId) {
        self.rebuilt.lock().insert(id);
    }

    /// No sweep waits for this actor from now on, until the next [`Migrations::turn_back`]:
    /// it stays in the version that it has. True if it was waited for.
    pub fn give_up(&self, id: &ActorId) -> bool {
        self.something_hangs.store(true, Ordering::Relaxed);
        self.given_up.lock().insert(id.clone())
    }

    /// Whether no sweep waits for it.
    pub(crate) fn is_given_up(&self, id: &ActorId) -> bool {
        self.given_up.lock().contains(id)
    }

    /// Whether code was given up in this process that may run on for ever.
    pub(crate) fn something_hangs(&self) -> bool {
        self.something_hangs.load(Ordering::Relaxed)
    }

    /// As [`Migrations::give_up`], of one whose way ends the host or does not return: once
    /// it is set aside, no later process tries that either. Who is only busy may come later.
    pub fn strand(&self, id: &ActorId) -> bool {
        self.stranded.lock().insert(id.clone());
        self.give_up(id)
    }

    /// See [`Migrations::strand`].
    pub(crate) fn stranded(&self) -> Vec<ActorId> {
        self.stranded.lock().iter().cloned().collect()
    }

    /// Until the next [`Migrations::turn_back`] it is waited for no longer that the store gives
    /// what it has of this actor.
    pub(crate) fn cannot_read(&self, id: ActorId) {
        self.unreadable.lock().insert(id);
    }

    pub(crate) fn is_unreadable(&self, id: &ActorId) -> bool {
        self.unreadable.lock().contains(id)
    }

    /// Whether no sweep tries it again, nor waits for it: it stays where it is.
    pub fn has_been_tried(&self, id: &ActorId) -> bool {
        self.left_behind.lock().contains_key(id) || self.is_out_of_the_way(id)
    }

    /// Whether it stays where it is also where it sets out once more. Who was left behind may
    /// do that with its next message, once it is woken.
    pub fn is_out_of_the_way(&self, id: &ActorId) -> bool {
        self.failures.lock().contains_key(id) || self.is_given_up(id)
    }

    pub(crate) fn count(&self) {
        self.migrated.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of messages that have waited since then; of none there is none.
    pub(crate) fn paused(&self, messages: u64, since: Instant) {
        if messages == 0 {
            return;
        }
        let us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.pauses_us.lock().record(us, messages);
    }

    pub(crate) fn fail(&self, failure: FailedMigration) {
        tracing::error!(actor = %failure.actor, from = %failure.from, to = %failure.to,
            why = failure.why, "a migration failed; the actor stays as it was");
        self.failures.lock().insert(failure.actor.clone(), failure);
        self.failure.notify_waiters();
    }

    /// An actor in quarantine stays where it is, and holds up no one.
    pub(crate) fn leave_behind(&self, actor: ActorId, why: String) {
        self.left_behind.lock().insert(actor, why);
    }

    /// It is where the others are: if it was left behind, it has followed.
    pub(crate) fn is_here(&self, actor: &ActorId) {
        self.left_behind.lock().remove(actor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_left_behind_is_waited_for_again_where_it_sets_out() {
        let migrations = Migrations::default();
        let ali: ActorId = "faulty:ali".parse().unwrap();
        let is_let_be = || {
            [
                migrations.has_been_tried(&ali),
                migrations.is_out_of_the_way(&ali),
            ]
        };
        assert_eq!(is_let_be(), [false, false]);
        migrations.leave_behind(ali.clone(), "its way there fails".to_owned());
        assert_eq!(
            is_let_be(),
            [true, false],
            "as busy as it likes where it is"
        );
        migrations.is_here(&ali);
        assert_eq!(is_let_be(), [false, false]);
        assert!(migrations.give_up(&ali));
        assert_eq!(is_let_be(), [true, true]);
    }
}
