//! A plugin whose states depend on more than its events: what a replay must catch.
//!
//! Each command puts one such thing into the state, and `count` none. Where that is
//! against a lint, the place says so: the lints are the first to catch it.

use std::collections::BTreeMap;

use host_sdk::{
    Configure, Cx, Decision, Plugin, Rejection, Reply, Setting, Violation, export_plugin,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[expect(
    clippy::disallowed_types,
    reason = "a map without an order is what the replay law is to catch"
)]
type Unordered = std::collections::HashMap<String, u64>;

/// All that a state should not have.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fickle {
    /// How often `count` happened: the same in every replay.
    pub count: u64,
    /// Without an order.
    pub unordered: Unordered,
    /// Times of `stamp`, Unix nanoseconds, by how many there were before.
    pub stamps: BTreeMap<String, u128>,
    /// The process in which `home` happened last.
    pub process: u32,
    /// How often `double` happened, forgotten when the state is written.
    #[serde(skip)]
    pub hidden: u64,
    /// The sum of what was hidden.
    pub seen: u64,
}

/// What may be asked to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Counts.
    Count {},
    /// Puts a name into a map without an order.
    Put {
        /// The name.
        name: String,
    },
    /// Reads a clock when it is applied.
    Stamp {},
    /// Reads the process's id when it is applied.
    Home {},
    /// Adds up what a written state does not have.
    Hide {},
}

/// What may be asked to know.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// How often it counted.
    Summary {},
}

/// What has happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is that of the command")]
pub enum Event {
    Counted {},
    Put { name: String },
    Stamped {},
    Homed {},
    Hidden {},
}

impl Plugin for Fickle {
    const NAME: &'static str = "fickle";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        Ok(Decision::event(match command {
            Command::Count {} => Event::Counted {},
            Command::Put { name } => Event::Put { name },
            Command::Stamp {} => Event::Stamped {},
            Command::Home {} => Event::Homed {},
            Command::Hide {} => Event::Hidden {},
        }))
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Counted {} => self.count += 1,
            Event::Put { name } => drop(self.unordered.insert(name, self.count)),
            Event::Stamped {} => {
                let name = format!("stamp-{}", self.stamps.len());
                self.stamps.insert(name, now_ns());
            }
            Event::Homed {} => self.process = process(),
            Event::Hidden {} => {
                self.hidden += 1;
                self.seen += self.hidden;
            }
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => Ok(Reply::json(&serde_json::json!({
                "count": self.count,
                "label": Self::config().label,
            }))),
        }
    }

    fn check(&self) -> Result<(), Violation> {
        Ok(())
    }
}

/// What an operator sets.
#[derive(Debug, Deserialize)]
pub struct Config {
    label: String,
}

impl Configure for Fickle {
    type Config = Config;
    const SETTINGS: &'static [Setting] = &[Setting::text("label").default("none")];
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a clock is what the replay law is to catch"
)]
fn now_ns() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos())
}

#[expect(
    clippy::disallowed_methods,
    reason = "something that only another process has is what the replay law is to catch"
)]
fn process() -> u32 {
    std::process::id()
}

export_plugin!(Fickle: Configure);
