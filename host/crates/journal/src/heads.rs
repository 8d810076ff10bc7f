//! Where each actor's tail begins and ends: the index of the records, kept in
//! memory so that the store needs none.
//!
//! An actor is here while it has records that its last snapshot does not
//! include. Bounded by the number of such actors, at about 60 bytes each; the
//! layer above snapshots those that hold the tail back.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use host_model::{ActorId, Version};

use crate::Position;
use crate::tails::{Tail, Tails};

/// Parts of the table: who reads all of it holds its lock for one part at a time,
/// and only one part grows at a time. No power of two, as the map of actors in memory
/// has: so the two do not double, and are not half empty, at the same number of actors.
const SHARDS: usize = 91;

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
    /// Bytes of its records behind the snapshot. Stops counting at 4 GiB.
    pub(crate) tail_bytes: u32,
}

impl Head {
    /// The head of a tail that begins with this record.
    pub(crate) fn first(position: Position, seq: u64, version: &Version, bytes: usize) -> Self {
        Self {
            position,
            seq,
            version: version.clone(),
            first: position,
            tail_bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        }
    }

    /// The head with one more record; none if that is not the next one.
    pub(crate) fn follow(
        &self,
        position: Position,
        seq: u64,
        version: &Version,
        bytes: usize,
    ) -> Option<Self> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        (seq == self.seq + 1).then(|| Self {
            position,
            seq,
            version: version.clone(),
            first: self.first,
            tail_bytes: self.tail_bytes.saturating_add(bytes),
        })
    }
}

/// The tails of all actors.
#[derive(Debug)]
pub(crate) struct Heads {
    shards: Box<[Tails]>,
    hasher: foldhash::fast::RandomState,
    /// The few versions that write: a tail has the index of its own.
    versions: Vec<Version>,
    starts: Starts,
    len: usize,
    tail_bytes: u64,
    /// Bytes of bodies since the start of the scan that built this.
    journal_bytes: u64,
}

/// What a group changes: an actor's new head, or that its tail is gone. An actor is hashed
/// once for a group, as the heads hash it: the writer does this for every record.
#[derive(Debug, Default)]
pub(crate) struct Changes(HashTable<Change>);

#[derive(Debug)]
struct Change {
    hash: u64,
    actor: ActorId,
    head: Option<Head>,
}

impl Changes {
    pub(crate) fn with_capacity(actors: usize) -> Self {
        Self(HashTable::with_capacity(actors))
    }

    /// What becomes of an actor's head, if the group changes it. `hash` is that of the
    /// heads.
    pub(crate) fn get(&self, hash: u64, actor: &ActorId) -> Option<&Option<Head>> {
        let change = self.0.find(hash, |change| change.actor == *actor);
        change.map(|change| &change.head)
    }

    /// The last change of an actor counts.
    pub(crate) fn set(&mut self, hash: u64, actor: &ActorId, head: Option<Head>) {
        let entry = self
            .0
            .entry(hash, |change| change.actor == *actor, |change| change.hash);
        match entry {
            Entry::Occupied(mut entry) => entry.get_mut().head = head,
            Entry::Vacant(entry) => {
                entry.insert(Change {
                    hash,
                    actor: actor.clone(),
                    head,
                });
            }
        }
    }
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Tails::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            versions: Vec::new(),
            starts: Starts::default(),
            len: 0,
            tail_bytes: 0,
            journal_bytes: 0,
        }
    }
}

impl Heads {
    pub(crate) fn get(&self, actor: &ActorId) -> Option<Head> {
        self.get_hashed(self.hash(actor), actor)
    }

    /// What [`Changes`] and [`Heads::get_hashed`] take.
    pub(crate) fn hash(&self, actor: &ActorId) -> u64 {
        self.hasher.hash_one(actor)
    }

    pub(crate) fn get_hashed(&self, hash: u64, actor: &ActorId) -> Option<Head> {
        let tail = self.shards[shard_of(hash)].get(hash, actor)?;
        Some(self.unpack(tail))
    }

    /// Takes over a durable group: its changes, and the bytes of its body.
    pub(crate) fn apply(&mut self, changes: Changes, body_bytes: usize) {
        let mut begun = Start {
            position: Position(u64::MAX),
            offset: self.journal_bytes,
            tails: 0,
        };
        for Change { hash, actor, head } in changes.0 {
            let first = head.as_ref().map(|head| head.first);
            let before = match head {
                Some(head) => self.put(hash, actor, &head),
                None => self.take(hash, &actor),
            };
            if before == first {
                continue;
            }
            if let Some(before) = before {
                self.starts.end(before);
            }
            if let Some(first) = first {
                begun.tails += 1;
                begun.position = begun.position.min(first);
            }
        }
        if begun.tails > 0 {
            self.starts.push(begun);
        }
        self.journal_bytes += body_bytes as u64;
    }

