//! Dead letters: messages that came to nothing, kept for an operator.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use host_journal::{Consumed, DeadLetter, DeadLetterKind, Origin, Rows};
use host_loader::Caller;
use host_model::Version;
use host_model::effect::Rejection;
use host_model::error::chain;

use crate::Actors;
use crate::clock::unix_ms;
use crate::decide::Command;
use crate::message::{CallError, Message};
use crate::slots::Claim;
use crate::token::{Source, Token};
use crate::turn::Settled;

impl Actors {
    /// Keeps a message that came to nothing as a dead letter, and tells its caller.
    /// One that was a dead letter already stays what it is.
    pub(crate) fn bury(self: &Arc<Self>, claim: &mut Claim, command: Command, error: &CallError) {
        let live = claim.live.as_ref();
        let by = live.map(|live| live.code().version().clone());
        self.bury_of(claim, command, by, error);
    }

    /// As [`Actors::bury`], of a message that the version `by` could not handle.
    pub(crate) fn bury_of(
        self: &Arc<Self>,
        claim: &mut Claim,
        mut command: Command,
        by: Option<Version>,
        error: &CallError,
    ) {
        claim.failed(error);
        if let Some(responder) = command.responder.take() {
            // What it says may come from a state that is not durable yet.
            self.hold(claim, Err(error.clone()), responder);
        }
        let kind = match &command.source {
            None => DeadLetterKind::Command,
            Some(Consumed::Cast(_)) => DeadLetterKind::Cast,
            Some(Consumed::Timer { .. }) => DeadLetterKind::Timer,
            Some(Consumed::DeadLetter(_) | Consumed::Outbox(_)) => return,
        };
        if let Some(live) = &claim.live {
            live.code().event(&command.event).buried();
        }
        let version = by.unwrap_or_else(|| {
            let release = self.release_of(&claim.slot.id);
            let ruling = release.plugins.get(claim.slot.id.plugin());
            ruling.map_or(Version::new(0, 0, 0), |it| it.code.version().clone())
        });
        let token = command
            .source
            .as_ref()
            .and_then(Source::of)
            .map_or(Token::Nobody, Token::Delivered);
        let (event, payload) = match command.came {
            Some(came) => *came,
            None => (command.event, command.payload),
        };
        let rows = Rows {
            dead_letter: Some(DeadLetter {
                kind,
                actor: claim.slot.id.clone(),
                version,
                event,
                payload,
                reason: error.reason().to_owned(),
                message: error.to_string(),
                time_ms: unix_ms(),
                origin: Origin {
                    shape: command.shape,
                    principal: command.principal,
                    // Claims are JSON, and so text.
                    claims: String::from_utf8_lossy(&command.claims).into_owned(),
                    idempotency_key: command.keyed.map(|keyed| keyed.key.key),
                    outbox: None,
                },
            }),
            consumed: command.source,
            ..Rows::default()
        };
        self.buried.fetch_add(1, Ordering::Relaxed);
        self.append(claim, rows, token);
    }

    /// Messages that became dead letters since the start.
    #[must_use]
    pub fn buried(&self) -> u64 {
        self.buried.load(Ordering::Relaxed)
    }

    /// Answers a message whose plugin is not in the release that rules. A cast or
    /// timer becomes a dead letter: no one will ever handle it as it is.
    pub(crate) fn refuse_for_ever(
        self: &Arc<Self>,
        claim: &mut Claim,
        message: Message,
        error: CallError,
    ) {
        if let Message::Cast(id, letter) = &message
            && (self.casts.stays_behind(*id) || self.waits_for_a_plugin(*id, &letter.to))
        {
            return;
        }
        if !message.is_from_outside() {
            // What is refused, which the others are, is told of there.
            self.trace_refused(&message, &error);
        }
        let command = |event, payload, shape, source| Command {
            event,
            payload,
            came: None,
            shape: Some(shape),
            claims: Bytes::new(),
            principal: String::new(),
            keyed: None,
            caller: Caller::ACTOR,
            hops: 0,
            source: Some(source),
            responder: None,
        };
        let command = match message {
            Message::Cast(id, letter) => Command {
                principal: format!("actor:{}", letter.from),
                ..command(
                    letter.event,
                    letter.payload,
                    letter.version,
                    Consumed::Cast(id),
                )
            },
            Message::Timer(timer) => {
                let source = Consumed::Timer {
                    actor: timer.actor,
                    name: timer.name.clone(),
                    set_at: timer.set_at,
                };
                Command {
                    principal: "timer".to_owned(),
                    ..command(timer.name, timer.payload, timer.version, source)
                }
            }
            other => return self.refuse(other, error),
        };
        // No version could, whichever the actor has.
        self.bury_of(claim, command, Some(Version::new(0, 0, 0)), &error);
    }

    /// Whether a dead letter is still there: another operator may have had it
    /// delivered. None: not known before all that its actor has appended is durable.
    pub(crate) fn letter_stands(&self, claim: &Claim, id: u64) -> Option<Result<(), CallError>> {
        if self.settled(claim) != Settled::Durable {
            return None;
        }
        let read = tokio::task::block_in_place(|| self.journal.dead_letter(id));
        Some(match read {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(unknown_letter(id)),
            Err(error) => Err(CallError::NotApplied(chain(&error))),
        })
    }
}

/// The error for a dead letter that is not there.
pub(crate) fn unknown_letter(id: u64) -> CallError {
    CallError::Rejected(Rejection {
        reason: "unknown_dead_letter".to_owned(),
        message: format!(
            "there is no dead letter {id}, or not any more; `host dead-letters list` shows those \
             that are"
        ),
    })
}
