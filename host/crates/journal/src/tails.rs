//! One part of the index of tails: small hash tables over rows that do not move as
//! they grow.
//!
//! A hash table doubles, and is half empty then. Of whole rows, that would be as many
//! bytes again for each actor; so the table has row numbers alone, and the rows stand
//! dense in chunks.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use host_model::ActorId;

use crate::Position;

/// Rows in a chunk: what is allocated at a time, and at most lies empty in a part.
const CHUNK: usize = 64;

/// A [`Head`](crate::heads::Head) as it is kept.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) actor: ActorId,
    pub(crate) position: Position,
    pub(crate) seq: u64,
    pub(crate) first: Position,
    pub(crate) bytes: u32,
    pub(crate) version: u32,
}

/// The tails in one part.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Numbers of rows, by their actors.
    index: HashTable<u32>,
    /// The rows: chunks of the same size, all but the last of them full.
    chunks: Vec<Vec<Tail>>,
}

impl Tails {
    pub(crate) fn get(&self, hash: u64, actor: &ActorId) -> Option<&Tail> {
        let row = self
            .index
            .find(hash, |row| self.row(*row).actor == *actor)?;
        Some(self.row(*row))
    }

    /// Puts a tail in; the one that it replaces, if there was one. `hash_of` is asked
    /// when the table grows.
    pub(crate) fn put(
        &mut self,
        hash: u64,
        tail: Tail,
        hash_of: impl Fn(&ActorId) -> u64,
    ) -> Option<Tail> {
        let chunks = &self.chunks;
        let is_it = |row: &u32| row_of(chunks, *row).actor == tail.actor;
        let rehash = |row: &u32| hash_of(&row_of(chunks, *row).actor);
        match self.index.entry(hash, is_it, rehash) {
            Entry::Occupied(entry) => {
                let row = *entry.get();
                Some(std::mem::replace(self.row_mut(row), tail))
            }
            Entry::Vacant(entry) => {
                entry.insert(number(len_of(chunks)));
                self.push(tail);
                None
            }
        }
    }

    /// Takes a tail out. The last row moves into its place.
    pub(crate) fn take(
        &mut self,
        hash: u64,
        actor: &ActorId,
        hash_of: impl Fn(&ActorId) -> u64,
    ) -> Option<Tail> {
        let chunks = &self.chunks;
        let found = self
            .index
            .find_entry(hash, |row| row_of(chunks, *row).actor == *actor);
        let (row, _) = found.ok()?.remove();
        let last = self.pop()?;
        let moved = number(len_of(&self.chunks));
        if row == moved {
            return Some(last);
        }
        let place = self
            .index
            .find_mut(hash_of(&last.actor), |row| *row == moved);
        *place.expect("each row has its number in the index") = row;
        Some(std::mem::replace(self.row_mut(row), last))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tail> {
        self.chunks.iter().flatten()
    }

    fn row(&self, row: u32) -> &Tail {
        row_of(&self.chunks, row)
    }

    fn row_mut(&mut self, row: u32) -> &mut Tail {
        let row = row as usize;
        &mut self.chunks[row / CHUNK][row % CHUNK]
    }

    fn push(&mut self, tail: Tail) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(tail),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(tail);
                self.chunks.push(chunk);
            }
        }
    }

    fn pop(&mut self) -> Option<Tail> {
        let chunk = self.chunks.last_mut()?;
        let tail = chunk.pop();
        if chunk.is_empty() {
            self.chunks.pop();
        }
        tail
    }
}

fn row_of(chunks: &[Vec<Tail>], row: u32) -> &Tail {
    let row = row as usize;
    &chunks[row / CHUNK][row % CHUNK]
}

fn len_of(chunks: &[Vec<Tail>]) -> usize {
    let last = chunks.last().map_or(0, Vec::len);
    chunks.len().saturating_sub(1) * CHUNK + last
}

fn number(row: usize) -> u32 {
    u32::try_from(row).expect("a part has fewer rows than memory has bytes for")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn what_was_put_is_found_whatever_was_taken_meanwhile() {
        let hasher = foldhash::fast::FixedState::default();
        let hash_of = |actor: &ActorId| hasher.hash_one(actor);
        let mut tails = Tails::default();
        let mut wanted = BTreeMap::new();
        // Numbers that look random, and are the same each time.
        let mut random = 1_u64;
        for seq in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let actor = ActorId::new("a", &(random >> 54).to_string()).unwrap();
            let hash = hash_of(&actor);
            let seq_of = |tail: Tail| tail.seq;
            // Grows in the first half, shrinks in the second.
            if (random >> 33).is_multiple_of(4) == (seq < 10_000) {
                let taken = tails.take(hash, &actor, hash_of).map(seq_of);
                assert_eq!(taken, wanted.remove(&actor));
            } else {
                let tail = Tail {
                    actor: actor.clone(),
                    position: Position(seq),
                    seq,
                    first: Position(seq),
                    bytes: 0,
                    version: 0,
                };
                let replaced = tails.put(hash, tail, hash_of).map(seq_of);
                assert_eq!(replaced, wanted.insert(actor, seq));
            }
        }
        assert!(wanted.len() > CHUNK, "{}", wanted.len());
        let found: BTreeMap<_, _> = tails.iter().map(|it| (it.actor.clone(), it.seq)).collect();
        assert_eq!(found, wanted);
        for (actor, seq) in &wanted {
            assert_eq!(tails.get(hash_of(actor), actor).unwrap().seq, *seq);
        }
        for actor in wanted.keys() {
            assert!(tails.take(hash_of(actor), actor, hash_of).is_some());
        }
        assert!(tails.chunks.is_empty() && tails.index.is_empty());
    }
}
