//! One upgrade on its way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use host_actors::Release;
use host_journal::unix_ms;
use host_model::control::{ConfigChange, Outcome, Progress, UpgradeReport};
use tokio::sync::mpsc;

use crate::book::{Book, Past};
use crate::engine::{Asked, Upgrader, Wishes};
use crate::running::Running;
use crate::state::{Event, Reason, State, Upgrade};

/// Before a transition that the store would not have is tried again.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The one who carries it out.
pub(crate) struct Run {
    pub(crate) upgrader: Arc<Upgrader>,
    pub(crate) running: Arc<Running>,
    pub(crate) upgrade: Upgrade,
    /// None for an upgrade that a start found: only its way back is left.
    pub(crate) probation_s: Option<u64>,
    pub(crate) asked: mpsc::Receiver<Asked>,
    /// The new release, put together and not yet ruling.
    pub(crate) staged: Option<Release>,
    began: Instant,
    /// Actors that came over on the way there, before any went back.
    pub(crate) came_over: u64,
    /// How long one actor may be busy, where the operator has said so.
    pub(crate) deadline: Option<Duration>,
    /// When what goes on now was begun.
    pub(crate) step_began: Instant,
    /// What the new release changes in the configuration.
    pub(crate) config: Vec<ConfigChange>,
    /// It goes back because code of the new release does not return.
    pub(crate) hung: bool,
}

/// The journal has closed, or is about to: the process ends, and the next start goes on.
pub(crate) struct HostEnds;

impl Run {
    pub(crate) fn new(
        upgrader: Arc<Upgrader>,
        running: Arc<Running>,
        upgrade: Upgrade,
        wishes: Option<Wishes>,
        asked: mpsc::Receiver<Asked>,
    ) -> Self {
        Self {
            upgrader,
            running,
            upgrade,
            probation_s: wishes.map(|wishes| wishes.probation_s),
            asked,
            staged: None,
            began: Instant::now(),
            came_over: 0,
            deadline: wishes
                .and_then(|wishes| wishes.deadline_s)
                .map(Duration::from_secs),
            step_began: Instant::now(),
            config: Vec::new(),
            hung: false,
        }
    }

    /// Takes it from the state that it is in to its end.
    pub(crate) async fn go_on(mut self) {
        if self.drive().await.is_err() {
            tracing::warn!(
                upgrade = self.upgrade.id,
                state = self.upgrade.state.name(),
                "the host ends; the next start goes on with the upgrade"
            );
            return;
        }
        let report = self.report();
        tracing::info!(upgrade = self.upgrade.id, from = %report.from, to = %report.to,
            outcome = ?report.outcome, migrated = report.actors_migrated, reason = report.reason,
            "an upgrade is over");
        self.running.tell(Progress::Ended(report));
    }

    async fn drive(&mut self) -> Result<(), HostEnds> {
        // What was found by a start, or has just been planned, is written first.
        self.write(self.book()).await?;
        if self.upgrade.state == State::Planned {
            (self.upgrader.hooks.transition)(self.upgrade.state.name());
        }
        self.tell();
        while !self.upgrade.state.is_over() {
            self.step_began = Instant::now();
            let event = match &self.upgrade.state {
                State::Planned => self.verify().await,
                State::Verified => self.stage().await,
                State::Staged => Event::SwitchBegan,
                State::Switching => self.switch().await,
                State::Probation { until_ms } => {
                    let until_ms = *until_ms;
                    self.watch(until_ms).await
                }
                State::RollingBack { .. } => self.go_back().await,
                State::Stuck { .. } => self.wait_for_an_operator().await?,
                State::Committed | State::Cancelled { .. } | State::RolledBack { .. } => break,
            };
            let contained = matches!(event, Event::Contained { .. });
            self.transition(event).await?;
            if contained {
                // The next process brings everyone back; who listens hears it now.
                self.running.tell(Progress::Ended(self.report()));
                (self.upgrader.hooks.restart)();
                return Err(HostEnds);
            }
        }
        Ok(())
    }

