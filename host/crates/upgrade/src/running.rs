//! An upgrade on its way, as others see it: its state, and where to send a wish.

use std::time::Instant;

use host_actors::Actors;
use host_journal::unix_ms;
use host_model::Version;
use host_model::control::{Progress, UpgradeReport, UpgradeStatus};
use host_model::plan::Plan;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};

use crate::engine::{Asked, RefusedUpgrade};
use crate::state::{Event, State, Upgrade};

/// Why an upgrade ends that has not switched when the host is stopped.
const STOPPED_BEFORE: &str = "the host was stopped before the switch; nothing has changed";

/// Why one ends that has.
const STOPPED: &str = "the host was stopped in the middle of it; the next start boots the permanent release and rolls the rest back";

/// What others see of an upgrade.
#[derive(Debug)]
pub(crate) struct Running {
    id: u64,
    pub(crate) plan: Plan,
    /// Whether it is a rollback itself, of a release that was committed.
    rollback: bool,
    state: Mutex<State>,
    ask: mpsc::Sender<Asked>,
    progress: broadcast::Sender<Progress>,
    began: Instant,
    /// Whether the process ends before the upgrade does: then it comes to no other state
    /// here. Held while it comes to one.
    pub(crate) stopped: tokio::sync::Mutex<bool>,
}

impl Running {
    pub(crate) fn new(
        upgrade: &Upgrade,
        ask: mpsc::Sender<Asked>,
        progress: broadcast::Sender<Progress>,
    ) -> Self {
        Self {
            id: upgrade.id,
            plan: upgrade.plan.clone(),
            rollback: upgrade.rollback,
            state: Mutex::new(upgrade.state.clone()),
            ask,
            progress,
            began: Instant::now(),
            stopped: tokio::sync::Mutex::new(false),
        }
    }

    /// Tells whoever listens, which may be nobody.
    pub(crate) fn tell(&self, progress: Progress) {
        let _ = self.progress.send(progress);
    }

    /// Shows that the upgrade has come to `state`, `at_ms` after its beginning.
    pub(crate) fn enter(&self, state: &State, at_ms: u64) {
        *self.state.lock() = state.clone();
        self.tell(Progress::State {
            state: state.name().to_owned(),
            at_ms,
        });
    }

    /// Leaves the upgrade in the state that it is in, and tells whoever follows it what
    /// the next start makes of that. Returns when they have heard.
    pub(crate) async fn stop(&self, actors: &Actors) {
        *self.stopped.lock().await = true;
        let state = self.state.lock().clone();
        let Ok(next) = state.clone().apply(Event::HostDied) else {
            return;
        };
        if state.is_over() {
            return;
        }
        let migrations = actors.migrations();
        let duration_ms = self.began.elapsed().as_millis();
        self.tell(Progress::Ended(UpgradeReport {
            from: self.plan.from.clone(),
            to: self.plan.to.clone(),
            outcome: next.outcome(),
            rollback: self.rollback,
            actors_migrated: migrations.migrated(),
            pause_us: migrations.pauses_us(),
            rehearsal: None,
            duration_ms: u64::try_from(duration_ms).unwrap_or(u64::MAX),
            ended_ms: unix_ms(),
            reason: Some(match next {
                State::Cancelled { .. } => STOPPED_BEFORE.to_owned(),
                State::Stuck { reason } => reason.text,
                _ => STOPPED.to_owned(),
            }),
        }));
        self.progress.closed().await;
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().is_over()
    }

    pub(crate) fn busy(&self) -> RefusedUpgrade {
        RefusedUpgrade::Busy {
            from: self.plan.from.clone(),
            to: self.plan.to.clone(),
            state: self.state.lock().name(),
        }
    }

    /// Passes on an operator's wish. Held under the state's lock, so that an upgrade
    /// that has just ended is not waited for.
    pub(crate) fn ask(
        &self,
        asked: Asked,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        let state = self.state.lock();
        let too_late = |wish| RefusedUpgrade::TooLate {
            state: state.name(),
            wish,
        };
        match (&*state, &asked) {
            (State::RollingBack { .. } | State::Stuck { .. }, Asked::Commit) => {
                return Err(too_late("commit"));
            }
            (state, _) if state.is_over() => return Err(too_late("change")),
            _ => {}
        }
        let progress = self.progress.subscribe();
        // A rollback that is asked for again is the one under way: to take that back
        // would lead up again.
        if !(self.rollback && matches!(asked, Asked::RollBack)) {
            // A full queue means that wishes wait already; this one changes nothing.
            let _full = self.ask.try_send(asked);
        }
        Ok(progress)
    }

    /// Where a rollback leads that is asked for now.
    pub(crate) fn goes_back_to(&self) -> &Version {
        match self.rollback {
            true => &self.plan.to,
            false => &self.plan.from,
        }
    }

    pub(crate) fn status(&self, actors: &Actors) -> UpgradeStatus {
        let state = self.state.lock().clone();
        let migrated = actors.migrations().migrated();
        let switching = matches!(state, State::Switching | State::RollingBack { .. });
        UpgradeStatus {
            id: self.id,
            from: self.plan.from.clone(),
            to: self.plan.to.clone(),
            state: state.name().to_owned(),
            migrated,
            remaining: if switching {
                actors.journal().known().saturating_sub(migrated)
            } else {
                0
            },
            probation_left_s: match state {
                State::Probation { until_ms } => Some(left_s(until_ms)),
                _ => None,
            },
            reason: state.reason().map(|reason| reason.text.clone()),
        }
    }
}

/// Seconds left until `until_ms`, rounded up.
pub(crate) fn left_s(until_ms: i64) -> u64 {
    u64::try_from(until_ms - unix_ms())
        .unwrap_or(0)
        .div_ceil(1_000)
}
