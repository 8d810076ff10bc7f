//! The steps of an upgrade: what is done in each of its states, and the event in
//! which it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_actors::{Redelivered, Release};
use host_model::control::{Progress, RehearsalOutcome, RehearsalReport};
use host_model::error::chain;
use host_model::limits::PROBATION_MAX;
use host_model::plan::{Action, Plan};

use crate::book::Book;
use crate::rehearse::Rehearsal;
use crate::run::Run;
use crate::running::Closed;
use crate::state::{Event, Reason, State};
use crate::stuck::Remedy;
use crate::trial::Baseline;
use crate::watch::Step;
use crate::wishes::Asked;

/// Between two messages about how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Why an upgrade goes back that an operator wants to.
pub(crate) const BY_HAND: &str = "an operator rolled it back";

pub(crate) enum Swept {
    All,
    Failed(Reason),
    /// Only a new process comes further: what does not return, in a sentence.
    Contained(String),
}

impl Swept {
    /// How a way there ends that everyone goes. Only the way back is contained: what is
    /// asked for there goes back first.
    pub(crate) fn done(self) -> Result<(), Reason> {
        match self {
            Self::All => Ok(()),
            Self::Failed(reason) => Err(reason),
            Self::Contained(why) => Err(Reason::release(why)),
        }
    }
}

fn failed(why: String) -> Event {
    Event::Failed {
        reason: Reason::release(why),
    }
}

impl Run {
    pub(crate) async fn verify(&mut self) -> Event {
        let (upgrader, plan) = (Arc::clone(&self.upgrader), self.upgrade.plan.clone());
        let running = Arc::clone(&self.running);
        let looking = upgrader.verified(&plan);
        tokio::pin!(looking);
        // A disk that hangs holds up the look, and no operator.
        let looked = loop {
            tokio::select! {
                looked = &mut looking => break looked,
                asked = running.wishes.heard() => {
                    if let Some(reason) = self.take(asked) {
                        return Event::Failed { reason };
                    }
                }
            }
        };
        match looked {
            Ok(config) => {
                self.flight.configures(config);
                match (upgrader.hooks.leave)(&plan.from, &plan.to) {
                    Ok(()) => Event::Verified,
                    Err(why) => failed(format!("the way back of its configuration: {why}")),
                }
            }
            Err(why) if self.upgrade.rollback && !self.is_cold() => failed(format!(
                "{why}\nmend it, and say `host rollback {}` again",
                plan.to
            )),
            Err(why) => failed(why),
        }
    }

