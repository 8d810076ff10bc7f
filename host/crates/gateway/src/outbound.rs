//! What waits to be sent to one connection: bounded in bytes, never blocking
//! whoever fills it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use host_model::ActorId;
use host_model::limits::OUTBOUND_BYTES_MAX;
use parking_lot::Mutex;

use crate::limits::DELIVERY_OVERHEAD_BYTES;
use crate::session::{Answered, Resumed};
use crate::ws::Encoded;

/// Names a connection for the life of the process.
pub(crate) type ConnectionId = u64;

/// The way to a connection for everyone who is not its task: the hub, the calls
/// under way, and the server when it stops.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) id: ConnectionId,
    inner: Mutex<Inner>,
}

/// What comes to a connection from within.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// A frame for this client.
    Frame(Encoded),
    /// What is told to everyone on a topic.
    Live(Arc<Live>),
    /// A call has ended.
    Answered(Box<Answered>),
    /// What a client has missed has been read.
    Resumed(Box<Resumed>),
}

/// Told on a topic: the same for every subscriber, who shares its bytes.
#[derive(Debug)]
pub(crate) enum Live {
    /// An actor's broadcast.
    News {
        topic: ActorId,
        seq: u64,
        frame: Encoded,
    },
    /// Something else of the actor's.
    Frame { topic: ActorId, frame: Encoded },
    /// Who is there, or comes and goes.
    Presence { topic: ActorId, frame: Encoded },
    /// The topic has ended for all, and is to be joined again.
    Crashed { topic: ActorId, reason: Arc<str> },
}

/// What a connection is told beside the queue, so that a full queue cannot hide it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signals {
    /// The queue was over-full and has been dropped.
    pub(crate) overflowed: bool,
    /// End when the calls under way are answered.
    pub(crate) stop: bool,
    /// End now.
    pub(crate) kill: bool,
    /// A call ended without an answer: a defect of the host.
    pub(crate) broken: bool,
}

#[derive(Debug, Default)]
struct Inner {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    signals: Signals,
    /// Nothing is taken any more.
    shut: bool,
    waker: Option<Waker>,
}

impl Outbound {
    pub(crate) fn new(id: ConnectionId) -> Arc<Self> {
        Arc::new(Self {
            id,
            inner: Mutex::default(),
        })
    }

    /// Queues a delivery. One that does not fit drops all that waits and marks the
    /// connection for its end; one alone may be of any size.
    pub(crate) fn push(&self, delivery: Delivery) {
        self.push_all([delivery]);
    }

    /// Queues deliveries, each as [`push`](Self::push) does, and wakes once.
    pub(crate) fn push_all(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        let mut inner = self.inner.lock();
        for delivery in deliveries {
            inner.push(delivery);
        }
        inner.wake();
    }

    /// The next delivery. The queue's memory goes with the last one.
    pub(crate) fn pop(&self) -> Option<Delivery> {
        let mut inner = self.inner.lock();
        let delivery = inner.deliveries.pop_front();
        match &delivery {
            Some(delivery) => inner.bytes -= delivery.bytes(),
            None => inner.deliveries = VecDeque::new(),
        }
        delivery
    }

    /// Drops what waits and takes nothing more.
    pub(crate) fn shut(&self) {
        self.inner.lock().shut();
    }

    /// Changes the signals and wakes the connection.
    pub(crate) fn signal(&self, change: impl FnOnce(&mut Signals)) {
        let mut inner = self.inner.lock();
        change(&mut inner.signals);
        inner.wake();
    }

    /// The signals, at the beginning of a turn: until the next
    /// [`poll_ready`](Self::poll_ready) no one needs to wake the connection.
    pub(crate) fn begin_turn(&self) -> Signals {
        let mut inner = self.inner.lock();
        inner.waker = None;
        inner.signals
    }

    /// The signals as they are.
    pub(crate) fn signals(&self) -> Signals {
        self.inner.lock().signals
    }

    /// Ready when the signals are not those that are `known`, or when something
    /// waits and `hungry` asks for it.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        known: Signals,
        hungry: bool,
    ) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.signals != known || (hungry && !inner.deliveries.is_empty()) {
            return Poll::Ready(());
        }
        if !matches!(&inner.waker, Some(waker) if waker.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl Inner {
    fn push(&mut self, delivery: Delivery) {
        let bytes = delivery.bytes();
        if self.shut {
            return;
        }
        if self.deliveries.is_empty() || self.bytes + bytes <= OUTBOUND_BYTES_MAX {
            self.bytes += bytes;
            self.deliveries.push_back(delivery);
        } else {
            self.signals.overflowed = true;
            self.shut();
        }
    }

    fn shut(&mut self) {
        self.shut = true;
        self.deliveries = VecDeque::new();
        self.bytes = 0;
    }

    /// Once for all that comes until the connection has had its turn.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Delivery {
    fn bytes(&self) -> usize {
        DELIVERY_OVERHEAD_BYTES
            + match self {
                Self::Frame(frame) => frame.as_bytes().len(),
                Self::Live(live) => live.bytes(),
                Self::Answered(answered) => answered.bytes(),
                Self::Resumed(resumed) => resumed.bytes(),
            }
    }
}

impl Live {
    pub(crate) fn topic(&self) -> &ActorId {
        match self {
            Self::News { topic, .. }
            | Self::Frame { topic, .. }
            | Self::Presence { topic, .. }
            | Self::Crashed { topic, .. } => topic,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::News { frame, .. } | Self::Frame { frame, .. } | Self::Presence { frame, .. } => {
                frame.as_bytes().len()
            }
            Self::Crashed { reason, .. } => reason.len(),
        }
    }
}
