//! Memory of the process: how much it takes, and from when on actors have to make room.

use std::fmt;

use crate::Actors;

/// What the process takes of its machine's memory, and may take. It is asked once a
/// second.
pub trait Memory: fmt::Debug + Send + Sync {
    /// Resident bytes.
    fn resident_bytes(&self) -> u64;

    /// Resident bytes above which actors are put to sleep, the least recently used first.
    fn most_bytes(&self) -> u64;

    /// Returns to the system what was freed and is still held. May take a while.
    fn give_back(&self);
}

impl Actors {
    /// What the process takes of its machine's memory, and may take.
    #[must_use]
    pub fn memory(&self) -> &dyn Memory {
        &*self.memory
    }
}

/// Takes nothing, and may take everything: for hosts that are not to make room, and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Boundless;

impl Memory for Boundless {
    fn resident_bytes(&self) -> u64 {
        0
    }

    fn most_bytes(&self) -> u64 {
        u64::MAX
    }

    fn give_back(&self) {}
}
