//! A counter whose state has gone through two migrations, version 0.3.0.
//!
//! New since 0.2.0: `tag {text}` keeps a text apart from the notes. 0.2.0 cannot hold
//! it, and 0.1.0 neither tags nor notes: an actor that goes back by both leaves two
//! carries, and comes up again with all of them only by both.

mod migrate;

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, export_plugin};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use crate::migrate::{Carry, Counter, Old};

/// The counter with its notes and tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faulty {
    /// What 0.2.0 knows too.
    pub old: Old,
    /// Texts, oldest first.
    pub tags: Vec<String>,
}

/// What may be asked to change.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Counts. Replies the count.
    Add {
        /// How much.
        by: i64,
    },
    /// Keeps a text that 0.2.0 has no place for.
    Tag {
        /// The text.
        text: String,
    },
}

/// What may be asked to know.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Count, notes, tags, version.
    Summary {},
}

/// What has happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It counted.
    Added {
        /// How much.
        by: i64,
    },
    /// A text is kept.
    Tagged {
        /// The text.
        text: String,
    },
}

impl Plugin for Faulty {
    const NAME: &'static str = "faulty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_SCHEMA: u32 = 3;

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        Ok(match command {
            Command::Add { by } => {
                let count = self.old.old.count.checked_add(by).ok_or_else(|| {
                    Rejection::new("too_large", format!("{} and {by}", self.old.old.count))
                })?;
                Decision::event(Event::Added { by }).reply(&json!({ "count": count }))
            }
            Command::Tag { text } => Decision::event(Event::Tagged { text })
                .reply(&json!({ "tags": self.tags.len() + 1 })),
        })
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Added { by } => self.old.old.count += by,
            Event::Tagged { text } => self.tags.push(text),
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => Ok(Reply::json(&json!({
                "count": self.old.old.count,
                "notes": self.old.notes,
                "tags": self.tags,
                "version": Self::VERSION,
            }))),
        }
    }
}

export_plugin!(Faulty: Migrate);
