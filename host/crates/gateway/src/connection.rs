//! One WebSocket connection: a task on the data runtime that waits, takes the
//! gate, and makes one turn.
//!
//! # Invariants
//!
//! - State changes in [`Connection::turn`] only, which does not await: between
//!   two turns codec and session are whole, and could go on in another process.
//! - A turn begins with the gate, so whoever holds the gate's other side knows
//!   that no connection is in a turn.
//! - What is to be sent passes the bounded [`Outbound`], so a client that does
//!   not read costs no more than its bound.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use host_actors::Actors;
use host_model::ActorId;
use host_model::limits::IDLE_TIMEOUT;
use tokio::sync::RwLock;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

use crate::counters::{Counters, count};
use crate::hub::Hub;
use crate::lane::Lanes;
use crate::limits::{CLOSE_TIMEOUT, READ_BUFFER_BYTES, READS_PER_TURN, WRITE_BYTES};
use crate::outbound::{Delivery, Outbound, Signals};
use crate::registry::Registry;
use crate::server::Admitted;
use crate::session::{Action, Ruling, Session};
use crate::transport::{Detached, Transport};
use crate::ws::{CloseCode, Codec, Limits, Message};

thread_local! {
    /// What was just read, until the codec has it. Shared, because thousands of
    /// connections are idle and a thread reads from one at a time.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER_BYTES].into());
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) actors: Arc<Actors>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) registry: Registry,
    /// Taken for reading once a turn. Taken for writing, it stops every connection
    /// between two turns.
    pub(crate) gate: RwLock<()>,
    /// Tasks of connections and their calls.
    pub(crate) tasks: TaskTracker,
    pub(crate) counters: Counters,
}

/// A connection and all that belongs to it.
pub(crate) struct Connection {
    stream: Transport,
    codec: Codec,
    session: Session,
    lanes: Lanes,
    outbound: Arc<Outbound>,
    /// The signals that have been heeded.
    known: Signals,
    phase: Phase,
    heard_at: Instant,
    timer: Pin<Box<Sleep>>,
    shared: Arc<Shared>,
}

/// How far the connection is towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The host stops: nothing more is begun, what is under way is answered.
    Finishing,
    /// A close frame was queued or a violation found; the rest is sent.
    Closing,
    /// Both close frames are there. The rest is sent, and that is all.
    Closed,
    /// All was sent to a client that broke the protocol, and the sending side shut.
    /// What still comes is dropped: to close with unread input would reset the
    /// connection, and the client might never see the close frame.
    Lingering,
    /// The socket is of no more use.
    Gone,
}

/// Why a turn is due.
#[derive(Debug, Default)]
struct Due {
    readable: bool,
    expired: bool,
}

impl Connection {
    /// Serves a client whose opening handshake is done, until the connection's
    /// end; `read_ahead` came behind the handshake. To be run on the data runtime.
    pub(crate) async fn serve(
        stream: Detached,
        read_ahead: Bytes,
        shared: Arc<Shared>,
        _admitted: Admitted,
    ) {
        let mut connection = match Transport::attach(stream) {
            Ok(stream) => Self::new(stream, &read_ahead, Arc::clone(&shared)),
            Err(error) => {
                tracing::warn!(%error, "a new WebSocket could not enter the data runtime");
                return;
            }
        };
        drop(read_ahead);
        let mut due = Due::default();
        while connection.phase != Phase::Gone {
            let open = shared.gate.read().await;
            connection.turn(&due);
            drop(open);
            due = connection.due().await;
        }
    }

    fn new(stream: Transport, read_ahead: &[u8], shared: Arc<Shared>) -> Self {
        count(&shared.counters.opened);
        let mut codec = Codec::new(Limits::default());
        codec.receive(read_ahead);
        let now = Instant::now();
        Self {
            stream,
            codec,
            session: Session::default(),
            lanes: Lanes::default(),
            outbound: shared.registry.enter(),
            known: Signals::default(),
            phase: Phase::Open,
            heard_at: now,
            timer: Box::pin(sleep_until(now + IDLE_TIMEOUT)),
            shared,
        }
    }

