//! Coming over to the release that rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hdrhistogram::Histogram;
use host_journal::Rows;
use host_model::control::{Quantiles, QuarantineRow, WayBack};
use host_model::error::chain;
use host_model::limits::{SET_ASIDE_NAMED_MAX, SNAPSHOT_PIECE_BYTES_MAX};
use host_model::{ActorId, Version};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Actors;
use crate::aside::Aside;
use crate::clock::monotonic_ms;
use crate::large::{Came, Desk};
use crate::live::Live;
use crate::message::{Errand, Message};
use crate::over::{Over, leads_down};
use crate::release::{Release, RouteHop};
use crate::slots::Claim;
use crate::token::{Rebuilt, Token};
use crate::turn::Settled;
use crate::watchdog;

/// What the migrations to the release that rules have done so far.
#[derive(Debug)]
pub struct Migrations {
    migrated: AtomicU64,
    /// At most one for each actor.
    failures: Mutex<BTreeMap<ActorId, FailedMigration>>,
    /// Actors in quarantine that could not come over: they stay as they are, and
    /// hold up no one.
    left_behind: Mutex<BTreeSet<ActorId>>,
    /// Actors that came over by their commands, durably.
    rebuilt: Mutex<BTreeSet<ActorId>>,
    /// Actors that could not come over and were set aside, with the reason.
    set_aside: Mutex<BTreeMap<ActorId, String>>,
    /// Dead letters that led to something when they were delivered again.
    redelivered: AtomicU64,
    /// Actors that no sweep waits for, for their code does not return.
    given_up: Mutex<BTreeSet<ActorId>>,
    /// Rung at each failure.
    failure: Notify,
    pauses_us: Mutex<Histogram<u64>>,
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
}

/// A state that has come over, on its way into the journal.
struct Switch<'a> {
    release: &'a Version,
    state: Bytes,
    errand: Option<Errand>,
    came: Came,
    timers: Aside,
    /// If it came by its commands.
    rebuilt: Option<Rebuilt>,
}

/// An actor that goes back by its commands.
struct Again {
    /// Why its state could not.
    why: String,
    commands: u64,
}

impl Default for Migrations {
    fn default() -> Self {
        Self {
            migrated: AtomicU64::new(0),
            failures: Mutex::default(),
            left_behind: Mutex::default(),
            rebuilt: Mutex::default(),
            set_aside: Mutex::default(),
            redelivered: AtomicU64::new(0),
            given_up: Mutex::default(),
            failure: Notify::new(),
            pauses_us: Mutex::new(new_histogram()),
        }
    }
}

/// From 1 µs to an hour, to three digits.
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are right")
}

impl Migrations {
    /// Begins anew, for another upgrade.
    pub fn reset(&self) {
        self.migrated.store(0, Ordering::Relaxed);
        self.failures.lock().clear();
        self.left_behind.lock().clear();
        self.rebuilt.lock().clear();
        self.set_aside.lock().clear();
        self.redelivered.store(0, Ordering::Relaxed);
        self.given_up.lock().clear();
        self.pauses_us.lock().reset();
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
        let pauses = self.pauses_us.lock();
        Quantiles {
            p50: pauses.value_at_quantile(0.5),
            p99: pauses.value_at_quantile(0.99),
            max: pauses.max(),
        }
    }

