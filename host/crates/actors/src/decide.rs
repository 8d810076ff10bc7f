//! Commands: from a handler's verdict to an entry of the journal.

use std::sync::Arc;

use bytes::Bytes;
use host_journal::{
    CastId, Consumed, DeadLetter, DeadLetterKind, Letter, Record, Rows, Snapshot, TimerRow,
};
use host_loader::{Call, Caller, Verdict};
use host_model::effect::Effect;
use host_model::limits::{CAST_HOPS_MAX, TAIL_BYTES_MIN};
use host_model::{ActorId, Version};

use crate::Actors;
use crate::clock::unix_ms;
use crate::message::{Answer, CallError, Message, Responder};
use crate::release::EventStats;
use crate::seed;
use crate::slots::{Claim, Live};
use crate::token::{Accepted, Source, Token};

/// What a handler is asked to decide.
pub(crate) struct Command {
    pub(crate) event: String,
    pub(crate) payload: Bytes,
    pub(crate) claims: Bytes,
    pub(crate) principal: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) caller: Caller,
    pub(crate) hops: u32,
    /// The row that led to it, if it is a cast or a timer.
    pub(crate) source: Option<Consumed>,
    /// Who waits for the reply, if it is a client's.
    pub(crate) responder: Option<Responder>,
}

/// A verdict's effects, sorted by where they go.
#[derive(Default)]
struct Effects {
    rows: Rows,
    broadcasts: Vec<(String, Box<serde_json::value::RawValue>)>,
    casts: Vec<Letter>,
    timer_ms: Option<i64>,
}

impl Actors {
    pub(crate) fn cast(
        self: &Arc<Self>,
        claim: &mut Claim,
        id: CastId,
        letter: Letter,
        stats: &EventStats,
    ) {
        let Some(live) = claim.live.as_ref() else {
            return self.casts.put_off(id);
        };
        let converted = self.convert(live, &letter.version, &letter.event, &letter.payload);
        let mut command = Command {
            event: letter.event,
            payload: letter.payload,
            claims: Bytes::new(),
            principal: format!("actor:{}", letter.from),
            idempotency_key: None,
            caller: Caller::ACTOR,
            hops: letter.hops,
            source: Some(Consumed::Cast(id)),
            responder: None,
        };
        match converted {
            Ok(Some((event, payload))) => (command.event, command.payload) = (event, payload),
            Ok(None) => {}
            Err(error) => return self.bury(claim, command, &error),
        }
        if command.hops > CAST_HOPS_MAX {
            let error = CallError::Rejected(host_model::effect::Rejection {
                reason: "too_many_hops".to_owned(),
                message: format!("{CAST_HOPS_MAX} casts led to one another: a circle?"),
            });
            return self.bury(claim, command, &error);
        }
        self.decide(claim, command, stats);
    }

