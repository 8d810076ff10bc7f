//! One WebSocket connection: a task on the data runtime that waits, takes the
//! gate, and makes one turn. What its messages mean is for its [`Dialogue`] to know.
//!
//! # Invariants
//!
//! - State changes in [`Connection::turn`] only, which does not await: between
//!   two turns codec and dialogue are whole, and could go on in another process.
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
use host_model::limits::IDLE_TIMEOUT;
use tokio::sync::RwLock;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

use crate::counters::{Counters, count};
use crate::guard::Guard;
use crate::limits::{CLOSE_TIMEOUT, READ_BUFFER_BYTES, READS_PER_TURN, WRITE_BYTES};
use crate::outbound::{Delivery, Outbound, Signals};
use crate::registry::Registry;
use crate::server::Admitted;
use crate::transport::{Detached, Transport};
use crate::ws::{CloseCode, Codec, Encoded, Limits, Message};

thread_local! {
    /// What was just read, until the codec has it. Shared, because thousands of
    /// connections are idle and a thread reads from one at a time.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER_BYTES].into());
}

/// What all connections share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) guard: Guard,
    pub(crate) registry: Registry,
    /// Taken for reading once a turn. Taken for writing, it stops every connection
    /// between two turns.
    pub(crate) gate: RwLock<()>,
    /// Tasks of connections and their calls.
    pub(crate) tasks: TaskTracker,
    pub(crate) counters: Counters,
}

/// What is spoken over a connection. It waits for nothing: what is to be sent goes into
/// the connection's [`Outbound`], and so does what comes of a call, when it comes.
pub(crate) trait Dialogue: Send {
    /// What the codec takes from the client.
    const LIMITS: Limits;

    /// Takes a message of the client.
    ///
    /// # Errors
    ///
    /// [`Refused`], if the connection is to end for it.
    fn on_message(&mut self, message: Message, outbound: &Arc<Outbound>) -> Result<(), Refused>;

    /// Takes what was in `outbound`, and adds the frames to send for it: they leave in its
    /// place, before all that waits there.
    fn on_delivery(
        &mut self,
        delivery: Delivery,
        outbound: &Arc<Outbound>,
        frames: &mut Vec<Encoded>,
    );

    /// Whether nothing is under way that the client waits for.
    fn is_at_rest(&self) -> bool;

    /// Ends it; once for all, and again if need be.
    fn end(&mut self, outbound: &Outbound);
}

/// Why a connection has to end.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: CloseCode,
    /// At most 123 bytes of it are sent.
    pub(crate) reason: String,
}

/// A connection and all that belongs to it.
pub(crate) struct Connection<D: Dialogue> {
    stream: Transport,
    codec: Codec,
    dialogue: D,
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

impl<D: Dialogue> Connection<D> {
    /// Serves a client whose opening handshake is done, until the connection's
    /// end; `read_ahead` came behind the handshake. To be run on the data runtime.
    pub(crate) async fn serve(
        stream: Detached,
        read_ahead: Bytes,
        dialogue: D,
        shared: Arc<Shared>,
        _admitted: Admitted,
    ) {
        let mut connection = match Transport::attach(stream) {
            Ok(stream) => Self::new(stream, &read_ahead, dialogue, Arc::clone(&shared)),
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

    fn new(stream: Transport, read_ahead: &[u8], dialogue: D, shared: Arc<Shared>) -> Self {
        count(&shared.counters.opened);
        let mut codec = Codec::new(D::LIMITS);
        codec.receive(read_ahead);
        let now = Instant::now();
        Self {
            stream,
            codec,
            dialogue,
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
        self.heed_signals();
        if due.readable {
            self.read();
        } else {
            self.take_messages();
        }
        if due.expired {
            self.expire();
        }
        self.flush();
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
    fn read(&mut self) {
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
                    self.take_messages();
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

    fn take_messages(&mut self) {
        loop {
            match self.codec.next_message() {
                Ok(Some(Message::Close { .. })) => self.begin_end(Phase::Closed),
                Ok(Some(message)) if self.phase == Phase::Open => {
                    if let Err(refused) = self.dialogue.on_message(message, &self.outbound) {
                        self.close(refused.code, &refused.reason);
                    }
                }
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

    /// Writes all that waits, as far as the client takes it.
    fn flush(&mut self) {
        while self.phase != Phase::Gone {
            match self.stream.flush() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.phase = Phase::Gone;
                    break;
                }
            }
            self.take_deliveries();
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
    fn take_deliveries(&mut self) {
        let mut frames = Vec::new();
        while self.codec.is_open()
            && self.codec.output().len() < WRITE_BYTES
            && let Some(delivery) = self.outbound.pop()
        {
            self.dialogue
                .on_delivery(delivery, &self.outbound, &mut frames);
            for frame in frames.drain(..) {
                self.codec
                    .send_encoded(&frame)
                    .expect("the codec was asked whether it is open");
            }
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
                count(&self.shared.counters.idle);
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
        self.phase == Phase::Finishing && self.dialogue.is_at_rest() && self.outbound.bytes() == 0
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
        self.end_dialogue();
        self.phase = phase;
        self.timer.as_mut().reset(Instant::now() + CLOSE_TIMEOUT);
    }

    fn end_dialogue(&mut self) {
        self.outbound.shut();
        self.dialogue.end(&self.outbound);
    }
}

impl<D: Dialogue> Drop for Connection<D> {
    fn drop(&mut self) {
        self.end_dialogue();
        self.shared.registry.leave(self.outbound.id);
    }
}
