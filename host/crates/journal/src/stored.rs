//! Rows as they are stored, for who reads or checks them.

use host_model::{ActorId, Version};

use crate::Position;
use crate::group::Hash;

/// A snapshot without its body.
#[derive(Debug)]
pub struct SnapshotKey {
    /// Of its entry.
    pub position: Position,
    /// Whose, as the row says.
    pub actor: String,
    /// [`Snapshot::seq`](crate::Snapshot::seq), as the row says.
    pub seq: u64,
    /// [`Snapshot::version`](crate::Snapshot::version), as the row says.
    pub version: String,
}

/// A snapshot as it is stored.
#[derive(Debug)]
pub struct SnapshotRow {
    /// Of its entry.
    pub position: Position,
    /// [`Snapshot::seq`](crate::Snapshot::seq).
    pub seq: u64,
    /// See [`SealedSnapshot::body`](crate::sealed::SealedSnapshot::body).
    pub body: Vec<u8>,
}

impl SnapshotRow {
    /// Rows of the first of `actors` actors, each with the place of its actor among these:
    /// one for each actor that was read. They end where they have `bytes_max` bytes.
    pub(crate) fn in_place(
        rows: Vec<(usize, Self)>,
        actors: usize,
        bytes_max: usize,
    ) -> Vec<Option<Self>> {
        let bytes: usize = rows.iter().map(|(_, row)| row.body.len()).sum();
        let read = match rows.last() {
            Some((at, _)) if bytes >= bytes_max => at + 1,
            _ => actors,
        };
        let mut found = Vec::new();
        found.resize_with(read, || None);
        for (at, row) in rows {
            found[at] = Some(row);
        }
        found
    }
}

/// A group as it is stored.
#[derive(Debug)]
pub struct GroupRow {
    /// Of its first record, or of an entry of its commit before that.
    pub first: Position,
    /// Of its last record, or of an entry of its commit behind that.
    pub last: Position,
    /// Whether `first` and `last` are those of records; not of a host of schema 2.
    pub exact: bool,
    /// Of the owner that wrote it.
    pub epoch: u64,
    /// Number of records.
    pub records: u32,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
    /// Of the group before.
    pub prev_hash: Hash,
    /// Of this group.
    pub hash: Hash,
    /// See the module `group`.
    pub body: Vec<u8>,
}

/// A known actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: ActorId,
    /// Of its last record.
    pub seq: u64,
    /// Of its stored state: of its last record, or of a snapshot behind that.
    pub version: Version,
}
