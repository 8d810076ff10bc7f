//! What an operator asks over the control socket, and what comes back.
//!
//! HTTP/1.1 and JSON on `run/host.sock`:
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/releases` | | list of [`ReleaseRow`] |
//! | `GET /v1/plan?to=V` | | [`PlanReport`] |
//! | `GET /v1/history?limit=N` | | list of [`HistoryRow`] |
//! | `GET /v1/flight?id=N` | | [`FlightRecord`](crate::flight::FlightRecord) |
//! | `POST /v1/releases/remove` | [`RemoveRequest`] | [`RemoveReport`] |
//! | `POST /v1/releases/installed` | [`InstalledNote`] | `{}` |
//! | `POST /v1/upgrade` | [`UpgradeRequest`] | server-sent events: [`Progress`], the last one [`Progress::Ended`] |
//! | `POST /v1/rehearse` | [`RehearsalRequest`] | server-sent events: [`Progress`], the last one [`Progress::Rehearsal`] |
//! | `POST /v1/rollback` | [`RollbackRequest`] | as above |
//! | `POST /v1/commit` | | as above |
//! | `GET /v1/upgrade` | | [`UnderWay`], or null where there is none |
//! | `POST /v1/upgrade/pause` | | [`UpgradeStatus`] |
//! | `POST /v1/upgrade/resume` | | [`UpgradeStatus`] |
//! | `GET /v1/actors?plugin=P&after=ID&limit=N` | | list of [`ActorRow`] |
//! | `GET /v1/activity` | | [`Activity`] |
//! | `GET /v1/events` | | list of [`EventsRow`] |
//! | `GET /v1/state?actor=ID` | | [`ActorState`] |
//! | `GET /v1/trace?actor=ID` | | server-sent events: [`Traced`] |
//! | `POST /v1/rpc` | [`RpcRequest`] | the reply itself |
//! | `GET /v1/quarantine` | | list of [`QuarantineRow`] |
//! | `POST /v1/quarantine/release` | [`ReleaseRequest`] | `{}` |
//! | `GET /v1/dead-letters?after=N&limit=N` | | list of [`DeadLetterRow`] |
//! | `GET /v1/quarantine/export?actor=ID` | | [`ActorExport`] |
//! | `POST /v1/dead-letters/retry` | [`LetterRequest`] | what came of it: the reply itself |
//! | `POST /v1/dead-letters/drop` | [`LetterRequest`] | `{}` |
//! | `GET /v1/outbox?after=ID&limit=N` | | list of [`WebhookRow`] |
//! | `POST /v1/outbox/retry` | [`WebhookRequest`] | `{}` |
//! | `POST /v1/stop` | | `{}`, and the host ends in order |
//! | `POST /v1/restart` | | `{}`, and the keeper boots the host anew |
//! | `POST /v1/reload` | | [`Reloaded`] |
//! | `GET /v1/audit/verify` | | one [`Verifying`](crate::keep::Verifying) a line |
//! | `GET /v1/audit/export?actor=ID&since_ms=T&format=F` | | see [`ExportQuery`](crate::keep::ExportQuery) |
//! | `POST /v1/store/backup` | [`BackupRequest`](crate::keep::BackupRequest) | [`BackupReport`](crate::keep::BackupReport) |
//! | `GET /v1/store/check` | | one [`Checking`](crate::keep::Checking) a line |
//! | `GET /v1/store/pins` | | list of [`PinRow`](crate::keep::PinRow) |
//! | `POST /v1/store/pin` | [`PinRequest`](crate::keep::PinRequest) | [`PinRow`](crate::keep::PinRow) |
//! | `POST /v1/store/unpin` | [`UnpinRequest`](crate::keep::UnpinRequest) | [`PinRow`](crate::keep::PinRow) |
//!
//! An error is a 4xx or 5xx with a [`Problem`].

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::ActorId;
use crate::release::ReleaseStatus;
use crate::share::Share;

pub mod activity;
pub mod events;
mod quantiles;
pub mod rehearsal;
pub mod releases;
pub mod repair;
pub mod trace;
mod verified;

pub use activity::{Activity, CallWaits, EventActivity};
pub use events::EventsRow;
pub use quantiles::Quantiles;
pub use rehearsal::*;
pub use releases::{InstalledNote, RemoveReport, RemoveRequest};
pub use repair::*;
pub use trace::*;
pub use verified::{Applies, ConfigChange, ConfigValue, PlanReport, Reloaded};

/// What `host status` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The release that rules.
    pub version: Version,
    /// The release that a restart boots.
    pub permanent: Version,
    /// The upgrade that is under way, if one is.
    pub upgrade: Option<UpgradeStatus>,
    /// The host's process.
    pub pid: u32,
    /// Seconds since it became ready.
    pub uptime_s: u64,
    /// Which store it writes to, without secrets: `sqlite:data/host.db (embedded default)`.
    pub store: String,
    /// Open WebSocket connections.
    pub connections: u64,
    /// How many actors there are.
    pub actors: ActorCounts,
    /// The plugins of the release that rules.
    pub plugins: Vec<PluginRow>,
    /// Plugin versions that are mapped into the process; only a restart unmaps them.
    pub resident_versions: u64,
    /// Bytes of their libraries that are mapped.
    pub resident_bytes: u64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// Port of the clients' listener.
    pub port: u16,
    /// Whether clients are served, or why not.
    pub ready: Readiness,
    /// Handlers that have run for longer than they should: actor, event, milliseconds.
    #[serde(default)]
    pub slow: Vec<SlowHandler>,
    /// Counters by name, as `/metrics` has them.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// See [`Status::actors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorCounts {
    /// In memory.
    pub awake: u64,
    /// In the journal.
    pub known: u64,
    /// Set aside after too many faults.
    pub quarantined: u64,
}

