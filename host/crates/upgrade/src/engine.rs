//! Who carries out upgrades: one at a time, step by step.

use std::sync::Arc;

use host_actors::Actors;
use host_model::Version;
use host_model::control::{
    ConfigChange, Progress, ReleaseRow, RollbackRequest, UpgradeRequest, UpgradeStatus,
};
use host_model::plan::Plan;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};

use crate::assemble::Assembler;
use crate::book::{Booked, Past};
use crate::plan::{PlanError, plan};
use crate::releases::{ReleasesError, Unpacked};
use crate::run::Run;
use crate::running::Running;
use crate::state::Upgrade;
use crate::verify::Machine;

/// Messages about an upgrade that a slow listener may be behind.
const PROGRESS_BEHIND_MAX: usize = 256;

/// Carries out upgrades. Shared by [`Arc`].
pub struct Upgrader {
    pub(crate) actors: Arc<Actors>,
    pub(crate) assembler: Arc<Assembler>,
    pub(crate) machine: Machine,
    pub(crate) booked: Mutex<Booked>,
    running: Mutex<Option<Arc<Running>>>,
    control: Handle,
    pub(crate) hooks: Hooks,
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
pub type Configuration = dyn Fn(&Unpacked) -> Result<Vec<ConfigChange>, Vec<String>> + Send + Sync;

/// What others want to do at moments of an upgrade.
pub struct Hooks {
    /// Another release is permanent: told behind the transaction that says so.
    pub permanent: Box<dyn Fn(&Version) + Send + Sync>,
    /// A transition is durable, and has not taken effect yet.
    pub transition: Box<dyn Fn(&str) + Send + Sync>,
    /// What another release makes of this home's configuration, resolved by its own
    /// program: what it changes, or all that is wrong with it.
    pub configuration: Box<Configuration>,
    /// Another release rules: what of its configuration can change while the host runs
    /// takes effect.
    pub rules: Box<dyn Fn(&Version) + Send + Sync>,
    /// Code does not return, and only a new process is rid of it: end this one in order,
    /// and boot again.
    pub restart: Box<dyn Fn() + Send + Sync>,
}

/// With what an upgrade is begun, beside its plan.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    pub(crate) probation_s: u64,
    /// How long one actor may be busy; the longer of our own time and the appups' if absent.
    pub(crate) deadline_s: Option<u64>,
    /// See [`Upgrade::rollback`].
    pub(crate) rollback: bool,
}

/// What an operator may ask of an upgrade that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Commit as soon as everyone has come over.
    Commit,
    /// Go back.
    RollBack,
}

/// Why a request was not begun. Nothing has changed.
#[derive(Debug, Error)]
pub enum RefusedUpgrade {
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A release is not there, or broken.
    #[error(transparent)]
    Releases(#[from] ReleasesError),
    /// Another upgrade is under way.
    #[error(
        "an upgrade from {from} to {to} is under way ({state}); wait for it, or say `host commit` or `host rollback`"
    )]
    Busy {
        /// The release before.
        from: Version,
        /// The release after.
        to: Version,
        /// How far it is.
        state: &'static str,
    },
    /// An upgrade to this release was rolled back before.
    #[error(
        "an upgrade to {version} was rolled back before: {reason}; install a new version, or say `host upgrade {version} --retry-failed`"
    )]
    FailedBefore {
        /// The release.
        version: Version,
        /// Why it was rolled back.
        reason: String,
    },
    /// There is nothing to commit.
    #[error("no upgrade is under way; {0} is permanent already")]
    NothingToCommit(Version),
    /// There is no release to go back to.
    #[error(
        "no upgrade is under way, and no release older than {0} was permanent here; say `host upgrade V` to go to a newer one"
    )]
    NothingToRollBack(Version),
    /// A rollback leads to older releases.
    #[error(
        "roll back from {current} to {to}: that is newer; use `host upgrade {to}`, which watches it before it commits"
    )]
    NewerRelease {
        /// The release that rules.
        current: Version,
        /// Where it was asked to go.
        to: Version,
    },
    /// It is too late, or too early, for this.
    #[error("the upgrade is {state}; it cannot {wish} any more")]
    TooLate {
        /// How far it is.
        state: &'static str,
        /// What was asked.
        wish: &'static str,
    },
    /// An upgrade under way goes back to where it came from only.
    #[error("what is under way goes back to {back}, not to {to}; let it end first")]
    OtherRelease {
        /// Where it goes.
        back: Version,
        /// Where it was asked to go.
        to: Version,
    },
}

