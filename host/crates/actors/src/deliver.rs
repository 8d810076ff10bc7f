//! What leaves when the journal says that it is durable, and what is said when it is not.

use std::sync::Arc;

use host_journal::{CastId, CastRow, Done, Lost, Outcome, Position, RefusedReason};
use tokio::sync::mpsc;

use crate::message::{Answer, CallError};
use crate::release::Release;
use crate::token::{Accepted, Source, Ticket, Token};
use crate::{Actors, News};

/// Entries that were decided together.
type Group = Vec<Done<Ticket>>;

/// Groups on their way to the data runtime. Bounded by what may be undurable at once.
pub type Groups = mpsc::UnboundedReceiver<Group>;

/// The journal's `done`, and what [`crate::Parts`] takes of it.
///
/// Entries go over to the data runtime. The host's own values are answered right on
/// the journal's thread: an upgrade has to go on, and to go back, also while every
/// thread of the data runtime is stuck in a plugin.
pub fn channel() -> (impl FnMut(Group) + Send + 'static, Groups) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let done = move |group: Group| {
        let (values, others): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|entry| matches!(entry.token.0, Token::Value(_)));
        for entry in values {
            if let Token::Value(responder) = entry.token.0 {
                // Whoever has gone needs no answer.
                drop(responder.send(entry.result));
            }
        }
        if !others.is_empty() {
            // The receiver outlives the journal, but for the process's last moment.
            let _ = sender.send(others);
        }
    };
    (done, receiver)
}

/// Takes what the journal hands back, in order, off the journal's thread.
pub(crate) async fn run(actors: Arc<Actors>, mut done: Groups) {
    while let Some(group) = done.recv().await {
        for entry in group {
            match entry.result {
                Ok(()) => actors.durable(entry.position, entry.token.0),
                Err(lost) => actors.lost(entry.token.0, lost.into()),
            }
        }
    }
}

/// Why an entry will never be durable.
pub(crate) enum Fate {
    /// For certain.
    NotApplied(String),
    /// It may be there after the next start.
    Unknown,
    /// The journal takes no more.
    Closed,
}

impl Actors {
    fn durable(self: &Arc<Self>, position: Position, token: Token) {
        match token {
            Token::Accepted(accepted) => self.accepted(position, *accepted),
            Token::Answer(answer, responder) => drop(responder.send(answer)),
            Token::Delivered(source) => self.used_up(&source),
            Token::Switched {
                slot,
                release,
                plugin,
                errand,
                timers,
                rebuilt,
            } => {
                // One that is for a release which rules no more counts for no upgrade.
                let counts = |it: &Arc<Release>| it.version == release;
                if self.reign.load().releases().any(counts) {
                    self.migrations.count();
                }
                if timers {
                    self.timers.wake();
                }
                if let Some(rebuilt) = rebuilt {
                    self.rebuilt(slot.id.clone(), *rebuilt);
                }
                self.forget_stranded(&slot.id);
                self.audience.switched(&slot.id, &release, &plugin);
                if errand.is_some_and(|errand| errand.back_to_sleep) {
                    self.stopped(&slot, position);
                }
            }
            Token::Asleep(slot, None) => self.stopped(&slot, position),
            // Housekeeping asks again who is busy.
            Token::Asleep(slot, Some(_)) => drop(self.slots.leave(&slot, position)),
            Token::Resume(slot) => self.resume_soon(slot),
            Token::Value(responder) => drop(responder.send(Ok(()))),
            Token::Kept(share) => drop(share),
            Token::Nobody => {}
        }
    }

    fn accepted(self: &Arc<Self>, position: Position, accepted: Accepted) {
        let seq = accepted.seq;
        self.trace_sent(position, &accepted);
        if let Some((reply, responder)) = accepted.reply {
            // A caller that has gone needs no answer.
            drop(responder.send(Ok(Answer::new(reply, seq))));
        }
        for (event, payload) in accepted.broadcasts {
            self.audience.broadcast(News {
                actor: accepted.actor.clone(),
                seq,
                version: accepted.version.clone(),
                event,
                payload,
            });
        }
        if let Some(source) = &accepted.source {
            self.used_up(source);
        }
        for (index, letter) in (0..).zip(accepted.casts) {
            let id = CastId { position, index };
            self.deliver_cast(CastRow { id, letter });
        }
        if let Some(due_ms) = accepted.timer_ms {
            self.timers.set(due_ms);
        }
        if accepted.webhooks {
            self.outbox.wake();
        }
        if let Some(slot) = &accepted.stop {
            self.stopped(slot, position);
        }
    }

    /// Tells whoever waits on a token that its entry will never be durable.
    pub(crate) fn lost(self: &Arc<Self>, token: Token, fate: Fate) {
        let error = match &fate {
            Fate::NotApplied(why) => CallError::NotApplied(why.clone()),
            Fate::Unknown => CallError::OutcomeUnknown,
            Fate::Closed => CallError::Stopping,
        };
        match token {
            Token::Accepted(accepted) => {
                if let Some((_, responder)) = accepted.reply {
                    drop(responder.send(Err(error)));
                }
                if let Some(source) = accepted.source {
                    self.put_off(source);
                }
            }
            // It may be the first answer under a key, given again: so it says no more
            // than is known of what it saw.
            Token::Answer(_, responder) => drop(responder.send(Err(self.lost_sight(error)))),
            Token::Delivered(source) => self.put_off(source),
            Token::Resume(slot) => self.resume_soon(slot),
            Token::Value(responder) => {
                let lost = match fate {
                    Fate::Unknown => Lost::Unknown(error.to_string().into()),
                    Fate::NotApplied(_) | Fate::Closed => {
                        Lost::NotApplied(error.to_string().into())
                    }
                };
                drop(responder.send(Err(lost)));
            }
            // Its snapshot is lost, and its beginning may be in the trail.
            Token::Switched {
                rebuilt: Some(rebuilt),
                ..
            } => {
                let outcome = Outcome {
                    outcome: "failed".to_owned(),
                    message: error.to_string(),
                };
                self.rebuild_ended(*rebuilt, outcome);
            }
            // The sweep looks again; the actor stays awake.
            Token::Switched { .. } | Token::Asleep(..) | Token::Kept(_) | Token::Nobody => {}
        }
    }

    fn used_up(self: &Arc<Self>, source: &Source) {
        match source {
            Source::Cast(id) => self.casts.done(*id),
            Source::Timer(actor, name) => self.timer_done(actor, name),
        }
    }

    pub(crate) fn put_off(&self, source: Source) {
        match source {
            Source::Cast(id) => self.casts.put_off(id),
            Source::Timer(actor, name) => self.timers.put_off(&actor, &name),
        }
    }

    /// Why an answer is not given whose sight was lost: for certain, or perhaps.
    pub(crate) fn lost_sight(&self, error: CallError) -> CallError {
        match error {
            CallError::NotApplied(_) if self.journal.poisoned().is_some() => {
                CallError::OutcomeUnknown
            }
            error => error,
        }
    }
}

impl From<Lost> for Fate {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotApplied(why) => Self::NotApplied(why.to_string()),
            Lost::Unknown(_) => Self::Unknown,
        }
    }
}

impl From<RefusedReason> for Fate {
    fn from(reason: RefusedReason) -> Self {
        match reason {
            RefusedReason::StaleIncarnation => {
                Self::NotApplied("a group before it was not written".to_owned())
            }
            RefusedReason::Closed => Self::Closed,
        }
    }
}
