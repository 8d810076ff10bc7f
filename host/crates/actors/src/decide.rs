//! Commands: from a handler's verdict to an entry of the journal.

use std::sync::Arc;

use bytes::Bytes;
use host_journal::{AnswerKey, Consumed, KeptAnswer, Record, Rows, Snapshot};
use host_loader::{Call, Caller, Verdict};
use host_model::limits::TAIL_BYTES_MIN;
use host_model::{ActorId, Version};

use crate::Actors;
use crate::clock::unix_ms;
use crate::effects::Effects;
use crate::keys::{self, Keyed};
use crate::large::Desk;
use crate::live::Live;
use crate::message::{Answer, CallError, Responder};
use crate::release::EventStats;
use crate::seed;
use crate::slots::Claim;
use crate::token::{Accepted, Source, Token};

/// What a handler is asked to decide.
pub(crate) struct Command {
    pub(crate) event: String,
    pub(crate) payload: Bytes,
    /// Event and payload as they came, where that was in another shape.
    pub(crate) came: Option<Box<(String, Bytes)>>,
    /// The version in whose shape it came; the state's own if absent.
    pub(crate) shape: Option<Version>,
    pub(crate) claims: Bytes,
    pub(crate) principal: String,
    /// Under what its answer is kept, if it shall be.
    pub(crate) keyed: Option<Box<Keyed>>,
    pub(crate) caller: Caller,
    pub(crate) hops: u32,
    /// The row that led to it, if one did.
    pub(crate) source: Option<Consumed>,
    /// Who waits for the reply, if anyone does.
    pub(crate) responder: Option<Responder>,
}

/// What came of taking a snapshot.
pub(crate) enum Taken {
    /// A large one has the desk that it is to be written at.
    Done(Snapshot, Option<Desk>),
    /// It is a large one, and there is no room for it now.
    NoRoom,
    /// The plugin cannot export it, which is its fault.
    Failed,
}

impl Actors {
    /// Runs the handler, and appends what it decides.
    pub(crate) fn decide(
        self: &Arc<Self>,
        claim: &mut Claim,
        command: Command,
        stats: &EventStats,
    ) {
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        let now_ms = unix_ms().max(live.time_ms);
        let call = Call {
            key: id.key(),
            event: &command.event,
            payload: &command.payload,
            claims: &command.claims,
            now_ms,
            seed: seed::next(),
            seq: live.seq,
            caller: command.caller,
            hops: command.hops,
        };
        let verdict = match command.caller {
            Caller::TIMER => live.state.timer(&call),
            _ => live.state.handle(&call),
        };
        let sorted = verdict
            .map_err(|fault| fault.to_string())
            .and_then(|verdict| {
                Ok(match verdict {
                    Verdict::Rejected(rejection) => Err(CallError::Rejected(rejection)),
                    Verdict::Accepted(accepted) => {
                        let mut effects = self.sort(&id, live, &command, accepted.effects)?;
                        effects.json = accepted.effects_json;
                        Ok((accepted.event, accepted.reply, effects))
                    }
                })
            });
        match sorted {
            Err(fault) => {
                stats.faulted(&fault);
                let by = live.code().version().clone();
                self.crashed(claim, Some(fault.clone()));
                self.bury_of(claim, command, Some(by), &CallError::Crashed(fault));
            }
            Ok(Err(rejected)) => {
                stats.turned_away(&rejected);
                match command.responder {
                    Some(responder) => self.hold(claim, Err(rejected), responder),
                    None => self.bury(claim, command, &rejected),
                }
            }
            Ok(Ok((Some(event), reply, effects))) => {
                self.accept(claim, command, now_ms, event, reply, effects);
            }
            Ok(Ok((None, reply, _))) => {
                let answer = Answer::new(reply, live.seq);
                self.consume(claim, command.source, Ok(answer), command.responder);
            }
        }
    }

