//! What the counter can be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Trouble;

/// What may be asked to change. Those without a note record [`Event::Noted`],
/// which changes nothing, and reply `{}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Counts. Replies the count, and broadcasts it as `added`. The field `id` is
    /// declared as its idempotency key, and otherwise ignored.
    Add {
        /// How much.
        by: i64,
    },
    /// Is answered, and records nothing.
    Answer {},
    /// Is refused with the reason `refused`.
    Refuse {},
    /// Panics in `decide`.
    Panic {},
    /// Holds the thread without using it, and panics then.
    PanicLate {
        /// After so long.
        ms: u64,
    },
    /// Panics in `apply`, when the state has half changed.
    PanicInApply {},
    /// Panics with a payload that panics when it is dropped.
    PanicPayload {},
    /// Holds the thread without using it.
    Sleep {
        /// For so long.
        ms: u64,
    },
    /// Holds the thread and a processor.
    Spin {
        /// For so long.
        ms: u64,
    },
    /// Ends the process with a signal.
    Abort {},
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
    /// Casts to what is no actor's id.
    CastBadTarget {},
    /// Sets a timer; see [`host_sdk::Plugin::timer`] here for what names mean.
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
    /// Has a webhook sent, by the name `hook`.
    Webhook {
        /// Where to.
        url: String,
        /// What.
        #[serde(default)]
        body: Value,
    },
    /// Counts, as `add`, and leaves memory.
    AddAndStop {
        /// How much.
        by: i64,
    },
    /// Broadcasts to the topic.
    Broadcast {
        /// Event name.
        event: String,
        /// Any JSON.
        #[serde(default)]
        payload: Value,
    },
    /// Has so many effects.
    ManyEffects {
        /// How many.
        n: u32,
    },
    /// Has an effect and no event that it could belong to.
    EffectWithoutEvent {},
    /// Replies a text of so many bytes.
    BigReply {
        /// How many.
        bytes: usize,
    },
    /// Makes the state larger, by an event as large.
    Grow {
        /// By how much.
        bytes: usize,
    },
    /// Writes a log line of the level `warn`.
    Log {
        /// The line.
        message: String,
    },
    /// Makes `check` find something from now on.
    BreakInvariant {},
    /// Makes the plugin's `health` say that it is ill; `recover` ends it.
    FallIll {},
    /// See `fall_ill`.
    Recover {},
    /// Says what goes wrong at the next change of version.
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
    /// Count, ticks, size, version.
    Summary {},
    /// Panics.
    FaultQuery {},
    /// Replies bytes that need not be JSON.
    RawQuery {
        /// The bytes.
        text: String,
    },
    /// Known here only, and answered where that is the trouble.
    Gone {},
    /// Holds the thread without using it.
    SleepQuery {
        /// For so long.
        ms: u64,
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
    /// Trouble is planned.
    TroublePlanned {
        /// What.
        what: Trouble,
        /// How long.
        ms: u64,
    },
    /// The state grew.
    Grown {
        /// By this.
        padding: String,
    },
    /// The invariant is broken.
    Broken {},
    /// Panics when it is applied.
    PanickedInApply {},
    /// Something that changes nothing.
    Noted {},
}
