//! Reads many actors at once: each group that has some of their records is read once,
//! the newest first, where reading them one by one would read it for each.

use std::collections::{BTreeMap, BinaryHeap};

use host_model::ActorId;
use host_model::carry::Carry;

use crate::chain::Damage;
use crate::error::ReadError;
use crate::group;
use crate::store::GroupRow;
use crate::walk::{behind, covered, missing, opened, take};
use crate::{Journal, Position, Record, Stored};

/// Actors that are looked up at once: commits wait meanwhile, and these take them about a
/// tenth of a millisecond.
const PLACED_AT_ONCE: usize = 512;

/// An actor whose records are being gone back through.
#[derive(Default)]
struct Walk {
    stored: Option<Stored>,
    /// The newest first, until all are there.
    tail: Vec<Record>,
}

impl<T> Journal<T> {
    /// The first of these actors as they are durably, each at some moment of the call;
    /// none for one that does not exist. At least one, and no more when they have about
    /// `bytes_max` bytes. [`in_line`](Self::in_line) puts them in the order in which this
    /// is quick.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn read_many(
        &self,
        actors: &[ActorId],
        bytes_max: usize,
    ) -> Result<Vec<Option<Stored>>, ReadError> {
        let reader = self.reader()?;
        // As for one: first the heads, then the snapshots.
        let heads: Vec<_> = {
            let heads = self.shared.heads.read();
            actors
                .iter()
                .map(|actor| heads.get(actor).map(|it| (it.position, it.tail_bytes)))
                .collect()
        };
        let quarantined: BTreeMap<_, _> = reader.quarantined()?.into_iter().collect();
        let rows = reader.snapshots(actors, bytes_max)?;
        let mut bytes = 0_usize;
        let mut walks = Vec::with_capacity(actors.len());
        let mut next = BinaryHeap::new();
        for (at, ((actor, head), row)) in actors.iter().zip(heads).zip(rows).enumerate() {
            if bytes >= bytes_max && at > 0 {
                break;
            }
            let last = match row {
                Some(row) => opened(reader, actor, &row)?,
                None => None,
            };
            let (head, tail_bytes) = head.unzip();
            bytes += last.as_ref().map_or(0, |(_, snapshot)| snapshot.bytes());
            bytes += usize::try_from(tail_bytes.unwrap_or(0)).unwrap_or(usize::MAX);
            next.extend(head.map(|head| (head, at)));
            let exists = last.is_some() || head.is_some();
            let (place, snapshot) = last.map_or((Position(0), None), |(at, it)| (at, Some(it)));
            let stored = exists.then(|| Stored {
                snapshot,
                tail: Vec::new(),
                head: place.max(head.unwrap_or_default()),
                quarantined: quarantined.get(actor).cloned(),
            });
            walks.push(Walk {
                stored,
                tail: Vec::new(),
            });
        }
        while let Some((position, at)) = next.peek().copied() {
            let group = reader.groups(position, 1)?.pop();
            let group = group
                .filter(|group| group.first <= position)
                .ok_or_else(|| missing(&actors[at], position))?;
            take_all(&group, actors, &mut walks, &mut next)?;
        }
        let walked = actors.iter().zip(walks);
        walked.map(|(actor, walk)| walk.end(actor)).collect()
    }

    /// What the last snapshots of the first of these actors carry, nothing for one that has
    /// none: of at least one actor, and of no more when these snapshots have about
    /// `bytes_max` bytes. No record is read.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn carries(
        &self,
        actors: &[ActorId],
        bytes_max: usize,
    ) -> Result<Vec<Vec<Carry>>, ReadError> {
        let reader = self.reader()?;
        let rows = reader.snapshots(actors, bytes_max)?;
        let carries = actors.iter().zip(rows).map(|(actor, row)| {
            let last = match row {
                Some(row) => opened(reader, actor, &row)?,
                None => None,
            };
            Ok(last.map_or_else(Vec::new, |(_, snapshot)| snapshot.carries))
        });
        carries.collect()
    }

    /// The actors in the order in which [`read_many`](Self::read_many) reads a group
    /// for many of them: by where their last records stand, then those without any.
    #[must_use]
    pub fn in_line(&self, actors: Vec<ActorId>) -> Vec<ActorId> {
        let mut placed = Vec::with_capacity(actors.len());
        let mut rest = actors.into_iter().peekable();
        while rest.peek().is_some() {
            let heads = self.shared.heads.read();
            let some = rest.by_ref().take(PLACED_AT_ONCE);
            placed.extend(some.map(|actor| (heads.get(&actor).map(|it| it.position), actor)));
        }
        placed.sort_unstable_by(|(a, actor), (b, other)| {
            let behind = a.is_none().cmp(&b.is_none());
            behind.then(a.cmp(b)).then_with(|| actor.cmp(other))
        });
        placed.into_iter().map(|(_, actor)| actor).collect()
    }
}

/// Takes what the group has of all that are to be gone back through next.
fn take_all(
    group: &GroupRow,
    actors: &[ActorId],
    walks: &mut [Walk],
    next: &mut BinaryHeap<(Position, usize)>,
) -> Result<(), ReadError> {
    let frames =
        group::decode(&group.body).map_err(|error| Damage::of(group, error.to_string()))?;
    while let Some((position, at)) = next.peek().copied().filter(|it| it.0 >= group.first) {
        next.pop();
        let walk = &mut walks[at];
        let covered = covered(walk.stored.as_ref().and_then(|it| it.snapshot.as_ref()));
        let Some((record, before)) = take(group, &frames, &actors[at], position, covered)? else {
            continue;
        };
        walk.tail.push(record);
        if before > Position(0) {
            next.push((before, at));
        }
    }
    Ok(())
}

impl Walk {
    fn end(self, actor: &ActorId) -> Result<Option<Stored>, ReadError> {
        let Some(mut stored) = self.stored else {
            return Ok(None);
        };
        stored.tail = behind(actor, covered(stored.snapshot.as_ref()), self.tail)?;
        Ok(Some(stored))
    }
}
