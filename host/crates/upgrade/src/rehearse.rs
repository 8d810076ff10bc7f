//! Rehearsals: by themselves, and as a step of an upgrade.
//!
//! `setup` works out the ways, `copy` reads the actors from the journal, `drive` keeps
//! the child busy, which is `host-proof`'s, `clients` tells when it is to make room, and
//! `tally` makes a report of what it says.
//!
//! The copy is no transaction of the store's: a pin in the journal keeps retention from
//! what is being read, and each actor is read as it is at its moment. Nothing is written
//! but that pin, and nothing of a plugin runs in this process.

mod clients;
mod copy;
mod drive;
mod setup;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use host_actors::Actors;
use host_journal::{Position, unix_ms};
use host_model::control::{Extent, Progress, RehearsalOutcome, RehearsalReport, RehearsalRequest};
use host_model::error::chain;
use host_model::plan::Plan;
use host_proof::rehearsal::Rehearser;
use tokio::sync::{broadcast, oneshot};

use crate::assemble::Assembler;
use crate::book::{Book, BookError};
use crate::engine::{PROGRESS_BEHIND_MAX, Upgrader};
use crate::refused::RefusedUpgrade;
use crate::retention::PINS;

/// The beginning of the name of the pin that a rehearsal sets, under [`PINS`]: no operator can
/// give one that name. Each has its own, for one that was broken off may end when the next
/// has begun.
const PIN: &str = "host:rehearsal";

/// How far the thread that reads the actors lets others go first, on Linux, where each thread
/// has its own: to the end, as the child does.
const THREAD_NICE: i32 = 19;

/// Rehearsals that this process has begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// Whom it is told how far it is: actors rehearsed, and of how many.
type Tell = Box<dyn Fn(u64, u64) + Send>;

/// A rehearsal that has not begun.
pub(crate) struct Rehearsal {
    pub(crate) actors: Arc<Actors>,
    pub(crate) assembler: Arc<Assembler>,
    pub(crate) rehearser: Rehearser,
    pub(crate) plan: Plan,
    pub(crate) extent: Extent,
    /// How long one actor may be busy, where an operator has said it.
    pub(crate) deadline: Option<Duration>,
    /// Whether each step has its time, and each actor: not on an operator's way back, where
    /// nobody is set aside for being slow.
    pub(crate) timed: bool,
    /// Whether it passes without a proven way back.
    pub(crate) one_way: bool,
    /// Once set, it ends as soon as it can.
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) tell: Tell,
}

impl Rehearsal {
    /// Carries it out, on a thread of its own: the child is bound to that.
    pub(crate) async fn carry_out(self) -> RehearsalReport {
        let actors = Arc::clone(&self.actors);
        let began = Instant::now();
        let broken = failed(&self.plan);
        let number = BEGUN.fetch_add(1, Ordering::Relaxed);
        let pin = format!("{PINS}{PIN}-{}-{number}", unix_ms());
        if let Err(error) = set_pin(&actors, &pin).await {
            // Should retention take what is about to be read, the rehearsal says so.
            tracing::warn!(error = chain(&error), "a rehearsal goes on without its pin");
        }
        let (done, report) = oneshot::channel();
        let thread = std::thread::Builder::new().name("rehearsal".into());
        let started = thread.spawn(move || {
            // Clients first, for their threads share the processors with this one. Where it may
            // not, it does without.
            let _ = rustix::process::nice(THREAD_NICE);
            // Who does not wait for it does not want to know.
            let _ = done.send(self.run());
        });
        let mut report = match started {
            Ok(_) => report.await.unwrap_or_else(|_| {
                broken("the rehearsal broke off; the log of the host says where".to_owned())
            }),
            Err(error) => broken(format!("start the rehearsal's thread: {error}")),
        };
        unpin(&actors, &pin).await;
        report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(from = %report.from, to = %report.to, outcome = report.outcome.name(),
            rehearsed = report.rehearsed, reason = report.reason, "a rehearsal is over");
        report
    }

    fn run(self) -> RehearsalReport {
        match self.rehearse() {
            Ok(report) => report,
            Err(why) => failed(&self.plan)(why),
        }
    }
}

/// The report of a rehearsal that could not be carried out.
fn failed(plan: &Plan) -> impl Fn(String) -> RehearsalReport + use<> {
    let (from, to) = (plan.from.clone(), plan.to.clone());
    move |why| RehearsalReport {
        outcome: RehearsalOutcome::Failed,
        ..RehearsalReport::skipped(&from, &to, why)
    }
}

