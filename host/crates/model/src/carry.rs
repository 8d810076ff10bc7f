//! What lies beside a state because an older version could not hold it.

use bytes::Bytes;
use semver::Version;
use serde::{Deserialize, Serialize};

/// What a `down` left over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    /// The newer version, that wrote it and reads it.
    pub newer: Version,
    /// The older version, beside whose state it lies.
    pub older: Version,
    /// SHA-256 of the older state that the `down` gave.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 32],
    /// MessagePack, as the newer version wrote it; empty where it wrote nothing, and only
    /// timers wait.
    pub bytes: Bytes,
    /// Timers of the newer version that the older one does not know. They are set again
    /// when the state goes up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<CarriedTimer>,
}

impl Carry {
    /// Bytes of all that it holds, with room for what frames it.
    #[must_use]
    pub fn weight(&self) -> usize {
        const FRAME: usize = 256;
        let timers = self.timers.iter();
        let timers = timers.map(|it| FRAME + it.name.len() + it.payload.len());
        FRAME + self.bytes.len() + timers.sum::<usize>()
    }
}

/// A timer that the older version does not know: it waits beside the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedTimer {
    /// Unique within the actor.
    pub name: String,
    /// Unix milliseconds, UTC.
    pub due_ms: i64,
    /// The version in whose shape it is.
    pub version: Version,
    /// JSON.
    pub payload: Bytes,
}
