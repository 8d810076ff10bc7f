//! Where each actor's tail begins and ends: the index of the records, kept in
//! memory so that the store needs none.
//!
//! An actor is here while it has records that its last snapshot does not
//! include. Bounded by the number of such actors, about 200 bytes each; the
//! layer above snapshots those that hold the tail back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use host_model::{ActorId, Version};

use crate::Position;

/// The tail of one actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Of its last record.
    pub(crate) position: Position,
    /// Of its last record.
    pub(crate) seq: u64,
    /// Of its last record.
    pub(crate) version: Version,
    /// Of its first record behind the snapshot.
    pub(crate) first: Position,
    /// Bytes of the journal before that record's group.
    pub(crate) first_offset: u64,
    /// Bytes of its records behind the snapshot.
    pub(crate) tail_bytes: u64,
}

impl Head {
    /// The head of a tail that begins with this record.
    pub(crate) fn first(
        position: Position,
        seq: u64,
        version: &Version,
        bytes: u64,
        offset: u64,
    ) -> Self {
        Self {
            position,
            seq,
            version: version.clone(),
            first: position,
            first_offset: offset,
            tail_bytes: bytes,
        }
    }

    /// The head with one more record; none if that is not the next one.
    pub(crate) fn follow(
        &self,
        position: Position,
        seq: u64,
        version: &Version,
        bytes: u64,
    ) -> Option<Self> {
        (seq == self.seq + 1).then(|| Self {
            position,
            seq,
            version: version.clone(),
            first: self.first,
            first_offset: self.first_offset,
            tail_bytes: self.tail_bytes + bytes,
        })
    }
}

/// The tails of all actors.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    by_actor: HashMap<ActorId, Head>,
    /// Listing goes in the order of names, and is rare; records only touch this
    /// when a tail begins or ends.
    by_name: BTreeSet<ActorId>,
    by_first: BTreeMap<Position, ActorId>,
    tail_bytes: u64,
    /// Bytes of bodies since the start of the scan that built this.
    journal_bytes: u64,
}

/// What a group changes: an actor's new head, or that its tail is gone.
pub(crate) type Changes = HashMap<ActorId, Option<Head>>;

impl Heads {
    pub(crate) fn get(&self, actor: &ActorId) -> Option<&Head> {
        self.by_actor.get(actor)
    }

    /// Takes over a durable group: its changes, and the bytes of its body.
    pub(crate) fn apply(&mut self, changes: Changes, body_bytes: usize) {
        for (actor, head) in changes {
            self.set(actor, head);
        }
        self.journal_bytes += body_bytes as u64;
    }

    fn set(&mut self, actor: ActorId, head: Option<Head>) {
        let before = match head {
            Some(head) => {
                self.tail_bytes += head.tail_bytes;
                let first = head.first;
                let before = self.by_actor.insert(actor.clone(), head);
                match &before {
                    Some(before) if before.first == first => {}
                    Some(_) => {
                        self.by_first.insert(first, actor);
                    }
                    None => {
                        self.by_name.insert(actor.clone());
                        self.by_first.insert(first, actor);
                    }
                }
                before.map(|before| (before.first != first, before))
            }
            None => {
                self.by_name.remove(&actor);
                self.by_actor.remove(&actor).map(|before| (true, before))
            }
        };
        if let Some((moved, before)) = before {
            self.tail_bytes -= before.tail_bytes;
            if moved {
                self.by_first.remove(&before.first);
            }
        }
    }

    /// Position of the oldest record that some actor's replay needs.
    pub(crate) fn first(&self) -> Option<Position> {
        self.by_first.keys().next().copied()
    }

    /// The actors that hold the tail back, the oldest first.
    pub(crate) fn oldest(&self, limit: usize) -> Vec<ActorId> {
        self.by_first.values().take(limit).cloned().collect()
    }

    /// Bytes of bodies from the oldest record that is needed to the end.
    pub(crate) fn span(&self) -> u64 {
        let start = self.by_first.values().next().and_then(|it| self.get(it));
        start.map_or(0, |head| self.journal_bytes - head.first_offset)
    }

    /// Bytes of bodies so far: the offset at which the next group begins.
    pub(crate) fn journal_bytes(&self) -> u64 {
        self.journal_bytes
    }

    /// Bytes of all tails together.
    pub(crate) fn tail_bytes(&self) -> u64 {
        self.tail_bytes
    }

    /// Number of actors with a tail.
    pub(crate) fn len(&self) -> usize {
        self.by_actor.len()
    }

    /// Up to `limit` actors of a plugin (of all, if it is empty) behind `after`,
    /// in the order of their ids.
    pub(crate) fn list(
        &self,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Vec<(ActorId, Head)> {
        // No key sorts before a single space: control characters are not allowed.
        let start = ActorId::new(plugin, " ").ok();
        let lower = match (&start, after) {
            (Some(start), Some(after)) if after >= start => Bound::Excluded(after),
            (Some(start), _) => Bound::Included(start),
            (None, Some(after)) => Bound::Excluded(after),
            (None, None) => Bound::Unbounded,
        };
        self.by_name
            .range((lower, Bound::Unbounded))
            .take_while(|actor| plugin.is_empty() || actor.plugin() == plugin)
            .take(limit)
            .map(|actor| (actor.clone(), self.by_actor[actor].clone()))
            .collect()
    }
}