/// Keeps retention from what an actor's replay needs now.
async fn set_pin(actors: &Actors, pin: &str) -> Result<(), BookError> {
    let needed = actors.journal().tails_from();
    let book = Book::new().value(pin, Some(&needed));
    book.write(actors).await
}

/// Takes the pin away: behind a rehearsal, and at a start behind one that was cut off.
async fn unpin(actors: &Actors, pin: &str) {
    let book = Book::new().value(pin, None::<&Position>);
    if let Err(error) = book.write(actors).await {
        // The next rehearsal or start does.
        tracing::warn!(error = chain(&error), "the pin of a rehearsal stays");
    }
}

impl Upgrader {
    /// Rehearses a change, and changes nothing. What is said while it goes on comes over
    /// the receiver, at last [`Progress::Rehearsal`]; once all receivers are gone it ends.
    /// Blocking.
    ///
    /// # Errors
    ///
    /// [`RefusedUpgrade`]
    pub fn rehearse(
        self: &Arc<Self>,
        request: &RehearsalRequest,
    ) -> Result<broadcast::Receiver<Progress>, RefusedUpgrade> {
        self.refuse_if_busy()?;
        let plan = self.plan_or_all_that_is_wrong(&request.to, request.one_way)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        {
            let mut rehearsing = self.rehearsing.lock();
            if rehearsing.is_some() {
                return Err(RefusedUpgrade::Rehearsing);
            }
            *rehearsing = Some(Arc::clone(&cancelled));
        }
        let (progress, said) = broadcast::channel(PROGRESS_BEHIND_MAX);
        let tell: Tell = {
            let progress = progress.clone();
            Box::new(move |rehearsed, total| {
                // Nobody may be left to hear it.
                let _ = progress.send(Progress::Rehearsed { rehearsed, total });
            })
        };
        let deadline = request.deadline_s.map(Duration::from_secs);
        // To an older release `host rollback` would take it.
        let rollback = plan.to < plan.from;
        let rehearsal = Rehearsal {
            deadline,
            timed: !rollback,
            ..self.rehearsal(
                plan,
                request.extent,
                request.one_way,
                Arc::clone(&cancelled),
                tell,
            )
        };
        let upgrader = Arc::clone(self);
        self.control.spawn(async move {
            let rehearsed = async {
                match upgrader.verified(&rehearsal.plan, rollback).await {
                    Ok(_) => rehearsal.carry_out().await,
                    Err(why) => failed(&rehearsal.plan)(why),
                }
            };
            tokio::pin!(rehearsed);
            let report = tokio::select! {
                report = &mut rehearsed => report,
                // Its child may have nothing to tell: code that does not return says no word.
                () = progress.closed() => {
                    cancelled.store(true, Ordering::Relaxed);
                    rehearsed.await
                }
            };
            *upgrader.rehearsing.lock() = None;
            // Nobody may be left to hear it.
            let _ = progress.send(Progress::Rehearsal(Box::new(report)));
        });
        Ok(said)
    }

    /// Ends a rehearsal that goes on by itself: what is about to happen makes it moot.
    pub(crate) fn end_rehearsal(&self) {
        if let Some(cancelled) = &*self.rehearsing.lock() {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn rehearsal(
        &self,
        plan: Plan,
        extent: Extent,
        one_way: bool,
        cancelled: Arc<AtomicBool>,
        tell: Tell,
    ) -> Rehearsal {
        Rehearsal {
            actors: Arc::clone(&self.actors),
            assembler: Arc::clone(&self.assembler),
            rehearser: self.rehearser.clone(),
            plan,
            extent,
            deadline: None,
            timed: true,
            one_way,
            cancelled,
            tell,
        }
    }

    /// Takes away what a rehearsal has left that a crash has cut off. Before another may
    /// begin.
    pub(crate) fn clear_up(&self) {
        let actors = Arc::clone(&self.actors);
        let pins = actors.journal().values(&format!("{PINS}{PIN}"));
        let pins = pins.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "pins of rehearsals may be left");
            Vec::new()
        });
        self.control.spawn(async move {
            for (pin, _) in pins {
                unpin(&actors, &pin).await;
            }
        });
        let images = std::fs::read_dir(&self.rehearser.images);
        for left in images.into_iter().flatten().flatten() {
            let is_ours = left.file_name().to_string_lossy().starts_with("rehearsal-");
            if is_ours && let Err(error) = std::fs::remove_dir_all(left.path()) {
                tracing::warn!(%error, "a folder of a rehearsal stays");
            }
        }
    }
}
