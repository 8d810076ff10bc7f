//! An upgrade on its way, as others see it: its state, and where to send a wish.

use host_actors::Actors;
use host_journal::unix_ms;
use host_model::Version;
use host_model::control::{Progress, UpgradeStatus};
use host_model::plan::Plan;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};

use crate::engine::{Asked, RefusedUpgrade};
use crate::state::{State, Upgrade};

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

    pub(crate) fn listen(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().clone()
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
