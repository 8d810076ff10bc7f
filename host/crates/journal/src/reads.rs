//! What callers read of the journal: durable rows only.

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use bytes::Bytes;
use host_model::limits::PAST_TAILS_MAX;
use host_model::{ActorId, Version};

use crate::error::{ReadError, StoreError};
use crate::heads::{Head, Heads};
use crate::store::{Listed, Reader, TimerMark};
use crate::{
    Archive, BackupError, Before, BeforeError, CastId, CastRow, CheckError, Checked, Copied,
    DeadLetter, Journal, Named, PastTails, PieceId, Position, Record, Since, Stored, TimerRow,
    Trail, Verified, backup, before, check, named, since, walk,
};

/// Actors whose snapshots are looked for at once.
const ASKED_AT_ONCE: usize = 512;

/// All wait for the disk; some for another reader first.
impl<T> Journal<T> {
    /// An actor as it is durably, or none if it does not exist.
    ///
    /// # Errors
    ///
    /// [`ReadError`], here and below. All reads wait for the disk.
    pub fn read(&self, actor: &ActorId) -> Result<Option<Stored>, ReadError> {
        let reader = self.reader()?;
        // First the head, then the snapshot: so the two meet, whatever commits between.
        let head = self
            .shared
            .heads
            .read()
            .get(actor)
            .map(|head| head.position);
        walk::read(reader, actor, head)
    }