    /// Where the actor's tail had begun, if it had one.
    fn put(&mut self, hash: u64, actor: ActorId, head: &Head) -> Option<Position> {
        let tail = Tail {
            position: head.position,
            seq: head.seq,
            first: head.first,
            bytes: head.tail_bytes,
            version: self.number(&head.version),
            actor,
        };
        self.tail_bytes += u64::from(head.tail_bytes);
        let hash_of = |actor: &ActorId| self.hasher.hash_one(actor);
        let Some(replaced) = self.shards[shard_of(hash)].put(hash, tail, hash_of) else {
            self.len += 1;
            return None;
        };
        self.tail_bytes -= u64::from(replaced.bytes);
        Some(replaced.first)
    }

    /// As [`Heads::put`], of a tail that ends.
    fn take(&mut self, hash: u64, actor: &ActorId) -> Option<Position> {
        let hash_of = |actor: &ActorId| self.hasher.hash_one(actor);
        let tail = self.shards[shard_of(hash)].take(hash, actor, hash_of)?;
        self.len -= 1;
        self.tail_bytes -= u64::from(tail.bytes);
        Some(tail.first)
    }

    fn number(&mut self, version: &Version) -> u32 {
        let known = self.versions.iter().position(|known| known == version);
        let number = known.unwrap_or_else(|| {
            self.versions.push(version.clone());
            self.versions.len() - 1
        });
        u32::try_from(number).expect("a store sees few versions between two starts")
    }

    fn unpack(&self, tail: &Tail) -> Head {
        Head {
            position: tail.position,
            seq: tail.seq,
            version: self.versions[tail.version as usize].clone(),
            first: tail.first,
            tail_bytes: tail.bytes,
        }
    }

    /// Position of the oldest record that some actor's replay needs, or one of the
    /// same group before it.
    pub(crate) fn first(&self) -> Option<Position> {
        self.starts.oldest().map(|start| start.position)
    }

    /// At least `limit` tails begin before this, or all that begin before the last
    /// `keep` bytes.
    pub(crate) fn tails_below(&self, keep: u64, limit: usize) -> Position {
        let end = self.journal_bytes.saturating_sub(keep);
        self.starts.below(end, limit)
    }

    /// The tails in one of the [`Heads::shards`] that begin before `below`: where, and whose.
    pub(crate) fn begun_below(&self, shard: usize, below: Position) -> Vec<(Position, ActorId)> {
        let tails = self.shards[shard].iter().filter(|it| it.first < below);
        tails.map(|it| (it.first, it.actor.clone())).collect()
    }

    /// Bytes of bodies from the oldest record that is needed to the end.
    pub(crate) fn span(&self) -> u64 {
        let start = self.starts.oldest();
        start.map_or(0, |start| self.journal_bytes - start.offset)
    }

    /// Bytes of all tails together.
    pub(crate) fn tail_bytes(&self) -> u64 {
        self.tail_bytes
    }

    /// Number of actors with a tail.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first `limit` actors in one of the [`Heads::shards`] that are of a plugin
    /// (of any, if it is empty) and behind `after`, in the order of their ids.
    pub(crate) fn list(
        &self,
        shard: usize,
        plugin: &str,
        after: Option<&ActorId>,
        limit: usize,
    ) -> Vec<(ActorId, Head)> {
        let mut found: Vec<&Tail> = self.shards[shard]
            .iter()
            .filter(|tail| plugin.is_empty() || tail.actor.plugin() == plugin)
            .filter(|tail| after.is_none_or(|after| tail.actor > *after))
            .collect();
        let by_name = |a: &&Tail, b: &&Tail| -> Ordering { a.actor.cmp(&b.actor) };
        if found.len() > limit {
            found.select_nth_unstable_by(limit, by_name);
            found.truncate(limit);
        }
        found.sort_unstable_by(by_name);
        found
            .into_iter()
            .map(|tail| (tail.actor.clone(), self.unpack(tail)))
            .collect()
    }

    /// All actors of a plugin in one of the [`Heads::shards`], in no order: the writer waits
    /// for whoever looks.
    pub(crate) fn of_shard(&self, shard: usize, plugin: &str) -> Vec<(ActorId, Head)> {
        let tails = self.shards[shard].iter();
        tails
            .filter(|tail| tail.actor.plugin() == plugin)
            .map(|tail| (tail.actor.clone(), self.unpack(tail)))
            .collect()
    }

    /// What [`Heads::list`] and [`Heads::of_shard`] take.
    pub(crate) fn shards() -> Range<usize> {
        0..SHARDS
    }
}

fn shard_of(hash: u64) -> usize {
    // The upper bits choose the shard; hashbrown uses the others.
    usize::try_from(hash >> 40).unwrap_or_default() % SHARDS
}

/// Where tails begin: the groups in which some do, in order.
#[derive(Debug, Default)]
struct Starts {
    groups: VecDeque<Start>,
    /// How many of them have no tail any more.
    ended: usize,
}