/// See [`Status::plugins`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRow {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
}

/// See [`Status::ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// True: send clients here.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// See [`Status::slow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowHandler {
    /// Whose handler.
    pub actor: ActorId,
    /// What it handles.
    pub event: String,
    /// For how long.
    pub running_ms: u64,
}

/// See [`Status::upgrade`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeStatus {
    /// Its number in the history.
    pub id: u64,
    /// The release before.
    pub from: Version,
    /// The release after.
    pub to: Version,
    /// Name of its state: `switching`, `probation`, `rolling_back`, ...
    pub state: String,
    /// How far its rehearsal is; absent where none is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsing: Option<Rehearsing>,
    /// Actors that have been carried over.
    pub migrated: u64,
    /// Actors that are still to be carried over, as far as known.
    pub remaining: u64,
    /// Seconds until probation, or a step of the canary, is over; null in other states.
    pub probation_left_s: Option<u64>,
    /// The share of the actors that is ahead, in a canary.
    #[serde(default)]
    pub share: Option<Share>,
    /// Whether it is paused: actors still come over at their next message.
    #[serde(default)]
    pub paused: bool,
    /// What an operator should know of it, in a sentence.
    #[serde(default)]
    pub remark: Option<String>,
    /// Actors that have not come over because they are busy: some of them, those that
    /// have been so longest first.
    #[serde(default)]
    pub busy: Vec<SlowHandler>,
    /// Why it rolls back or is stuck.
    pub reason: Option<String>,
    /// What the way back took that is not the rule.
    #[serde(default, skip_serializing_if = "WayBack::is_plain")]
    pub way_back: WayBack,
}

/// A line of `host releases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRow {
    /// The release.
    pub version: Version,
    /// What it is to this home.
    pub status: ReleaseStatus,
    /// Its plugins; none where it is broken.
    pub plugins: Vec<PluginRow>,
    /// Why it cannot be read, in a sentence; absent where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// `host upgrade V`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeRequest {
    /// The release to upgrade to.
    pub to: Version,
    /// Watch it for so long before committing; the plan's own time if absent.
    #[serde(default)]
    pub probation_s: Option<u64>,
    /// Go on even if a step has no way back.
    #[serde(default)]
    pub one_way: bool,
    /// Try a release again that was rolled back before.
    #[serde(default)]
    pub retry_failed: bool,
    /// Switch without having rehearsed it.
    #[serde(default)]
    pub no_rehearsal: bool,
    /// Whom to rehearse.
    #[serde(default, flatten)]
    pub extent: Extent,
    /// Let this share of the actors go first, and watch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Share>,
    /// Then these, each larger than the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramp: Vec<Share>,
    /// How long one actor may be busy before the upgrade goes back; the longer of the
    /// host's own time and the appups' if absent.
    #[serde(default)]
    pub deadline_s: Option<u64>,
}

/// `host rollback [V]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// The release to go back to, an older one: the newest that was permanent, if absent.
    #[serde(default)]
    pub to: Option<Version>,
    /// Rehearse the way back before it is gone. Without this it is not, for a way back
    /// must not be delayed.
    #[serde(default)]
    pub rehearse: bool,
}

/// What is said while an upgrade runs; one server-sent event each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Progress {
    /// It has reached a state.
    State {
        /// Name of the state.
        state: String,
        /// Milliseconds since the request.
        at_ms: u64,
    },
    /// Actors have been rehearsed.
    Rehearsed {
        /// So many.
        rehearsed: u64,
        /// Of so many, as far as known.
        total: u64,
    },
    /// A rehearsal is over: inside of an upgrade what it found, and by itself the last
    /// word.
    Rehearsal(Box<RehearsalReport>),
    /// Actors have been carried over.
    Migrated {
        /// So many.
        migrated: u64,
        /// Of so many, as far as known.
        total: u64,
    },
    /// Probation goes on.
    Probation {
        /// Seconds left.
        left_s: u64,
    },
    /// Something that whoever follows should know.
    Said {
        /// In a sentence.
        text: String,
    },
    /// It is over, or goes on without the caller.
    Ended(UpgradeReport),
}