impl RefusedUpgrade {
    /// One snake-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Plan(PlanError::SameVersion(_)) => "same_version",
            Self::Plan(PlanError::NoPath { .. }) => "no_path",
            Self::Plan(PlanError::OneWay { .. }) => "one_way",
            Self::Plan(PlanError::Circle(_)) => "circle",
            Self::Plan(_) => "bad_appup",
            Self::Releases(ReleasesError::NotFound { .. }) => "not_installed",
            Self::Releases(ReleasesError::Broken { .. }) => "broken_release",
            Self::Busy { .. } => "busy",
            Self::FailedBefore { .. } => "failed_before",
            Self::NothingToCommit(_) => "nothing_to_commit",
            Self::NothingToRollBack(_) => "nothing_to_roll_back",
            Self::NewerRelease { .. } => "newer_release",
            Self::TooLate { .. } => "too_late",
            Self::OtherRelease { .. } => "other_release",
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
            booked: Mutex::new(parts.booked),
            running: Mutex::new(None),
            control: parts.control,
            hooks: parts.hooks,
        });
        if let Some(upgrade) = parts.recovered {
            let (run, running) = upgrader.new_run(upgrade, None);
            *upgrader.running.lock() = Some(running);
            upgrader.control.spawn(run.go_on());
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
        &self.machine.host
    }

    /// What an upgrade to `to` would do. Blocking, for it reads releases.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn plan(&self, to: &Version, one_way: bool) -> Result<Plan, RefusedUpgrade> {
        let releases = self.assembler.releases();
        let from = releases.read(&self.actors.release().version)?;
        if from.manifest.version == *to {
            return Err(PlanError::SameVersion(to.clone()).into());
        }
        let to = releases.read(to)?;
        // What is wrong with one of these two is said here; others only lack.
        from.appups()?;
        to.appups()?;
        let appups = releases.appups();
        Ok(plan(&from.manifest, &to.manifest, &appups, one_way)?)
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
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        self.refuse_if_busy()?;
        if !request.retry_failed {
            self.refuse_if_failed(&request.to)?;
        }
        let plan = self.plan(&request.to, request.one_way)?;
        let probation_s = request.probation_s.unwrap_or(plan.probation_s);
        self.begin(
            plan,
            Wishes {
                probation_s,
                deadline_s: request.deadline_s,
                rollback: false,
            },
        )
    }

    /// Rolls back the upgrade that is under way; without one, goes to `to`, or to the
    /// newest older release that was permanent, as a change of its own without
    /// probation.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn rollback(
        self: &Arc<Self>,
        request: &RollbackRequest,
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
            return running.ask(Asked::RollBack);
        }
        let current = self.actors.release().version.clone();
        let to = match &request.to {
            Some(to) if *to > current => {
                let to = to.clone();
                return Err(RefusedUpgrade::NewerRelease { current, to });
            }
            Some(to) => to.clone(),
            None => {
                let older = self.booked.lock().permanent_before(&current).cloned();
                older.ok_or(RefusedUpgrade::NothingToRollBack(current))?
            }
        };
        self.refuse_if_failed(&to)?;
        let plan = self.plan(&to, false)?;
        self.begin(
            plan,
            Wishes {
                rollback: true,
                ..Wishes::default()
            },
        )
    }

    /// Commits the upgrade that is under way, without waiting for its probation to end.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn commit(&self) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        match self.running() {
            Some(running) => running.ask(Asked::Commit),
            None => Err(RefusedUpgrade::NothingToCommit(self.permanent())),
        }
    }

    /// The upgrade that is under way.
    #[must_use]
    pub fn status(&self) -> Option<UpgradeStatus> {
        self.running().map(|running| running.status(&self.actors))
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
        let releases = self.assembler.releases();
        let current = self.actors.release().version.clone();
        let booked = self.booked.lock().clone();
        let row = |version: Version| {
            let status = booked.status(&version, &current);
            releases.row(version, status)
        };
        Ok(releases.versions()?.into_iter().map(row).collect())
    }

    pub(crate) fn begin(
        self: &Arc<Self>,
        plan: Plan,
        wishes: Wishes,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        let id = {
            let booked = self.booked.lock();
            booked.last.as_ref().map_or(1, |last| last.id + 1)
        };
        let upgrade = Upgrade {
            id,
            plan,
            state: crate::State::Planned,
            rollback: wishes.rollback,
            given_up: Vec::new(),
        };
        let (run, running) = self.new_run(upgrade, Some(wishes));
        let progress = running.listen();
        {
            // Looked at again under the lock: of two at once, one begins.
            let mut slot = self.running.lock();
            if let Some(other) = slot.as_ref().filter(|running| !running.is_over()) {
                return Err(other.busy());
            }
            *slot = Some(running);
        }
        // What is counted from here on is its own, also where it never comes to a switch.
        self.actors.migrations().reset();
        self.control.spawn(run.go_on());
        Ok(progress)
    }

    fn new_run(self: &Arc<Self>, upgrade: Upgrade, wishes: Option<Wishes>) -> (Run, Arc<Running>) {
        let (ask, asked) = mpsc::channel(4);
        let (progress, _) = broadcast::channel(PROGRESS_BEHIND_MAX);
        let running = Arc::new(Running::new(&upgrade, ask, progress));
        let run = Run::new(
            Arc::clone(self),
            Arc::clone(&running),
            upgrade,
            wishes,
            asked,
        );
        (run, running)
    }

    pub(crate) fn running(&self) -> Option<Arc<Running>> {
        let running = self.running.lock();
        running.clone().filter(|running| !running.is_over())
    }

    pub(crate) fn refuse_if_failed(&self, version: &Version) -> Result<(), RefusedUpgrade> {
        match self.booked.lock().statuses.get(version) {
            Some(Past::Failed { reason }) => Err(RefusedUpgrade::FailedBefore {
                version: version.clone(),
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn refuse_if_busy(&self) -> Result<(), RefusedUpgrade> {
        match self.running() {
            Some(running) => Err(running.busy()),
            None => Ok(()),
        }
    }
}