/// A group in which tails begin.
#[derive(Debug)]
struct Start {
    /// Of the first record in it that begins a tail.
    position: Position,
    /// Bytes of the journal before it.
    offset: u64,
    /// How many still begin here.
    tails: u32,
}

impl Starts {
    fn push(&mut self, start: Start) {
        self.groups.push_back(start);
    }

    /// A tail that began at `first` has ended.
    fn end(&mut self, first: Position) {
        let behind = self.groups.partition_point(|it| it.position <= first);
        let start = &mut self.groups[behind - 1];
        start.tails -= 1;
        if start.tails > 0 {
            return;
        }
        self.ended += 1;
        while self.groups.front().is_some_and(|start| start.tails == 0) {
            self.groups.pop_front();
            self.ended -= 1;
        }
        // One old tail must not keep the notes of all groups since.
        if self.ended > self.groups.len() / 2 {
            self.groups.retain(|start| start.tails > 0);
            self.ended = 0;
        }
    }

    fn oldest(&self) -> Option<&Start> {
        self.groups.front()
    }

    fn below(&self, offset: u64, limit: usize) -> Position {
        let mut tails = 0;
        for start in &self.groups {
            if tails >= limit || start.offset >= offset {
                return start.position;
            }
            tails += start.tails as usize;
        }
        Position(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group with one record for each actor, at positions from `first` on.
    fn records(heads: &mut Heads, first: u64, actors: &[&str]) {
        let version = Version::new(0, 1, 0);
        let mut changes = Changes::default();
        for (key, position) in actors.iter().zip(first..) {
            let actor = ActorId::new("donations", key).unwrap();
            let position = Position(position);
            let head = match heads.get(&actor) {
                Some(head) => head.follow(position, head.seq + 1, &version, 10).unwrap(),
                None => Head::first(position, 1, &version, 10),
            };
            changes.set(heads.hash(&actor), &actor, Some(head));
        }
        heads.apply(changes, 100);
    }

    fn snapshots(heads: &mut Heads, actors: &[&str]) {
        let mut ends = Changes::default();
        for key in actors {
            let actor = ActorId::new("donations", key).unwrap();
            ends.set(heads.hash(&actor), &actor, None);
        }
        heads.apply(ends, 0);
    }

    /// Who begins before the bound of so many, in order.
    fn oldest(heads: &Heads, keep: u64, limit: usize) -> Vec<String> {
        let below = heads.tails_below(keep, limit);
        let mut oldest: Vec<_> = Heads::shards()
            .flat_map(|shard| heads.begun_below(shard, below))
            .collect();
        oldest.sort();
        let oldest = oldest.into_iter();
        oldest.map(|(_, id)| id.key().to_owned()).collect()
    }

    #[test]
    fn the_tail_begins_with_the_oldest_record_that_no_snapshot_includes() {
        let mut heads = Heads::default();
        assert_eq!((heads.first(), heads.span()), (None, 0));
        records(&mut heads, 1, &["a", "b"]);
        records(&mut heads, 3, &["c", "a"]);
        records(&mut heads, 5, &["d"]);
        assert_eq!((heads.first(), heads.span()), (Some(Position(1)), 300));
        assert_eq!(oldest(&heads, 0, 9), ["a", "b", "c", "d"]);
        assert_eq!(oldest(&heads, 0, 1), ["a", "b"], "of one group");
        assert_eq!(
            oldest(&heads, 200, 9),
            ["a", "b"],
            "the rest holds back less"
        );
        assert_eq!((heads.len(), heads.tail_bytes()), (4, 50));

        snapshots(&mut heads, &["a"]);
        assert_eq!((heads.first(), heads.span()), (Some(Position(1)), 300));
        snapshots(&mut heads, &["b"]);
        assert_eq!((heads.first(), heads.span()), (Some(Position(3)), 200));
        // Its tail begins anew, and holds back less than before.
        records(&mut heads, 6, &["a"]);
        snapshots(&mut heads, &["c"]);
        assert_eq!((heads.first(), heads.span()), (Some(Position(5)), 200));
        assert_eq!(oldest(&heads, 0, 9), ["d", "a"]);
        snapshots(&mut heads, &["a", "d"]);
        assert_eq!((heads.first(), heads.span()), (None, 0));
        assert_eq!((heads.len(), heads.tail_bytes()), (0, 0));
    }

    #[test]
    fn one_old_tail_does_not_keep_the_notes_of_all_groups_since() {
        let mut heads = Heads::default();
        records(&mut heads, 1, &["old"]);
        for position in 2..10_000 {
            records(&mut heads, position, &["new"]);
            snapshots(&mut heads, &["new"]);
        }
        assert_eq!(heads.first(), Some(Position(1)));
        assert!(heads.starts.groups.len() < 10);
    }
}
