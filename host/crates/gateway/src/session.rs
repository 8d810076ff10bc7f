//! What a client has joined and waits for: plain data, and what is to be done
//! for each message. No IO, no actors.
//!
//! A join is answered first, then comes what was missed, then what is told: so what is told
//! while a join is under way is held until then, and what the answer includes is left out.

mod join;
mod renewal;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use host_actors::{Answer, CallError, Only, Request};
use host_model::limits::PAYLOAD_BYTES_MAX;
use host_model::{ActorId, Version};

use crate::guard::{Caller, Entered, Limited, Limiter};
use crate::limits::{CALL_BYTES_MAX, CALLS_MAX};
use crate::outbound::Live;
use crate::phoenix::{self, Asked, CONNECTION_TOPIC, Incoming, Ref, UNMATCHED_TOPIC};
use crate::ws::Encoded;

use join::{Joining, Wishes};
pub(crate) use join::{Resume, Resumed};

/// One client's channels, and how many of its calls are under way.
#[derive(Debug)]
pub(crate) struct Session {
    caller: Caller,
    /// None, where the client may do as it likes.
    limiter: Option<Limiter>,
    /// At most [`CHANNELS_MAX`](host_model::limits::CHANNELS_MAX), so that looking through
    /// them is quick.
    channels: Vec<Channel>,
    calls: usize,
    call_bytes: usize,
}

#[derive(Debug)]
struct Channel {
    topic: ActorId,
    join_ref: Ref,
    /// The plugin version that ruled at the join: the shape of the client's messages.
    stamp: Version,
    /// There until the join is answered.
    joining: Option<Box<Joining>>,
    /// What was told up to here the client knows from the answer to its join.
    seq: u64,
    /// Whether it is shown to others who are there.
    is_present: bool,
}

/// What a session has to know of a plugin of the release that rules.
#[derive(Debug, Clone)]
pub(crate) struct Ruling {
    pub(crate) version: Version,
    pub(crate) has_summary: bool,
}

/// What is to be done for a message, in order.
#[derive(Debug)]
pub(crate) enum Action {
    Send(Encoded),
    /// As `Send`: that a bound of the connection was reached.
    Refuse(Encoded),
    /// As `Send`: that the client does more than its rates allow.
    Limit(Encoded, Limited),
    /// The client sends another token.
    Renew {
        token: String,
        asked: Asked,
    },
    /// From now on, or anew: under this version.
    Subscribe(ActorId, Version),
    Unsubscribe(ActorId),
    Call(Box<Call>),
    /// Read what was missed.
    Resume(Box<Resume>),
    /// The client is there; with the `join_ref` of whom to tell if there is no room.
    Enter(ActorId, Version, Ref),
    /// It is there no more.
    Leave(ActorId),
}

/// A call of an actor, and to what its answer is an answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) ticket: Ticket,
}

impl Call {
    /// Whether it answers a join.
    pub(crate) fn is_join(&self) -> bool {
        matches!(self.ticket.purpose, Purpose::Join { .. })
    }
}

/// What the session has to know again when a call has ended.
#[derive(Debug)]
pub(crate) struct Ticket {
    topic: ActorId,
    asked: Asked,
    purpose: Purpose,
    payload_bytes: usize,
}

#[derive(Debug)]
enum Purpose {
    Push,
    Join {
        /// The `join_ref` of the channel in whose place it comes.
        replaced: Option<Ref>,
        wishes: Wishes,
    },
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) ticket: Ticket,
    pub(crate) result: Result<Answer, CallError>,
}

impl Answered {
    pub(crate) fn topic(&self) -> &ActorId {
        &self.ticket.topic
    }

    pub(crate) fn bytes(&self) -> usize {
        self.result.as_ref().map_or(0, |answer| answer.reply.len())
    }
}

impl Session {
    /// One without channels yet.
    pub(crate) fn new(entered: Entered) -> Self {
        Self {
            caller: entered.caller,
            limiter: entered.limiter,
            channels: Vec::new(),
            calls: 0,
            call_bytes: 0,
        }
    }

    /// Where the client is.
    pub(crate) fn address(&self) -> IpAddr {
        self.caller.address
    }

    /// Who the client is, if anybody knows.
    pub(crate) fn principal(&self) -> Option<&str> {
        Some(&*self.caller.principal).filter(|principal| !principal.is_empty())
    }

    /// Whether plugins are asked what the client may do.
    fn is_asked(&self) -> bool {
        !self.caller.claims.is_empty()
    }

    /// Whether it goes on although it is told to wait.
    pub(crate) fn is_flooded(&self) -> bool {
        self.limiter.as_ref().is_some_and(Limiter::is_flooded)
    }