    /// Which of these actors exist durably. No state is read.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn exist(&self, actors: &[ActorId]) -> Result<HashSet<ActorId>, ReadError> {
        let reader = self.reader()?;
        // First the heads, then the snapshots, as there.
        let (mut exist, unknown): (HashSet<_>, Vec<_>) = {
            let heads = self.shared.heads.read();
            let (known, unknown): (Vec<_>, Vec<_>) =
                actors.iter().partition(|actor| heads.get(actor).is_some());
            (known.into_iter().cloned().collect(), unknown)
        };
        for some in unknown.chunks(ASKED_AT_ONCE) {
            let some: Vec<_> = some.iter().map(|actor| actor.as_str()).collect();
            let found = reader.snapshot_seqs(&some)?;
            exist.extend(found.into_iter().map(|(actor, _)| actor));
        }
        Ok(exist)
    }

    /// An actor as it was before it came over to `version`, which it has now, and all its
    /// records since. All that it has appended must be durable. Whoever goes back together
    /// has the same `past`, so that what they look through is looked through once. `looked`
    /// is told of each group that was looked into, for they may be many.
    ///
    /// # Errors
    ///
    /// [`BeforeError`]
    pub fn before(
        &self,
        actor: &ActorId,
        version: &Version,
        past: &PastTails,
        looked: impl Fn(),
    ) -> Result<Before, BeforeError> {
        let reader = self.reader()?;
        let head = self.shared.heads.read().get(actor);
        let head = head.map(|head| head.position);
        before::before(reader, actor, head, version, past, looked)
    }

    /// For actors that go back together, from now on; see [`before`](Self::before). It reads
    /// what they need, when they do.
    pub fn past_tails(&self) -> PastTails {
        let behind = Position(self.shared.queue.durable().0 + 1);
        PastTails::new(behind, PAST_TAILS_MAX)
    }

    /// The records of an actor behind the sequence `after`, within the bounds of a resume;
    /// see [`RESUME_COMMANDS_MAX`](host_model::limits::RESUME_COMMANDS_MAX).
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn since(&self, actor: &ActorId, after: u64) -> Result<Since, ReadError> {
        let reader = self.reader()?;
        let head = self.shared.heads.read().get(actor);
        since::since(reader, actor, head, after)
    }

    /// Up to `limit` actors of a plugin (of all, if it is empty) that exist
    /// durably, behind `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn list(
        &self,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Result<Vec<Listed>, ReadError> {
        let reader = self.reader()?;
        let heads = &self.shared.heads;
        let tails = Heads::shards()
            .flat_map(|shard| heads.read().list(shard, plugin, after, limit))
            .map(listed)
            .collect();
        let snapshots = reader.list(plugin, after, limit)?;
        Ok(merge(tails, snapshots, limit))
    }

    /// A pass over all actors of a plugin (of all, if it is empty) that exist durably.
    pub fn pass(&self, plugin: &str) -> Pass<'_, T> {
        Pass {
            journal: self,
            plugin: plugin.to_owned(),
            tails: Heads::shards(),
            after: None,
        }
    }

    /// Up to `limit` casts that wait for delivery, behind `after`, in order.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn casts(&self, after: Option<CastId>, limit: usize) -> Result<Vec<CastRow>, ReadError> {
        self.acted_on(self.reader()?.casts(after, limit))
    }

    /// Up to `limit` timers due by `now_ms` (Unix milliseconds, UTC) and behind
    /// `after`, the earliest first.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn timers_due(
        &self,
        now_ms: i64,
        after: Option<&TimerMark>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, ReadError> {
        self.acted_on(self.reader()?.timers_due(now_ms, after, limit))
    }

    /// When the next timer is due, Unix milliseconds, UTC.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn next_timer(&self) -> Result<Option<i64>, ReadError> {
        Ok(self.reader()?.next_timer()?)
    }

    /// A timer of an actor, if it is set.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn timer(&self, actor: &ActorId, name: &str) -> Result<Option<TimerRow>, ReadError> {
        self.acted_on(self.reader()?.timer(actor, name))
    }

    /// The timers of an actor, by name.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn timers_of(&self, actor: &ActorId) -> Result<Vec<TimerRow>, ReadError> {
        self.acted_on(self.reader()?.timers_of(actor))
    }

    /// Which of these actors have timers, and how far the journal had come at least when
    /// the store was asked.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn with_timers(&self, actors: &[&str]) -> Result<(HashSet<ActorId>, Position), ReadError> {
        // Before the question: what is set behind it has a later position.
        let durable = self.shared.queue.durable();
        Ok((self.reader()?.with_timers(actors)?, durable))
    }

    /// Up to `limit` dead letters with a number above `after`, in order.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn dead_letters(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, ReadError> {
        Ok(self.reader()?.dead_letters(after, limit)?)
    }

    /// Up to `limit` pieces that no snapshot has, of those whose first one stands at or
    /// before `through`. Those of a snapshot that is still being written are among them.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn stray_pieces(&self, through: Position, limit: usize) -> Result<Vec<PieceId>, ReadError> {
        Ok(self.reader()?.stray_pieces(through, limit)?)
    }

    /// All actors in quarantine, with the reason, in the order of their ids.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn quarantined(&self) -> Result<Vec<(ActorId, String)>, ReadError> {
        self.acted_on(self.reader()?.quarantined())
    }

    /// A durable value of the host.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn value(&self, key: &str) -> Result<Option<Bytes>, ReadError> {
        self.acted_on(self.reader()?.value(key))
    }

    /// All values whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn values(&self, prefix: &str) -> Result<Vec<(String, Bytes)>, ReadError> {
        self.acted_on(self.reader()?.values(prefix))
    }

    /// The records of up to `limit` groups (of at most some MiB each) behind the
    /// position `after`, in order, unchecked; none at the end.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn records(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, Record)>, ReadError> {
        self.trail()?.page(after, limit)
    }

    /// See [`Trail::verify`].
    ///
    /// # Errors
    ///
    /// See [`Trail::verify`].
    pub fn verify(&self) -> Result<Verified, ReadError> {
        self.trail()?.verify(|_| ControlFlow::Continue(()))
    }

    /// The audit trail: all records of all actors, and what operators did.
    ///
    /// # Errors
    ///
    /// [`ReadError::Closed`]
    pub fn trail(&self) -> Result<Trail<'_>, ReadError> {
        Ok(Trail::new(self.reader()?))
    }

    /// Copies the store as it is now into the new file `to`, beside commits, and keeps
    /// in it what `describe` makes of the copy: a key and a value.
    ///
    /// # Errors
    ///
    /// [`BackupError`]; nothing is left at `to`.
    pub fn backup(
        &self,
        to: &Path,
        describe: impl FnMut(&Archive) -> Result<(String, Bytes), String>,
    ) -> Result<Copied, BackupError> {
        backup::backup(self.reader()?, to, describe)
    }

    /// Looks at everything that the store holds, as it is now. `tell` hears which
    /// position it has come to, and the last.
    ///
    /// # Errors
    ///
    /// [`CheckError`]: it cannot be looked at. What is damaged is no error.
    pub fn check(&self, tell: impl FnMut(Position, Position)) -> Result<Checked, CheckError> {
        check::check(self.reader()?, tell)
    }

    /// The plugin versions that this store names, and for what. Reads all of it.
    ///
    /// # Errors
    ///
    /// The store's, or that something in it is damaged.
    pub fn named(&self) -> Result<Named, ReadError> {
        named::named(self.reader()?)
    }

    /// For what the host acts on by itself: where it is damaged, an operator must look
    /// before anything else is done.
    pub(crate) fn acted_on<R>(&self, read: Result<R, StoreError>) -> Result<R, ReadError> {
        if let Err(error) = &read
            && error.is_damage()
        {
            let why = error.in_full();
            let _ = self.damaged.set(why.into());
        }
        Ok(read?)
    }

    pub(crate) fn reader(&self) -> Result<&dyn Reader, ReadError> {
        match self.poisoned() {
            None => Ok(&*self.reader),
            Some(_) => Err(ReadError::Closed),
        }
    }
}

