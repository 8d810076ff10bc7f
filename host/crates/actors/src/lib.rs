//! Actors in memory: claim, run, wake, sleep, migrate, supervise.
//!
//! A message travels: [`Actors::call`] finds the actor's slot → claims it (or
//! queues behind who has) → builds the state from the journal if it is not in
//! memory → brings it over to the release that rules → runs the handler on the
//! calling thread → appends what happened to the journal → and when the journal
//! says that it is durable, the reply and the effects leave.
//!
//! # Invariants
//!
//! - A state is touched by the holder of its claim only, and no lock is held
//!   while a handler runs. A slow handler blocks its own actor and no other.
//! - What one claim appends stands in the journal in the order of execution, and
//!   nothing leaves (reply, answer, rejection, broadcast, cast) before all that
//!   it depends on is durable.
//! - A fault costs the caller an error and the actor its state in memory, which
//!   is then rebuilt from the journal. It costs no other actor anything.
//! - A migration either succeeds, and its snapshot stands in the journal behind
//!   the commands that it includes, or the actor stays whole in its old version.
//! - A large snapshot is written piece by piece while its own actor is parked. Nothing
//!   of that actor comes between, and no one else waits for more than a piece.
//!
//! This crate must not know sockets, protocols, files of releases, or who
//! decided that a release rules.

mod actions;
mod aside;
mod audience;
mod authority;
mod behind;
mod canary;
mod casts;
mod clock;
mod counts;
mod decide;
mod deliver;
mod door;
mod effects;
mod gates;
mod health;
mod hindrance;
mod hooks;
mod keys;
mod large;
mod last_words;
mod ledger;
mod letters;
mod limits;
mod line;
mod live;
mod memory;
mod message;
mod migrate;
mod news;
mod outbox;
mod over;
mod places;
mod query;
mod rebuild;
mod redeliver;
mod refusals;
mod release;
mod repair;
mod rest;
mod rows;
mod seed;
mod shapes;
mod slots;
mod slow;
mod stranded;
mod supervise;
mod sweep;
mod thin;
mod timers;
mod times;
mod token;
mod topics;
mod trace;
mod turn;
mod wake;
mod watchdog;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use host_journal::{Entry, Journal, Lost, PastTails, Position, RefusedReason, Rows};
use host_model::ActorId;
use host_model::limits::CALL_TIMEOUT;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

pub use audience::Audience;
pub use canary::Canary;
pub use counts::{Counts, EventCounts};
pub use deliver::{Groups, channel};
pub use gates::StillInside;
pub use hooks::HookError;
pub use large::LargeSnapshots;
pub use last_words::last_words;
pub use ledger::{FailedMigration, Migrations};
pub use limits::Limits;
pub use memory::{Boundless, Memory};
pub use message::{Answer, CallError, Inspection, Only, Request};
pub use news::{Missed, News, NotResumed, UnknownShape};
pub use outbox::{Attempt, Attempts, Courier, Delivery, NoCourier, Patience};
pub use places::Place;
pub use redeliver::{RedeliverError, Redelivered};
pub use refusals::Refusals;
pub use release::{Code, EventStats, Release, Route, RouteEdge, RouteHop, Ruling};
pub use supervise::FailedPlugin;
pub use times::Times;
pub use token::Ticket;
pub use trace::{Trace, TraceError};
pub use watchdog::{Running, Work};

use canary::Reign;
use message::Message;
use slots::{Posted, Sent, Slot, Slots};
use token::Token;

