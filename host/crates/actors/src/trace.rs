//! Traces: what an actor handles, told to whoever looks while it does.
//!
//! Nobody looks most of the time: then a message pays for one look at a counter. An
//! actor never waits for who reads: a line that there is no room for is counted, and who
//! reads is told where it is missing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use host_journal::Position;
use host_model::control::{
    Excerpt, Traced, TracedMessage, TracedOutcome, TracedSent, TracedSource,
};
use host_model::limits::{TRACE_BEHIND_MAX, TRACES_MAX};
use host_model::{ActorId, Version};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::Actors;
use crate::clock::unix_ms;
use crate::message::{Answer, CallError, Message};
use crate::slots::Claim;
use crate::token::Accepted;

/// Who looks at which actor.
#[derive(Debug, Default)]
pub(crate) struct Tracers {
    of: RwLock<BTreeMap<ActorId, Vec<Arc<Tracer>>>>,
    /// How many there are, to be looked at without the lock.
    count: AtomicUsize,
}

/// One who looks.
#[derive(Debug)]
struct Tracer {
    /// With how many lines are missing before it.
    lines: mpsc::Sender<(u64, Traced)>,
    /// Lines that there was no room for since the last that there was.
    lost: Mutex<u64>,
}

/// What an actor handles, as it is handled. Dropped, it ends the trace.
#[derive(Debug)]
pub struct Trace {
    actor: ActorId,
    actors: Arc<Actors>,
    tracer: Arc<Tracer>,
    lines: mpsc::Receiver<(u64, Traced)>,
    /// A line that is to come behind the word that some are missing.
    next: Option<Traced>,
}

/// Why an actor is not traced.
#[derive(Debug, Error)]
pub enum TraceError {
    /// Whoever asked named an actor of no plugin.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Others trace already.
    #[error("{TRACES_MAX} traces are under way already; end one of them")]
    TooMany,
}

/// A message that is being handled.
#[derive(Debug)]
pub(crate) struct Span {
    since: Instant,
    message: TracedMessage,
    is_told: bool,
}

impl Tracers {
    /// Whether anybody looks at any actor.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody looks at this one.
    #[inline]
    pub(crate) fn has(&self, id: &ActorId) -> bool {
        self.any() && self.of.read().contains_key(id)
    }

    /// Tells everybody who looks at this actor.
    fn tell(&self, id: &ActorId, line: impl FnOnce() -> Traced) {
        let of = self.of.read();
        let Some(tracers) = of.get(id) else { return };
        let line = line();
        for tracer in tracers {
            tracer.tell(line.clone());
        }
    }

    /// There is nothing more to come for anybody.
    pub(crate) fn end(&self) {
        let all = std::mem::take(&mut *self.of.write());
        self.count.store(0, Ordering::Relaxed);
        for tracer in all.into_values().flatten() {
            tracer.tell(Traced::Ended);
        }
    }

    fn add(&self, id: &ActorId, tracer: &Arc<Tracer>) -> Result<(), TraceError> {
        let mut of = self.of.write();
        if self.count.load(Ordering::Relaxed) >= TRACES_MAX {
            return Err(TraceError::TooMany);
        }
        of.entry(id.clone()).or_default().push(Arc::clone(tracer));
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, id: &ActorId, tracer: &Arc<Tracer>) {
        let mut of = self.of.write();
        let Entry::Occupied(mut tracers) = of.entry(id.clone()) else {
            return;
        };
        let before = tracers.get().len();
        tracers
            .get_mut()
            .retain(|other| !Arc::ptr_eq(other, tracer));
        let removed = before - tracers.get().len();
        self.count.fetch_sub(removed, Ordering::Relaxed);
        if tracers.get().is_empty() {
            tracers.remove();
        }
    }
}

impl Tracer {
    fn tell(&self, line: Traced) {
        let mut lost = self.lost.lock();
        match self.lines.try_send((*lost, line)) {
            Ok(()) => *lost = 0,
            Err(_) => *lost += 1,
        }
    }
}

