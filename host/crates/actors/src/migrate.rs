//! Coming over to the release that rules.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use host_journal::{ReadError, Rows};
use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;
use host_model::{ActorId, Version};

use crate::Actors;
use crate::aside::Aside;
use crate::clock::monotonic_ms;
use crate::hindrance::Hindrance;
use crate::large::{Came, Desk};
use crate::ledger::FailedMigration;
use crate::live::Live;
use crate::message::{Errand, Message};
use crate::over::Over;
use crate::release::{Release, Ruling, Way, leads_down};
use crate::slots::{Claim, Slot};
use crate::stranded;
use crate::token::{Rebuilt, Token};
use crate::turn::Settled;
use crate::watchdog;

/// How an actor comes over; or why it cannot.
type WayOver = Result<Way, String>;

/// What has to be done for an actor to belong to the release that rules.
enum Due<'a> {
    /// That does not have its plugin.
    Nowhere,
    /// It is there, or stays where it is: if it slept, it may sleep again.
    Stays,
    Comes(&'a Ruling, WayOver),
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

impl Actors {
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Brings the claimed actor over, if it has not come yet. `errand` is the
    /// sweep's, if it asks, and is taken; without it a message is waiting. False: there
    /// is no room for its snapshot now; the claim is to be parked, and will be resumed.
    ///
    /// # Errors
    ///
    /// The store is away. The actor is whole, and behind; the errand is not taken.
    pub(crate) fn ensure_migrated(
        self: &Arc<Self>,
        claim: &mut Claim,
        errand: &mut Option<Errand>,
    ) -> Result<bool, ReadError> {
        let generation = self.generation();
        let Some(live) = &claim.live else {
            return Ok(true);
        };
        // So it is at nearly every message, for which no release is looked up.
        if claim.at.generation == generation {
            self.go_back_to_sleep(claim, errand.take());
            return Ok(true);
        }
        let release = self.release_of(&claim.slot.id);
        let (ruling, way) = match self.due(&claim.slot.id, live, &release) {
            Due::Nowhere => {
                // Its plugin goes with this release: it sleeps on in the journal.
                claim.at.generation = generation;
                return Ok(true);
            }
            Due::Stays => {
                claim.at.generation = generation;
                self.go_back_to_sleep(claim, errand.take());
                return Ok(true);
            }
            Due::Comes(ruling, way) => (ruling, way),
        };
        let reads = self.may_have_timers(claim, &way, errand.as_ref());
        if reads && self.settled(claim) == Settled::Pending {
            // What it has set and accepted is read from the journal.
            let token = Token::Resume(Arc::clone(&claim.slot));
            self.append(claim, Rows::default(), token);
            return Ok(false);
        }
        let Some(live) = claim.live.as_mut() else {
            return Ok(true);
        };
        let mut desk = None;
        if live.is_large() {
            desk = self.desk_or_wait(&claim.slot);
            if desk.is_none() {
                return Ok(false);
            }
        }
        let since = Instant::now();
        let id = &claim.slot.id;
        let come = || match &way {
            Err(why) => Err(why.clone().into()),
            Ok(way) if live.exists() => self.come(&release, id, live, way, reads),
            Ok(_) => Ok((Over::anew(id, &ruling.code)?, None)),
        };
        let came = match self.watched(&claim.slot, goes_back(&way), desk.is_some(), come) {
            Err(Hindrance::Unread(error)) => return Err(error),
            Err(lasting) => Err(lasting.to_string()),
            Ok(came) => Ok(came),
        };
        if let Ok((over, _)) = &came
            && desk.is_none()
            && over.bytes() > SNAPSHOT_PIECE_BYTES_MAX
        {
            desk = self.desk_or_wait(&claim.slot);
            if desk.is_none() {
                // The old state is whole: it comes over again, and then that is known.
                live.snapshot_bytes = u32::try_from(over.bytes()).unwrap_or(u32::MAX);
                return Ok(false);
            }
        }
        // Without an errand it is a message that brings it over.
        let has_asked = errand.is_none();
        let mut errand = errand.take();
        match came {
            Ok(over) => {
                if way.is_ok_and(|way| way.hops.iter().any(|hop| hop.restart)) {
                    match &mut errand {
                        Some(errand) => errand.back_to_sleep = true,
                        // Behind the message that waits for it, and those that come meanwhile.
                        None => self.post_to(&claim.slot, Message::Sleep(None)),
                    }
                }
                let came = Came {
                    generation,
                    since,
                    has_asked,
                };
                self.came_over(claim, &release.version, over, came, errand, desk);
            }
            Err(why) => {
                let (from, to) = (live.code().version().clone(), ruling.code.version());
                claim.at.generation = generation;
                self.trace_migrated(&claim.slot.id, (&from, to), since, Some(&why));
                self.migration_failed(&claim.slot.id, generation, from, why, way.is_ok());
                self.count_pause(claim, since, has_asked);
            }
        }
        Ok(true)
    }

    /// What has to be done for an actor that is behind to belong to `release`.
    fn due<'a>(self: &Arc<Self>, id: &ActorId, live: &Live, release: &'a Release) -> Due<'a> {
        let Some(ruling) = release.plugins.get(id.plugin()) else {
            return Due::Nowhere;
        };
        if ruling.code.version() == live.code().version() {
            self.migrations.is_here(id);
            self.forget_stranded(id);
            return Due::Stays;
        }
        if self.migrations.is_given_up(id) {
            return Due::Stays;
        }
        let way = ruling.way_of(live, release.before.get(id.plugin()));
        if goes_back(&way) && self.stranded.has(id) {
            let why = stranded::WHY.to_owned();
            self.migrations.leave_behind(id.clone(), why);
            return Due::Stays;
        }
        Due::Comes(ruling, way)
    }

    /// Whether timers of the claimed actor may have to wait on this way, or come back.
    fn may_have_timers(&self, claim: &Claim, way: &WayOver, errand: Option<&Errand>) -> bool {
        let Some(live) = claim.live.as_ref().filter(|live| live.exists()) else {
            return false;
        };
        let is_timerless = |errand: &Errand| {
            let (journal, at) = (&self.journal, claim.at.position);
            errand.timed.has_none(journal, &claim.slot.id, at)
        };
        way.as_ref().is_ok_and(|way| reads_timers(live, way)) && !errand.is_some_and(is_timerless)
    }

    /// Has the actor of `slot` come over. It may take as long as a handler, so it is named
    /// where it does; and where it goes back and the process ends by it.
    fn watched<T>(
        &self,
        slot: &Arc<Slot>,
        goes_back: bool,
        is_large: bool,
        come: impl FnOnce() -> T,
    ) -> T {
        let _said = goes_back.then(|| self.last_words.say(&slot.id));
        let come = || watchdog::watch(slot, &self.migrating, monotonic_ms(), come);
        match !is_large && self.migrating.is_proven_fast() {
            true => come(),
            false => tokio::task::block_in_place(come),
        }
    }

    /// The claimed actor has come over: its state takes the old one's place, and goes to the
    /// journal if its shape is another.
    fn came_over(
        self: &Arc<Self>,
        claim: &mut Claim,
        release: &Version,
        (mut over, again): (Over, Option<Again>),
        came: Came,
        errand: Option<Errand>,
        desk: Option<Desk>,
    ) {
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        self.migrations.is_here(&claim.slot.id);
        let from = live.code().version().clone();
        let exported = over.exported.take();
        let timers = match desk.is_some() {
            // The old state goes, which of a large one takes as long as a handler.
            true => tokio::task::block_in_place(|| over.settle(live)),
            false => over.settle(live),
        };
        let way = (&from, live.code().version());
        self.trace_migrated(&claim.slot.id, way, came.since, None);
        if let Some(state) = exported {
            let switch = Switch {
                release,
                state,
                errand,
                came,
                timers,
                rebuilt: again.map(|again| self.intend(claim, &from, again)),
            };
            return self.append_switch(claim, switch, desk);
        }
        claim.at.generation = came.generation;
        if live.exists() {
            self.append_mark(claim, release, errand);
        }
        self.count_pause(claim, came.since, came.has_asked);
    }

    /// The state of an actor that exists, by the steps of its way; and where it could not go
    /// back by `down`, by its commands. Its timers are read, if it may have some that matter.
    fn come(
        &self,
        release: &Release,
        id: &ActorId,
        live: &Live,
        way: &Way,
        may_have_timers: bool,
    ) -> Result<(Over, Option<Again>), Hindrance> {
        let timers = || match may_have_timers {
            true => self.timers_aside(id),
            false => Ok(Aside::default()),
        };
        let (hops, is_kept) = (&way.hops, way.no_steps.is_some());
        let why = match &way.no_steps {
            Some(no_steps) if leads_down(hops) => no_steps.clone(),
            _ => match Over::come(release, live, hops, is_kept, timers()?) {
                Ok(over) => return Ok((over, None)),
                Err(why) if leads_down(hops) => why,
                Err(why) => return Err(why.into()),
            },
        };
        let rebuild = || self.rebuild(release, id, live, way, timers()?);
        let rebuilt = tokio::task::block_in_place(rebuild);
        match rebuilt.map_err(|by| self.hindered(id, by)) {
            Ok((over, commands)) => Ok((over, Some(Again { why, commands }))),
            Err(unread @ Hindrance::Unread(_)) => Err(unread),
            Err(obstacles) => Err(Hindrance::Lasting(format!(
                "{why}; nor can its commands be taken again: {obstacles}"
            ))),
        }
    }

    /// The timers that may have to wait, or may come back; all that the actor has
    /// appended is durable then.
    fn timers_aside(&self, id: &ActorId) -> Result<Aside, Hindrance> {
        let rows = tokio::task::block_in_place(|| self.journal.timers_of(id));
        let rows = rows.map_err(|error| self.hindered(id, error.into()))?;
        Ok(Aside::new(rows))
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

    /// Takes note of how long whoever waits for the claimed actor has waited: the message
    /// that has asked for it, if one has, and those behind it.
    pub(crate) fn count_pause(&self, claim: &Claim, since: Instant, has_asked: bool) {
        let behind = claim.slot.inner.lock().queue_len() as u64;
        self.migrations.paused(behind + u64::from(has_asked), since);
    }

    /// An actor stays in `from`. One that is in quarantine already is left behind; any
    /// other stops the sweep.
    pub(crate) fn migration_failed(
        &self,
        id: &ActorId,
        generation: u32,
        from: Version,
        why: String,
        is_tried: bool,
    ) {
        if generation != self.generation() {
            // Another release rules by now: what counts is whether it comes over to that.
            tracing::warn!(actor = %id, why, "a migration failed that is no longer wanted");
            return;
        }
        if self.supervisor.quarantined(id).is_some() {
            tracing::warn!(actor = %id, why, "an actor in quarantine stays in its old version");
            self.migrations.leave_behind(id.clone(), why);
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
            is_tried,
        });
    }

    /// The snapshot of an actor that has come over, behind the commands that it includes.
    fn append_switch(self: &Arc<Self>, claim: &mut Claim, switch: Switch<'_>, desk: Option<Desk>) {
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        let snapshot = self.snapshot_of(&id, live, switch.state);
        let is_errand = switch.errand.is_some();
        let mut token = self.switched(claim, switch.release, switch.errand);
        if let Token::Switched {
            timers, rebuilt, ..
        } = &mut token
        {
            *timers = switch.timers.has_returned();
            *rebuilt = switch.rebuilt.map(Box::new);
        }
        let (mut beside, came) = (switch.timers.rows(), switch.came);
        beside.unhurried = is_errand;
        beside.leaves_older = is_errand && self.thinning.leaves();
        if snapshot.is_large() {
            return self.append_snapshot_beside(claim, snapshot, beside, desk, Some(came), token);
        }
        claim.at.generation = came.generation;
        self.append_snapshot_beside(claim, snapshot, beside, None, None, token);
        self.count_pause(claim, came.since, came.has_asked);
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

fn goes_back(way: &WayOver) -> bool {
    way.as_ref().is_ok_and(Way::goes_back)
}

/// Whether timers may have to wait on this way, or come back: those that are set are read
/// from the journal, which must have all that the actor has appended.
fn reads_timers(live: &Live, way: &Way) -> bool {
    let are_carried = live.carries().iter().any(|carry| !carry.timers.is_empty());
    are_carried || way.goes_back()
}
