//! Who carries out upgrades: one at a time, step by step.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use host_actors::Actors;
use host_model::Version;
use host_model::appup::Appup;
use host_model::control::{
    ConfigChange, Extent, Progress, ReleaseRow, RollbackRequest, UnderWay, UpgradeRequest,
    UpgradeStatus,
};
use host_model::flight::Asker;
use host_model::histogram::Histogram;
use host_model::plan::Plan;
use host_model::release::ReleaseManifest;
use host_proof::rehearsal::Rehearser;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::assemble::Assembler;
use crate::book::Booked;
use crate::canary::ramp;
use crate::flight::asked;
use crate::plan::{Appups, PlanError, plan, plan_here};
use crate::refused::RefusedUpgrade;
use crate::releases::{ReleasesError, Unpacked};
use crate::run::{Run, Wish};
use crate::running::Running;
use crate::state::{State, Upgrade};
use crate::verify::{Machine, used_of};
use crate::wishes::Asked;

/// Messages about an upgrade that a slow listener may be behind.
pub(crate) const PROGRESS_BEHIND_MAX: usize = 256;

/// How long a host that is stopped waits for those who follow an upgrade to hear of it.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Carries out upgrades. Shared by [`Arc`].
pub struct Upgrader {
    pub(crate) actors: Arc<Actors>,
    pub(crate) assembler: Arc<Assembler>,
    pub(crate) machine: Machine,
    pub(crate) booked: Mutex<Booked>,
    running: Mutex<Option<Arc<Running>>>,
    pub(crate) rehearser: Rehearser,
    last_words: PathBuf,
    /// A rehearsal that goes on by itself: where to break it off.
    pub(crate) rehearsing: Mutex<Option<Arc<AtomicBool>>>,
    pub(crate) control: Handle,
    pub(crate) hooks: Hooks,
    /// The waits of callers, as of the last transition of an upgrade.
    waits: Mutex<Histogram>,
}

impl std::fmt::Debug for Upgrader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrader").finish_non_exhaustive()
    }
}

/// What [`Upgrader::start`] needs.
pub struct Parts {
    /// The actors.
    pub actors: Arc<Actors>,
    /// Who puts releases together.
    pub assembler: Arc<Assembler>,
    /// What a release is held against.
    pub machine: Machine,
    /// How a rehearsal's process is started.
    pub rehearser: Rehearser,
    /// Where a process names whose way back it is in; see [`host_actors::last_words`].
    pub last_words: PathBuf,
    /// What the store knows.
    pub booked: Booked,
    /// An upgrade that the process before this one left, if one is to be gone on with.
    pub recovered: Option<Upgrade>,
    /// The runtime that upgrades are carried out on: the one that no plugin holds up.
    pub control: Handle,
    /// See there.
    pub hooks: Hooks,
}

/// What a release changes in the configuration, or all that is wrong with it.
type Configuration = dyn Fn(&Unpacked) -> Result<Vec<ConfigChange>, Vec<String>> + Send + Sync;

/// Plans from one release to another.
type Planner<'a> =
    dyn Fn(&ReleaseManifest, &ReleaseManifest, &Appups) -> Result<Plan, PlanError> + 'a;

/// See [`Hooks::leave`].
type Leave = dyn Fn(&Version, &Version) -> Result<(), String> + Send + Sync;

/// What others want to do at moments of an upgrade.
pub struct Hooks {
    /// Another release is permanent: told behind the transaction that says so.
    pub permanent: Box<dyn Fn(&Version) + Send + Sync>,
    /// A transition is durable, and has not taken effect yet.
    pub transition: Box<dyn Fn(&State) + Send + Sync>,
    /// What another release makes of this home's configuration, resolved by its own
    /// program: what it changes, or all that is wrong with it.
    pub configuration: Box<Configuration>,
    /// The release that rules is about to be left for another, which has been verified: from
    /// now on a way back is to restore what it is configured by, in another process, too. Why
    /// that cannot be, in a sentence.
    pub leave: Box<Leave>,
    /// Another release rules: what of its configuration can change while the host runs
    /// takes effect.
    pub rules: Box<dyn Fn(&Version) + Send + Sync>,
    /// Code does not return, and only a new process is rid of it: end this one in order,
    /// and boot again.
    pub restart: Box<dyn Fn() + Send + Sync>,
}

