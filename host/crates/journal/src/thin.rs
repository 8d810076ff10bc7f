//! Which snapshots of an actor are kept, and which go.
//!
//! A snapshot as a rule removes those that are not kept any more in its own group. Those of a
//! sweep do not: that was a third of the writer's time, and an upgrade waits for a sweep. They
//! go behind it, some at a time.

use host_model::limits::SNAPSHOTS_KEPT;

use crate::error::ReadError;
use crate::{Journal, Position};

/// Snapshots that are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotKept {
    /// Of the actors that were looked at, in the order of their ids.
    pub positions: Vec<Position>,
    /// The id of the last of these actors; none at the end.
    pub through: Option<String>,
}

impl<T> Journal<T> {
    /// The snapshots that are not kept of the next actors behind the id `after`: about `limit`
    /// rows are looked at. What is written meanwhile only makes them older.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn not_kept(&self, after: &str, limit: usize) -> Result<NotKept, ReadError> {
        let rows = self.reader()?.snapshots_by_actor(after, limit)?;
        let is_last = rows.len() < limit;
        let mut found = NotKept::default();
        let mut actors = rows
            .chunk_by(|one, next| one.actor == next.actor)
            .peekable();
        while let Some(of_one) = actors.next() {
            // The last one may have more.
            if !is_last && actors.peek().is_none() && found.through.is_some() {
                break;
            }
            let newest_first = of_one.iter().rev().map(|it| (it.position, &it.version));
            let newest_first: Vec<_> = newest_first.collect();
            found.positions.extend(not_kept(&newest_first));
            found.through = of_one.first().map(|it| it.actor.clone());
        }
        Ok(found)
    }
}

/// Those that are not kept of an actor's snapshots, the last first, each with its version.
/// The last ones are, and the last one of another version than the last: a way back may
/// need it.
pub(crate) fn not_kept<V: PartialEq>(newest_first: &[(Position, V)]) -> Vec<Position> {
    let of_another = newest_first
        .iter()
        .position(|(_, version)| *version != newest_first[0].1);
    let aged = newest_first.iter().enumerate().skip(SNAPSHOTS_KEPT);
    let gone = aged.filter(|(age, _)| Some(*age) != of_another);
    gone.map(|(_, (position, _))| *position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_are_kept_and_the_last_one_of_another_version() {
        let gone = |versions: &str| {
            // The last first, at positions that count down.
            let positions = (1..=versions.len() as u64).rev().map(Position);
            let rows: Vec<_> = positions.zip(versions.chars()).collect();
            let gone = not_kept(&rows).into_iter().map(|Position(at)| at);
            gone.collect::<Vec<_>>()
        };
        for (versions, left) in [
            ("", vec![]),
            ("b", vec![]),
            ("bb", vec![]),
            ("ba", vec![]),
            ("bbb", vec![1]),
            ("bba", vec![]),
            ("bab", vec![1]),
            ("baa", vec![1]),
            ("bbab", vec![1]),
            ("bbba", vec![2]),
            ("baba", vec![2, 1]),
            ("bbaab", vec![2, 1]),
        ] {
            assert_eq!(gone(versions), left, "{versions}");
        }
    }
}
