//! One upgrade on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_actors::{Release, Running as Runs};
use host_journal::{Position, unix_ms};
use host_model::control::{Outcome, Progress, RehearsalOutcome, UpgradeReport};
use host_model::flight::Asked as Noted;
use host_model::{Share, Version};

use crate::book::{Book, Booked, Past};
use crate::engine::{Asks, Upgrader};
use crate::flight::{Flight, read_flying};
use crate::running::Running;
use crate::state::{Event, Reason, State, Upgrade};
use crate::trial::Baseline;
use crate::way_back::way_back;

/// Before a transition that the store would not have is tried again.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a store may take to write a transition before the gates that are closed for the
/// switch open again.
const OPEN_GATES_AFTER: Duration = Duration::from_secs(1);

/// The one who carries it out.
pub(crate) struct Run {
    pub(crate) upgrader: Arc<Upgrader>,
    pub(crate) running: Arc<Running>,
    pub(crate) upgrade: Upgrade,
    pub(crate) asks: Asks,
    /// The shares that go first and have not yet.
    pub(crate) ramp: VecDeque<Share>,
    /// The new release, put together and not yet ruling.
    pub(crate) staged: Option<Arc<Release>>,
    /// Whether gates that the plan closes before the switch are open.
    pub(crate) gates_are_open: bool,
    /// What the step that is watched is compared with.
    pub(crate) baseline: Option<Baseline>,
    pub(crate) flight: Flight,
    /// Why the release that is left did not come up, if that is why it is left.
    failed_before: Option<String>,
    /// Whether verification found something wrong.
    pub(crate) is_refused: bool,
    /// What is to be known of it although it committed.
    pub(crate) remark: Option<String>,
    began: Instant,
    /// How long it had been under way then.
    before: Duration,
    /// When what goes on now was begun.
    pub(crate) step_began: Instant,
    /// It goes back because this code of the new release does not return.
    pub(crate) hung: Option<Runs>,
    /// Where the tails began before anyone came over.
    tails_from: Position,
}

/// What is wanted of an upgrade beside its plan.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) asks: Asks,
    /// The shares that go first.
    pub(crate) ramp: VecDeque<Share>,
    /// See [`Upgrade::rollback`].
    pub(crate) rollback: bool,
    /// The release that is left does not come up, for this reason: it is failed from the
    /// moment on that another is permanent.
    pub(crate) failed_before: Option<String>,
    /// Who wants it.
    pub(crate) asked: Option<Noted>,
}

/// The journal has closed, or is about to: the process ends, and the next start goes on.
pub(crate) struct HostEnds;

impl Run {
    pub(crate) fn new(
        upgrader: Arc<Upgrader>,
        running: Arc<Running>,
        upgrade: Upgrade,
        wish: Wish,
    ) -> Self {
        let mut flight = Flight::default();
        flight.ask(wish.asked);
        Self {
            upgrader,
            running,
            upgrade,
            asks: wish.asks,
            ramp: wish.ramp,
            staged: None,
            gates_are_open: false,
            baseline: None,
            flight,
            failed_before: wish.failed_before,
            is_refused: false,
            remark: None,
            began: Instant::now(),
            before: Duration::ZERO,
            step_began: Instant::now(),
            hung: None,
            tails_from: Position(0),
        }
    }

    /// Goes on with the flight record of the process before this one. Blocking.
    pub(crate) fn with_what_was_known(mut self) -> Self {
        match read_flying(self.upgrader.actors.journal()) {
            Ok(flight) => {
                self.before = flight.age();
                self.flight = flight;
            }
            Err(error) => {
                tracing::warn!(%error, "what was known of an upgrade before this start is lost; it goes on without")
            }
        }
        self
    }

    /// Takes it from the state that it is in to its end.
    pub(crate) async fn go_on(mut self) {
        if self.drive().await.is_err() {
            // Who waits before a gate is answered by a process that ends.
            self.open_gates();
            tracing::warn!(
                upgrade = self.upgrade.id,
                state = self.upgrade.state.name(),
                "the host ends; the next start goes on with the upgrade"
            );
            return;
        }
        self.upgrader.actors.forget_last_words();
        let report = self.report();
        tracing::info!(upgrade = self.upgrade.id, from = %report.from, to = %report.to,
            outcome = ?report.outcome, migrated = report.actors_migrated, reason = report.reason,
            "an upgrade is over");
        self.running.tell(Progress::Ended(report));
    }