    pub(crate) fn timer(self: &Arc<Self>, claim: &mut Claim, timer: TimerRow, stats: &EventStats) {
        let Some(live) = claim.live.as_ref() else {
            return self.timers.put_off(&timer);
        };
        let converted = self.convert(live, &timer.version, &timer.name, &timer.payload);
        let mut command = Command {
            event: timer.name.clone(),
            payload: timer.payload,
            claims: Bytes::new(),
            principal: "timer".to_owned(),
            idempotency_key: None,
            caller: Caller::TIMER,
            hops: 0,
            source: Some(Consumed::Timer {
                actor: timer.actor,
                name: timer.name,
                set_at: timer.set_at,
            }),
            responder: None,
        };
        match converted {
            Ok(Some((event, payload))) => (command.event, command.payload) = (event, payload),
            Ok(None) => {}
            Err(error) => return self.bury(claim, command, &error),
        }
        self.decide(claim, command, stats);
    }

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
                        let effects = self.sort(&id, live, &command, accepted.effects)?;
                        Ok((accepted.event, accepted.reply, effects))
                    }
                })
            });
        match sorted {
            Err(fault) => {
                stats.faulted();
                self.crashed(claim, Some(fault.clone()));
                self.bury(claim, command, &CallError::Crashed(fault));
            }
            Ok(Err(rejected)) => {
                stats.rejected();
                match command.responder {
                    Some(responder) => self.hold(claim, Err(rejected), responder),
                    None => self.bury(claim, command, &rejected),
                }
            }
            Ok(Ok((Some(event), reply, effects))) => {
                self.accept(claim, command, now_ms, event, reply, effects);
            }
            Ok(Ok((None, reply, _))) => {
                let seq = live.seq;
                match command.responder {
                    Some(responder) => self.hold(claim, Ok(Answer { reply, seq }), responder),
                    None => self.consume(claim, command.source),
                }
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
        let id = claim.slot.id.clone();
        let Some(live) = claim.live.as_mut() else {
            return;
        };
        live.seq += 1;
        live.time_ms = now_ms;
        let record = Record {
            actor: id.clone(),
            seq: live.seq,
            version: live.code().version().clone(),
            time_ms: now_ms,
            command: command.event,
            payload: command.payload,
            event,
            principal: command.principal,
            idempotency_key: command.idempotency_key,
        };
        let bytes = record.payload.len() + record.event.len() + 128;
        live.tail_bytes = live
            .tail_bytes
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let due = TAIL_BYTES_MIN.max(usize::try_from(live.snapshot_bytes).unwrap_or(usize::MAX));
        let snapshot = (usize::try_from(live.tail_bytes).unwrap_or(usize::MAX) > due)
            .then(|| self.take_snapshot(&id, live))
            .flatten();
        let token = Token::Accepted(Box::new(Accepted {
            actor: id,
            seq: live.seq,
            reply: command.responder.map(|responder| (reply, responder)),
            source: command.source.as_ref().and_then(Source::of),
            broadcasts: effects.broadcasts,
            casts: effects.casts.clone(),
            timer_ms: effects.timer_ms,
        }));
        let rows = Rows {
            record: Some(record),
            snapshot,
            consumed: command.source,
            casts: effects.casts,
            ..effects.rows
        };
        self.append(claim, rows, token);
    }

    /// The state as a snapshot. None if the plugin cannot export it, which is its
    /// fault and leaves the tail as it is.
    pub(crate) fn take_snapshot(&self, id: &ActorId, live: &mut Live) -> Option<Snapshot> {
        let state = match live.state.export() {
            Ok(state) => state,
            Err(fault) => {
                tracing::error!(actor = %id, %fault, "a state could not be exported for its snapshot");
                return None;
            }
        };
        Some(self.snapshot_of(id, live, state))
    }

    /// A snapshot with these bytes, which are the state's.
    pub(crate) fn snapshot_of(&self, id: &ActorId, live: &mut Live, state: Bytes) -> Snapshot {
        live.tail_bytes = 0;
        live.snapshot_bytes = u32::try_from(state.len()).unwrap_or(u32::MAX);
        Snapshot {
            actor: id.clone(),
            seq: live.seq,
            time_ms: live.time_ms,
            version: live.code().version().clone(),
            state_schema: live.code().plugin().manifest().state_schema,
            state,
            carries: live.carries().to_vec(),
        }
    }

    /// Sorts a verdict's effects. An effect that cannot be is the plugin's fault.
    fn sort(
        &self,
        id: &ActorId,
        live: &Live,
        command: &Command,
        effects: Vec<Effect>,
    ) -> Result<Effects, String> {
        let mut sorted = Effects::default();
        for effect in effects {
            match effect {
                Effect::Broadcast { event, payload } => sorted.broadcasts.push((event, payload)),
                Effect::Cast { to, event, payload } => {
                    let to: ActorId = to.parse().map_err(|e| {
                        format!(
                            "{} casts {event:?} to nobody: {e}",
                            live.code().plugin().name()
                        )
                    })?;
                    sorted.casts.push(Letter {
                        from: id.clone(),
                        version: self.shape_for(&to, live),
                        to,
                        event,
                        payload: Bytes::from(String::from(Box::<str>::from(payload))),
                        hops: command.hops + 1,
                    });
                }
                Effect::SetTimer {
                    name,
                    at_ms,
                    payload,
                } => {
                    let payload = Bytes::from(String::from(Box::<str>::from(payload)));
                    sorted.timer_ms = Some(sorted.timer_ms.map_or(at_ms, |ms| ms.min(at_ms)));
                    sorted.rows.timers_cancelled.retain(|other| *other != name);
                    sorted.rows.timers_set.retain(|other| other.0 != name);
                    sorted.rows.timers_set.push((name, at_ms, payload));
                }
                Effect::CancelTimer { name } => {
                    sorted.rows.timers_set.retain(|other| other.0 != name);
                    sorted.rows.timers_cancelled.push(name);
                }
            }
        }
        Ok(sorted)
    }

    /// The version of the target's plugin that goes with the sender's version.
    fn shape_for(&self, to: &ActorId, sender: &Live) -> Version {
        let release = self.release();
        let own = sender.code().plugin();
        let came_over = release
            .plugins
            .get(own.name())
            .is_none_or(|ruling| ruling.code.version() == own.version());
        let target = if came_over {
            release.plugins.get(to.plugin()).map(|r| r.code.version())
        } else {
            release.before.get(to.plugin())
        };
        target.cloned().unwrap_or(Version::new(0, 0, 0))
    }

    /// Uses up a row that led to nothing that needs a record.
    fn consume(self: &Arc<Self>, claim: &mut Claim, source: Option<Consumed>) {
        let Some(source) = source else {
            return;
        };
        let token = Source::of(&source).map_or(Token::Nobody, Token::Delivered);
        let rows = Rows {
            consumed: Some(source),
            ..Rows::default()
        };
        self.append(claim, rows, token);
    }

    /// Keeps a message that came to nothing as a dead letter, and tells its caller.
    fn bury(self: &Arc<Self>, claim: &mut Claim, command: Command, error: &CallError) {
        if let Some(responder) = command.responder {
            // What it says may come from a state that is not durable yet.
            self.hold(claim, Err(error.clone()), responder);
        }
        let kind = match &command.source {
            None | Some(Consumed::DeadLetter(_)) => DeadLetterKind::Command,
            Some(Consumed::Cast(_)) => DeadLetterKind::Cast,
            Some(Consumed::Timer { .. }) => DeadLetterKind::Timer,
        };
        let release = self.release();
        let version = match (&claim.live, release.plugins.get(claim.slot.id.plugin())) {
            (Some(live), _) => live.code().version().clone(),
            (None, Some(ruling)) => ruling.code.version().clone(),
            (None, None) => Version::new(0, 0, 0),
        };
        let token = command
            .source
            .as_ref()
            .and_then(Source::of)
            .map_or(Token::Nobody, Token::Delivered);
        let rows = Rows {
            dead_letter: Some(DeadLetter {
                kind,
                actor: claim.slot.id.clone(),
                version,
                event: command.event,
                payload: command.payload,
                reason: error.reason().to_owned(),
                message: error.to_string(),
                time_ms: unix_ms(),
            }),
            consumed: command.source,
            ..Rows::default()
        };
        self.append(claim, rows, token);
    }

    /// Answers a message whose plugin is not in the release that rules. A cast or
    /// timer becomes a dead letter: no one will ever handle it as it is.
    pub(crate) fn refuse_for_ever(
        self: &Arc<Self>,
        claim: &mut Claim,
        message: Message,
        error: CallError,
    ) {
        let (source, event, payload, caller) = match message {
            Message::Cast(id, letter) => (
                Consumed::Cast(id),
                letter.event,
                letter.payload,
                Caller::ACTOR,
            ),
            Message::Timer(timer) => (
                Consumed::Timer {
                    actor: timer.actor,
                    name: timer.name.clone(),
                    set_at: timer.set_at,
                },
                timer.name,
                timer.payload,
                Caller::TIMER,
            ),
            other => return self.refuse(other, error),
        };
        let command = Command {
            event,
            payload,
            claims: Bytes::new(),
            principal: String::new(),
            idempotency_key: None,
            caller,
            hops: 0,
            source: Some(source),
            responder: None,
        };
        self.bury(claim, command, &error);
    }
}