impl Trace {
    /// The next line; none behind [`Traced::Ended`].
    pub async fn next(&mut self) -> Option<Traced> {
        if let Some(line) = self.next.take() {
            return Some(line);
        }
        let (lost, line) = match self.lines.try_recv() {
            Ok(told) => told,
            Err(TryRecvError::Empty) => {
                // Nothing may come for long behind what was missed.
                let lines = std::mem::take(&mut *self.tracer.lost.lock());
                if lines > 0 {
                    return Some(Traced::Lost { lines });
                }
                self.lines.recv().await?
            }
            Err(TryRecvError::Disconnected) => return None,
        };
        if matches!(line, Traced::Ended) {
            self.lines.close();
        }
        if lost > 0 {
            self.next = Some(line);
            return Some(Traced::Lost { lines: lost });
        }
        Some(line)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.actors.tracers.remove(&self.actor, &self.tracer);
    }
}

impl Span {
    /// What came of it, where nothing did so far.
    fn came(&mut self, outcome: TracedOutcome, reason: Option<&str>, answer: &[u8]) {
        if !self.is_told {
            self.is_told = true;
            self.message.outcome = outcome;
            self.message.reason = reason.map(str::to_owned);
            self.message.answer = Excerpt::of(answer);
        }
    }
}

impl Claim {
    /// Notes, where somebody looks, that the message led to this answer.
    #[inline]
    pub(crate) fn answered(&mut self, answer: &Result<Answer, CallError>) {
        match (answer, &mut self.span) {
            (Ok(answer), Some(span)) => span.came(TracedOutcome::Answered, None, &answer.reply),
            (Err(error), Some(_)) => self.failed(error),
            (_, None) => {}
        }
    }

    /// Notes, where somebody looks, that nothing came of the message.
    #[inline]
    pub(crate) fn failed(&mut self, error: &CallError) {
        if let Some(span) = &mut self.span {
            let text = error.to_string();
            span.came(outcome(error), Some(error.reason()), text.as_bytes());
        }
    }

    /// Notes, where somebody looks, that the message changed the actor.
    #[inline]
    pub(crate) fn accepted(&mut self, reply: &[u8]) {
        if let Some(span) = &mut self.span {
            span.came(TracedOutcome::Accepted, None, reply);
        }
    }
}

impl Actors {
    /// Shows what an actor handles from now on, whether or not it is in memory.
    ///
    /// # Errors
    ///
    /// [`TraceError`]
    pub fn trace(self: &Arc<Self>, id: &ActorId) -> Result<Trace, TraceError> {
        if let Some(error) = self.unknown_plugin(id) {
            return Err(error.into());
        }
        let (lines, receiver) = mpsc::channel(TRACE_BEHIND_MAX);
        let tracer = Arc::new(Tracer {
            lines,
            lost: Mutex::new(0),
        });
        self.tracers.add(id, &tracer)?;
        let trace = Trace {
            actor: id.clone(),
            actors: Arc::clone(self),
            tracer,
            lines: receiver,
            next: Some(Traced::Began { actor: id.clone() }),
        };
        // One that began while the host stopped would wait for ever.
        if self.is_stopping() {
            return Err(CallError::Stopping.into());
        }
        Ok(trace)
    }

    /// The claimed actor begins to handle a message.
    #[inline]
    pub(crate) fn begin_span(&self, claim: &mut Claim, message: &Message) {
        if !self.tracers.any() || !self.tracers.has(&claim.slot.id) {
            return;
        }
        claim.span = described(message).map(|(_, message)| {
            Box::new(Span {
                since: Instant::now(),
                message: TracedMessage {
                    version: claim.live.as_ref().map(|it| it.code().version().clone()),
                    seq: claim.live.as_ref().map(|live| live.seq),
                    ..message
                },
                is_told: false,
            })
        });
    }