/// How an upgrade, a rollback or a commit ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpgradeReport {
    /// The release before.
    pub from: Version,
    /// The release after.
    pub to: Version,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it was itself a rollback, from a release that was permanent: then
    /// `rolled_back` means that it failed.
    #[serde(default)]
    pub rollback: bool,
    /// Actors that changed their version.
    pub actors_migrated: u64,
    /// How long messages waited for a migration or a gate, in microseconds.
    pub pause_us: Quantiles,
    /// What the rehearsal found, or why there was none; null where it did not come so far.
    pub rehearsal: Option<Box<RehearsalReport>>,
    /// What the new release changes in the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigChange>,
    /// From the request to the end.
    pub duration_ms: u64,
    /// When it ended: Unix milliseconds, UTC; 0 where that was not written down.
    #[serde(default)]
    pub ended_ms: i64,
    /// For how long it was paused.
    #[serde(default)]
    pub paused_ms: u64,
    /// What is to be known of it although it committed: that too few calls were seen, or what
    /// of them could not be compared with the release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Why it did not commit, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the way back took that is not the rule.
    #[serde(default, skip_serializing_if = "WayBack::is_plain")]
    pub way_back: Box<WayBack>,
}

/// What the upgrade that is under way has to report so far: its `outcome` is how it ends from
/// here, as far as is known, and `ended_ms` is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Name of the state that it is in.
    pub state: String,
    /// The share of the actors that is ahead, in a canary.
    #[serde(default)]
    pub share: Option<Share>,
    /// The report.
    #[serde(flatten)]
    pub report: UpgradeReport,
}

/// A line of `host history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Its number, from 1.
    pub id: u64,
    /// How it ended.
    #[serde(flatten)]
    pub report: UpgradeReport,
}

/// See [`UpgradeReport::outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new release is permanent.
    Committed,
    /// The new release rules and is watched.
    Probation,
    /// The old release rules again.
    RolledBack,
    /// Nothing was begun: verification or the rehearsal has found something wrong.
    Refused,
    /// It ended before the switch, by itself or because an operator ended it.
    Failed,
    /// An operator must look.
    Stuck,
}

impl Outcome {
    /// Its name, as in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Probation => "probation",
            Self::RolledBack => "rolled_back",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
        }
    }

    /// The exit code of the command that led to it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Committed | Self::Probation => 0,
            Self::Refused | Self::Failed => 1,
            Self::RolledBack => 4,
            Self::Stuck => 5,
        }
    }
}

/// A line of `host actors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorRow {
    /// Its id.
    pub actor: ActorId,
    /// Sequence of its last accepted command.
    pub seq: u64,
    /// The plugin version that owns its state.
    pub version: Version,
    /// Whether it is in memory.
    pub awake: bool,
}

/// `host state ACTOR`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorState {
    /// Its id.
    pub actor: ActorId,
    /// Sequence of its last accepted command.
    pub seq: u64,
    /// The plugin version that owns the state.
    pub version: Version,
    /// The state, by field.
    pub state: Value,
    /// What lower versions could not hold: the newer version of each carry, the latest last.
    pub carries: Vec<Version>,
    /// Why it is in quarantine, if it is.
    pub quarantined: Option<String>,
}

/// `host rpc ACTOR EVENT [JSON]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcRequest {
    /// To whom.
    pub actor: ActorId,
    /// Command or query name.
    pub event: String,
    /// A JSON object.
    #[serde(default)]
    pub payload: Value,
    /// Its idempotency key: the same one again gets the first answer again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A line of `host quarantine list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRow {
    /// The actor.
    pub actor: ActorId,
    /// Why it was set aside.
    pub reason: String,
}

/// `host quarantine release ACTOR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    /// The actor.
    pub actor: ActorId,
}

/// A line of `host dead-letters list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// Its number.
    pub id: u64,
    /// `command`, `cast`, `timer` or `outbox`.
    pub kind: String,
    /// Who should have handled it.
    pub actor: ActorId,
    /// Command or timer name.
    pub event: String,
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
}

/// An error of the control API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs: one snake-case word.
    pub reason: String,
    /// For people: what was attempted, what was found, what to do next.
    pub message: String,
    /// The exit code that the command line ends with: 1 refused, 4 rolled back, 5 look.
    pub exit_code: u8,
}
