//! A turn: what the holder of a claim does, message by message.

use std::sync::Arc;

pub(crate) use host_journal::Settled;
use host_journal::{Entry, Overloaded, Position, ReadError, Rows};
use host_loader::Caller;
use host_model::error::chain;
use host_model::limits::TURN_MESSAGES_MAX;
use host_model::{ActorId, Version};

use crate::Actors;
use crate::clock::monotonic_ms;
use crate::decide::Command;
use crate::hindrance::Hindrance;
use crate::keys::{Keyed, Known};
use crate::large::is_writing;
use crate::message::{Answer, CallError, Inspection, Message, Only, Request, Responder};
use crate::release::EventStats;
use crate::slots::{After, At, Claim, Slot};
use crate::slow::Entered;
use crate::token::{Ticket, Token};
use crate::wake::NotWoken;
use crate::watchdog;

/// What becomes of the claim after a message.
pub(crate) enum Flow {
    /// It goes on.
    Next,
    /// It is parked, and someone will resume it; the message is handled then.
    Park(Message),
}

impl Actors {
    /// Runs `first` and what has queued meanwhile, then gives the claim back.
    pub(crate) fn turn(self: &Arc<Self>, claim: Claim, first: Option<Message>) {
        self.take_turn(claim, first);
        if let Some(slot) = self.slow.next_with_room() {
            self.resume_soon(slot);
        }
        self.call_to_desk();
    }

    fn take_turn(self: &Arc<Self>, mut claim: Claim, first: Option<Message>) {
        let mut next = first;
        for _ in 0..TURN_MESSAGES_MAX {
            if let Some(message) = next.take()
                && let Flow::Park(message) = self.run(&mut claim, message)
            {
                let slot = Arc::clone(&claim.slot);
                if claim.park(message) {
                    self.resume_soon(slot);
                }
                return;
            }
            match claim.next_or_give_back(self.uptime_s(monotonic_ms())) {
                After::Next(again, message) => {
                    claim = again;
                    next = Some(message);
                }
                After::Done => return,
                After::Empty(slot) => return self.forget_if_empty(&slot),
            }
        }
        // Others want this thread, too.
        if let Some(message) = next {
            let slot = Arc::clone(&claim.slot);
            let _at_once = claim.park(message);
            self.resume_soon(slot);
        }
    }

    /// An actor that has accepted nothing leaves nothing behind.
    pub(crate) fn forget_if_empty(&self, slot: &Slot) {
        self.slots.remove_if(slot, |inner| {
            inner.live.as_ref().is_none_or(|live| !live.exists())
                && !inner.faulted_lately()
                && inner.at.position <= self.durable_of(inner.at)
        });
    }

    /// Takes a parked claim up again, on a thread of the data runtime.
    pub(crate) fn resume_soon(self: &Arc<Self>, slot: Arc<Slot>) {
        let actors = Arc::clone(self);
        self.data.spawn(async move {
            if let Some(claim) = slot.resume() {
                actors.turn(claim, None);
            }
        });
    }

    /// Handles a message. While a snapshot of the actor is being written, before it or
    /// of what it has come to, the next one waits.
    fn run(self: &Arc<Self>, claim: &mut Claim, message: Message) -> Flow {
        if self.go_on_writing(claim) {
            return Flow::Park(message);
        }
        match self.run_settled(claim, message) {
            Flow::Next if is_writing(claim) => Flow::Park(Message::Writing),
            flow => flow,
        }
    }

