//! The steps of an upgrade: what is done in each of its states, and the event in
//! which it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_actors::Release;
use host_model::control::{Progress, RehearsalOutcome, RehearsalReport};
use host_model::error::chain;
use host_model::limits::PROBATION_MAX;

use crate::book::Book;
use crate::rehearse::Rehearsal;
use crate::run::Run;
use crate::running::Closed;
use crate::state::{Event, Reason};
use crate::stuck::Remedy;
use crate::trial::Baseline;
use crate::watch::Step;
use crate::wishes::Asked;

/// Between two messages about how far it is.
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(500);

/// Why an upgrade goes back that an operator wants to.
pub(crate) const BY_HAND: &str = "an operator rolled it back";

pub(crate) enum Swept {
    All,
    Failed(Reason),
    /// Only a new process comes further: see [`Event::Contained`].
    Contained {
        why: String,
        others: usize,
    },
}

impl Swept {
    /// How a way there ends that everyone goes. Only the way back is contained: what is
    /// asked for there goes back first.
    pub(crate) fn done(self) -> Result<(), Reason> {
        match self {
            Self::All => Ok(()),
            Self::Failed(reason) => Err(reason),
            Self::Contained { why, .. } => Err(Reason::release(why)),
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
        let looking = upgrader.verified(&plan, self.upgrade.rollback);
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
            Err(why) => {
                self.is_refused = true;
                let again = format!("\nmend it, and say `host rollback {}` again", plan.to);
                let is_asked_for = self.upgrade.rollback && !self.is_cold();
                failed(why + if is_asked_for { &again } else { "" })
            }
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
            move |rehearsed, total| running.rehearsed(rehearsed, total)
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
    pub(crate) fn install(&self, release: impl Into<Arc<Release>>) {
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

    /// Brings everyone over. Who cannot come ends an upgrade; on an operator's way
    /// back it is set aside.
    pub(crate) async fn come_over(&mut self, plugin: Option<&str>) -> Swept {
        match self.upgrade.rollback {
            true => self.bring_back(plugin).await,
            false => self.sweep(plugin).await,
        }
    }

    /// All that were called are there, however many they were taken for.
    pub(crate) fn tell_all_migrated(&self, plugin: Option<&str>) {
        let total = self.upgrader.actors.migrations().migrated();
        let migrated = total;
        if total > 0 && plugin.is_none() {
            self.running.tell(Progress::Migrated { migrated, total });
        }
    }

    pub(crate) fn tell_migrated(&self) {
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
                    if let Some(reason) = self.failures() {
                        return Some(Swept::Failed(reason));
                    }
                    self.tell_all_migrated(plugin);
                    return Some(Swept::All);
                }
                () = actors.migrations().failure() => {
                    if let Some(reason) = self.failures() {
                        return Some(Swept::Failed(reason));
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
                        Remedy::Contain { why, others } => {
                            return Some(Swept::Contained { why, others });
                        }
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

    /// The migrations that failed, in a sentence. That somebody's way is missing is said of no
    /// release, as where that is known beforehand; but a start that found no way for somebody
    /// finds none the next time either, and is to boot the permanent release.
    pub(crate) fn failures(&self) -> Option<Reason> {
        let failures = self.upgrader.actors.migrations().failures();
        let tried = failures.iter().find(|it| it.is_tried);
        let first = tried.or(failures.first())?;
        let others = match failures.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        Some(Reason {
            text: format!(
                "{} could not come over from {} to {}: {}{others}",
                first.actor, first.from, first.to, first.why
            ),
            blames_release: first.is_tried || self.upgrade.plan.at_start,
        })
    }

    /// The release that shall rule: the new one, or on the way back the old one.
    pub(crate) async fn assemble(&self, forward: bool) -> Result<Release, String> {
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
