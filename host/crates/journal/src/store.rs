//! What the journal needs of a store: one writer that commits groups, and
//! readers beside it. The traits know nothing of SQLite and PostgreSQL.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use host_model::ActorId;
use thiserror::Error;

use crate::error::StoreError;
use crate::group::Hash;
use crate::heads::Heads;
use crate::sealed::Placed;
use crate::sums::Summed;
use crate::tables::Value;
use crate::{
    AnswerKey, CastId, CastRow, DeadLetter, KeptAnswer, OutboxId, OutboxRow, PieceId, Position,
    TimerRow,
};

pub use crate::own::OwnRow;
pub use crate::stored::{GroupRow, Listed, SnapshotKey, SnapshotRow};

/// Groups that are read at once: some tens of MiB at most.
pub(crate) const GROUPS_AT_ONCE: usize = 16;

/// Rows that are listed at once, where all are gone through.
pub(crate) const ROWS_AT_ONCE: usize = 1_000;

/// One commit.
#[derive(Debug)]
pub struct Group<'a> {
    /// Of the owner; a store of a later epoch refuses the group.
    pub epoch: u64,
    /// Of its first entry.
    pub first: Position,
    /// Of its last entry.
    pub last: Position,
    /// When it was committed, Unix milliseconds, UTC.
    pub time_ms: i64,
    /// The entries, in order; their rows are applied in this order.
    pub entries: &'a [Placed],
    /// The records of the entries, if there are any.
    pub records: Option<Records>,
    /// What the store's own row says afterwards.
    pub meta: Meta,
}

impl Group<'_> {
    /// Positions of its first and its last record, for the row of its [`Records`].
    pub(crate) fn recorded(&self) -> (Position, Position) {
        let recorded = |entry: &&Placed| entry.sealed.record.is_some();
        let first = self.entries.iter().find(recorded);
        let last = self.entries.iter().rfind(recorded);
        (
            first.map_or(self.first, |entry| entry.position),
            last.map_or(self.last, |entry| entry.position),
        )
    }
}

/// The records of a group.
#[derive(Debug)]
pub struct Records {
    /// How many.
    pub count: u32,
    /// See the module `group`.
    pub body: Vec<u8>,
    /// Of the group with records before this one.
    pub prev_hash: Hash,
    /// Of this one.
    pub hash: Hash,
}

/// What a store says of itself, in one row that every commit rewrites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Of the last entry.
    pub last: Position,
    /// Hash of the last group with records; zeros before the first.
    pub hash: Hash,
    /// Actors that exist durably.
    pub known: u64,
    /// Recovery reads the groups from here.
    pub tail_start: Position,
}

/// What a fenced owner is told.
pub(crate) const FENCED: &str = "another host has taken the store over: this one must stop";

/// Where a store ends: enough to tell whether a group is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Of the last entry.
    pub last: Position,
    /// Of the last group with records; zeros before the first.
    pub hash: Hash,
}

impl Meta {
    /// Where the store ends.
    #[must_use]
    pub fn end(&self) -> End {
        End {
            last: self.last,
            hash: self.hash,
        }
    }
}

/// Why a group was not appended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The store answered before COMMIT, and holds nothing of the group.
    #[error("{0}")]
    NotApplied(String),
    /// As `NotApplied`, and none will ever be: another host has taken the store over.
    #[error("{0}")]
    Fenced(String),
    /// As `NotApplied`, and nothing more may be written: the disk has failed before
    /// COMMIT, and what the handle believes may not be what is there.
    #[error("{0}")]
    Broken(String),
    /// Anything during or after COMMIT.
    #[error("{0}")]
    Unknown(String),
}

/// Takes in why a store must not be written to any more.
pub type Tell = Box<dyn Fn(String) + Send + Sync>;

/// A store that was come back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reopened {
    /// One more than before: what was under way has been committed, or never will be.
    pub epoch: u64,
    /// Where the store ends, now that this holds.
    pub end: End,
}