    /// Finds out beforehand what it would do to the actors that there are; an operator
    /// who wants it back is heard meanwhile. Without a rehearsal, goes on to stage.
    pub(crate) async fn rehearse(&mut self) -> Event {
        let plan = &self.upgrade.plan;
        let extent = match self.asks.rehearsal {
            Ok(extent) => extent,
            Err(why) => {
                let skipped = RehearsalReport::skipped(&plan.from, &plan.to, why);
                self.flight.rehearsed(Box::new(skipped));
                return self.stage().await;
            }
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let tell = {
            let running = Arc::clone(&self.running);
            move |rehearsed, total| running.tell(Progress::Rehearsed { rehearsed, total })
        };
        let rehearsal = self.upgrader.rehearsal(
            plan.clone(),
            extent,
            self.asks.one_way,
            Arc::clone(&cancelled),
            Box::new(tell),
        );
        let rehearsal = Rehearsal {
            deadline: self.asks.deadline,
            timed: !self.upgrade.rollback,
            ..rehearsal
        };
        let rehearsal = rehearsal.carry_out();
        tokio::pin!(rehearsal);
        let running = Arc::clone(&self.running);
        let report = loop {
            tokio::select! {
                report = &mut rehearsal => break report,
                asked = running.wishes.heard() => match asked {
                    Asked::RollBack => cancelled.store(true, Ordering::Relaxed),
                    Asked::Commit => self.hurry(),
                    Asked::Look => {}
                }
            }
        };
        let report = Box::new(report);
        self.running.tell(Progress::Rehearsal(report.clone()));
        let why = report.reason.clone().unwrap_or_default();
        let (outcome, known) = (report.outcome, report.known);
        self.flight.rehearsed(report);
        // Asked for at the last moment, it counts all the same.
        if cancelled.load(Ordering::Relaxed) {
            return Event::Failed {
                reason: Reason::blameless(BY_HAND),
            };
        }
        self.running.counted(known);
        match outcome {
            RehearsalOutcome::Passed | RehearsalOutcome::Skipped => Event::Rehearsed,
            RehearsalOutcome::Failed | RehearsalOutcome::Cancelled => {
                failed(format!("the rehearsal speaks against it: {why}"))
            }
        }
    }

    /// Opens all that the new release needs, so that the switch itself cannot fail.
    pub(crate) async fn stage(&mut self) -> Event {
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
        // From now on these numbers stand for these libraries, in this process too.
        self.upgrader.booked.lock().know(&manifest);
        self.upgrader.assembler.know(&manifest);
        self.staged = Some(Arc::new(release));
        Event::Staged
    }

    pub(crate) async fn switch(&mut self) -> Event {
        let actors = Arc::clone(&self.upgrader.actors);
        if actors.canary().is_none() {
            actors.migrations().reset();
        }
        if let Err(reason) = self.still_wanted().await {
            return Event::Failed { reason };
        }
        let release = self
            .staged
            .take()
            .expect("a switch follows a stage in the same process");
        if let Err(reason) = self.close_gates().await {
            return Event::Failed { reason };
        }
        let plan = &self.upgrade.plan;
        self.baseline = Some(Baseline::take(plan, &actors.release(), &release, false));
        self.install(release);
        match self.bring_over().await {
            Ok(()) => Event::AllSwitched,
            Err(reason) => Event::Failed { reason },
        }
    }

    /// Lets a release rule, with its configuration.
    fn install(&self, release: impl Into<Arc<Release>>) {
        let release = release.into();
        let version = release.version.clone();
        self.upgrader.actors.install(release);
        (self.upgrader.hooks.rules)(&version);
        // It was in order when it was looked at, and is what was looked at.
        if let Err(problems) = self.upgrader.assembler.reconfigure(&version) {
            let problems = problems.join("; ");
            tracing::error!(%version, problems, "its plugins keep the configuration that they had");
        }
    }

    /// Watches the new release for its time, or longer where too little is seen, and brings
    /// over who is still behind. The time begins here, where the state is durable: a store
    /// that was away meanwhile, or a clock that was set, takes nothing of it.
    pub(crate) async fn probation(&mut self) -> Event {
        match self.watch(self.window()).await {
            Step::Failed(reason) => return Event::Failed { reason },
            Step::Commit => self.hurry(),
            Step::Over => {}
        }
        loop {
            if let Err(reason) = self.come_over(None).await.done() {
                return Event::Failed { reason };
            }
            // Asked for at the last moment, it counts all the same.
            match self.running.close() {
                Closed::ToAll => return Event::Committed,
                Closed::Paused => {}
                Closed::RollsBack => {
                    return Event::Failed {
                        reason: Reason::blameless(BY_HAND),
                    };
                }
            }
        }
    }

    /// Lets the old release rule again and brings everyone back. Who cannot go back is
    /// set aside whole, in the new version, and named: it holds up no one else.
    pub(crate) async fn go_back(&mut self) -> Event {
        let actors = Arc::clone(&self.upgrader.actors);
        self.came_over = self.came_over.max(actors.migrations().migrated());
        let steps = self.upgrade.plan.back.clone();
        let (before, behind) = Plan::around_switch(&steps);
        self.run_hooks_back(before).await;
        self.close_gates_back(before).await;
        // Before the old release rules again: from then on failures count.
        actors.migrations().turn_back();
        for actor in &self.upgrade.given_up {
            actors.stays_aside(actor);
        }
        let assembled = self.assemble(false).await;
        let assembled = assembled.map(|release| self.install(release));
        // Whatever follows: no gate stays closed for it.
        self.open_gates();
        if let Err(why) = assembled {
            return Event::GotStuck { why };
        }
        for step in behind {
            match &step.action {
                Action::Sweep { plugin } => match self.bring_back(Some(plugin)).await {
                    Swept::All => {}
                    Swept::Failed(Reason { text: why, .. }) => return Event::GotStuck { why },
                    Swept::Contained(why) => return Event::Contained { why },
                },
                _ => self.run_hooks_back(std::slice::from_ref(step)).await,
            }
        }
        match self.bring_back(None).await {
            Swept::All => Event::AllReturned,
            Swept::Failed(Reason { text: why, .. }) => Event::GotStuck { why },
            Swept::Contained(why) => Event::Contained { why },
        }
    }

    /// Brings everyone over. Who cannot come ends an upgrade; on an operator's way
    /// back it is set aside.
    pub(crate) async fn come_over(&mut self, plugin: Option<&str>) -> Swept {
        match self.upgrade.rollback {
            true => self.bring_back(plugin).await,
            false => self.sweep(plugin).await,
        }
    }

    /// Brings back whoever can go back, and sets the others aside, until nobody is left.
    async fn bring_back(&mut self, plugin: Option<&str>) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        loop {
            match self.sweep_back(plugin).await {
                Swept::All => {}
                ended => return ended,
            }
            let failures = actors.migrations().take_failures();
            if failures.is_empty() {
                self.redeliver().await;
                return Swept::All;
            }
            self.flight.failed(failures.clone());
            let ruling = actors.release();
            for failure in failures {
                // On its way there when the others turned back, it has failed since: it is
                // at home.
                let own = ruling.plugins.get(failure.actor.plugin());
                if own.is_some_and(|own| *own.code.version() == failure.from) {
                    continue;
                }
                let reason = format!(
                    "it could not go back from {} to {}: {}",
                    failure.from, failure.to, failure.why
                );
                actors.set_aside(&failure.actor, &reason).await;
            }
        }
    }