    /// Waits until there is something to do. Changes nothing.
    async fn due(&mut self) -> Due {
        poll_fn(|cx| {
            if self.phase == Phase::Gone {
                return Poll::Ready(Due::default());
            }
            let due = Due {
                readable: self.stream.poll_read_ready(cx).is_ready(),
                expired: self.timer.as_mut().poll(cx).is_ready(),
            };
            let blocked = !self.codec.output().is_empty() || self.stream.has_unsent();
            let writable = blocked && self.stream.poll_write_ready(cx).is_ready();
            let told = self.outbound.poll_ready(cx, self.known, !blocked);
            if due.readable || due.expired || writable || told.is_ready() {
                Poll::Ready(due)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    fn turn(&mut self, due: &Due) {
        let mut actions = Vec::new();
        self.heed_signals();
        if due.readable {
            self.read(&mut actions);
        } else {
            self.take_messages(&mut actions);
        }
        if due.expired {
            self.expire();
        }
        self.flush(&mut actions);
    }

    fn heed_signals(&mut self) {
        let signals = self.outbound.begin_turn();
        let before = std::mem::replace(&mut self.known, signals);
        if signals.kill {
            self.phase = Phase::Gone;
        } else if signals.overflowed && !before.overflowed {
            count(&self.shared.counters.slow_clients);
            self.close(
                CloseCode::TRY_AGAIN_LATER,
                "too much waits to be read by this client",
            );
        } else if signals.broken && !before.broken {
            self.close(
                CloseCode::INTERNAL_ERROR,
                "a call has failed inside the host",
            );
        } else if signals.stop && self.phase == Phase::Open {
            self.phase = Phase::Finishing;
        }
    }

    /// Reads what has come, and does what it asks for.
    fn read(&mut self, actions: &mut Vec<Action>) {
        for _ in 0..READS_PER_TURN {
            let read = READ_BUFFER.with_borrow_mut(|buffer| {
                let read = self.stream.try_read(buffer);
                if let Ok(count) = read {
                    self.codec.receive(&buffer[..count]);
                }
                read
            });
            match read {
                Ok(0) => self.phase = Phase::Gone,
                Ok(count) => {
                    self.heard_at = Instant::now();
                    self.take_messages(actions);
                    if count == READ_BUFFER_BYTES {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.phase = Phase::Gone,
            }
            return;
        }
    }

    fn take_messages(&mut self, actions: &mut Vec<Action>) {
        loop {
            match self.codec.next_message() {
                Ok(Some(Message::Text(text))) if self.phase == Phase::Open => {
                    self.take_text(&text, actions);
                }
                Ok(Some(Message::Binary(_))) if self.phase == Phase::Open => {
                    count(&self.shared.counters.malformed);
                    self.close(
                        CloseCode::UNSUPPORTED,
                        "messages are texts; binary is not taken",
                    );
                }
                Ok(Some(Message::Close { .. })) => self.begin_end(Phase::Closed),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => {
                    // The codec has queued the close frame.
                    count(&self.shared.counters.malformed);
                }
            }
        }
        if self.codec.is_closed() && matches!(self.phase, Phase::Open | Phase::Finishing) {
            self.begin_end(Phase::Closing);
        }
    }

    fn take_text(&mut self, text: &str, actions: &mut Vec<Action>) {
        let actors = &self.shared.actors;
        let ruling = |topic: &ActorId| {
            let release = actors.release_of(topic);
            let plugin = release.plugins.get(topic.plugin())?.code.plugin();
            Some(Ruling {
                version: plugin.version().clone(),
                has_summary: plugin.manifest().has_query("summary"),
            })
        };
        match self.session.on_text(text, ruling, actions) {
            Ok(()) => self.perform(actions),
            Err(malformed) => {
                count(&self.shared.counters.malformed);
                self.close(CloseCode::INVALID_PAYLOAD, &malformed.to_string());
            }
        }
    }

    fn perform(&mut self, actions: &mut Vec<Action>) {
        let Shared {
            hub,
            tasks,
            actors,
            counters,
            ..
        } = &*self.shared;
        for action in actions.drain(..) {
            match action {
                Action::Send(frame) => self.outbound.push(Delivery::Frame(frame)),
                Action::Refuse(frame) => {
                    count(&counters.over_limit);
                    self.outbound.push(Delivery::Frame(frame));
                }
                Action::Subscribe(topic) => hub.subscribe(&topic, &self.outbound),
                Action::Unsubscribe(topic) => hub.unsubscribe(&topic, self.outbound.id),
                Action::Call(call) => self.lanes.add(call, actors, &self.outbound, tasks),
            }
        }
    }

    /// Writes all that waits, as far as the client takes it.
    fn flush(&mut self, actions: &mut Vec<Action>) {
        while self.phase != Phase::Gone {
            match self.stream.flush() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.phase = Phase::Gone;
                    break;
                }
            }
            self.take_deliveries(actions);
            if self.has_finished() {
                self.close(
                    CloseCode::RESTART,
                    "the host restarts; come back in a moment",
                );
            }
            if self.codec.output().is_empty() {
                break;
            }
            match self.stream.try_write(self.codec.output()) {
                Ok(count) => self.codec.sent(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.phase = Phase::Gone,
            }
        }
        match self.phase {
            Phase::Closed => {
                self.stream.say_end();
                self.phase = Phase::Gone;
            }
            Phase::Closing if self.codec.is_closed() => self.linger(),
            _ => {}
        }
    }

    /// Moves what waits into the codec's output, until that is worth a write.
    fn take_deliveries(&mut self, actions: &mut Vec<Action>) {
        while self.codec.is_open()
            && self.codec.output().len() < WRITE_BYTES
            && let Some(delivery) = self.outbound.pop()
        {
            match delivery {
                Delivery::Frame(frame) => {
                    self.codec
                        .send_encoded(&frame)
                        .expect("the codec was asked whether it is open");
                }
                Delivery::Crashed { topic, reason } => {
                    self.session.on_crash(&topic, &reason, actions);
                }
                Delivery::Answered(answered) => {
                    self.session.on_answer(*answered, actions);
                    if self.session.calls() == 0 {
                        self.lanes.clear();
                    }
                }
            }
            self.perform(actions);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let idle_at = self.heard_at + IDLE_TIMEOUT;
        match self.phase {
            Phase::Open | Phase::Finishing if now < idle_at => {
                // Moved here and not at each message: the timer costs more than the clock.
                self.timer.as_mut().reset(idle_at);
            }
            Phase::Open | Phase::Finishing => {
                let seconds = IDLE_TIMEOUT.as_secs();
                let reason = format!("nothing was heard for {seconds} s; send heartbeats");
                self.close(CloseCode::GOING_AWAY, &reason);
            }
            Phase::Closing | Phase::Closed | Phase::Lingering | Phase::Gone => {
                self.phase = Phase::Gone;
            }
        }
    }

    /// Whether the host stops and all that was under way has been sent.
    fn has_finished(&self) -> bool {
        self.phase == Phase::Finishing && self.session.calls() == 0 && self.outbound.bytes() == 0
    }

    /// Begins the closing handshake; what waits in the queue is dropped.
    fn close(&mut self, code: CloseCode, reason: &str) {
        if self.codec.send_close(code, reason).is_ok() {
            self.begin_end(Phase::Closing);
        }
    }

    fn linger(&mut self) {
        self.stream.shut_sending();
        self.begin_end(Phase::Lingering);
    }

    /// Enters one of the last phases, each with its deadline.
    fn begin_end(&mut self, phase: Phase) {
        self.end_session();
        self.phase = phase;
        self.timer.as_mut().reset(Instant::now() + CLOSE_TIMEOUT);
    }

    fn end_session(&mut self) {
        self.outbound.shut();
        for topic in self.session.end() {
            self.shared.hub.unsubscribe(&topic, self.outbound.id);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end_session();
        self.shared.registry.leave(self.outbound.id);
    }
}