    /// Calls that have not been answered.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Takes a message at the time `now`. `ruling` tells of a topic's plugin.
    pub(crate) fn on_message(
        &mut self,
        message: &Incoming<'_>,
        now: Instant,
        ruling: impl FnOnce(&ActorId) -> Option<Ruling>,
        actions: &mut Vec<Action>,
    ) {
        let is_join = message.event == "phx_join";
        if let Some(limiter) = &mut self.limiter
            && let Err(limited) = limiter.allow(now, is_join, message.bytes)
        {
            return actions.push(Action::Limit(later(message, &limited), limited));
        }
        let does_something = message.topic != CONNECTION_TOPIC && message.event != "phx_leave";
        if does_something && self.caller.has_expired(now) {
            return actions.push(renewal::ended(message));
        }
        match (&*message.topic, &*message.event) {
            (CONNECTION_TOPIC, "heartbeat") => actions.push(ok(message, b"{}")),
            (CONNECTION_TOPIC, renewal::EVENT) => renewal::ask(message, actions),
            (_, "phx_join") => self.join(message, ruling, actions),
            (_, "phx_leave") => self.leave(message, actions),
            _ => self.push(message, actions),
        }
    }

    /// Takes the end of a call.
    pub(crate) fn on_answer(&mut self, answered: Answered, actions: &mut Vec<Action>) {
        let Answered { ticket, result } = answered;
        self.calls -= 1;
        self.call_bytes -= ticket.payload_bytes;
        match (&ticket.purpose, result) {
            (Purpose::Push, Ok(answer)) => actions.push(ticket.ok(&answer.reply)),
            (Purpose::Push, Err(why)) => actions.push(ticket.error(&why)),
            (Purpose::Join { .. }, Ok(answer)) => self.on_summary(ticket, Some(answer), actions),
            // The plugin has nothing to show of this actor, which is no reason
            // to keep a client from sending the command that changes it.
            (Purpose::Join { .. }, Err(CallError::Rejected(_))) => {
                self.on_summary(ticket, None, actions);
            }
            (Purpose::Join { replaced, .. }, Err(why)) => {
                actions.push(ticket.error(&why));
                if let Some(index) = self.of(&ticket) {
                    self.remove(index, actions);
                }
                ticket.close(replaced.as_ref(), actions);
            }
        }
    }

    /// Takes the crash of a topic's actor: its channel is gone, and the client
    /// will join again.
    pub(crate) fn on_crash(&mut self, topic: &ActorId, reason: &str, actions: &mut Vec<Action>) {
        if let Some(index) = self.position(topic.as_str()) {
            let channel = self.remove(index, actions);
            let error = phoenix::error(&channel.join_ref, topic.as_str(), reason);
            actions.push(Action::Send(error));
        }
    }

    /// Takes what is told on a topic; gives the frame to be sent now, if there is one.
    pub(crate) fn on_live(
        &mut self,
        live: &Arc<Live>,
        actions: &mut Vec<Action>,
    ) -> Option<Encoded> {
        if let Live::Crashed { topic, reason } = &**live {
            self.on_crash(topic, reason, actions);
            return None;
        }
        let index = self.position(live.topic().as_str())?;
        let channel = &mut self.channels[index];
        if let Some(joining) = &mut channel.joining {
            if !joining.hold(live) {
                let why = "more has happened than could be held during the join";
                self.on_crash(live.topic(), why, actions);
            }
            return None;
        }
        channel.hears(live)
    }