    /// Has what the release that was left could not handle delivered again. What is not
    /// stays a dead letter, and holds up no way back.
    async fn redeliver(&self) {
        match self.upgrader.actors.redeliver().await {
            Ok(done) if done == Redelivered::default() => {}
            Ok(done) => tracing::info!(?done, "what had come to nothing was delivered again"),
            Err(error) => tracing::error!(
                error = chain(&error),
                "dead letters could not all be delivered again; `host dead-letters retry` does it"
            ),
        }
    }

    /// Brings back whoever can go back, and says meanwhile how far it is. No wish is heard:
    /// who goes back already has nothing else to wish for.
    async fn sweep_back(&mut self, plugin: Option<&str>) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        let is_back = matches!(self.upgrade.state, State::RollingBack { .. });
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            let sweep = actors.sweep_of(plugin, false);
            tokio::pin!(sweep);
            loop {
                tokio::select! {
                    swept = &mut sweep => return match swept {
                        Ok(_) => {
                            self.tell_all_migrated(plugin);
                            Swept::All
                        }
                        Err(error) => Swept::Failed(Reason::blameless(chain(&error))),
                    },
                    _ = tell.tick() => {
                        self.tell_migrated();
                        let remedy = match is_back {
                            true => self.look_for_stuck_going_back().await,
                            false => self.look_for_stuck().await,
                        };
                        match remedy {
                            Remedy::GoOn => {}
                            // A sweep that waits for someone waits on.
                            Remedy::LookAgain => break,
                            Remedy::GoBack(reason) => return Swept::Failed(reason),
                            Remedy::Contain(why) => return Swept::Contained(why),
                        }
                    }
                }
            }
        }
    }

    /// All that were called are there, however many they were taken for.
    fn tell_all_migrated(&self, plugin: Option<&str>) {
        let total = self.upgrader.actors.migrations().migrated();
        let migrated = total;
        if total > 0 && plugin.is_none() {
            self.running.tell(Progress::Migrated { migrated, total });
        }
    }

    fn tell_migrated(&self) {
        let actors = &self.upgrader.actors;
        self.running.tell(Progress::Migrated {
            migrated: actors.migrations().migrated(),
            total: self.running.called(actors),
        });
    }

    pub(crate) async fn wait_for_an_operator(&mut self) -> Event {
        while self.running.wishes.heard().await != Asked::RollBack {}
        Event::TriedAgain
    }

    /// Brings over whoever is behind, while failures and an operator's wishes are heard.
    pub(crate) async fn sweep(&mut self, plugin: Option<&str>) -> Swept {
        loop {
            match self.sweep_or_pause(plugin).await {
                Some(swept) => return swept,
                // What is over stays; the rest is looked for anew.
                None => {
                    if let Some(reason) = self.rest().await {
                        return Swept::Failed(reason);
                    }
                }
            }
        }
    }

    /// A sweep; none of it is left when the upgrade is paused.
    async fn sweep_or_pause(&mut self, plugin: Option<&str>) -> Option<Swept> {
        let actors = Arc::clone(&self.upgrader.actors);
        let running = Arc::clone(&self.running);
        let sweep = actors.sweep_of(plugin, true);
        tokio::pin!(sweep);
        let mut tell = tokio::time::interval(TELL_EVERY);
        while !self.running.is_paused() {
            tokio::select! {
                swept = &mut sweep => {
                    if let Err(error) = swept {
                        return Some(Swept::Failed(Reason::blameless(chain(&error))));
                    }
                    if let Some(why) = self.failures() {
                        return Some(Swept::Failed(Reason::release(why)));
                    }
                    self.tell_all_migrated(plugin);
                    return Some(Swept::All);
                }
                () = actors.migrations().failure() => {
                    if let Some(why) = self.failures() {
                        return Some(Swept::Failed(Reason::release(why)));
                    }
                }
                asked = running.wishes.heard() => {
                    if let Some(reason) = self.take(asked) {
                        return Some(Swept::Failed(reason));
                    }
                }
                _ = tell.tick() => {
                    self.tell_migrated();
                    // Who has come over is served by the new release already.
                    if let Some(why) = self.breach() {
                        return Some(Swept::Failed(Reason::release(why)));
                    }
                    match self.look_for_stuck().await {
                        Remedy::GoOn => {}
                        // A sweep that waits for someone waits on: another one does not.
                        Remedy::LookAgain => return None,
                        Remedy::GoBack(reason) => return Some(Swept::Failed(reason)),
                        Remedy::Contain(why) => return Some(Swept::Contained(why)),
                    }
                }
            }
        }
        None
    }

    /// Takes an operator's wish while actors come over. Some: why it goes back.
    pub(crate) fn take(&mut self, asked: Asked) -> Option<Reason> {
        match asked {
            Asked::RollBack => return Some(Reason::blameless(BY_HAND)),
            Asked::Commit => self.hurry(),
            Asked::Look => {}
        }
        None
    }

    /// The migrations that failed, in a sentence.
    pub(crate) fn failures(&self) -> Option<String> {
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
        let goes_back = !forward || self.upgrade.rollback;
        let plan = self.upgrade.plan.clone();
        let (to, from) = if forward {
            (plan.to.clone(), plan.from.clone())
        } else {
            (plan.from.clone(), plan.to.clone())
        };
        let assembled = tokio::task::spawn_blocking(move || -> Result<_, String> {
            let releases = upgrader.assembler.releases();
            let read = |version| releases.read(version).map_err(|e| chain(&e));
            let (to, from) = (read(&to)?, read(&from)?);
            let release = upgrader.assembler.assemble_behind(&from, &to, &plan);
            let release = release.map_err(|e| chain(&e))?;
            Ok(match goes_back {
                true => release.without_timeouts(),
                false => release,
            })
        });
        assembled.await.unwrap_or_else(|e| Err(e.to_string()))
    }

    /// How long a step is watched: bounded, whatever an appup or an operator asks for.
    pub(crate) fn window(&self) -> Duration {
        let asked = Duration::from_secs(self.asks.probation_s.unwrap_or(0));
        asked.min(PROBATION_MAX)
    }
}