/// Why a store could not be come back to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReopenError {
    /// What it shows may not last: only a start that finds it anew can tell.
    #[error("the handle cannot be used again")]
    Never,
    /// It did not answer, and there was no more time.
    #[error("{0}")]
    GivenUp(String),
    /// An operator must look: another host has it, or it has lost what it had.
    #[error("{0}")]
    Lost(String),
}

/// The writing side of a store. Used by the writer's thread only.
pub trait Store: Send {
    /// Writes all of a group, or nothing. After [`AppendError::Unknown`] comes
    /// [`reopen`](Self::reopen), and if that fails [`abandon`](Self::abandon).
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError>;

    /// Whether it is known before an append that it would not reach the store:
    /// then [`reopen`](Self::reopen) comes first, and nothing is lost.
    fn is_cut_off(&self) -> bool {
        false
    }

    /// Comes back to the store, after an outcome that is not known or when it is
    /// [cut off](Self::is_cut_off): makes sure that nothing is under way any more, and
    /// says where the store ends. Tries for as long as it takes, and soon gives up
    /// when `is_closing`.
    ///
    /// # Errors
    ///
    /// See [`ReopenError`].
    fn reopen(&mut self, is_closing: &dyn Fn() -> bool) -> Result<Reopened, ReopenError> {
        let _ = is_closing;
        Err(ReopenError::Never)
    }

    /// How many of these different actors have no snapshot.
    ///
    /// # Errors
    ///
    /// The store's.
    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError>;

    /// Called behind each group, when its callers have been answered.
    fn maintain(&mut self);

    /// Given once, before the first group. A store that works beside its commits
    /// calls it, from any thread, when that work has failed so that nothing more may
    /// be written; then only [`abandon`](Self::abandon) is called.
    fn on_failure(&mut self, tell: Tell) {
        let _no_work_beside = tell;
    }

    /// Leaves the store in order.
    fn close(self: Box<Self>);

    /// Leaves the store as it is, and never touches it again. It stays owned
    /// until the process ends.
    fn abandon(self: Box<Self>);
}

/// The reading side of a store: what is durable. Each call sees one state of it.
pub trait Reader: Send + Sync {
    /// Why an operator must look before this store is used on, if that was found
    /// beside an append: another host has taken it over, or it has lost what it had.
    fn lost(&self) -> Option<Arc<str>> {
        None
    }

    /// Why commits wait for the store, or would: it does not answer, and is tried again.
    fn away(&self) -> Option<Arc<str>> {
        None
    }

    /// The actor's last snapshot.
    ///
    /// # Errors
    ///
    /// The store's, here and below.
    fn snapshot(&self, actor: &ActorId) -> Result<Option<SnapshotRow>, StoreError>;

    /// The last snapshots of the first of these actors, in their order, none for one that
    /// has none: of at least one actor, and of no more when their rows have `bytes_max`
    /// bytes. Each is as it was at some moment of the call.
    fn snapshots(
        &self,
        actors: &[ActorId],
        bytes_max: usize,
    ) -> Result<Vec<Option<SnapshotRow>>, StoreError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for actor in actors {
            let row = self.snapshot(actor)?;
            bytes += row.as_ref().map_or(0, |row| row.body.len());
            found.push(row);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(found)
    }

