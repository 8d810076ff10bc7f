//! A client of channels: its session, the calls it waits for, and what its messages do
//! to both. Whatever transport it is on gives it messages and deliveries, one at a time.

use std::sync::Arc;
use std::time::Instant;

use host_actors::Actors;
use host_model::{ActorId, Version};

use crate::connection::{Dialogue, Refused, Shared};
use crate::counters::count;
use crate::guard::Entered;
use crate::hub::Hub;
use crate::lane::Lanes;
use crate::limits::{PRESENT_MAX, WRITE_BYTES};
use crate::outbound::{Delivery, Outbound};
use crate::phoenix::{self, Incoming, Malformed, Ref};
use crate::server::App;
use crate::session::{Action, Answered, Call, Resume, Ruling, Session};
use crate::ws::{CloseCode, Encoded, Limits, Message};

/// Takes a frame that is to be sent.
type Send<'a> = &'a mut dyn FnMut(Encoded);

/// One client's side of the channels.
pub(crate) struct Client {
    session: Session,
    lanes: Lanes,
    actors: Arc<Actors>,
    hub: Arc<Hub>,
    shared: Arc<Shared>,
}

impl Client {
    /// A client that has been let in.
    pub(crate) fn new(app: &App, entered: Entered) -> Self {
        Self {
            session: Session::new(entered),
            lanes: Lanes::default(),
            actors: Arc::clone(&app.actors),
            hub: Arc::clone(&app.hub),
            shared: Arc::clone(&app.shared),
        }
    }