    async fn drive(&mut self) -> Result<(), HostEnds> {
        // From here on it is under way, and retention removes nothing.
        self.tails_from = self.upgrader.actors.journal().tails_from();
        // What was found by a start, or has just been planned, is written first. What a
        // death has cancelled is over with that.
        self.enter_flight();
        let book = match self.upgrade.state.is_over() {
            true => self.ended(self.book()),
            false => self.book(),
        };
        self.write(book).await?;
        if self.upgrade.state == State::Planned {
            (self.upgrader.hooks.transition)(&self.upgrade.state);
        }
        self.take_note();
        self.tell();
        while !self.upgrade.state.is_over() {
            self.step_began = Instant::now();
            let event = match &self.upgrade.state {
                State::Planned => self.verify().await,
                State::Verified => self.rehearse().await,
                State::Rehearsed => self.stage().await,
                State::Staged => self.prepare().await,
                State::Canary { share } => {
                    let share = *share;
                    self.canary(share).await
                }
                State::Switching => self.switch().await,
                State::Probation => self.probation().await,
                State::RollingBack { .. } => self.go_back().await,
                State::Stuck { .. } => self.wait_for_an_operator().await,
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
        let running = Arc::clone(&self.running);
        let stopped = running.stopped.lock().await;
        if *stopped {
            // Whoever follows has been told what the next start makes of this state.
            return Err(HostEnds);
        }
        let state = self.upgrade.state.clone();
        let had_switched = state.has_switched();
        let next = state
            .apply(event)
            .expect("each step ends in an event that its state knows");
        self.upgrade.state = next;
        if had_switched {
            self.flight
                .came_over(self.upgrader.actors.migrations().migrated());
        }
        self.enter_flight();
        let book = match &self.upgrade.state {
            State::Committed => {
                let plan = &self.upgrade.plan;
                let (before, needed) = self.way_back(&self.upgrader.booked.lock());
                let past = self.past_of_what_is_left();
                let book = self.book().permanent(&plan.to, Some((&plan.from, &past)));
                self.ended(book.way_back(&plan.to, before.as_ref(), needed))
            }
            State::RolledBack { reason } if self.blames_release(reason) => {
                let book = self.book().failed(&self.upgrade.plan.to, &reason.text);
                self.ended(book)
            }
            state if state.is_over() => self.ended(self.book()),
            _ => self.book(),
        };
        self.write(book).await?;
        if self.upgrade.state.has_switched() && !had_switched {
            // Before anyone is called over, and before anyone is told of the new state.
            self.upgrader.actors.migrations().reset();
        }
        (self.upgrader.hooks.transition)(&self.upgrade.state);
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

    /// Whether it goes back from a release that does not come up.
    pub(crate) fn is_cold(&self) -> bool {
        self.failed_before.is_some()
    }

    /// Whether the release is marked: an older one that an operator wants back is not.
    fn blames_release(&self, reason: &Reason) -> bool {
        reason.blames_release && !self.upgrade.rollback
    }

    /// Where a rollback leads once this is committed, and from where on it needs the
    /// journal.
    fn way_back(&self, booked: &Booked) -> (Option<Version>, Option<Position>) {
        way_back(booked, &self.upgrade.plan, self.tails_from)
    }

    /// What becomes of the release that is left by a commit.
    fn past_of_what_is_left(&self) -> Past {
        match self.failed_before.clone() {
            Some(reason) => Past::Failed { reason },
            None => Past::Old,
        }
    }

    pub(crate) fn book(&self) -> Book {
        Book::new().upgrade(&self.upgrade).flying(&self.flight)
    }

    /// With the last words about it.
    fn ended(&self, book: Book) -> Book {
        let report = self.report();
        let flight = self.flight.shown(&self.upgrade, Some(&report));
        let plan = &self.upgrade.plan;
        let ruling = match self.upgrade.state {
            State::Committed => &plan.to,
            _ => &plan.from,
        };
        book.history(&report, &flight, ruling)
    }

    /// Writes down in the flight record that it has come to a state, and what has
    /// happened before.
    fn enter_flight(&mut self) {
        self.flight.ask(self.running.take_noted());
        // Once, in the state to which they have led.
        if self.upgrade.state.reason().is_some() && !self.flight.is_stuck() {
            let failures = self.upgrader.actors.migrations().failures();
            self.flight.failed(failures);
        }
        let waits = self.upgrader.take_waits();
        self.flight.enter(&self.upgrade.state, &waits);
    }

    /// Writes until the store has it. It says no before COMMIT when a disk is full,
    /// say, and an upgrade half done is nothing to leave alone.
    pub(crate) async fn write(&mut self, mut book: Book) -> Result<(), HostEnds> {
        let actors = Arc::clone(&self.upgrader.actors);
        loop {
            let again = book.clone();
            let writing = book.write(&actors);
            tokio::pin!(writing);
            let written = match tokio::time::timeout(OPEN_GATES_AFTER, &mut writing).await {
                Ok(written) => written,
                Err(_) => {
                    self.let_pass();
                    writing.await
                }
            };
            let Err(error) = written else {
                return Ok(());
            };
            if self.upgrader.actors.journal().is_closed() {
                return Err(HostEnds);
            }
            tracing::error!(%error, "the state of an upgrade could not be written; trying again");
            self.let_pass();
            tokio::time::sleep(WRITE_AGAIN_AFTER).await;
            book = again;
        }
    }

    /// Nobody is to wait for a store before a gate: what closes them for the switch closes
    /// them anew.
    fn let_pass(&mut self) {
        self.open_gates();
        self.gates_are_open = true;
    }

    /// What the process keeps of what is now booked.
    fn take_note(&self) {
        let plan = &self.upgrade.plan;
        {
            let mut booked = self.upgrader.booked.lock();
            booked.last = Some(self.upgrade.clone());
            match &self.upgrade.state {
                State::Committed => {
                    let (before, needed) = self.way_back(&booked);
                    booked.set_way_back(&plan.to, before, needed);
                    booked.permanent = Some(plan.to.clone());
                    booked.statuses.remove(&plan.to);
                    let past = self.past_of_what_is_left();
                    booked.statuses.insert(plan.from.clone(), past);
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
        self.running.enter(&self.upgrade.state, self.report());
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = self.before + self.began.elapsed();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether what it found beforehand is why it was not begun.
    fn is_refused(&self) -> bool {
        let rehearsal = self.flight.rehearsal();
        self.is_refused || rehearsal.is_some_and(|it| it.outcome == RehearsalOutcome::Failed)
    }

    pub(crate) fn report(&self) -> UpgradeReport {
        let migrations = self.upgrader.actors.migrations();
        let outcome = match &self.upgrade.state {
            State::Cancelled { .. } if self.is_refused() => Outcome::Refused,
            state => state.outcome(),
        };
        let came_over = self.upgrade.state.came_over(migrations.migrated());
        let remarks = self.remark.clone().into_iter();
        let remarks: Vec<_> = remarks.chain(migrations.left_behind()).collect();
        UpgradeReport {
            from: self.upgrade.plan.from.clone(),
            to: self.upgrade.plan.to.clone(),
            outcome,
            rollback: self.upgrade.rollback,
            actors_migrated: self.flight.most_came_over().max(came_over),
            pause_us: migrations.pauses_us(),
            rehearsal: self.flight.rehearsal().cloned().map(Box::new),
            config: self.flight.config().to_vec(),
            duration_ms: self.elapsed_ms(),
            ended_ms: unix_ms(),
            paused_ms: self.running.paused_ms(),
            remark: (!remarks.is_empty()).then(|| remarks.join("; ")),
            reason: self
                .upgrade
                .state
                .reason()
                .map(|reason| reason.text.clone()),
            way_back: Box::new(migrations.way_back()),
        }
    }
}

#[cfg(test)]
mod tests;