    /// A piece of a snapshot, as it is stored.
    fn piece(&self, id: PieceId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` pieces that no snapshot has, of those whose first one stands at or
    /// before `through`, in order.
    fn stray_pieces(&self, through: Position, limit: usize) -> Result<Vec<PieceId>, StoreError>;

    /// Sequence of the last snapshot of each of these actors that has one.
    fn snapshot_seqs(&self, actors: &[&str]) -> Result<Vec<(ActorId, u64)>, StoreError>;

    /// Up to `limit` groups with records, from the one that holds `position` or,
    /// if none does, the next one.
    fn groups(&self, position: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError>;

    /// Up to `limit` groups with records that begin before `position`, the last first.
    fn groups_before(&self, position: Position, limit: usize) -> Result<Vec<GroupRow>, StoreError>;

    /// The snapshots that there are of an actor, the last first: no body is read.
    fn kept(&self, actor: &ActorId) -> Result<Vec<SnapshotKey>, StoreError>;

    /// Up to `limit` snapshots of the actors behind the id `after`, in the order of ids and
    /// positions: no body is read.
    fn snapshots_by_actor(&self, after: &str, limit: usize)
    -> Result<Vec<SnapshotKey>, StoreError>;

    /// Hash of the last group that ends before `position`.
    fn hash_before(&self, position: Position) -> Result<Option<Hash>, StoreError>;

    /// What the store says of itself; none if it has lost that row.
    fn own(&self) -> Result<Option<OwnRow>, StoreError>;

    /// Up to `limit` actors whose records between their last two snapshots are still
    /// needed, with the position from which on: the lowest first. Older snapshots, of
    /// the version before, need none. None: the store does not tell, so nothing may be
    /// removed.
    fn needed(&self, limit: usize) -> Result<Option<Vec<(Position, ActorId)>>, StoreError> {
        let _ = limit;
        Ok(None)
    }

    /// For who looks at everything that the store holds.
    fn inspect(&self) -> &dyn Inspect;

    /// What copies the store into a file.
    fn copier(&self) -> &dyn Copier;

    /// Up to `limit` actors that have a snapshot, of a plugin (of all, if it is
    /// empty), behind `after`, in the order of their ids.
    fn list(
        &self,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError>;

    /// Up to `limit` casts behind `after`, in order.
    fn casts(&self, after: Option<CastId>, limit: usize) -> Result<Vec<CastRow>, StoreError>;

    /// Up to `limit` timers due by `now_ms` and behind `after`, in the order of
    /// [`TimerMark`].
    fn timers_due(
        &self,
        now_ms: i64,
        after: Option<&TimerMark>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError>;

    /// When the next timer is due.
    fn next_timer(&self) -> Result<Option<i64>, StoreError>;

    /// A timer, if it is set.
    fn timer(&self, actor: &ActorId, name: &str) -> Result<Option<TimerRow>, StoreError>;

    /// The timers of an actor, by name.
    fn timers_of(&self, actor: &ActorId) -> Result<Vec<TimerRow>, StoreError>;

    /// Which of these actors have timers.
    fn with_timers(&self, actors: &[&str]) -> Result<HashSet<ActorId>, StoreError>;

    /// Up to `limit` dead letters with a number above `after`, in order.
    fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>, StoreError>;

    /// A dead letter, if it is still there.
    fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, StoreError>;

    /// The answer under a key.
    fn answer(&self, key: &AnswerKey) -> Result<Option<KeptAnswer>, StoreError>;

    /// When the oldest answer was given.
    fn oldest_answer(&self) -> Result<Option<i64>, StoreError>;

    /// Up to `limit` webhooks that wait, behind `after`, in the order of their ids.
    fn outbox(&self, after: Option<OutboxId>, limit: usize) -> Result<Vec<OutboxRow>, StoreError>;

    /// Up to `limit` webhooks due by `now_ms` and behind `after`, in the order of due
    /// time and id.
    fn outbox_due(
        &self,
        now_ms: i64,
        after: Option<(i64, OutboxId)>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError>;

    /// A webhook that waits, with its body.
    fn outbox_row(&self, id: OutboxId) -> Result<Option<(OutboxRow, Bytes)>, StoreError>;

    /// When the next webhook is due.
    fn next_outbox(&self) -> Result<Option<i64>, StoreError>;

    /// Why an actor is in quarantine, if it is.
    fn quarantine(&self, actor: &ActorId) -> Result<Option<String>, StoreError>;

    /// All actors in quarantine, with the reason.
    fn quarantined(&self) -> Result<Vec<(ActorId, String)>, StoreError>;

    /// A durable value of the host.
    fn value(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// All values whose keys begin with `prefix`, by key.
    fn values(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, StoreError>;

    /// Bytes that the store takes on disk, where it knows.
    fn bytes(&self) -> u64;

    /// Bytes of the last snapshots of so many actors, about: by a sample, but for those in
    /// pieces. None where the disk is not this machine's.
    fn snapshot_bytes(&self, actors: u64) -> Result<Option<u64>, StoreError> {
        let _ = actors;
        Ok(None)
    }
}

/// Where a look through the timers that are due stands: they are in the order of due
/// time, actor (by its bytes) and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerMark {
    /// See [`TimerRow::due_ms`].
    pub due_ms: i64,
    /// See [`TimerRow::actor`].
    pub actor: ActorId,
    /// See [`TimerRow::name`].
    pub name: String,
}

/// What the key of a timer behind this mark is above: due time, actor and name.
pub(crate) fn timers_behind(mark: Option<&TimerMark>) -> (i64, &str, &str) {
    mark.map_or((i64::MIN, "", ""), |mark| {
        (mark.due_ms, mark.actor.as_str(), mark.name.as_str())
    })
}

/// What the ids of a plugin's actors behind `after` are above and below, by their bytes;
/// of all actors for an empty name.
pub(crate) fn listed_between(plugin: &str, after: Option<&ActorId>) -> (String, String) {
    // ';' follows ':' in the order of bytes; no text is above U+10FFFF.
    let (above, below) = match plugin {
        "" => (String::new(), "\u{10ffff}".to_owned()),
        plugin => (format!("{plugin}:"), format!("{plugin};")),
    };
    let after = after.map_or("", ActorId::as_str);
    (above.max(after.to_owned()), below)
}

impl TimerMark {
    /// Behind this timer.
    #[must_use]
    pub fn behind(timer: &TimerRow) -> Self {
        Self {
            due_ms: timer.due_ms,
            actor: timer.actor.clone(),
            name: timer.name.clone(),
        }
    }
}

/// A look at everything that a store holds.
pub trait Inspect {
    /// The store as it is now, whatever is committed meanwhile. It keeps the store from
    /// taking up again what was replaced or removed, as long as it lives.
    ///
    /// # Errors
    ///
    /// The store's, here and below.
    fn frozen(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// What is wrong with the pages as such, at most `limit` sentences; nothing of a
    /// store whose server looks after its pages itself.
    fn integrity(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// First positions of up to `limit` groups behind `after`: no body is read.
    fn group_positions(&self, after: Position, limit: usize) -> Result<Vec<Position>, StoreError>;

    /// Up to `limit` snapshots behind `after`, in order: no body is read.
    fn snapshot_keys(&self, after: Position, limit: usize) -> Result<Vec<SnapshotKey>, StoreError>;

    /// Hands on what a table's sums cover, and the sum, row by row; nothing of a store
    /// without sums.
    fn summed(&self, summed: &Summed, each: &mut EachSummed<'_>) -> Result<(), StoreError>;

    /// The body of the snapshot at a position.
    fn snapshot_body(&self, position: Position) -> Result<Vec<u8>, StoreError>;
}

/// Takes the values of a row, and its sum if it has one.
pub type EachSummed<'e> = dyn FnMut(&[Value<'_>], Option<i64>) + 'e;

/// What makes a copy of a store. It is a SQLite database, whatever the store is.
pub trait Copier {
    /// Copies what is durable now into `file`, which is empty, and adds this value.
    /// Holds up no commit. Not from a thread that runs tasks of a runtime.
    ///
    /// # Errors
    ///
    /// The store's.
    fn copy_to(&self, file: &Path, describe: &mut Describe<'_>) -> Result<(), StoreError>;
}

/// Makes a key and a value of the copy in a file, or says in a sentence why not.
pub type Describe<'d> = dyn FnMut(&Path) -> Result<(String, Bytes), String> + 'd;

/// An opened store, ready for a [`Journal`](crate::Journal).
pub struct Opened {
    /// The writing side.
    pub store: Box<dyn Store>,
    /// The reading side.
    pub reader: Box<dyn Reader>,
    /// Of this owner: one more than the owner's before.
    pub epoch: u64,
    /// Names the store for ever.
    pub store_id: String,
    /// As the last owner left it.
    pub meta: Meta,
    /// Of a store that was read before it was taken.
    pub(crate) heads: Option<Heads>,
}
