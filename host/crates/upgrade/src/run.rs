//! One upgrade on its way.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use host_actors::{Actors, Release};
use host_model::control::{Outcome, Progress, UpgradeReport, UpgradeStatus};
use host_model::limits::PROBATION_MAX;
use host_model::plan::Plan;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};

use crate::book::{Book, Past};
use crate::engine::{Asked, RefusedUpgrade, Upgrader};
use crate::state::{Event, Reason, State, Upgrade};
use crate::verify::verify;

/// Between two messages about how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Before a transition that the store would not have is tried again.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What others see of an upgrade.
#[derive(Debug)]
pub(crate) struct Running {
    id: u64,
    pub(crate) plan: Plan,
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
            state: Mutex::new(upgrade.state.clone()),
            ask,
            progress,
        }
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
        // A full queue means that wishes wait already; this one changes nothing.
        let _full = self.ask.try_send(asked);
        Ok(progress)
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

/// The one who carries it out.
pub(crate) struct Run {
    upgrader: Arc<Upgrader>,
    running: Arc<Running>,
    upgrade: Upgrade,
    /// None for an upgrade that a start found: only its way back is left.
    probation_s: Option<u64>,
    asked: mpsc::Receiver<Asked>,
    /// The new release, put together and not yet ruling.
    staged: Option<Release>,
    began: Instant,
    /// Actors that came over on the way there, before any went back.
    came_over: u64,
}

/// The journal has closed: the process ends, and the next start goes on.
struct HostEnds;

impl Run {
    pub(crate) fn new(
        upgrader: Arc<Upgrader>,
        running: Arc<Running>,
        upgrade: Upgrade,
        probation_s: Option<u64>,
        asked: mpsc::Receiver<Asked>,
    ) -> Self {
        Self {
            upgrader,
            running,
            upgrade,
            probation_s,
            asked,
            staged: None,
            began: Instant::now(),
            came_over: 0,
        }
    }

    /// Takes it from the state that it is in to its end.
    pub(crate) async fn go_on(mut self) {
        if self.drive().await.is_err() {
            tracing::warn!(
                upgrade = self.upgrade.id,
                state = self.upgrade.state.name(),
                "the journal has closed; the next start goes on with the upgrade"
            );
            return;
        }
        let report = self.report();
        tracing::info!(upgrade = self.upgrade.id, from = %report.from, to = %report.to,
            outcome = ?report.outcome, migrated = report.actors_migrated, reason = report.reason,
            "an upgrade is over");
        // Nobody may be listening.
        let _ = self.running.progress.send(Progress::Ended(report));
    }