    /// Appends an accepted command: its record, its effects' rows, and a snapshot
    /// where one is due.
    fn accept(
        self: &Arc<Self>,
        claim: &mut Claim,
        command: Command,
        now_ms: i64,
        event: Bytes,
        reply: Bytes,
        effects: Effects,
    ) {
        claim.accepted(&reply);
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        live.seq += 1;
        live.time_ms = now_ms;
        let idempotency_key = match &command.keyed {
            Some(keyed) => Some(keyed.key.key.clone()),
            None => declared_key(live, &command),
        };
        let answer = command.keyed.map(|keyed| keyed.answered(&reply, live.seq));
        let record = Record {
            actor: id.clone(),
            seq: live.seq,
            version: live.code().version().clone(),
            time_ms: now_ms,
            command: command.event,
            payload: command.payload,
            event,
            principal: command.principal,
            idempotency_key,
            effects: effects.json,
        };
        live.lengthen_tail(&record);
        let due = TAIL_BYTES_MIN.max(usize::try_from(live.snapshot_bytes).unwrap_or(usize::MAX));
        let is_due = usize::try_from(live.tail_bytes).unwrap_or(usize::MAX) > due;
        let (snapshot, large) =
            match (is_due || effects.stop).then(|| self.take_snapshot(&id, live)) {
                Some(Taken::Done(snapshot, None)) => (Some(snapshot), None),
                // Behind the record, which so waits for none of its pieces.
                Some(Taken::Done(snapshot, desk)) => (None, Some((snapshot, desk))),
                Some(Taken::Failed | Taken::NoRoom) | None => (None, None),
            };
        let token = Token::Accepted(Box::new(Accepted {
            actor: id,
            seq: live.seq,
            version: live.code().version().clone(),
            reply: command.responder.map(|responder| (reply, responder)),
            source: command.source.as_ref().and_then(Source::of),
            broadcasts: effects.broadcasts,
            casts: effects.casts.clone(),
            timer_ms: effects.timer_ms,
            webhooks: !effects.rows.outbox.is_empty(),
            stop: effects.stop.then(|| Arc::clone(&claim.slot)),
        }));
        let rows = Rows {
            record: Some(record),
            snapshot,
            consumed: command.source,
            casts: effects.casts,
            answer: answer.clone(),
            ..effects.rows
        };
        self.append(claim, rows, token);
        self.remember(claim, answer);
        if let Some((snapshot, desk)) = large {
            self.append_snapshot(claim, snapshot, desk, Token::Nobody);
        }
    }

    /// Keeps the answer of what was just appended at hand until it is durable.
    fn remember(&self, claim: &mut Claim, answer: Option<Box<(AnswerKey, KeptAnswer)>>) {
        let (position, durable) = (claim.at.position, self.durable_of(claim.at));
        // Without a state the journal did not take it.
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        match answer {
            Some(answer) => live.remember(position, answer.0, answer.1),
            None => drop(live.keys(durable)),
        }
    }

    /// The state as a snapshot that is to be appended. Otherwise the tail is as it was.
    pub(crate) fn take_snapshot(&self, id: &ActorId, live: &mut Live) -> Taken {
        let is_large = live.is_large();
        let desk = is_large.then(|| self.desk(id)).flatten();
        if is_large && desk.is_none() {
            return Taken::NoRoom;
        }
        let exported = match is_large {
            true => tokio::task::block_in_place(|| live.state.export()),
            false => live.state.export(),
        };
        let state = match exported {
            Ok(state) => state,
            Err(fault) => {
                tracing::error!(actor = %id, %fault, "a state could not be exported for its snapshot");
                return Taken::Failed;
            }
        };
        let tail_bytes = live.tail_bytes;
        let snapshot = self.snapshot_of(id, live, state);
        if !snapshot.fits() {
            // Its records stay, and it is tried again when there are as many more.
            live.tail_bytes = tail_bytes;
            tracing::error!(actor = %id, bytes = snapshot.bytes(),
                "a state is too large for a snapshot: it grows on as records, and cannot come over to another version");
            return Taken::Failed;
        }
        if !snapshot.is_large() {
            return Taken::Done(snapshot, None);
        }
        let desk = desk.or_else(|| self.desk(id));
        if desk.is_none() {
            live.tail_bytes = tail_bytes;
            return Taken::NoRoom;
        }
        Taken::Done(snapshot, desk)
    }

    /// A snapshot with these bytes, which are the state's.
    pub(crate) fn snapshot_of(&self, id: &ActorId, live: &mut Live, state: Bytes) -> Snapshot {
        let snapshot = Snapshot {
            actor: id.clone(),
            seq: live.seq,
            time_ms: live.time_ms,
            version: live.code().version().clone(),
            state_schema: live.code().plugin().manifest().state_schema,
            state,
            carries: live.carries().to_vec(),
        };
        live.tail_bytes = 0;
        live.snapshot_bytes = u32::try_from(snapshot.bytes()).unwrap_or(u32::MAX);
        snapshot
    }

    /// Answers a command that needs no record; the row that led to it is used up.
    pub(crate) fn consume(
        self: &Arc<Self>,
        claim: &mut Claim,
        source: Option<Consumed>,
        answer: Result<Answer, CallError>,
        responder: Option<Responder>,
    ) {
        claim.answered(&answer);
        let token = match (responder, &source) {
            (Some(responder), None) => return self.hold(claim, answer, responder),
            (Some(responder), Some(_)) => Token::Answer(answer, responder),
            (None, Some(source)) => Source::of(source).map_or(Token::Nobody, Token::Delivered),
            (None, None) => return,
        };
        let rows = Rows {
            consumed: source,
            ..Rows::default()
        };
        self.append(claim, rows, token);
    }
}

/// The key that the plugin's author has said the command carries.
fn declared_key(live: &Live, command: &Command) -> Option<String> {
    let declared = &live.code().plugin().manifest().idempotency;
    keys::declared(&command.payload, declared.get(&command.event)?)
}