/// How an upgrade is to be carried out.
#[derive(Debug, Clone)]
pub(crate) struct Asks {
    /// None for an upgrade that a start found: only its way back is left.
    pub(crate) probation_s: Option<u64>,
    /// Whom to rehearse, or why nobody is.
    pub(crate) rehearsal: Result<Extent, &'static str>,
    /// Go on without a proven way back.
    pub(crate) one_way: bool,
    /// How long one actor may be busy; the longer of our own time and the appups' if absent.
    pub(crate) deadline: Option<Duration>,
}

impl Default for Asks {
    fn default() -> Self {
        Self {
            probation_s: None,
            rehearsal: Err("the host ended before it"),
            one_way: false,
            deadline: None,
        }
    }
}

impl Upgrader {
    /// Takes up its work: an upgrade that was left rolling back goes on.
    #[must_use]
    pub fn start(parts: Parts) -> Arc<Self> {
        let upgrader = Arc::new(Self {
            actors: parts.actors,
            assembler: parts.assembler,
            machine: parts.machine,
            rehearser: parts.rehearser,
            last_words: parts.last_words,
            rehearsing: Mutex::new(None),
            booked: Mutex::new(parts.booked),
            running: Mutex::new(None),
            control: parts.control,
            hooks: parts.hooks,
            waits: Mutex::default(),
        });
        upgrader.clear_up();
        if let Some(upgrade) = parts.recovered {
            let (run, running) = upgrader.new_run(upgrade, Wish::default());
            let run = run.with_what_was_known();
            *upgrader.running.lock() = Some(running);
            upgrader.carry_out(run);
        }
        upgrader
    }

    /// Who puts releases together.
    #[must_use]
    pub fn assembler(&self) -> &Assembler {
        &self.assembler
    }

    /// Version of the host that runs.
    #[must_use]
    pub fn host(&self) -> &Version {
        &self.machine.runs.host
    }