/// All actors of a host. Shared by [`Arc`]; lives on the data runtime.
pub struct Actors {
    slots: Slots,
    reign: ArcSwap<Reign>,
    /// Raised with each change of the release; an actor's state remembers the one
    /// that it has come over to.
    generation: AtomicU32,
    journal: Arc<Journal<Ticket>>,
    audience: Arc<dyn Audience>,
    limits: limits::Bounds,
    memory: Arc<dyn Memory>,
    data: Handle,
    sweepers: Handle,
    slow: slow::Slow,
    last_words: last_words::LastWords,
    large: Arc<large::Large>,
    memory_is_needed: Arc<Notify>,
    sweeps: AtomicUsize,
    past: Mutex<Weak<PastTails>>,
    told: topics::Told,
    searched: sweep::Searched,
    thinning: Arc<thin::Thinning>,
    casts: casts::Casts,
    timers: timers::Timers,
    outbox: outbox::Outbox,
    courier: Arc<dyn Courier>,
    supervisor: supervise::Supervisor,
    stranded: stranded::Stranded,
    migrations: Migrations,
    gates: gates::Gates,
    /// The hooks that run now.
    hooks: Mutex<BTreeSet<hooks::Hook>>,
    /// How waking an actor has run so far, and how bringing one over.
    waking: Arc<EventStats>,
    migrating: Arc<EventStats>,
    /// How looking up an idempotency key has run so far.
    looking: EventStats,
    refusals: Refusals,
    tracers: trace::Tracers,
    door: door::Door,
    places: Arc<places::Places>,
    /// Messages that became dead letters.
    buried: AtomicU64,
    stopping: AtomicBool,
    started_ms: u64,
}

impl std::fmt::Debug for Actors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actors")
            .field("awake", &self.slots.awake())
            .finish_non_exhaustive()
    }
}

/// What [`Actors::open`] needs.
pub struct Parts {
    /// The journal, and what it hands back.
    pub journal: Arc<Journal<Ticket>>,
    /// What the journal's `done` sends on; see [`channel`].
    pub done: Groups,
    /// Who listens.
    pub audience: Arc<dyn Audience>,
    /// Who takes webhooks to their receivers.
    pub courier: Arc<dyn Courier>,
    /// The release that rules first.
    pub release: Release,
    /// Bounds.
    pub limits: Limits,
    /// What there is for actors in memory.
    pub memory: Arc<dyn Memory>,
    /// The runtime that handlers run on.
    pub data: Handle,
    /// The runtime on which a sweep brings actors over, so that no call stands behind a
    /// migration that it has nothing to do with. Its threads are to let the others go first.
    pub sweepers: Handle,
}

impl Actors {
    /// Serves from now on: see [`Actors::open`] and [`Actors::begin`].
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn start(parts: Parts) -> Result<Arc<Self>, host_journal::ReadError> {
        let actors = Self::open(parts)?;
        actors.begin();
        Ok(actors)
    }

