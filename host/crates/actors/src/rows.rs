//! Messages that are rows: casts, timers, and dead letters that are tried again.

use std::sync::Arc;

use bytes::Bytes;
use host_journal::{AnswerKey, CastId, Consumed, DeadLetter, DeadLetterKind, Letter, TimerRow};
use host_loader::Caller;
use host_model::effect::Rejection;
use host_model::limits::CAST_HOPS_MAX;

use crate::Actors;
use crate::decide::Command;
use crate::keys::Keyed;
use crate::live::Live;
use crate::message::{CallError, Responder};
use crate::release::EventStats;
use crate::slots::Claim;
use crate::token::Source;

impl Actors {
    pub(crate) fn cast(
        self: &Arc<Self>,
        claim: &mut Claim,
        id: CastId,
        letter: Letter,
        stats: &EventStats,
    ) {
        let command = Command {
            event: letter.event,
            payload: letter.payload,
            came: None,
            shape: Some(letter.version),
            claims: Bytes::new(),
            principal: format!("actor:{}", letter.from),
            keyed: None,
            caller: Caller::ACTOR,
            hops: letter.hops,
            source: Some(Consumed::Cast(id)),
            responder: None,
        };
        if command.hops > CAST_HOPS_MAX {
            let error = CallError::Rejected(Rejection {
                reason: "too_many_hops".to_owned(),
                message: format!("{CAST_HOPS_MAX} casts led to one another: a circle?"),
            });
            return self.bury(claim, command, &error);
        }
        if self.waits_for_its_target(claim, id, &command) {
            return;
        }
        self.decide_in_shape(claim, command, stats);
    }

    pub(crate) fn timer(self: &Arc<Self>, claim: &mut Claim, timer: TimerRow, stats: &EventStats) {
        let command = Command {
            event: timer.name.clone(),
            payload: timer.payload,
            came: None,
            shape: Some(timer.version),
            claims: Bytes::new(),
            principal: "timer".to_owned(),
            keyed: None,
            caller: Caller::TIMER,
            hops: 0,
            source: Some(Consumed::Timer {
                actor: timer.actor,
                name: timer.name,
                set_at: timer.set_at,
            }),
            responder: None,
        };
        self.decide_in_shape(claim, command, stats);
    }

    /// Delivers a dead letter again as what it was. What comes of it uses the letter
    /// up; if nothing does, it stays.
    pub(crate) fn dead_letter(
        self: &Arc<Self>,
        claim: &mut Claim,
        id: u64,
        letter: DeadLetter,
        responder: Responder,
        stats: &EventStats,
    ) {
        let caller = match letter.kind {
            DeadLetterKind::Cast => Caller::ACTOR,
            DeadLetterKind::Timer => Caller::TIMER,
            // An outbox's never comes here.
            DeadLetterKind::Command | DeadLetterKind::Outbox => Caller::CLIENT,
        };
        let source = Some(Consumed::DeadLetter(id));
        let origin = letter.origin;
        let keyed = origin.idempotency_key.map(|key| {
            let key = AnswerKey {
                actor: letter.actor,
                event: letter.event.clone(),
                principal: origin.principal.clone(),
                key,
            };
            Box::new(Keyed::new(key, &letter.payload))
        });
        // Its caller may have tried again meanwhile.
        if let Some(answer) = keyed.as_ref().and_then(|keyed| self.kept(keyed)) {
            return match answer {
                Ok(_) => self.consume(claim, source, answer, Some(responder)),
                Err(_) => self.hold(claim, answer, responder),
            };
        }
        let command = Command {
            event: letter.event,
            payload: letter.payload,
            came: None,
            shape: Some(origin.shape.unwrap_or(letter.version)),
            claims: Bytes::from(origin.claims),
            principal: origin.principal,
            keyed,
            caller,
            // An operator has looked at what led to it: it begins anew.
            hops: 0,
            source,
            responder: Some(responder),
        };
        self.decide_in_shape(claim, command, stats);
    }

    /// Decides a command, in the shape of the state's version.
    fn decide_in_shape(
        self: &Arc<Self>,
        claim: &mut Claim,
        mut command: Command,
        stats: &EventStats,
    ) {
        let Some(live) = claim.live.as_ref() else {
            return self.leave_undone(command, CallError::Stopping);
        };
        match self.bring_into_shape(live, &mut command) {
            Ok(()) => self.decide(claim, command, stats),
            Err(error) => {
                stats.turned_away(&error);
                self.bury(claim, command, &error);
            }
        }
    }

    /// Does nothing about a command: who waits is told, a row stays one.
    fn leave_undone(&self, command: Command, error: CallError) {
        if let Some(responder) = command.responder {
            drop(responder.send(Err(error)));
        }
        if let Some(source) = command.source.as_ref().and_then(Source::of) {
            self.put_off(source);
        }
    }

    /// Converts a command, and keeps it as it came.
    fn bring_into_shape(&self, live: &Live, command: &mut Command) -> Result<(), CallError> {
        let Some(shape) = &command.shape else {
            return Ok(());
        };
        let converted = self.convert(live, shape, &command.event, &command.payload)?;
        if let Some((event, payload)) = converted {
            let event = std::mem::replace(&mut command.event, event);
            let payload = std::mem::replace(&mut command.payload, payload);
            command.came = Some(Box::new((event, payload)));
        }
        Ok(())
    }
}
