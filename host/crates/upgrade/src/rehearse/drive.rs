//! Keeps the child busy, and goes on with another where one has ended.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use host_journal::ReadError;
use host_model::control::RehearsalReport;
use host_model::error::chain;
use host_model::limits::REHEARSAL_ENDS_MAX;
use host_proof::rehearsal::{Ended, Rehearser, Setup, Stage, StartError, Subject};
use thiserror::Error;

use super::Rehearsal;
use super::clients::Clients;
use super::copy::{Choice, copy, subject};
use super::setup::setup;
use super::tally::Tally;

/// Between two messages about how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Why it goes no further.
#[derive(Debug, Error)]
pub(super) enum Stop {
    #[error("the actors could not be read")]
    Read(#[from] ReadError),
    #[error("it cannot be rehearsed; `--no-rehearsal` goes without")]
    Start(#[from] StartError),
    /// What was found so far is enough.
    #[error("it has ended over too many actors")]
    Enough,
    #[error("it was cancelled")]
    Cancelled,
}

impl Rehearsal {
    /// Rehearses everyone that is chosen.
    ///
    /// # Errors
    ///
    /// In a sentence, why nothing is known.
    pub(super) fn rehearse(&self) -> Result<RehearsalReport, String> {
        let (moved, setup) = setup(self)?;
        let journal = self.actors.journal();
        let mut choice = match Choice::of(journal, &moved, self.extent, &self.cancelled) {
            Ok(choice) => choice,
            Err(Stop::Cancelled) => {
                let none = Tally::new(&self.plan, &moved, journal.known());
                return Ok(none.cancelled());
            }
            Err(error) => return Err(chain(&error)),
        };
        let mut tally = Tally::new(&self.plan, &moved, choice.known)
            .rolling_back(!self.timed)
            .taking_some(choice.takes_some())
            .running_some(choice.runs_some());
        let (chosen, wanted) = (choice.chosen.take(), choice.wanted);
        let runs = || self.actors.runs();
        let clients = Clients::of(&runs);
        let mut drive = Drive {
            rehearser: &self.rehearser,
            setup: &setup,
            cancelled: &self.cancelled,
            stage: None,
            tally: &mut tally,
            tell: &self.tell,
            told: Instant::now(),
            clients: &clients,
            wanted,
        };
        (self.tell)(0, wanted);
        let ended = match moved.is_empty() {
            true => Ok(()),
            false => copy(
                &self.actors,
                &moved,
                chosen,
                &self.cancelled,
                &clients,
                |stored, actor| {
                    match stored.quarantined {
                        Some(_) => drive.tally.left_out(),
                        None => {
                            let samples = choice.samples(&actor);
                            drive.ask(subject(actor, stored, samples))?;
                        }
                    }
                    Ok(())
                },
            )
            .and_then(|()| drive.end()),
        };
        match ended {
            Ok(()) | Err(Stop::Enough) => Ok(tally.report(self.one_way)),
            Err(Stop::Cancelled | Stop::Start(StartError::Cancelled)) => Ok(tally.cancelled()),
            Err(error) => Err(chain(&error)),
        }
    }
}

struct Drive<'a> {
    rehearser: &'a Rehearser,
    setup: &'a Setup,
    cancelled: &'a Arc<AtomicBool>,
    stage: Option<Stage>,
    tally: &'a mut Tally,
    tell: &'a super::Tell,
    told: Instant,
    clients: &'a Clients<'a>,
    /// About how many there will be.
    wanted: u64,
}

impl Drive<'_> {
    /// Asks about an actor, and takes answers in when there are too many questions.
    fn ask(&mut self, subject: Subject) -> Result<(), Stop> {
        let clients = self.clients.are_served();
        let stage = self.stage()?;
        stage.spare(clients);
        if let Err(ended) = stage.ask(subject, false) {
            return self.ended(ended);
        }
        while self.stage.as_ref().is_some_and(Stage::is_busy) {
            self.take_one()?;
        }
        Ok(())
    }

    /// Takes in all answers that are still to come.
    fn end(&mut self) -> Result<(), Stop> {
        while self.stage.as_ref().is_some_and(Stage::is_asked) {
            self.take_one()?;
        }
        self.told();
        Ok(())
    }

    fn take_one(&mut self) -> Result<(), Stop> {
        match self.stage()?.answer() {
            Ok(answered) => {
                self.tally.add(&answered);
                if self.told.elapsed() >= TELL_EVERY {
                    self.told();
                }
                Ok(())
            }
            Err(ended) => self.ended(ended),
        }
    }

    fn told(&mut self) {
        self.told = Instant::now();
        let rehearsed = self.tally.done();
        (self.tell)(rehearsed, self.wanted.max(rehearsed));
    }

    fn stage(&mut self) -> Result<&mut Stage, Stop> {
        let stage = match self.stage.take() {
            Some(stage) => stage,
            None => {
                let stage = self.rehearser.start(self.setup, self.cancelled)?;
                for remark in stage.remarks() {
                    tracing::warn!(remark, "a rehearsal does without a library");
                }
                stage
            }
        };
        Ok(self.stage.insert(stage))
    }

    /// The child has ended over one of those that it has not answered: they are gone
    /// through one by one, each step told, to find out which.
    fn ended(&mut self, ended: Ended) -> Result<(), Stop> {
        let Ended::Over { why, .. } = ended else {
            return Err(Stop::Cancelled);
        };
        let unanswered = self.stage.take().map(Stage::unanswered).unwrap_or_default();
        let Some(first) = unanswered.first().map(|subject| subject.actor.clone()) else {
            return Err(Stop::Start(StartError::Ended(why)));
        };
        let mut found = false;
        for subject in unanswered {
            let actor = subject.actor.clone();
            let stage = self.stage()?;
            let answered = stage.ask(subject, true).and_then(|()| stage.answer());
            match answered {
                Ok(answered) => self.tally.add(&answered),
                Err(Ended::Cancelled) => return Err(Stop::Cancelled),
                Err(Ended::Over { step, why }) => {
                    self.stage = None;
                    found = true;
                    self.tally.ended(actor, step, why);
                    self.enough()?;
                }
            }
        }
        if !found {
            let why = format!("{why}; not again when those under way were rehearsed one by one");
            self.tally.ended(first, None, why);
        }
        self.enough()
    }

    fn enough(&self) -> Result<(), Stop> {
        match self.tally.ends() >= REHEARSAL_ENDS_MAX {
            true => Err(Stop::Enough),
            false => Ok(()),
        }
    }
}