/// Where a pass over the actors stands. See [`Journal::pass`].
///
/// It comes by whoever exists all the while at least once, in no order, and again
/// where something is written meanwhile; what it says was so at some moment of it.
#[derive(Debug)]
pub struct Pass<'a, T> {
    journal: &'a Journal<T>,
    plugin: String,
    /// First those with a tail, for a tail may become a snapshot meanwhile.
    tails: Range<usize>,
    after: Option<ActorId>,
}

impl<T> Pass<'_, T> {
    /// Some more actors, about `limit`; none at the end.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn next_page(&mut self, limit: usize) -> Result<Vec<Listed>, ReadError> {
        for shard in self.tails.by_ref() {
            let page = self
                .journal
                .shared
                .heads
                .read()
                .of_shard(shard, &self.plugin);
            if !page.is_empty() {
                return Ok(page.into_iter().map(listed).collect());
            }
        }
        let reader = self.journal.reader()?;
        let mut page = reader.list(&self.plugin, self.after.as_ref(), limit)?;
        self.after = page.last().map(|it| it.id.clone()).or(self.after.take());
        let heads = self.journal.shared.heads.read();
        for listed in &mut page {
            if let Some(head) = heads.get(&listed.id).filter(|it| it.seq > listed.seq) {
                (listed.seq, listed.version) = (head.seq, head.version);
            }
        }
        Ok(page)
    }
}

fn listed((id, head): (ActorId, Head)) -> Listed {
    Listed {
        id,
        seq: head.seq,
        version: head.version,
    }
}

/// The first of the tails and the snapshots. An actor may be in both: then the
/// snapshot is the newer one only if no record is behind it.
fn merge(tails: Vec<Listed>, snapshots: Vec<Listed>, limit: usize) -> Vec<Listed> {
    let mut merged = tails;
    merged.extend(snapshots);
    // Stable: of the same sequence, the snapshot comes second and stays second.
    merged.sort_by(|a, b| a.id.cmp(&b.id).then(a.seq.cmp(&b.seq)));
    merged.dedup_by(|later, kept| {
        let same = later.id == kept.id;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    merged.truncate(limit);
    merged
}
