//! Bounds that an operator may set, and that may change while actors run.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use host_model::limits::{
    AWAKE_ACTORS_MAX, CALLS_UNDER_WAY_MAX, MAILBOX_MESSAGES_MAX, PAYLOAD_BYTES_MAX,
};

use crate::outbox::Patience;

/// Bounds that an operator may change; see [`host_model::limits`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Actors in memory.
    pub awake_max: usize,
    /// Calls of clients under way at once.
    pub calls_max: usize,
    /// Messages that wait for one actor.
    pub mailbox_max: usize,
    /// Bytes of a payload.
    pub payload_bytes_max: usize,
    /// An actor that nothing has asked for so long may be put to sleep.
    pub idle: Duration,
    /// How long a webhook is tried for.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            awake_max: AWAKE_ACTORS_MAX,
            calls_max: CALLS_UNDER_WAY_MAX,
            mailbox_max: MAILBOX_MESSAGES_MAX,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            idle: Duration::from_secs(600),
            patience: Patience::default(),
        }
    }
}

/// The bounds in force. Read for every message, so each is a word of its own and no lock.
#[derive(Debug)]
pub(crate) struct Bounds {
    awake_max: AtomicUsize,
    calls_max: AtomicUsize,
    mailbox_max: AtomicUsize,
    idle_s: AtomicU64,
    pub(crate) payload_bytes_max: usize,
    pub(crate) patience: Patience,
}

impl Bounds {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            awake_max: AtomicUsize::new(limits.awake_max),
            calls_max: AtomicUsize::new(limits.calls_max),
            mailbox_max: AtomicUsize::new(limits.mailbox_max),
            idle_s: AtomicU64::new(limits.idle.as_secs()),
            payload_bytes_max: limits.payload_bytes_max,
            patience: limits.patience,
        }
    }

    pub(crate) fn set(&self, limits: Limits) {
        self.awake_max.store(limits.awake_max, Ordering::Relaxed);
        self.calls_max.store(limits.calls_max, Ordering::Relaxed);
        self.mailbox_max
            .store(limits.mailbox_max, Ordering::Relaxed);
        self.idle_s.store(limits.idle.as_secs(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn awake_max(&self) -> usize {
        self.awake_max.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn calls_max(&self) -> usize {
        self.calls_max.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn mailbox_max(&self) -> usize {
        self.mailbox_max.load(Ordering::Relaxed)
    }

    pub(crate) fn idle_s(&self) -> u64 {
        self.idle_s.load(Ordering::Relaxed)
    }
}