    /// Messages are handled, and nothing is done without one: until [`Actors::begin`] no
    /// actor wakes, or goes to another version, by itself.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub fn open(parts: Parts) -> Result<Arc<Self>, host_journal::ReadError> {
        let quarantined = parts.journal.quarantined()?;
        let stranded = stranded::Stranded::read(&parts.journal)?;
        let actors = Arc::new(Self {
            slots: Slots::new(),
            reign: ArcSwap::from_pointee(Reign::of(Arc::new(parts.release))),
            generation: AtomicU32::new(Reign::FIRST),
            journal: parts.journal,
            audience: parts.audience,
            limits: limits::Bounds::new(parts.limits),
            memory: parts.memory,
            data: parts.data.clone(),
            sweepers: parts.sweepers,
            slow: slow::Slow::default(),
            last_words: last_words::LastWords::default(),
            large: Arc::default(),
            memory_is_needed: Arc::default(),
            thinning: Arc::default(),
            sweeps: AtomicUsize::new(0),
            past: Mutex::default(),
            told: topics::Told::default(),
            searched: sweep::Searched::default(),
            casts: casts::Casts::default(),
            timers: timers::Timers::default(),
            outbox: outbox::Outbox::default(),
            courier: parts.courier,
            supervisor: supervise::Supervisor::new(quarantined),
            stranded,
            migrations: Migrations::default(),
            gates: gates::Gates::default(),
            hooks: Mutex::default(),
            waking: Arc::new(EventStats::named(watchdog::WAKING)),
            migrating: Arc::new(EventStats::named(watchdog::MIGRATION)),
            looking: EventStats::default(),
            refusals: Refusals::default(),
            tracers: trace::Tracers::default(),
            door: door::Door::default(),
            places: Arc::default(),
            buried: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            started_ms: clock::monotonic_ms(),
        });
        parts
            .data
            .spawn(deliver::run(Arc::clone(&actors), parts.done));
        parts.data.spawn(rest::run(Arc::downgrade(&actors)));
        parts.data.spawn(thin::run(Arc::downgrade(&actors)));
        parts.data.spawn(watchdog::run(Arc::downgrade(&actors)));
        Ok(actors)
    }

    /// From now on casts, timers and webhooks that wait in the journal are delivered. Once.
    pub fn begin(self: &Arc<Self>) {
        self.data.spawn(casts::run(Arc::clone(self)));
        self.data.spawn(timers::run(Arc::clone(self)));
        self.data.spawn(outbox::run(Arc::clone(self)));
    }

    /// Sends a message and waits for the answer, which knows only what is durable.
    /// Must be polled on the data runtime: the handler runs right here.
    ///
    /// # Errors
    ///
    /// [`CallError`]; all but `Timeout`, `OutcomeUnknown` mean that nothing has changed.
    pub async fn call(self: &Arc<Self>, request: Request) -> Result<Answer, CallError> {
        let most = self.limits.payload_bytes_max;
        let found = request.payload.len();
        if found > most {
            let error = CallError::PayloadTooLarge { found, most };
            self.refusals.count(&error);
            return Err(error);
        }
        if let Some(answer) = self.query_now(&request) {
            return answer;
        }
        let entered = Instant::now();
        let (responder, receiver) = oneshot::channel();
        let id = request.actor.clone();
        self.send(&id, Message::Request(Box::new(request), responder));
        let answer = self.answered(receiver).await;
        self.door.left(entered);
        answer
    }

    /// The answer that comes over `receiver`, as long as a caller waits for one.
    pub(crate) async fn answered(
        &self,
        receiver: oneshot::Receiver<Result<Answer, CallError>>,
    ) -> Result<Answer, CallError> {
        match tokio::time::timeout(CALL_TIMEOUT, receiver).await {
            Ok(Ok(answer)) => answer,
            // Who held the responder ended by a panic of the host's own, perhaps behind
            // a commit.
            Ok(Err(_)) => Err(CallError::OutcomeUnknown),
            Err(_) => {
                let error = CallError::Timeout {
                    seconds: CALL_TIMEOUT.as_secs(),
                };
                self.refusals.count(&error);
                Err(error)
            }
        }
    }

    /// Shows an actor's state. None for an actor that has accepted nothing yet.
    ///
    /// # Errors
    ///
    /// As [`Actors::call`].
    pub async fn inspect(self: &Arc<Self>, id: &ActorId) -> Result<Inspection, CallError> {
        let (responder, receiver) = oneshot::channel();
        self.send(id, Message::Inspect(responder));
        receiver.await.unwrap_or(Err(CallError::Stopping))
    }

    /// Other bounds from now on, but for those of a payload and of a webhook, which are
    /// those of the start. What is beyond a new bound is not refused afterwards: actors
    /// are put to sleep, and messages that wait are handled.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.memory_is_needed.notify_one();
    }

    /// What the migrations since the last [`Migrations::reset`] did.
    #[must_use]
    pub fn migrations(&self) -> &Migrations {
        &self.migrations
    }

    /// Actors in memory.
    #[must_use]
    pub fn awake(&self) -> usize {
        self.slots.awake()
    }

    /// Whether an actor is in memory.
    #[must_use]
    pub fn is_awake(&self, id: &ActorId) -> bool {
        self.slots.get(id).is_some()
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal<Ticket>> {
        &self.journal
    }

    /// Makes values of the host's own durable, all or none.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the store would not.
    pub async fn write_values(
        &self,
        values: Vec<(String, Option<bytes::Bytes>)>,
    ) -> Result<(), Lost> {
        self.write_values_and_record(values, None).await
    }

    /// Makes rows durable that depend on no actor's state: a group that failed before
    /// says nothing against them. Gives their position.
    pub(crate) async fn write_rows(&self, rows: impl Fn() -> Rows) -> Result<Position, Lost> {
        loop {
            let (responder, receiver) = oneshot::channel();
            let entry = Entry {
                incarnation: self.journal.incarnation(),
                rows: rows(),
                token: Ticket(Token::Value(responder)),
            };
            let closed = || Lost::NotApplied("the journal is closed".into());
            match self.journal.append(entry) {
                Ok(position) => {
                    // The writer has ended without a word: it may have been written.
                    let unanswered = || Lost::Unknown("the journal's writer has ended".into());
                    let written = receiver.await.unwrap_or_else(|_| Err(unanswered()));
                    return written.map(|()| position);
                }
                Err(refused) if refused.reason == RefusedReason::StaleIncarnation => {}
                Err(_) => return Err(closed()),
            }
        }
    }

    /// Refuses new messages from now on. What has begun ends, and is answered.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.casts.wake();
        self.timers.wake();
        self.outbox.wake();
        self.thinning.stop();
        self.tracers.end();
    }

    /// Told to, or because the journal takes no more: then the host is about to end,
    /// and no actor can be woken.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) || self.journal.is_closed()
    }

    /// Gives a message to its actor: it runs here and now if the actor is idle.
    pub(crate) fn send(self: &Arc<Self>, id: &ActorId, mut message: Message) {
        if self.is_stopping() && message.is_from_outside() {
            return self.refuse(message, CallError::Stopping);
        }
        loop {
            let Some(slot) = self.slots.get_or_make(id, self.limits.awake_max()) else {
                let most = self.limits.awake_max();
                self.memory_is_needed.notify_one();
                return self.refuse(message, CallError::TooManyActors { most });
            };
            match slot.send(message, self.limits.mailbox_max()) {
                Ok(Sent::Claimed(claim, message)) => return self.turn(claim, Some(message)),
                Ok(Sent::Queued) => return,
                Ok(Sent::Full(message)) => {
                    let most = self.limits.mailbox_max();
                    return self.refuse(message, CallError::MailboxFull { most });
                }
                Err(back) => message = back,
            }
        }
    }

    /// Queues a message for its actor. Another thread runs it: the order of posting
    /// holds, and a slow target holds up no one else's messages.
    pub(crate) fn post(self: &Arc<Self>, id: &ActorId, message: Message) {
        if let Some(slot) = self.post_parked(id, message) {
            self.resume_soon(slot);
        }
    }

    /// As [`Actors::post`], but what the actor has to do is done before this returns,
    /// unless someone else does it: for a thread of the data runtime.
    pub(crate) fn post_here(self: &Arc<Self>, id: &ActorId, message: Message) {
        let claim = self.post_parked(id, message).and_then(|slot| slot.resume());
        if let Some(claim) = claim {
            self.turn(claim, None);
        }
    }

    /// The actor, if it was idle: then it is parked with the message, and to be resumed.
    fn post_parked(&self, id: &ActorId, mut message: Message) -> Option<Arc<Slot>> {
        loop {
            let slot = self.slots.get_or_make(id, usize::MAX)?;
            match self.try_post(&slot, message) {
                Ok(is_parked) => return is_parked.then_some(slot),
                // It has left memory this moment.
                Err(back) => message = back,
            }
        }
    }

    /// As [`Actors::post`], to an actor that is in memory; one that has left it
    /// meanwhile gets nothing.
    pub(crate) fn post_to(self: &Arc<Self>, slot: &Arc<Slot>, message: Message) {
        if let Ok(true) = self.try_post(slot, message) {
            self.resume_soon(Arc::clone(slot));
        }
    }

    fn try_post(&self, slot: &Arc<Slot>, message: Message) -> Result<bool, Message> {
        match slot.post(message, self.limits.mailbox_max())? {
            Posted::Resume => return Ok(true),
            Posted::Queued => {}
            Posted::Full(message) => {
                let most = self.limits.mailbox_max();
                self.refuse(message, CallError::MailboxFull { most });
            }
        }
        Ok(false)
    }

    /// Seconds since the start at `now_ms` of the monotonic clock, for ages.
    pub(crate) fn uptime_s(&self, now_ms: u64) -> u32 {
        u32::try_from(now_ms.saturating_sub(self.started_ms) / 1_000).unwrap_or(u32::MAX)
    }
}
