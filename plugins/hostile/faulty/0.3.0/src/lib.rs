//! A counter that has come a long way, version 0.3.0.
//!
//! New since 0.2.0: `tag {text}` keeps a text, which 0.2.0 cannot hold, and timers whose
//! names begin with `ripen`. What was `add` is called `count`, and what was `note` is
//! called `remark`: so a message of 0.1.0 has to be converted twice. What was asked as
//! `totals` is asked as `overview`, and `note` is a query here.

mod migrate;

use host_sdk::{Cx, Decision, Effect, Plugin, Rejection, Reply, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use crate::migrate::{Carry, Old, Oldest};

/// The counter with its notes and tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faulty {
    /// What 0.2.0 knows too.
    pub old: Old,
    /// Texts, oldest first.
    pub tags: Vec<String>,
}

/// What may be asked to change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Counts. Replies the count.
    Count {
        /// How much.
        by: i64,
    },
    /// Keeps a text, as `note` did.
    Remark {
        /// The text.
        text: String,
    },
    /// Keeps a text.
    Tag {
        /// The text.
        text: String,
    },
    /// Casts a command.
    Cast {
        /// Actor id, `plugin:key`.
        to: String,
        /// Command name.
        event: String,
        /// Any JSON; an object is what it should be.
        #[serde(default)]
        payload: Value,
    },
    /// Sets a timer.
    SetTimer {
        /// Its name.
        name: String,
        /// From now.
        in_ms: i64,
        /// Given back when it fires.
        #[serde(default)]
        payload: Value,
    },
}

/// What may be asked to know.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Count, ticks, notes, tags, version.
    Summary {},
    /// The count alone, as `totals` gave it.
    Overview {
        /// Of what, as in 0.2.0.
        of: String,
    },
    /// The last of what was remarked.
    Note {
        /// Of what: any word.
        of: String,
    },
}

/// What has happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It counted.
    Counted {
        /// How much.
        by: i64,
    },
    /// A timer fired.
    Ticked {},
    /// A text is kept.
    Remarked {
        /// The text.
        text: String,
    },
    /// A text is kept.
    Tagged {
        /// The text.
        text: String,
    },
    /// Something that changes nothing.
    Noted {},
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

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        let noted = || Decision::event(Event::Noted {});
        Ok(match command {
            Command::Count { by } => {
                let count = self.old.old.count.wrapping_add(by);
                Decision::event(Event::Counted { by }).reply(&json!({ "count": count }))
            }
            Command::Remark { text } => Decision::event(Event::Remarked { text }),
            Command::Tag { text } => Decision::event(Event::Tagged { text }),
            Command::Cast { to, event, payload } => noted().effect(Effect::Cast {
                to,
                event: event.into(),
                payload,
            }),
            Command::SetTimer {
                name,
                in_ms,
                payload,
            } => noted().set_timer(name, cx.now_ms().saturating_add(in_ms), &payload),
        })
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Counted { by } => {
                self.old.old.count = self.old.old.count.wrapping_add(by);
            }
            Event::Ticked {} => self.old.old.ticks += 1,
            Event::Remarked { text } => self.old.notes.push(text),
            Event::Tagged { text } => self.tags.push(text),
            Event::Noted {} => {}
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => Ok(Reply::json(&json!({
                "count": self.old.old.count,
                "ticks": self.old.old.ticks,
                "notes": self.old.notes,
                "tags": self.tags,
                "version": Self::VERSION,
            }))),
            Query::Overview { .. } => Ok(Reply::json(&json!({ "count": self.old.old.count }))),
            Query::Note { .. } => Ok(Reply::json(&json!({ "text": self.old.notes.last() }))),
        }
    }

    /// Each counts.
    fn timer(&self, _cx: &Cx<'_>, _payload: Value) -> Result<Decision<Event>, Rejection> {
        Ok(Decision::event(Event::Ticked {}))
    }
}

export_plugin!(Faulty: Migrate);