    /// Takes a message that the transport has found, or what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`Refused`]: the client is to be sent away.
    pub(crate) fn take(
        &mut self,
        message: Result<Incoming<'_>, Malformed>,
        outbound: &Arc<Outbound>,
    ) -> Result<(), Refused> {
        let message = message.map_err(|malformed| {
            count(&self.shared.counters.malformed);
            Refused {
                code: CloseCode::INVALID_PAYLOAD,
                reason: malformed.to_string(),
            }
        })?;
        let mut actions = Vec::new();
        let actors = &self.actors;
        let ruling = |topic: &ActorId| {
            let release = actors.release_of(topic);
            let plugin = release.plugins.get(topic.plugin())?.code.plugin();
            Some(Ruling {
                version: plugin.version().clone(),
                has_summary: plugin.manifest().has_query("summary"),
            })
        };
        self.session
            .on_message(&message, Instant::now(), ruling, &mut actions);
        self.perform(actions, outbound, &mut |frame| {
            outbound.push(Delivery::Frame(frame));
        });
        if self.session.is_flooded() {
            count(&self.shared.counters.flooded);
            return Err(Refused {
                code: CloseCode::POLICY,
                reason: "far more is sent than may be, and on and on; heed retry_after_ms"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// Shows the client to the others on a topic, where there is room.
    fn enter(
        &self,
        (topic, stamp): (&ActorId, Version),
        join_ref: &Ref,
        outbound: &Arc<Outbound>,
        send: Send<'_>,
    ) {
        let presences = &self.hub.presences;
        let principal = self.session.principal();
        if !presences.enter(&self.hub, topic, stamp, principal, outbound) {
            count(&self.shared.counters.over_limit);
            let most = format!(r#"{{"most":{PRESENT_MAX}}}"#);
            let full = phoenix::push(
                join_ref,
                topic.as_str(),
                "host:presence_full",
                most.as_bytes(),
            );
            send(full);
        }
    }

    fn leave(&self, topic: &ActorId, outbound: &Outbound) {
        self.hub.presences.leave(&self.hub, topic, outbound.id);
    }

    /// Answers a query that need not wait, unless it has to stay behind others or much waits
    /// to be sent already. A lane's task would cost more than that takes.
    ///
    /// A join is never answered so: what is told on its topic meanwhile may wait to be sent
    /// already, and must not come before the answer.
    fn answer_now(
        &mut self,
        call: Box<Call>,
        outbound: &Arc<Outbound>,
        send: Send<'_>,
    ) -> Option<Box<Call>> {
        let is_first = !call.is_join() && self.lanes.has_none(&call.request.actor);
        let now = is_first && outbound.bytes() < WRITE_BYTES;
        let Some(result) = now.then(|| self.actors.query_now(&call.request)).flatten() else {
            return Some(call);
        };
        let ticket = call.ticket;
        let mut actions = Vec::new();
        let answered = Answered { ticket, result };
        self.session.on_answer(answered, &mut actions);
        self.perform(actions, outbound, send);
        None
    }

    /// Carries out what follows; `send` takes the frames, in order.
    fn perform(&mut self, actions: Vec<Action>, outbound: &Arc<Outbound>, send: Send<'_>) {
        let shared = Arc::clone(&self.shared);
        let Shared {
            tasks,
            counters,
            guard,
            ..
        } = &*shared;
        for action in actions {
            match action {
                Action::Send(frame) => send(frame),
                Action::Refuse(frame) => {
                    count(&counters.over_limit);
                    send(frame);
                }
                Action::Limit(frame, limited) => {
                    count(limited.counter(counters));
                    send(frame);
                }
                Action::Renew { token, asked } => {
                    let renewed = guard.identify(Some(&token), self.session.address());
                    if renewed.is_err() {
                        count(&counters.tokens_refused);
                    }
                    let frame = self.session.on_token(renewed, &asked);
                    send(frame);
                }
                Action::Subscribe(topic, stamp) => self.hub.subscribe(&topic, &stamp, outbound),
                Action::Unsubscribe(topic) => self.hub.unsubscribe(&topic, outbound.id),
                Action::Call(call) => {
                    if let Some(call) = self.answer_now(call, outbound, send) {
                        self.lanes.add(call, &self.actors, outbound, tasks);
                    }
                }
                Action::Resume(resume) => {
                    let resumed = resumed(*resume, Arc::clone(&self.actors), Arc::clone(outbound));
                    tasks.spawn(resumed);
                }
                Action::Enter(topic, stamp, join_ref) => {
                    self.enter((&topic, stamp), &join_ref, outbound, send);
                }
                Action::Leave(topic) => self.leave(&topic, outbound),
            }
        }
    }
}

/// Reads what a client has missed.
async fn resumed(resume: Resume, actors: Arc<Actors>, outbound: Arc<Outbound>) {
    let Resume {
        topic,
        after,
        until,
        stamp,
        ..
    } = &resume;
    let missed = actors.missed(topic, *after, *until, stamp).await;
    outbound.push(Delivery::Resumed(resume.with(missed)));
}

impl Dialogue for Client {
    const LIMITS: Limits = Limits::CHANNELS;

    fn on_message(&mut self, message: Message, outbound: &Arc<Outbound>) -> Result<(), Refused> {
        match message {
            Message::Text(text) => self.take(Incoming::parse(&text), outbound),
            Message::Binary(bytes) => self.take(Incoming::parse_binary(&bytes), outbound),
            Message::Ping(_) | Message::Pong(_) | Message::Close { .. } => Ok(()),
        }
    }

    fn on_delivery(
        &mut self,
        delivery: Delivery,
        outbound: &Arc<Outbound>,
        frames: &mut Vec<Encoded>,
    ) {
        let mut actions = Vec::new();
        match delivery {
            Delivery::Frame(frame) => frames.push(frame),
            Delivery::Live(live) => frames.extend(self.session.on_live(&live, &mut actions)),
            Delivery::Resumed(resumed) => self.session.on_resumed(*resumed, &mut actions),
            Delivery::Answered(answered) => {
                self.lanes.answered(answered.topic());
                self.session.on_answer(*answered, &mut actions);
            }
        }
        self.perform(actions, outbound, &mut |frame| frames.push(frame));
    }

    fn is_at_rest(&self) -> bool {
        self.session.calls() == 0
    }

    fn end(&mut self, outbound: &Outbound) {
        for (topic, is_present) in self.session.end() {
            if is_present {
                self.leave(&topic, outbound);
            }
            self.hub.unsubscribe(&topic, outbound.id);
        }
    }
}