    async fn drive(&mut self) -> Result<(), HostEnds> {
        // What was found by a start, or has just been planned, is written first.
        self.write(self.book()).await?;
        if self.upgrade.state == State::Planned {
            (self.upgrader.hooks.transition)(self.upgrade.state.name());
        }
        self.tell();
        while !self.upgrade.state.is_over() {
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
            self.transition(event).await?;
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
            State::RolledBack { reason } if reason.blames_release => self
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

    fn book(&self) -> Book {
        Book::new().upgrade(&self.upgrade)
    }

    /// Writes until the store has it. It says no before COMMIT when a disk is full,
    /// say, and an upgrade half done is nothing to leave alone.
    async fn write(&self, mut book: Book) -> Result<(), HostEnds> {
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
                    booked.previous = Some(plan.from.clone());
                    booked.statuses.remove(&plan.to);
                    booked.statuses.insert(plan.from.clone(), Past::Old);
                }
                State::RolledBack { reason } if reason.blames_release => {
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

    async fn verify(&mut self) -> Event {
        let (upgrader, to) = (Arc::clone(&self.upgrader), self.upgrade.plan.to.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let release = upgrader.assembler.releases().read(&to);
            let release = release.map_err(|e| e.to_string())?;
            let booked = upgrader.booked.lock().clone();
            verify(&release, &booked, &upgrader.host, &upgrader.target).map_err(|e| e.to_string())
        });
        match checked.await {
            Ok(Ok(())) => Event::Verified,
            Ok(Err(why)) => failed(why),
            Err(error) => failed(error.to_string()),
        }
    }

    /// Opens all that the new release needs, so that the switch itself cannot fail.
    async fn stage(&mut self) -> Event {
        let release = match self.assemble(true).await {
            Ok(release) => release,
            Err(why) => return failed(why),
        };
        let read = self.upgrader.assembler.releases().read(&release.version);
        let manifest = match read {
            Ok(unpacked) => unpacked.manifest,
            Err(error) => return failed(error.to_string()),
        };
        if self.write(Book::new().digests(&manifest)).await.is_err() {
            return failed("the journal has closed".to_owned());
        }
        self.staged = Some(release);
        Event::Staged
    }

    async fn switch(&mut self) -> Event {
        self.upgrader.actors.migrations().reset();
        let release = self
            .staged
            .take()
            .expect("a switch follows a stage in the same process");
        self.upgrader.actors.install(release);
        match self.sweep().await {
            Swept::All => Event::AllSwitched {
                until_ms: now_ms().saturating_add(self.probation_ms()),
            },
            Swept::Failed(reason) => Event::Failed { reason },
        }
    }

    /// Watches the new release until `until_ms`, and brings over who is still behind.
    async fn watch(&mut self, until_ms: i64) -> Event {
        loop {
            let left_ms = u64::try_from(until_ms - now_ms()).unwrap_or(0);
            if left_ms == 0 {
                break;
            }
            let _ = self.running.progress.send(Progress::Probation {
                left_s: left_s(until_ms),
            });
            let actors = Arc::clone(&self.upgrader.actors);
            tokio::select! {
                () = actors.migrations().failure() => {}
                () = tokio::time::sleep(Duration::from_millis(left_ms).min(Duration::from_secs(1))) => {}
                Some(asked) = self.asked.recv() => match asked {
                    Asked::RollBack => return Event::Failed {
                        reason: Reason::blameless(BY_HAND),
                    },
                    Asked::Commit => break,
                }
            }
            if let Some(why) = self.failures() {
                return failed(why);
            }
        }
        match self.sweep().await {
            Swept::All => Event::Committed,
            Swept::Failed(reason) => Event::Failed { reason },
        }
    }

    /// Lets the old release rule again and brings everyone back. Who cannot go back is
    /// set aside whole, in the new version, and named: it holds up no one else.
    async fn go_back(&mut self) -> Event {
        let actors = Arc::clone(&self.upgrader.actors);
        self.came_over = self.came_over.max(actors.migrations().migrated());
        // Before the old release rules again: from then on failures count.
        actors.migrations().reset();
        match self.assemble(false).await {
            Ok(release) => actors.install(release),
            Err(why) => {
                return Event::GotStuck {
                    reason: Reason::release(why),
                };
            }
        }
        loop {
            if let Swept::Failed(reason) = self.sweep_back().await {
                return Event::GotStuck { reason };
            }
            let failures = actors.migrations().take_failures();
            if failures.is_empty() {
                return Event::AllReturned;
            }
            for failure in failures {
                let reason = format!(
                    "it could not go back from {} to {}: {}",
                    failure.from, failure.to, failure.why
                );
                actors.set_aside(&failure.actor, &reason).await;
            }
        }
    }

    /// Brings back whoever can go back, and says meanwhile how far it is.
    async fn sweep_back(&mut self) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        let sweep = actors.sweep(false);
        tokio::pin!(sweep);
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                swept = &mut sweep => return match swept {
                    Ok(_) => Swept::All,
                    Err(error) => Swept::Failed(Reason::blameless(host_actors::chain(&error))),
                },
                // It goes back already: there is nothing else to wish for.
                Some(_) = self.asked.recv() => {}
                _ = tell.tick() => self.tell_migrated(),
            }
        }
    }

    fn tell_migrated(&self) {
        let actors = &self.upgrader.actors;
        let _ = self.running.progress.send(Progress::Migrated {
            migrated: actors.migrations().migrated(),
            total: actors.journal().known(),
        });
    }

    async fn wait_for_an_operator(&mut self) -> Result<Event, HostEnds> {
        loop {
            match self.asked.recv().await {
                Some(Asked::RollBack) => return Ok(Event::TriedAgain),
                Some(Asked::Commit) => {}
                None => return Err(HostEnds),
            }
        }
    }

    /// Brings over whoever is behind, while failures and an operator's wishes are heard.
    async fn sweep(&mut self) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        let sweep = {
            let actors = Arc::clone(&actors);
            async move { actors.sweep(true).await }
        };
        tokio::pin!(sweep);
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                swept = &mut sweep => {
                    if let Err(error) = swept {
                        return Swept::Failed(Reason::blameless(host_actors::chain(&error)));
                    }
                    let failures = self.failures().map(Reason::release);
                    return failures.map_or(Swept::All, Swept::Failed);
                }
                () = actors.migrations().failure() => {
                    if let Some(why) = self.failures() {
                        return Swept::Failed(Reason::release(why));
                    }
                }
                Some(asked) = self.asked.recv() => match asked {
                    Asked::RollBack => return Swept::Failed(Reason::blameless(BY_HAND)),
                    Asked::Commit => self.probation_s = Some(0),
                },
                _ = tell.tick() => self.tell_migrated(),
            }
        }
    }

    /// The migrations that failed, in a sentence.
    fn failures(&self) -> Option<String> {
        let migrations = self.upgrader.actors.migrations();
        let first = migrations.first_failure()?;
        let others = match migrations.failed().saturating_sub(1) {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        Some(format!(
            "{} could not come over from {} to {}: {}{others}",
            first.actor, first.from, first.to, first.why
        ))
    }

    /// The release that shall rule: the new one, or on the way back the old one.
    async fn assemble(&self, forward: bool) -> Result<Release, String> {
        let upgrader = Arc::clone(&self.upgrader);
        let plan = &self.upgrade.plan;
        let (to, from) = if forward {
            (plan.to.clone(), plan.from.clone())
        } else {
            (plan.from.clone(), plan.to.clone())
        };
        let assembled = tokio::task::spawn_blocking(move || -> Result<_, String> {
            let releases = upgrader.assembler.releases();
            let read = |version| releases.read(version).map_err(|e| host_actors::chain(&e));
            let (to, from) = (read(&to)?, read(&from)?);
            let release = upgrader.assembler.assemble(&to, Some(&from));
            release.map_err(|e| host_actors::chain(&e))
        });
        assembled.await.unwrap_or_else(|e| Err(e.to_string()))
    }

    fn tell(&self) {
        *self.running.state.lock() = self.upgrade.state.clone();
        let _ = self.running.progress.send(Progress::State {
            state: self.upgrade.state.name().to_owned(),
            at_ms: self.elapsed_ms(),
        });
    }

    /// Bounded, whatever an appup or an operator asks for.
    fn probation_ms(&self) -> i64 {
        let s = self.probation_s.unwrap_or(0).min(PROBATION_MAX.as_secs());
        i64::try_from(s.saturating_mul(1_000)).unwrap_or(i64::MAX)
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
            actors_migrated: self.came_over.max(migrations.migrated()),
            pause_us: migrations.pauses_us(),
            rehearsal: None,
            duration_ms: self.elapsed_ms(),
            reason: self
                .upgrade
                .state
                .reason()
                .map(|reason| reason.text.clone()),
        }
    }
}

/// Why an upgrade goes back that an operator wants to.
const BY_HAND: &str = "an operator rolled it back";

enum Swept {
    All,
    Failed(Reason),
}

fn failed(why: String) -> Event {
    Event::Failed {
        reason: Reason::release(why),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds left until `until_ms`, rounded up.
fn left_s(until_ms: i64) -> u64 {
    u64::try_from(until_ms - now_ms())
        .unwrap_or(0)
        .div_ceil(1_000)
}
