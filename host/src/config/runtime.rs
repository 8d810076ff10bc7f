//! What the host takes of its machine, and bounds of actors.

use std::ops::RangeInclusive;

use super::Reader;

/// Threads that run handlers: more than any machine has cores is a slip.
const THREADS: RangeInclusive<usize> = 1..=1_024;

/// Bytes of their stacks: from what the host itself needs, to what is no stack any more.
const STACK_BYTES: RangeInclusive<usize> = 512 << 10..=1 << 30;

/// Actors in memory: from more than a machine's threads hold at once, to more than fit.
const AWAKE_ACTORS: RangeInclusive<usize> = 2_048..=100_000_000;

/// Resident bytes: from less than a host needs by itself, to more than there is.
const MEMORY_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 50;

/// Calls of clients under way at once.
const CALLS_UNDER_WAY: RangeInclusive<usize> = 1..=1_000_000;

/// Messages that wait for one actor.
const MAILBOX_MESSAGES: RangeInclusive<usize> = 1..=1_000_000;

/// Seconds that an idle actor stays in memory: up to 30 days.
const IDLE_S: RangeInclusive<u64> = 1..=30 * 24 * 3_600;

/// `[runtime]`. None: as the host has it by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Runtime {
    /// Threads that run handlers.
    pub(crate) threads: Option<usize>,
    /// Bytes of the stack of each.
    pub(crate) stack_bytes: Option<usize>,
    /// Actors in memory at once.
    pub(crate) awake_actors: Option<usize>,
    /// Bytes that the process may take before actors make room.
    pub(crate) memory_bytes: Option<u64>,
    /// Calls of clients under way at once.
    pub(crate) calls_under_way: Option<usize>,
    /// Messages that wait for one actor.
    pub(crate) mailbox_messages: Option<usize>,
    /// Seconds after which an idle actor may leave memory.
    pub(crate) idle_s: Option<u64>,
}

impl Reader<'_> {
    /// What is set of `[runtime]`.
    pub(super) fn runtime(&mut self) -> Runtime {
        Runtime {
            threads: self.number("RUNTIME_THREADS", "threads", THREADS),
            stack_bytes: self.number("RUNTIME_STACK_BYTES", "bytes", STACK_BYTES),
            awake_actors: self.number("RUNTIME_LIMITS_AWAKE_ACTORS", "actors", AWAKE_ACTORS),
            memory_bytes: self.number("RUNTIME_LIMITS_MEMORY_BYTES", "bytes", MEMORY_BYTES),
            calls_under_way: self.number(
                "RUNTIME_LIMITS_CALLS_UNDER_WAY",
                "calls",
                CALLS_UNDER_WAY,
            ),
            mailbox_messages: self.number(
                "RUNTIME_LIMITS_MAILBOX_MESSAGES",
                "messages",
                MAILBOX_MESSAGES,
            ),
            idle_s: self.number("RUNTIME_LIMITS_IDLE_S", "seconds", IDLE_S),
        }
    }
}
