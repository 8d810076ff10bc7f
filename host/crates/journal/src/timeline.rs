//! Which history of a store a position belongs to.
//!
//! A store that is put back from a copy, or whose server was replaced by one that was
//! behind, goes on from where the copy ended and gives the positions behind that a second
//! time. Whoever was told of a position outside, as the receiver of a webhook, must not
//! take the second for the first. So a home that takes a store of which it knows nothing
//! begins a new timeline behind the store's end, with a name of its own; what stands
//! before keeps the name that it had.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Position;
use crate::witness::random_name;

/// Under which key the store has its timelines.
pub(crate) const TIMELINES: &str = "store/timelines";

/// All timelines but the first, which has the name of the store, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timelines(Vec<Timeline>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Timeline {
    /// Its first position.
    from: Position,
    /// Names it, at random.
    name: String,
}

impl Timelines {
    /// What [`TIMELINES`] holds, or nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(crate) fn open(value: Option<&[u8]>) -> Result<Self, String> {
        let open = |value| serde_json::from_slice(value).map_err(|error| error.to_string());
        value.map_or_else(|| Ok(Self::default()), open)
    }

    /// With one more, from behind `last` on, as a value.
    ///
    /// # Errors
    ///
    /// The system gives no random name.
    pub(crate) fn begin_behind(mut self, last: Position) -> std::io::Result<Bytes> {
        self.0.push(Timeline {
            from: Position(last.0 + 1),
            name: random_name()?,
        });
        let value = serde_json::to_vec(&self).expect("names and numbers are always JSON");
        Ok(value.into())
    }

    /// The name of the timeline that a position is on.
    pub(crate) fn name_at<'a>(&'a self, position: Position, store_id: &'a str) -> &'a str {
        let last = self.0.iter().rfind(|it| it.from <= position);
        last.map_or(store_id, |timeline| &timeline.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_keeps_its_name_and_what_comes_behind_a_copy_has_another() {
        let first = Timelines::open(None).unwrap();
        assert_eq!(first.name_at(Position(7), "store"), "store");
        let value = first.begin_behind(Position(7)).unwrap();
        let second = Timelines::open(Some(&value)).unwrap();
        assert_eq!(second.name_at(Position(7), "store"), "store");
        let name = second.name_at(Position(8), "store").to_owned();
        assert_ne!(name, "store");
        // Put back once more, from a later copy and from the same one.
        for last in [9, 7] {
            let value = second.clone().begin_behind(Position(last)).unwrap();
            let third = Timelines::open(Some(&value)).unwrap();
            assert_eq!(third.name_at(Position(7), "store"), "store");
            assert_eq!(
                third.name_at(Position(8), "store") == name,
                last == 9,
                "what was there keeps its name"
            );
            assert_ne!(third.name_at(Position(10), "store"), name);
        }
        assert!(Timelines::open(Some(b"{")).is_err());
    }
}
