//! The steps of an upgrade: what is done in each of its states, and the event in
//! which it ends.

use std::sync::Arc;
use std::time::Duration;

use host_actors::Release;
use host_journal::unix_ms;
use host_model::control::Progress;
use host_model::error::chain;
use host_model::limits::PROBATION_MAX;

use crate::book::Book;
use crate::engine::Asked;
use crate::run::{HostEnds, Run};
use crate::running::left_s;
use crate::state::{Event, Reason, State};
use crate::stuck::Remedy;
use crate::verify::{Verified, VerifyError};

/// Between two messages about how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Why an upgrade goes back that an operator wants to.
const BY_HAND: &str = "an operator rolled it back";

enum Swept {
    All,
    Failed(Reason),
    /// Only a new process comes further: what does not return, in a sentence.
    Contained(String),
}

impl Swept {
    /// The event in which a way there ends that everyone goes: `all`, or it has failed.
    fn or_failed(self, all: Event) -> Event {
        match self {
            Self::All => all,
            Self::Failed(reason) => Event::Failed { reason },
            // Only the way back is contained; what is asked for here goes back first.
            Self::Contained(why) => failed(why),
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
        let verified = tokio::task::spawn_blocking(move || upgrader.verify(&plan)).await;
        let Verified { problems, config } = match verified {
            Ok(Ok(verified)) => verified,
            Ok(Err(error)) => return failed(error.to_string()),
            Err(error) => return failed(error.to_string()),
        };
        self.config = config;
        if problems.is_empty() {
            return Event::Verified;
        }
        let version = self.upgrade.plan.to.clone();
        failed(VerifyError { version, problems }.to_string())
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
        self.staged = Some(release);
        Event::Staged
    }

    pub(crate) async fn switch(&mut self) -> Event {
        self.upgrader.actors.migrations().reset();
        let release = self
            .staged
            .take()
            .expect("a switch follows a stage in the same process");
        self.install(release);
        let swept = self.come_over().await;
        let until_ms = unix_ms().saturating_add(self.probation_ms());
        swept.or_failed(Event::AllSwitched { until_ms })
    }

    /// Lets a release rule, with its configuration.
    fn install(&self, release: Release) {
        let version = release.version.clone();
        self.upgrader.actors.install(release);
        (self.upgrader.hooks.rules)(&version);
    }

    /// Watches the new release until `until_ms`, and brings over who is still behind.
    pub(crate) async fn watch(&mut self, until_ms: i64) -> Event {
        loop {
            let left_ms = u64::try_from(until_ms - unix_ms()).unwrap_or(0);
            if left_ms == 0 {
                break;
            }
            self.running.tell(Progress::Probation {
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
            if let Remedy::GoBack(reason) = self.look_for_stuck().await {
                return Event::Failed { reason };
            }
        }
        self.come_over().await.or_failed(Event::Committed)
    }

    /// Lets the old release rule again and brings everyone back. Who cannot go back is
    /// set aside whole, in the new version, and named: it holds up no one else.
    pub(crate) async fn go_back(&mut self) -> Event {
        let actors = Arc::clone(&self.upgrader.actors);
        self.came_over = self.came_over.max(actors.migrations().migrated());
        // Before the old release rules again: from then on failures count.
        actors.migrations().reset();
        for actor in &self.upgrade.given_up {
            actors.migrations().give_up(actor);
        }
        match self.assemble(false).await {
            Ok(release) => self.install(release),
            Err(why) => {
                return Event::GotStuck {
                    reason: Reason::release(why),
                };
            }
        }
        match self.bring_back().await {
            Swept::All => Event::AllReturned,
            Swept::Failed(reason) => Event::GotStuck { reason },
            Swept::Contained(why) => Event::Contained { why },
        }
    }

    /// Brings everyone over. Who cannot come ends an upgrade; on an operator's way
    /// back it is set aside.
    async fn come_over(&mut self) -> Swept {
        match self.upgrade.rollback {
            true => self.bring_back().await,
            false => self.sweep().await,
        }
    }

    /// Brings back whoever can go back, and sets the others aside, until nobody is left.
    async fn bring_back(&mut self) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        loop {
            match self.sweep_back().await {
                Swept::All => {}
                ended => return ended,
            }
            let failures = actors.migrations().take_failures();
            if failures.is_empty() {
                return Swept::All;
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
        let is_back = matches!(self.upgrade.state, State::RollingBack { .. });
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            let sweep = actors.sweep(false);
            tokio::pin!(sweep);
            loop {
                tokio::select! {
                    swept = &mut sweep => return match swept {
                        Ok(_) => Swept::All,
                        Err(error) => Swept::Failed(Reason::blameless(chain(&error))),
                    },
                    Some(asked) = self.asked.recv() => {
                        // Who goes back already has nothing else to wish for.
                        if asked == Asked::RollBack && !is_back {
                            return Swept::Failed(Reason::blameless(BY_HAND));
                        }
                    }
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

    fn tell_migrated(&self) {
        let actors = &self.upgrader.actors;
        self.running.tell(Progress::Migrated {
            migrated: actors.migrations().migrated(),
            total: actors.journal().known(),
        });
    }

    pub(crate) async fn wait_for_an_operator(&mut self) -> Result<Event, HostEnds> {
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
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            let sweep = actors.sweep(true);
            tokio::pin!(sweep);
            loop {
                tokio::select! {
                    swept = &mut sweep => {
                        if let Err(error) = swept {
                            return Swept::Failed(Reason::blameless(chain(&error)));
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
                    _ = tell.tick() => {
                        self.tell_migrated();
                        match self.look_for_stuck().await {
                            Remedy::GoOn => {}
                            Remedy::LookAgain => break,
                            Remedy::GoBack(reason) => return Swept::Failed(reason),
                            Remedy::Contain(why) => return Swept::Failed(Reason::release(why)),
                        }
                    }
                }
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
            let read = |version| releases.read(version).map_err(|e| chain(&e));
            let (to, from) = (read(&to)?, read(&from)?);
            let release = upgrader.assembler.assemble(&to, Some(&from));
            release.map_err(|e| chain(&e))
        });
        assembled.await.unwrap_or_else(|e| Err(e.to_string()))
    }

    /// Bounded, whatever an appup or an operator asks for.
    fn probation_ms(&self) -> i64 {
        let s = self.probation_s.unwrap_or(0).min(PROBATION_MAX.as_secs());
        i64::try_from(s.saturating_mul(1_000)).unwrap_or(i64::MAX)
    }
}
