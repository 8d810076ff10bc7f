//! What the counter can be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Trouble;

/// What may be asked to change; all but `note` as in 0.1.0.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Counts. Replies the count, and broadcasts it as `added`.
    Add {
        /// How much.
        by: i64,
    },
    /// Keeps a text.
    Note {
        /// The text.
        text: String,
    },
    /// Panics in `decide`.
    Panic {},
    /// Holds the thread without using it.
    Sleep {
        /// For so long.
        ms: u64,
    },
    /// Casts a command.
    Cast {
        /// Actor id, `plugin:key`.
        to: String,
        /// Command name.
        event: String,
        /// Any JSON; an object is what it should be.
        #[serde(default)]
        payload: Value,
    },
    /// Sets a timer.
    SetTimer {
        /// Its name.
        name: String,
        /// From now.
        in_ms: i64,
        /// Given back when it fires.
        #[serde(default)]
        payload: Value,
    },
    /// Cancels a timer.
    CancelTimer {
        /// Its name.
        name: String,
    },
    /// Makes the plugin's `health` say that it is ill; `recover` ends it.
    FallIll {},
    /// See `fall_ill`.
    Recover {},
    /// Says what goes wrong at the next change of version, or from now on.
    PlanTrouble {
        /// What.
        what: Trouble,
        /// How long, where it takes time.
        #[serde(default)]
        ms: u64,
    },
}

/// What may be asked to know.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Count, ticks, size, notes, version, and the hooks that have run.
    Summary {},
    /// The count alone.
    Totals {
        /// Of what: any word. So a rehearsal, which has no arguments, asks for none in 0.1.0.
        of: String,
    },
}

/// What has happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It counted.
    Added {
        /// How much.
        by: i64,
    },
    /// A timer fired.
    Ticked {},
    /// A text is kept.
    NoteTaken {
        /// The text.
        text: String,
    },
    /// Trouble is planned.
    TroublePlanned {
        /// What.
        what: Trouble,
        /// How long.
        ms: u64,
    },
    /// Something that changes nothing.
    Noted {},
}
