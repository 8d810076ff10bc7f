//! Coming over to the release that rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use hdrhistogram::Histogram;
use host_journal::{Carry, Rows};
use host_loader::State;
use host_model::control::Quantiles;
use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;
use host_model::plan::StateChange;
use host_model::{ActorId, Version};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::Actors;
use crate::large::{Came, Desk};
use crate::live::Live;
use crate::message::Errand;
use crate::release::{Code, RouteHop};
use crate::slots::Claim;
use crate::token::Token;
use crate::wake::reread;
use crate::watchdog::named;

/// What the migrations to the release that rules have done so far.
#[derive(Debug)]
pub struct Migrations {
    migrated: AtomicU64,
    /// At most one for each actor.
    failures: Mutex<BTreeMap<ActorId, FailedMigration>>,
    /// Actors in quarantine that could not come over: they stay as they are, and
    /// hold up no one.
    left_behind: Mutex<BTreeSet<ActorId>>,
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

impl Default for Migrations {
    fn default() -> Self {
        Self {
            migrated: AtomicU64::new(0),
            failures: Mutex::default(),
            left_behind: Mutex::default(),
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

    fn paused(&self, messages: u64, since: Instant) {
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
        let release = self.release();
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
        let mut desk = None;
        if live.is_large() {
            desk = self.desk_or_wait(&claim.slot);
            if desk.is_none() {
                return false;
            }
        }
        let since = Instant::now();
        let come = || {
            let route = ruling.route(live.code().version()).ok_or_else(|| {
                format!(
                    "no way leads from {} to release {}",
                    live.code().version(),
                    release.version
                )
            })?;
            if live.exists() {
                Over::come(live, &route.hops)
            } else {
                Over::anew(&claim.slot.id, &ruling.code)
            }
        };
        let came = match &desk {
            Some(_) => named(&claim.slot, &self.migrating, || {
                tokio::task::block_in_place(come)
            }),
            None => self
                .migrating
                .run(|| named(&claim.slot, &self.migrating, come)),
        };
        if let Ok(over) = &came
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
        let errand = errand.take();
        match came {
            Ok(mut over) => {
                let exported = over.exported.take();
                over.settle(live);
                if let Some(state) = exported {
                    let came = Came { generation, since };
                    self.append_switch(claim, &release.version, state, errand, came, desk);
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
        let release = self.release();
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
    fn append_switch(
        self: &Arc<Self>,
        claim: &mut Claim,
        release: &Version,
        state: Bytes,
        errand: Option<Errand>,
        came: Came,
        desk: Option<Desk>,
    ) {
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        let snapshot = self.snapshot_of(&id, live, state);
        let token = self.switched(claim, release, errand);
        if snapshot.is_large() {
            return self.append_snapshot(claim, snapshot, desk, Some(came), token);
        }
        claim.at.generation = came.generation;
        self.append_snapshot(claim, snapshot, None, None, token);
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
        }
    }

    fn go_back_to_sleep(self: &Arc<Self>, claim: &mut Claim, errand: Option<Errand>) {
        if let Some(errand) = errand.filter(|errand| errand.back_to_sleep) {
            self.sleep(claim, Some(errand.share));
        }
    }
}

/// A state that has come over, not yet put in the old one's place: until all has
/// worked, the old one is untouched.
struct Over {
    state: State<Code>,
    carries: Vec<Carry>,
    /// Whether the state's shape changed on the way.
    stateful: bool,
    /// Its bytes, if its shape changed: a state that cannot be written has not come over.
    exported: Option<Bytes>,
}

impl Over {
    /// An actor that has accepted nothing.
    fn anew(id: &ActorId, code: &Arc<Code>) -> Result<Self, String> {
        let state = code.new_state(id);
        Ok(Self {
            state: state.map_err(|fault| fault.to_string())?,
            carries: Vec::new(),
            stateful: false,
            exported: None,
        })
    }

    fn come(live: &Live, hops: &[RouteHop]) -> Result<Self, String> {
        let mut over: Option<Self> = None;
        for hop in hops {
            let next = match &over {
                None => Self::hop(&live.state, live.carries().to_vec(), hop)?,
                Some(over) => {
                    let mut next = Self::hop(&over.state, over.carries.clone(), hop)?;
                    next.stateful |= over.stateful;
                    next
                }
            };
            over = Some(next);
        }
        let mut over = over.ok_or("the way has no steps")?;
        if over.stateful {
            let exported = over.state.export();
            over.exported = Some(exported.map_err(|fault| fault.to_string())?);
        }
        match over.state.check() {
            Ok(Ok(())) => Ok(over),
            Ok(Err(violation)) => Err(format!(
                "the migrated state breaks an invariant: {violation}"
            )),
            Err(fault) => Err(fault.to_string()),
        }
    }

    fn hop(state: &State<Code>, mut carries: Vec<Carry>, hop: &RouteHop) -> Result<Self, String> {
        let fault = |fault: Box<host_loader::Fault>| fault.to_string();
        let (from, to) = (state.owner(), &hop.to);
        let state = match hop.change {
            StateChange::Same => {
                let next = reread(state, to)?;
                if let Some(carry) = carries.last_mut()
                    && carry.older == *from.version()
                {
                    // What lies beside the one version's state lies beside the other's.
                    if carry.digest == digest(&state.export().map_err(fault)?) {
                        carry.digest = digest(&next.export().map_err(fault)?);
                    }
                    carry.older = to.version().clone();
                }
                next
            }
            StateChange::Up => {
                let old = state.export().map_err(fault)?;
                if let Some(carry) = carries.last()
                    && carry.older == *from.version()
                    && carry.newer != *to.version()
                {
                    return Err(format!(
                        "it holds what only {} {} can read, so it has to go up to that first",
                        to.plugin().name(),
                        carry.newer
                    ));
                }
                let carry = carries.pop_if(|carry| carry.older == *from.version());
                let changed = carry
                    .as_ref()
                    .is_some_and(|carry| carry.digest != digest(&old));
                let bytes = carry.as_ref().map(|carry| &*carry.bytes);
                let up = to.plugin().up(from.version(), &old, bytes, changed);
                up.map_err(fault)?.owned_by(Arc::clone(to))
            }
            StateChange::Down => {
                let down = state.down(to.version()).map_err(fault)?;
                let older = to.import(&down.state).map_err(fault)?;
                // The digest is of the bytes that the older version itself writes:
                // those are compared when it goes up again.
                let canonical = older.export().map_err(fault)?;
                carries.push(Carry {
                    newer: from.version().clone(),
                    older: to.version().clone(),
                    digest: digest(&canonical),
                    bytes: down.carry,
                });
                older
            }
        };
        Ok(Self {
            state,
            carries,
            stateful: hop.change != StateChange::Same,
            exported: None,
        })
    }

    /// Of the snapshot that is to be written, if one is.
    fn bytes(&self) -> usize {
        let carries = self.carries.iter().map(|carry| carry.bytes.len());
        let state = self.exported.as_ref().map(Bytes::len);
        state.map_or(0, |state| state + carries.sum::<usize>())
    }

    fn settle(self, live: &mut Live) {
        live.state = self.state;
        live.set_carries(self.carries);
    }
}

fn digest(state: &[u8]) -> [u8; 32] {
    Sha256::digest(state).into()
}