    fn run_settled(self: &Arc<Self>, claim: &mut Claim, mut message: Message) -> Flow {
        if matches!(message, Message::Writing) {
            return Flow::Next;
        }
        if message.is_for_the_plugin()
            && let Some(reason) = self.supervisor.quarantined(&claim.slot.id)
        {
            self.refuse(message, CallError::Quarantined(reason));
            return Flow::Next;
        }
        if message.is_for_the_plugin() && self.gates.holds(&claim.slot) {
            return Flow::Park(message);
        }
        match self.ensure_awake(claim) {
            Ok(()) => {}
            Err(NotWoken::Wait) => return Flow::Park(message),
            Err(NotWoken::UnknownPlugin(error)) => {
                self.refuse_for_ever(claim, message, error);
                return Flow::Next;
            }
            Err(NotWoken::Hindered(Hindrance::Unread(error))) => {
                self.refuse_unread(&claim.slot.id, message, error);
                return Flow::Next;
            }
            Err(NotWoken::Hindered(why)) => {
                let id = &claim.slot.id;
                if let Hindrance::Broken(fault) = &why {
                    self.broke(id, &message, fault);
                }
                let why = why.to_string();
                if matches!(message, Message::Migrate(_)) {
                    let (unknown, generation) = (Version::new(0, 0, 0), self.generation());
                    self.migration_failed(id, generation, unknown, why.clone(), true);
                }
                self.refuse(message, CallError::NotWoken(why));
                return Flow::Next;
            }
        }
        if let Some(error) = self.unknown_plugin(&claim.slot.id) {
            // Its plugin has left with the release before: it sleeps on in the journal.
            self.refuse_for_ever(claim, message, error);
            self.sleep(claim, None);
            return Flow::Next;
        }
        // Before a migration, too: its snapshot counts against the same bound.
        if message.is_for_the_plugin()
            && let Err(error) = self.journal.admit()
        {
            return self.put_up_with(claim, message, error);
        }
        // Who is set aside comes over for a sweep alone: its way may be why it was.
        let is_kept_as_it_is =
            !message.is_for_the_plugin() && self.supervisor.is_quarantined(&claim.slot.id);
        let come = match &mut message {
            Message::Migrate(errand) => self.ensure_migrated(claim, errand),
            _ if is_kept_as_it_is => Ok(true),
            _ => self.ensure_migrated(claim, &mut None),
        };
        match come {
            Ok(true) if !is_writing(claim) => {}
            Ok(_) => return Flow::Park(message),
            Err(error) => {
                self.refuse_unread(&claim.slot.id, message, error);
                return Flow::Next;
            }
        }
        let Some(live) = claim.live.as_ref() else {
            if self.is_stopping() {
                self.refuse(message, CallError::Stopping);
                return Flow::Next;
            }
            // The journal would not have its migration: the state is built anew.
            self.resume_soon(Arc::clone(&claim.slot));
            return Flow::Park(message);
        };
        let Some(event) = message.event() else {
            if matches!(message, Message::Inspect(_)) && self.settled(claim) != Settled::Durable {
                return self.wait_for_journal(claim, message);
            }
            self.housekeep(claim, message);
            return Flow::Next;
        };
        if let Message::DeadLetter(id, ..) = &message {
            match self.letter_stands(claim, *id) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.refuse(message, error);
                    return Flow::Next;
                }
                None => return self.wait_for_journal(claim, message),
            }
        }
        if let Message::Timer(timer) = &message {
            match self.timer_stands(claim, timer) {
                Some(true) => {}
                Some(false) => return Flow::Next,
                None => return self.wait_for_journal(claim, message),
            }
        }
        if let Message::Cast(id, _) = &message
            && self.casts.stays_behind(*id)
        {
            return Flow::Next;
        }
        let stats = Arc::clone(live.code().event(event));
        let entered = self.slow.enter(&stats, &claim.slot);
        if let Entered::NoRoom = entered {
            return Flow::Park(message);
        }
        let keyed = match self.look_up(claim, &stats, &message) {
            None => None,
            Some(Known::New(keyed)) => Some(keyed),
            Some(Known::Wait) => return self.wait_for_journal(claim, message),
            Some(Known::Answered(answer)) => {
                self.begin_span(claim, &message);
                if let Message::Request(request, responder) = message {
                    let may = match entered {
                        Entered::Slow(_room) => tokio::task::block_in_place(|| {
                            self.may_have_again(claim, &request, &stats)
                        }),
                        _ => self.may_have_again(claim, &request, &stats),
                    };
                    self.hold(claim, may.and(answer), responder);
                }
                self.end_span(claim);
                return Flow::Next;
            }
        };
        match entered {
            Entered::Slow(_room) => {
                tokio::task::block_in_place(|| self.handle(claim, message, keyed, &stats));
            }
            _ => self.handle(claim, message, keyed, &stats),
        }
        Flow::Next
    }

    /// What is known of a message's idempotency key. None: it has none.
    fn look_up(&self, claim: &mut Claim, stats: &EventStats, message: &Message) -> Option<Known> {
        let Message::Request(request, _) = message else {
            return None;
        };
        let key = request.idempotency_key.as_ref()?;
        // In another version's shape it may be a command all the same.
        let own = claim.live.as_ref().map(|live| live.code().version());
        let is_own = request.version.is_none() || request.version.as_ref() == own;
        let is_query = stats.is_query && is_own;
        (!is_query).then(|| self.known(claim, request, key))
    }

    /// A message that the journal has no room for. Who can be told is; what is a row
    /// waits in its place.
    fn put_up_with(
        self: &Arc<Self>,
        claim: &mut Claim,
        message: Message,
        error: Overloaded,
    ) -> Flow {
        match error {
            Overloaded::Full { .. } if message.is_from_outside() => {
                self.refuse(message, CallError::Overloaded);
            }
            Overloaded::Full { .. } => return self.wait_for_journal(claim, message),
            Overloaded::Closed => self.refuse(message, CallError::Stopping),
        }
        Flow::Next
    }

    /// A message whose actor could not be read, or brought over, because of the store. A
    /// sweep finds it behind, and tries it again; so does who has dead letters delivered.
    fn refuse_unread(&self, id: &ActorId, message: Message, error: ReadError) {
        let why = chain(&error);
        if let Message::Migrate(Some(errand)) = &message {
            errand.away.found(Some(id.clone()), error);
        }
        let refused = match &message {
            Message::DeadLetter(..) => CallError::NotApplied(why),
            _ => CallError::NotWoken(why),
        };
        self.refuse(message, refused);
    }

    /// What needs no handler of the plugin.
    fn housekeep(self: &Arc<Self>, claim: &mut Claim, message: Message) {
        match message {
            Message::Sleep(share) => self.sleep(claim, share),
            Message::Snapshot(share) => self.snapshot(claim, share),
            Message::Inspect(responder) => drop(responder.send(inspection(claim))),
            // Done by coming this far.
            Message::Migrate(_) | Message::Writing => {}
            Message::Request(..)
            | Message::Cast(..)
            | Message::Timer(_)
            | Message::DeadLetter(..) => {}
        }
    }

    fn handle(
        self: &Arc<Self>,
        claim: &mut Claim,
        message: Message,
        keyed: Option<Box<Keyed>>,
        stats: &Arc<EventStats>,
    ) {
        let slot = Arc::clone(&claim.slot);
        self.begin_span(claim, &message);
        watchdog::watch(&slot, stats, monotonic_ms(), || match message {
            Message::Request(request, responder) => {
                self.request(claim, *request, keyed, responder, stats);
            }
            Message::Cast(id, letter) => self.cast(claim, id, *letter, stats),
            Message::Timer(timer) => self.timer(claim, *timer, stats),
            Message::DeadLetter(id, letter, responder) => {
                self.dead_letter(claim, id, *letter, responder, stats);
            }
            _ => {}
        });
        self.end_span(claim);
    }

    fn request(
        self: &Arc<Self>,
        claim: &mut Claim,
        mut request: Request,
        keyed: Option<Box<Keyed>>,
        responder: Responder,
        stats: &EventStats,
    ) {
        let Some(live) = claim.live.as_mut() else {
            return drop(responder.send(Err(CallError::Stopping)));
        };
        let mut is_query = stats.is_query;
        let mut came = None;
        if let Some(version) = &request.version {
            match self.convert(live, version, &request.event, &request.payload) {
                Ok(Some((event, payload))) => {
                    // What it is, its name in the actor's version says.
                    is_query = live.code().query(&event).is_some();
                    let event = std::mem::replace(&mut request.event, event);
                    let payload = std::mem::replace(&mut request.payload, payload);
                    came = Some(Box::new((event, payload)));
                }
                // There is no such query to show who joins.
                Err(_) if request.only == Only::Join && !is_query => {}
                Ok(None) => {}
                Err(error) => {
                    stats.turned_away(&error);
                    return self.hold(claim, Err(error), responder);
                }
            }
        }
        if is_query {
            let answer = self.query(live, &claim.slot, &request, stats);
            if let Err(CallError::Crashed(why)) = &answer {
                self.crashed(claim, Some(why.clone()));
            }
            return self.hold(claim, answer, responder);
        }
        if request.only == Only::Join {
            return self.join_without_query(claim, &request, responder, stats);
        }
        let only = request.only;
        let command = Command {
            event: request.event,
            payload: request.payload,
            came,
            shape: request.version,
            claims: request.claims,
            principal: request.principal,
            keyed,
            caller: Caller::CLIENT,
            hops: 0,
            source: None,
            responder: Some(responder),
        };
        let refused = if only == Only::Query {
            CallError::NotAQuery {
                known: live.code().plugin().manifest().queries.join(", "),
                event: command.event,
            }
        } else {
            match self.may_do(claim, &command, stats) {
                Ok(()) => return self.decide(claim, command, stats),
                Err(refused) => refused,
            }
        };
        if let Some(responder) = command.responder {
            self.hold(claim, Err(refused), responder);
        }
    }

    /// Sends an answer as soon as all that it saw is durable.
    pub(crate) fn hold(
        self: &Arc<Self>,
        claim: &mut Claim,
        answer: Result<Answer, CallError>,
        responder: Responder,
    ) {
        claim.answered(&answer);
        match self.settled(claim) {
            Settled::Durable => drop(responder.send(answer)),
            Settled::Lost => {
                claim.live = None;
                let error = CallError::NotApplied("what it saw was not written".to_owned());
                drop(responder.send(Err(self.lost_sight(error))));
            }
            // Whoever has gone meanwhile needs none, and it would lie about until then.
            Settled::Pending if responder.is_closed() => {}
            Settled::Pending => {
                self.append(claim, Rows::default(), Token::Answer(answer, responder))
            }
        }
    }

    /// Whether all that this actor has appended is durable.
    pub(crate) fn settled(&self, claim: &Claim) -> Settled {
        let at = claim.at;
        self.journal.settled(at.position, at.incarnation)
    }

    /// How far what stands at `at` is durable: not at all, if it was lost.
    pub(crate) fn durable_of(&self, at: At) -> Position {
        // In this order, for the reason that `Journal::settled` has.
        let durable = self.journal.durable();
        match self.journal.was_lost(at.position, at.incarnation) {
            true => Position::default(),
            false => durable,
        }
    }

    /// Appends for the claimed actor. If the journal will not have it, the state in
    /// memory is ahead of what will ever be durable: it is dropped, and whoever
    /// waits is told.
    pub(crate) fn append(self: &Arc<Self>, claim: &mut Claim, mut rows: Rows, token: Token) {
        rows.beside = token.bytes();
        let entry = Entry {
            incarnation: claim.at.incarnation,
            rows,
            token: Ticket(token),
        };
        match self.journal.append(entry) {
            Ok(position) => claim.at.position = position,
            Err(refused) => {
                claim.live = None;
                self.lost(refused.token.0, refused.reason.into());
            }
        }
    }

    /// Parks until the journal has come as far as this actor.
    pub(crate) fn wait_for_journal(self: &Arc<Self>, claim: &mut Claim, message: Message) -> Flow {
        let token = Token::Resume(Arc::clone(&claim.slot));
        self.append(claim, Rows::default(), token);
        Flow::Park(message)
    }
}

fn inspection(claim: &Claim) -> Result<Inspection, CallError> {
    let live = claim.live.as_ref().ok_or(CallError::Stopping)?;
    let exporting = &live.code().exporting;
    let state = watchdog::named(&claim.slot, exporting, || live.state.export());
    let state = state.map_err(|fault| CallError::Crashed(fault.to_string()))?;
    Ok(Inspection {
        seq: live.seq,
        version: live.code().version().clone(),
        state,
        carries: live.carries().iter().map(|c| c.newer.clone()).collect(),
    })
}