    /// It has handled it.
    #[inline]
    pub(crate) fn end_span(&self, claim: &mut Claim) {
        let Some(span) = claim.span.take() else {
            return;
        };
        let mut message = span.message;
        message.duration_us = Some(micros(span.since));
        if let Some(live) = &claim.live {
            message.seq = Some(live.seq);
        }
        if message.outcome == TracedOutcome::Accepted {
            message.position = Some(claim.at.position.0);
        }
        self.tracers
            .tell(&claim.slot.id, || Traced::Message(message));
    }

    /// A message is not handled.
    pub(crate) fn trace_refused(&self, message: &Message, error: &CallError) {
        if !self.tracers.any() {
            return;
        }
        if let Some((id, message)) = described(message) {
            self.tracers.tell(id, || {
                Traced::Message(TracedMessage {
                    outcome: outcome(error),
                    reason: Some(error.reason().to_owned()),
                    answer: Excerpt::of(error.to_string().as_bytes()),
                    ..message
                })
            });
        }
    }

    /// What an accepted message led to is about to leave.
    pub(crate) fn trace_sent(&self, position: Position, accepted: &Accepted) {
        if !self.tracers.has(&accepted.actor) {
            return;
        }
        let sent = |to: Option<&ActorId>, event: &str, payload: &[u8]| TracedSent {
            at_ms: unix_ms(),
            to: to.cloned(),
            event: event.to_owned(),
            payload: Excerpt::of(payload),
            seq: accepted.seq,
            position: position.0,
        };
        for (event, payload) in &accepted.broadcasts {
            let line = || Traced::Sent(sent(None, event, payload.get().as_bytes()));
            self.tracers.tell(&accepted.actor, line);
        }
        for letter in &accepted.casts {
            let line = || Traced::Sent(sent(Some(&letter.to), &letter.event, &letter.payload));
            self.tracers.tell(&accepted.actor, line);
        }
    }

    /// An actor came over, or could not.
    pub(crate) fn trace_migrated(
        &self,
        id: &ActorId,
        (from, to): (&Version, &Version),
        since: Instant,
        reason: Option<&str>,
    ) {
        if !self.tracers.any() {
            return;
        }
        self.tracers.tell(id, || Traced::Migrated {
            at_ms: unix_ms(),
            from: from.clone(),
            to: to.clone(),
            duration_us: micros(since),
            reason: reason.map(str::to_owned),
        });
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn outcome(error: &CallError) -> TracedOutcome {
    match error {
        CallError::Rejected(_) => TracedOutcome::Rejected,
        CallError::Crashed(_) => TracedOutcome::Crashed,
        _ => TracedOutcome::Refused,
    }
}

/// To whom a message is that a handler runs for, and what is known of it beforehand.
fn described(message: &Message) -> Option<(&ActorId, TracedMessage)> {
    let described = |source, event: &str, payload: &[u8], principal: &str| TracedMessage {
        at_ms: unix_ms(),
        source,
        event: event.to_owned(),
        payload: Excerpt::of(payload),
        principal: principal.to_owned(),
        outcome: TracedOutcome::Answered,
        reason: None,
        answer: Excerpt::default(),
        version: None,
        seq: None,
        position: None,
        duration_us: None,
    };
    Some(match message {
        Message::Request(request, _) => (
            &request.actor,
            described(
                TracedSource::Call,
                &request.event,
                &request.payload,
                &request.principal,
            ),
        ),
        Message::Cast(_, letter) => {
            let from = format!("actor:{}", letter.from);
            let message = described(TracedSource::Cast, &letter.event, &letter.payload, &from);
            (&letter.to, message)
        }
        Message::Timer(timer) => {
            let message = described(TracedSource::Timer, &timer.name, &timer.payload, "timer");
            (&timer.actor, message)
        }
        Message::DeadLetter(_, letter, _) => (
            &letter.actor,
            described(
                TracedSource::DeadLetter,
                &letter.event,
                &letter.payload,
                &letter.origin.principal,
            ),
        ),
        _ => return None,
    })
}
