//! What an operator asks of the audit trail and of the store, and what comes back.

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