    /// Makes the state that follows durable, and then enters it.
    async fn transition(&mut self, event: Event) -> Result<(), HostEnds> {
        let state = self.upgrade.state.clone();
        let next = state
            .apply(event)
            .expect("each step ends in an event that its state knows");
        self.upgrade.state = next;
        let book = match &self.upgrade.state {
            State::Committed => {
                let plan = &self.upgrade.plan;
                self.book()
                    .permanent(&plan.to, Some(&plan.from))
                    .history(self.upgrade.id, &self.report())
            }
            State::RolledBack { reason } if self.blames_release(reason) => self
                .book()
                .failed(&self.upgrade.plan.to, &reason.text)
                .history(self.upgrade.id, &self.report()),
            state if state.is_over() => self.book().history(self.upgrade.id, &self.report()),
            _ => self.book(),
        };
        self.write(book).await?;
        (self.upgrader.hooks.transition)(self.upgrade.state.name());
        self.take_note();
        tracing::info!(
            upgrade = self.upgrade.id,
            state = self.upgrade.state.name(),
            reason = self
                .upgrade
                .state
                .reason()
                .map(|reason| reason.text.as_str()),
            "an upgrade has come to a new state"
        );
        self.tell();
        Ok(())
    }

    /// Whether the release is marked: an older one that an operator wants back is not.
    fn blames_release(&self, reason: &Reason) -> bool {
        reason.blames_release && !self.upgrade.rollback
    }

    fn book(&self) -> Book {
        Book::new().upgrade(&self.upgrade)
    }

    /// Writes until the store has it. It says no before COMMIT when a disk is full,
    /// say, and an upgrade half done is nothing to leave alone.
    pub(crate) async fn write(&self, mut book: Book) -> Result<(), HostEnds> {
        loop {
            let again = book.clone();
            let Err(error) = book.write(&self.upgrader.actors).await else {
                return Ok(());
            };
            if self.upgrader.actors.journal().is_closed() {
                return Err(HostEnds);
            }
            tracing::error!(%error, "the state of an upgrade could not be written; trying again");
            tokio::time::sleep(WRITE_AGAIN_AFTER).await;
            book = again;
        }
    }

    /// What the process keeps of what is now booked.
    fn take_note(&self) {
        let plan = &self.upgrade.plan;
        {
            let mut booked = self.upgrader.booked.lock();
            booked.last = Some(self.upgrade.clone());
            match &self.upgrade.state {
                State::Committed => {
                    booked.permanent = Some(plan.to.clone());
                    booked.statuses.remove(&plan.to);
                    booked.statuses.insert(plan.from.clone(), Past::Old);
                }
                State::RolledBack { reason } if self.blames_release(reason) => {
                    let reason = reason.text.clone();
                    booked
                        .statuses
                        .insert(plan.to.clone(), Past::Failed { reason });
                }
                _ => {}
            }
        }
        if self.upgrade.state == State::Committed {
            (self.upgrader.hooks.permanent)(&plan.to);
        }
    }

    fn tell(&self) {
        let at_ms = self.elapsed_ms();
        self.running.enter(&self.upgrade.state, at_ms);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn report(&self) -> UpgradeReport {
        let migrations = self.upgrader.actors.migrations();
        let outcome = match &self.upgrade.state {
            State::Committed => Outcome::Committed,
            State::Cancelled { .. } => Outcome::Failed,
            State::RollingBack { .. } | State::RolledBack { .. } => Outcome::RolledBack,
            State::Stuck { .. } => Outcome::Stuck,
            _ => Outcome::Probation,
        };
        UpgradeReport {
            from: self.upgrade.plan.from.clone(),
            to: self.upgrade.plan.to.clone(),
            outcome,
            rollback: self.upgrade.rollback,
            actors_migrated: self.came_over.max(migrations.migrated()),
            pause_us: migrations.pauses_us(),
            rehearsal: None,
            config: self.config.clone(),
            duration_ms: self.elapsed_ms(),
            ended_ms: unix_ms(),
            reason: self
                .upgrade
                .state
                .reason()
                .map(|reason| reason.text.clone()),
        }
    }
}
