//! What a host does, in figures that a program takes twice to see how they move.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::Status;

/// `GET /v1/activity`: everything is counted since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// Unix milliseconds, UTC, of when it was counted.
    pub at_ms: i64,
    /// How the host is.
    pub status: Status,
    /// How long callers have waited for an answer.
    pub waits: CallWaits,
    /// What the plugins handle, of the release that rules.
    pub events: Vec<EventActivity>,
}

/// See [`Activity::waits`]: microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallWaits {
    /// Half of the calls waited for at most so long.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// See [`Activity::events`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventActivity {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: Version,
    /// Name of the command, query or timer.
    pub event: String,
    /// Runs of its handler.
    pub calls: u64,
    /// Of them, that ended in a fault.
    pub faults: u64,
    /// Of them, that ended in a rejection.
    pub rejections: u64,
}