    /// Ends every channel, and gives the topics that were joined, and whether the client
    /// was shown there.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = (ActorId, bool)> + use<> {
        std::mem::take(&mut self.channels)
            .into_iter()
            .map(|channel| (channel.topic, channel.is_present))
    }

    fn leave(&mut self, message: &Incoming<'_>, actions: &mut Vec<Action>) {
        let Some(index) = self.position(&message.topic) else {
            return actions.push(ok(message, b"{}"));
        };
        if message
            .asked
            .join_ref
            .belongs_to(&self.channels[index].join_ref)
        {
            let channel = self.remove(index, actions);
            actions.push(ok(message, b"{}"));
            let closed = phoenix::close(&channel.join_ref, &message.topic);
            actions.push(Action::Send(closed));
        }
    }

    fn push(&mut self, message: &Incoming<'_>, actions: &mut Vec<Action>) {
        let Some(index) = self.position(&message.topic) else {
            let text = "this connection has not joined the topic";
            return actions.push(refusal(message, UNMATCHED_TOPIC, text));
        };
        let channel = &self.channels[index];
        if !message.asked.join_ref.belongs_to(&channel.join_ref) {
            return; // Of a channel that has been joined anew since.
        }
        if !message.payload.starts_with('{') {
            let text = "the payload is not a JSON object";
            return actions.push(refusal(message, "bad_payload", text));
        }
        if let Err(full) = self.has_room(message) {
            return actions.push(full);
        }
        let (topic, stamp) = (channel.topic.clone(), channel.stamp.clone());
        let payload = Bytes::copy_from_slice(message.payload.as_bytes());
        let event = message.event.clone().into_owned();
        let call = self.call(message, topic, event, payload, stamp, Purpose::Push);
        actions.push(Action::Call(call));
    }

    /// Whether one more call fits, with the refusal if it does not.
    fn has_room(&self, message: &Incoming<'_>) -> Result<(), Action> {
        let found = message.payload.len();
        if found > PAYLOAD_BYTES_MAX {
            let most = PAYLOAD_BYTES_MAX;
            let error = CallError::PayloadTooLarge { found, most };
            return Err(over_limit(message, error.reason(), &error.to_string()));
        }
        if self.calls >= CALLS_MAX || self.call_bytes + found > CALL_BYTES_MAX {
            let text = format!(
                "{} calls with {} bytes wait over this connection already, and {CALLS_MAX} with \
                 {CALL_BYTES_MAX} may; wait for answers first",
                self.calls, self.call_bytes
            );
            return Err(over_limit(message, "too_many_calls", &text));
        }
        Ok(())
    }

    fn call(
        &mut self,
        message: &Incoming<'_>,
        topic: ActorId,
        event: String,
        payload: Bytes,
        stamp: Version,
        purpose: Purpose,
    ) -> Box<Call> {
        self.calls += 1;
        self.call_bytes += payload.len();
        let only = match &purpose {
            Purpose::Push => Only::Either,
            Purpose::Join { .. } => Only::Join,
        };
        Box::new(Call {
            ticket: Ticket {
                topic: topic.clone(),
                asked: message.asked.clone(),
                payload_bytes: payload.len(),
                purpose,
            },
            request: Request {
                actor: topic,
                event,
                payload,
                only,
                claims: self.caller.claims.clone(),
                principal: self.caller.principal.clone(),
                version: Some(stamp),
                idempotency_key: None,
            },
        })
    }

    fn position(&self, topic: &str) -> Option<usize> {
        self.channels
            .iter()
            .position(|channel| channel.topic.as_str() == topic)
    }

    fn remove(&mut self, index: usize, actions: &mut Vec<Action>) -> Channel {
        let channel = self.channels.swap_remove(index);
        if self.channels.is_empty() {
            self.channels = Vec::new();
        }
        if channel.is_present {
            actions.push(Action::Leave(channel.topic.clone()));
        }
        actions.push(Action::Unsubscribe(channel.topic.clone()));
        channel
    }
}

impl Channel {
    /// What is told, if the answer to the join does not include it.
    fn hears(&self, live: &Live) -> Option<Encoded> {
        match live {
            Live::News { seq, frame, .. } => (*seq > self.seq).then(|| frame.clone()),
            Live::Frame { frame, .. } => Some(frame.clone()),
            Live::Presence { frame, .. } => self.is_present.then(|| frame.clone()),
            Live::Crashed { .. } => None,
        }
    }
}

impl Ticket {
    fn ok(&self, response: &[u8]) -> Action {
        let topic = self.topic.as_str();
        Action::Send(phoenix::reply_ok(&self.asked, topic, response))
    }

    fn error(&self, why: &CallError) -> Action {
        let topic = self.topic.as_str();
        Action::Send(phoenix::reply_failed(&self.asked, topic, why))
    }

    /// Closes the channel in whose place another has come.
    fn close(&self, replaced: Option<&Ref>, actions: &mut Vec<Action>) {
        let closed = replaced.map(|old| phoenix::close(old, self.topic.as_str()));
        actions.extend(closed.map(Action::Send));
    }
}

fn ok(message: &Incoming<'_>, response: &[u8]) -> Action {
    Action::Send(phoenix::reply_ok(&message.asked, &message.topic, response))
}

fn later(message: &Incoming<'_>, limited: &Limited) -> Encoded {
    phoenix::reply_refused(
        &message.asked,
        &message.topic,
        Limited::REASON,
        &limited.to_string(),
        Some(limited.retry_after),
    )
}

fn refusal(message: &Incoming<'_>, reason: &str, text: &str) -> Action {
    Action::Send(error(message, reason, text))
}

fn over_limit(message: &Incoming<'_>, reason: &str, text: &str) -> Action {
    Action::Refuse(error(message, reason, text))
}

fn error(message: &Incoming<'_>, reason: &str, text: &str) -> Encoded {
    phoenix::reply_error(&message.asked, &message.topic, reason, text)
}

#[cfg(test)]
mod tests;