    /// What an upgrade to `to` would do. Blocking, for it reads releases.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn plan(&self, to: &Version, one_way: bool) -> Result<Plan, RefusedUpgrade> {
        self.plan_by(to, &plan_here(self.has_run(), one_way))
    }

    /// As [`Upgrader::plan`], by `planner`.
    pub(crate) fn plan_by(
        &self,
        to: &Version,
        planner: &Planner<'_>,
    ) -> Result<Plan, RefusedUpgrade> {
        let releases = self.assembler.releases();
        let from = releases.read(&self.actors.release().version)?;
        if from.manifest.version == *to {
            return Err(PlanError::SameVersion(to.clone()).into());
        }
        let to = releases.read(to)?;
        // What is wrong with one of these two is said here; others only lack.
        from.appups()?;
        let own = to.appups()?;
        let mut appups = releases.appups(&[&to.manifest.version, &from.manifest.version]);
        // Those of a release that nobody vouches for, too: verification says so.
        for appup in own {
            appups.insert((appup.plugin.clone(), appup.version.clone()), appup);
        }
        let planned = planner(&from.manifest, &to.manifest, &appups);
        planned.map_err(|error| match error {
            PlanError::NoPath { .. } => self
                .over_what_is_left_out(&from, &to, appups)
                .unwrap_or_else(|| error.into()),
            error => error.into(),
        })
    }

    /// What there is to say where a way leads over releases that nobody vouches for, and
    /// none over `appups`.
    fn over_what_is_left_out(
        &self,
        from: &Unpacked,
        to: &Unpacked,
        mut appups: Appups,
    ) -> Option<RefusedUpgrade> {
        let releases = self.assembler.releases();
        let key = |appup: &Appup| (appup.plugin.clone(), appup.version.clone());
        let ends = [&to.manifest.version, &from.manifest.version];
        let mut left_out = releases.appups_left_out(&ends);
        left_out.retain(|(_, appup)| !appups.contains_key(&key(appup)));
        // Of two the first counts.
        appups.extend(left_out.iter().rev().map(|(_, it)| (key(it), it.clone())));
        let plan = plan(&from.manifest, &to.manifest, &appups, true).ok()?;
        let left_out = used_of(&plan, &left_out).into_iter().filter_map(|release| {
            let problem = releases.trusted_keys().problem(&release.dir)?;
            Some((release.manifest.version, problem))
        });
        Some(RefusedUpgrade::Untrusted {
            from: plan.from,
            to: plan.to,
            left_out: left_out.collect(),
        })
    }

    /// Begins an upgrade. What is said while it goes on comes over the receiver; it
    /// goes on whether anyone listens or not. Blocking.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn upgrade(
        self: &Arc<Self>,
        request: &UpgradeRequest,
        by: &Asker,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        self.refuse_if_busy()?;
        let ramp = ramp(request).map_err(RefusedUpgrade::BadRamp)?;
        if !request.retry_failed {
            self.refuse_if_failed(&request.to)?;
        }
        let releases = self.assembler.releases();
        releases.unpack(&request.to, &self.machine.runs)?;
        let plan = self.plan_or_all_that_is_wrong(&request.to, request.one_way)?;
        let asks = Asks {
            probation_s: Some(request.probation_s.unwrap_or(plan.probation_s)),
            rehearsal: match request.no_rehearsal {
                true => Err("it was asked to go without one (--no-rehearsal)"),
                false => Ok(request.extent),
            },
            one_way: request.one_way,
            deadline: request.deadline_s.map(Duration::from_secs),
        };
        let wish = Wish {
            asks,
            ramp,
            asked: Some(asked("upgrade", request, by)),
            ..Wish::default()
        };
        self.begin(plan, wish)
    }

    /// Rolls back the upgrade that is under way; without one, goes to `to`, or undoes the
    /// last one where that has committed, as a change of its own without probation.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn rollback(
        self: &Arc<Self>,
        request: &RollbackRequest,
        by: &Asker,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        if let Some(running) = self.running() {
            let back = running.goes_back_to();
            if let Some(to) = &request.to
                && to != back
            {
                return Err(RefusedUpgrade::OtherRelease {
                    back: back.clone(),
                    to: to.clone(),
                });
            }
            return running.ask(Asked::RollBack, by);
        }
        let current = self.actors.release().version.clone();
        let releases = self.assembler.releases();
        let to = match &request.to {
            Some(to) if *to > current => {
                if let Err(missing @ ReleasesError::NotFound { .. }) = releases.read(to) {
                    return Err(missing.into());
                }
                let to = to.clone();
                return Err(RefusedUpgrade::NewerRelease { current, to });
            }
            Some(to) => to.clone(),
            None => self.undoes_the_last(current)?,
        };
        self.refuse_if_failed(&to)?;
        let plan = self.plan_or_all_that_is_wrong(&to, false)?;
        let asks = Asks {
            probation_s: Some(0),
            rehearsal: match request.rehearse {
                true => Ok(Extent::default()),
                false => Err("a way back is not delayed, unless --rehearse says so"),
            },
            one_way: false,
            deadline: None,
        };
        let wish = Wish {
            asks,
            asked: Some(asked("rollback", request, by)),
            rollback: true,
            ..Wish::default()
        };
        let begun = self.begin(plan, wish);
        match (begun, self.running()) {
            // Of two that are said at once one begins, and the other is that one.
            (Err(RefusedUpgrade::Busy { .. }), Some(running)) if running.is_rollback() => {
                running.ask(Asked::RollBack, by)
            }
            (begun, _) => begun,
        }
    }

    /// Commits the upgrade that is under way, without waiting for its probation to end.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn commit(&self, by: &Asker) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        match self.running() {
            Some(running) => running.ask(Asked::Commit, by),
            None => Err(RefusedUpgrade::NothingToCommit(self.permanent())),
        }
    }

    /// Stops the sweep, the ramp and the clock of the upgrade that is under way, or lets
    /// them go on. Who has come over stays, and others still come at their next message.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn pause(&self, paused: bool, by: &Asker) -> Result<UpgradeStatus, RefusedUpgrade> {
        let wish = if paused { "pause" } else { "resume" };
        let running = self.running().ok_or(RefusedUpgrade::NothingToPause(wish))?;
        running.pause(paused, by)?;
        Ok(running.status(&self.actors))
    }

    /// What callers have waited since this was last asked.
    pub(crate) fn take_waits(&self) -> Histogram {
        let now = self.actors.waits();
        let mut last = self.waits.lock();
        let since = now.since(&last);
        *last = now;
        since
    }

    /// The process is about to end in order: an upgrade that is under way is left as it
    /// is, and whoever follows it is told. The journal must be open still.
    pub async fn stop(&self) {
        if let Some(running) = self.running() {
            let told = running.stop(&self.actors);
            if tokio::time::timeout(TELL_TIMEOUT, told).await.is_err() {
                tracing::warn!("not all who followed the upgrade have heard how it ends");
            }
        }
    }

    /// The upgrade that is under way.
    #[must_use]
    pub fn status(&self) -> Option<UpgradeStatus> {
        self.running().map(|running| running.status(&self.actors))
    }

    /// What the upgrade that is under way has to report so far.
    #[must_use]
    pub fn report(&self) -> Option<UnderWay> {
        self.running()?.report(&self.actors)
    }

    /// The release that an upgrade under way goes to: none, if it goes back.
    #[must_use]
    pub fn toward(&self) -> Option<Version> {
        let running = self.running()?;
        running
            .state()
            .reason()
            .is_none()
            .then(|| running.plan.to.clone())
    }

    /// The release that a restart boots.
    #[must_use]
    pub fn permanent(&self) -> Version {
        let booked = self.booked.lock();
        let permanent = booked.permanent.clone();
        permanent.unwrap_or_else(|| self.actors.release().version.clone())
    }

    /// The releases of this home; one that is broken says so and hides no other.
    /// Blocking.
    ///
    /// # Errors
    ///
    /// [`ReleasesError`] if the folder of releases cannot be listed.
    pub fn releases(&self) -> Result<Vec<ReleaseRow>, ReleasesError> {
        let current = self.actors.release().version.clone();
        let booked = self.booked.lock().clone();
        self.assembler.releases().rows(&booked, Some(&current))
    }

    /// Keeps an upgrade from being begun as long as what is returned lives.
    pub(crate) fn lock_running(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock()
    }

    pub(crate) fn begin(
        self: &Arc<Self>,
        plan: Plan,
        wish: Wish,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        let (run, progress, is_again) = {
            // Looked at again under the lock: of two at once, one begins.
            let mut slot = self.running.lock();
            if let Some(other) = slot.as_ref().filter(|running| !running.is_over()) {
                return Err(other.busy());
            }
            // One may have begun, and ended, since this was planned.
            let rules = &self.actors.release().version;
            if *rules != plan.from {
                return Err(RefusedUpgrade::Overtaken {
                    from: plan.from,
                    rules: rules.clone(),
                });
            }
            let last = self.booked.lock().last.clone();
            let id = last.as_ref().map_or(1, |last| last.id + 1);
            let asks = &wish.asks;
            let probation_s = asks.probation_s.unwrap_or(plan.probation_s);
            let plan = plan.asked(probation_s, asks.rehearsal.is_ok());
            let mut upgrade = Upgrade::planned(id, plan, wish.rollback);
            let is_again = upgrade.takes_up(last.as_ref());
            let (run, running) = self.new_run(upgrade, wish);
            let progress = running.listen();
            *slot = Some(running);
            (run, progress, is_again)
        };
        self.end_rehearsal();
        // What is counted from here on is its own, also where it never comes to a switch.
        self.actors.migrations().reset();
        if is_again && let Err(error) = self.actors.listen_for_last_words(&self.last_words) {
            tracing::warn!(%error, "whose way back the host is in is not noted");
        }
        self.carry_out(run);
        Ok(progress)
    }

    fn carry_out(&self, run: Run) {
        run.running.keep(run.report());
        self.control.spawn(run.go_on());
    }

    fn new_run(self: &Arc<Self>, upgrade: Upgrade, wish: Wish) -> (Run, Arc<Running>) {
        let (progress, _) = broadcast::channel(PROGRESS_BEHIND_MAX);
        let running = Arc::new(Running::new(&upgrade, progress));
        let run = Run::new(Arc::clone(self), Arc::clone(&running), upgrade, wish);
        (run, running)
    }

    pub(crate) fn running(&self) -> Option<Arc<Running>> {
        let running = self.running.lock();
        running.clone().filter(|running| !running.is_over())
    }
}
