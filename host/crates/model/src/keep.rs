//! What an operator asks of the audit trail and of the store, and what comes back.

use std::path::PathBuf;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::id::ActorId;

/// What an export gives: `GET /v1/audit/export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportQuery {
    /// Only what happened to this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// Only what happened at or after this: Unix milliseconds, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// In which form.
    pub format: ExportFormat,
}

/// See [`ExportQuery::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// One document a line.
    Json,
    /// A line of headings, and one line for each event; RFC 4180.
    Csv,
}

impl ExportFormat {
    /// As a query string has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// What is said while the chain is verified: `GET /v1/audit/verify`, one document a
/// line, the last one [`Verifying::Verified`] or [`Verifying::Broken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verifying {
    /// It holds up to here.
    Progress {
        /// Last position proven.
        position: u64,
        /// Last position there is, about.
        of: u64,
    },
    /// The whole chain holds.
    Verified(Proof),
    /// It does not.
    Broken {
        /// Which group, and what is wrong with it: for people.
        problem: String,
        /// First position of the group, where one is to be named.
        first: Option<u64>,
        /// Last position of the group.
        last: Option<u64>,
    },
}

/// What a verified chain proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Names the store.
    pub store_id: String,
    /// Groups checked.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Last position.
    pub position: u64,
    /// Hash of the last group, hexadecimal. Written down elsewhere, it shows later that
    /// nothing before it has changed since.
    pub hash: String,
    /// Where the chain begins, if older groups were removed.
    pub anchor: Option<AnchorRow>,
    /// The home's public key, of which anchors are signed; none before the first.
    pub public_key: Option<String>,
}

/// A signed note of the last group that retention removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorRow {
    /// The chain is proven behind this position.
    pub position: u64,
    /// Hash of the last group that is gone, hexadecimal.
    pub hash: String,
    /// Groups that are gone.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// When it was signed, Unix milliseconds, UTC.
    pub time_ms: i64,
    /// The key that signed it, hexadecimal.
    pub public_key: String,
}

/// `POST /v1/store/backup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// Where to: an absolute path, as the host sees it.
    pub file: PathBuf,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself.
    pub manifest: BackupManifest,
}

/// What a backup says of itself, as a value of its store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// 1. Fields are added without another number.
    pub format: u32,
    /// When it was made, Unix milliseconds, UTC.
    pub time_ms: i64,
    /// The host that made it.
    pub host: Version,
    /// Names the store.
    pub store_id: String,
    /// Version of its tables.
    pub schema: i64,
    /// The release that a start boots.
    pub release: Version,
    /// The upgrade that was under way: its release, and how far it had come.
    pub upgrade: Option<BackupUpgrade>,
    /// The libraries without which it cannot be woken.
    pub plugins: Vec<BackupPlugin>,
}

/// See [`BackupManifest::upgrade`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupUpgrade {
    /// The release that it led to.
    pub to: Version,
    /// Name of its state.
    pub state: String,
}

/// See [`BackupManifest::plugins`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the library, in hex; none where this home never knew it.
    pub sha256: Option<String>,
}

/// What is said while a store is checked: `GET /v1/store/check`, one document a line,
/// the last one [`Checking::Checked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Checking {
    /// It has come so far.
    Progress {
        /// The position that is looked at.
        position: u64,
        /// The last.
        of: u64,
    },
    /// It is done.
    Checked(CheckReport),
}

/// What a check of a store has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Nothing is damaged.
    pub ok: bool,
    /// Groups looked at.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Snapshots looked at.
    pub snapshots: u64,
    /// What is damaged, at most a hundred.
    pub damages: Vec<DamageRow>,
    /// Whether there is more.
    pub more: bool,
    /// What replaying every actor has found; null where nobody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayReport>,
}

/// See [`CheckReport::replay`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// Actors replayed.
    pub actors: u64,
    /// Events applied, each several times.
    pub events: u64,
    /// Actors whose plugin does not give the same again, or that cannot be replayed, at
    /// most a hundred.
    pub violations: Vec<DamageRow>,
    /// Whether there is more.
    pub more: bool,
    /// What was not replayed, since who has written it is not here.
    pub lacking: Vec<LackingRow>,
}

/// See [`ReplayReport::lacking`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LackingRow {
    /// The plugin.
    pub plugin: String,
    /// The version whose library is in no release that is installed.
    pub version: Version,
    /// Runs of events, each from a snapshot or from the beginning, that need it.
    pub runs: u64,
}

/// See [`CheckReport::damages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageRow {
    /// Names it.
    pub what: String,
    /// What is wrong with it.
    pub problem: String,
}

/// `POST /v1/store/pin`: keeps the journal from a position on, whatever its age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRequest {
    /// What it is known by.
    pub name: String,
    /// The first position that stays: the first there is, if absent.
    #[serde(default)]
    pub position: Option<u64>,
}

/// `POST /v1/store/unpin`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpinRequest {
    /// What it is known by.
    pub name: String,
}

/// A line of `host store pins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRow {
    /// What it is known by.
    pub name: String,
    /// The first position that stays.
    pub position: u64,
}