    /// Actors in quarantine that stay in another version.
    pub fn left_behind(&self) -> Vec<ActorId> {
        self.left_behind.lock().iter().cloned().collect()
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

    pub(crate) fn is_left_behind(&self, id: &ActorId) -> bool {
        self.left_behind.lock().contains(id)
    }

    /// No sweep waits for this actor from now on, until the next [`Migrations::reset`]:
    /// it stays in the version that it has. True if it was waited for.
    pub fn give_up(&self, id: &ActorId) -> bool {
        self.given_up.lock().insert(id.clone())
    }

    /// Whether no sweep waits for it.
    pub(crate) fn is_given_up(&self, id: &ActorId) -> bool {
        self.given_up.lock().contains(id)
    }

    /// Whether a sweep need not try it again.
    pub(crate) fn has_been_tried(&self, id: &ActorId) -> bool {
        self.left_behind.lock().contains(id)
            || self.failures.lock().contains_key(id)
            || self.is_given_up(id)
    }

    pub(crate) fn count(&self) {
        self.migrated.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of messages that have waited since then.
    pub(crate) fn paused(&self, messages: u64, since: Instant) {
        let us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.pauses_us.lock().saturating_record_n(us, messages);
    }

    fn fail(&self, failure: FailedMigration) {
        tracing::error!(actor = %failure.actor, from = %failure.from, to = %failure.to,
            why = failure.why, "a migration failed; the actor stays as it was");
        self.failures.lock().insert(failure.actor.clone(), failure);
        self.failure.notify_waiters();
    }
}

impl Actors {
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Brings the claimed actor over, if it has not come yet. `errand` is the
    /// sweep's, if it asks, and is taken; without it a message is waiting. False: there
    /// is no room for its snapshot now; the claim is to be parked, and will be resumed.
    #[must_use]
    pub(crate) fn ensure_migrated(
        self: &Arc<Self>,
        claim: &mut Claim,
        errand: &mut Option<Errand>,
    ) -> bool {
        let generation = self.generation();
        let Some(live) = claim.live.as_mut() else {
            return true;
        };
        if claim.at.generation == generation {
            self.go_back_to_sleep(claim, errand.take());
            return true;
        }
        let release = self.release_of(&claim.slot.id);
        let Some(ruling) = release.plugins.get(claim.slot.id.plugin()) else {
            // Its plugin goes with this release: it sleeps on in the journal.
            claim.at.generation = generation;
            return true;
        };
        if ruling.code.version() == live.code().version()
            || self.migrations.is_given_up(&claim.slot.id)
        {
            claim.at.generation = generation;
            self.go_back_to_sleep(claim, errand.take());
            return true;
        }
        let way = ruling.way_of(live, &release.version);
        let waits = way.as_ref().is_ok_and(|hops| reads_timers(live, hops));
        if waits && live.exists() && self.settled(claim) == Settled::Pending {
            // What it has set and accepted is read from the journal.
            let token = Token::Resume(Arc::clone(&claim.slot));
            self.append(claim, Rows::default(), token);
            return false;
        }
        let Some(live) = claim.live.as_mut() else {
            return true;
        };
        let mut desk = None;
        if live.is_large() {
            desk = self.desk_or_wait(&claim.slot);
            if desk.is_none() {
                return false;
            }
        }
        let since = Instant::now();
        let id = &claim.slot.id;
        let come = || match &way {
            Err(why) => Err(why.clone()),
            Ok(hops) if live.exists() => self.come(&release, id, live, hops),
            Ok(_) => Ok((Over::anew(id, &ruling.code)?, None)),
        };
        // It may take as long as a handler, so it is named where it does.
        let come = || watchdog::watch(&claim.slot, &self.migrating, monotonic_ms(), come);
        let came = match desk.is_none() && self.migrating.is_proven_fast() {
            true => come(),
            false => tokio::task::block_in_place(come),
        };
        if let Ok((over, _)) = &came
            && desk.is_none()
            && over.bytes() > SNAPSHOT_PIECE_BYTES_MAX
        {
            desk = self.desk_or_wait(&claim.slot);
            if desk.is_none() {
                // The old state is whole: it comes over again, and then that is known.
                live.snapshot_bytes = u32::try_from(over.bytes()).unwrap_or(u32::MAX);
                return false;
            }
        }
        let mut errand = errand.take();
        let restarts = way.is_ok_and(|hops| hops.iter().any(|hop| hop.restart));
        if restarts && came.is_ok() {
            match &mut errand {
                Some(errand) => errand.back_to_sleep = true,
                // Behind the message that waits for it, and those that come meanwhile.
                None => self.post_to(&claim.slot, Message::Sleep(None)),
            }
        }
        match came {
            Ok((mut over, again)) => {
                let from = live.code().version().clone();
                let exported = over.exported.take();
                let timers = over.settle(live);
                if let Some(state) = exported {
                    let switch = Switch {
                        release: &release.version,
                        state,
                        errand,
                        came: Came { generation, since },
                        timers,
                        rebuilt: again.map(|again| self.intend(claim, &from, again)),
                    };
                    self.append_switch(claim, switch, desk);
                    return true;
                }
                claim.at.generation = generation;
                if live.exists() {
                    self.append_mark(claim, &release.version, errand);
                }
            }
            Err(why) => {
                claim.at.generation = generation;
                let from = live.code().version().clone();
                self.migration_failed(&claim.slot.id, generation, from, why);
            }
        }
        self.count_pause(claim, since);
        true
    }

    /// The state of an actor that exists, by these hops; and where it could not go back
    /// by `down`, by its commands.
    fn come(
        &self,
        release: &Release,
        id: &ActorId,
        live: &Live,
        hops: &[&RouteHop],
    ) -> Result<(Over, Option<Again>), String> {
        let timers = || self.timers_aside(id, live, hops);
        let why = match Over::come(release, live, hops, timers()?) {
            Ok(over) => return Ok((over, None)),
            Err(why) if leads_down(hops) => why,
            Err(why) => return Err(why),
        };
        let rebuild = || self.rebuild(release, id, live, hops, timers()?);
        match tokio::task::block_in_place(rebuild) {
            Ok((over, commands)) => Ok((over, Some(Again { why, commands }))),
            Err(obstacles) => Err(format!(
                "{why}; nor can its commands be taken again: {obstacles}"
            )),
        }
    }

    /// The timers that may have to wait, or may come back; all that the actor has
    /// appended is durable then.
    fn timers_aside(&self, id: &ActorId, live: &Live, hops: &[&RouteHop]) -> Result<Aside, String> {
        if !reads_timers(live, hops) {
            return Ok(Aside::default());
        }
        let rows = tokio::task::block_in_place(|| self.journal.timers_of(id));
        rows.map(Aside::new).map_err(|error| chain(&error))
    }

    /// Writes down that the claimed actor is about to be rebuilt.
    fn intend(self: &Arc<Self>, claim: &mut Claim, from: &Version, again: Again) -> Rebuilt {
        let to = claim
            .live
            .as_ref()
            .map(|live| live.code().version().clone());
        let to = to.unwrap_or_else(|| from.clone());
        let id = &claim.slot.id;
        tracing::warn!(actor = %id, %from, %to, commands = again.commands, why = again.why,
            "an actor goes back by its commands, for its state could not");
        let (action, intent) = self.intend_rebuild(id, from, &to, again.commands, &again.why);
        let rows = Rows {
            record: Some(intent),
            ..Rows::default()
        };
        self.append(claim, rows, Token::Nobody);
        Rebuilt::new(action, claim.at.position)
    }

    /// Takes note of how long whoever waits for the claimed actor has waited.
    pub(crate) fn count_pause(&self, claim: &Claim, since: Instant) {
        let waiting = claim.slot.inner.lock().queue_len() as u64;
        self.migrations.paused(waiting + 1, since);
    }

    /// An actor stays in `from`. One that is in quarantine already is left behind; any
    /// other stops the sweep.
    pub(crate) fn migration_failed(
        &self,
        id: &ActorId,
        generation: u32,
        from: Version,
        why: String,
    ) {
        if generation != self.generation() {
            // Another release rules by now: what counts is whether it comes over to that.
            tracing::warn!(actor = %id, why, "a migration failed that is no longer wanted");
            return;
        }
        if self.supervisor.quarantined(id).is_some() {
            tracing::warn!(actor = %id, why, "an actor in quarantine stays in its old version");
            self.migrations.left_behind.lock().insert(id.clone());
            return;
        }
        let release = self.release_of(id);
        let ruling = release.plugins.get(id.plugin());
        let to = ruling.map_or_else(|| from.clone(), |r| r.code.version().clone());
        self.migrations.fail(FailedMigration {
            actor: id.clone(),
            from,
            to,
            why,
        });
    }

    /// The snapshot of an actor that has come over, behind the commands that it includes.
    fn append_switch(self: &Arc<Self>, claim: &mut Claim, switch: Switch<'_>, desk: Option<Desk>) {
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        let snapshot = self.snapshot_of(&id, live, switch.state);
        let mut token = self.switched(claim, switch.release, switch.errand);
        if let Token::Switched {
            timers, rebuilt, ..
        } = &mut token
        {
            *timers = switch.timers.has_returned();
            *rebuilt = switch.rebuilt.map(Box::new);
        }
        let (beside, came) = (switch.timers.rows(), switch.came);
        if snapshot.is_large() {
            return self.append_snapshot_beside(claim, snapshot, beside, desk, Some(came), token);
        }
        claim.at.generation = came.generation;
        self.append_snapshot_beside(claim, snapshot, beside, None, None, token);
        self.count_pause(claim, came.since);
    }

    /// Only the code changed: nothing to keep, but who listens is told behind what
    /// was appended before.
    fn append_mark(self: &Arc<Self>, claim: &mut Claim, release: &Version, errand: Option<Errand>) {
        let token = self.switched(claim, release, errand);
        self.append(claim, Rows::default(), token);
    }

    fn switched(&self, claim: &Claim, release: &Version, errand: Option<Errand>) -> Token {
        let plugin = claim
            .live
            .as_ref()
            .map_or(Version::new(0, 0, 0), |live| live.code().version().clone());
        Token::Switched {
            slot: Arc::clone(&claim.slot),
            release: release.clone(),
            plugin,
            errand,
            timers: false,
            rebuilt: None,
        }
    }

    fn go_back_to_sleep(self: &Arc<Self>, claim: &mut Claim, errand: Option<Errand>) {
        if let Some(errand) = errand.filter(|errand| errand.back_to_sleep) {
            self.sleep(claim, Some(errand.share));
        }
    }
}

/// Whether timers may have to wait on this way, or come back: those that are set are read
/// from the journal, which must have all that the actor has appended.
fn reads_timers(live: &Live, hops: &[&RouteHop]) -> bool {
    let are_carried = live.carries().iter().any(|carry| !carry.timers.is_empty());
    are_carried || leads_down(hops)
}
