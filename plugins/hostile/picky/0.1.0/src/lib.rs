//! A counter whose steps an operator bounds, with a default for all that can be set.

use host_sdk::{Configure, Cx, Decision, Plugin, Rejection, Reply, Setting, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What it has counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Picky {
    total: i64,
}

/// What an operator sets.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// The largest step.
    pub largest: i64,
    /// Said in answers.
    pub greeting: String,
}

/// What may be asked to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Counts on.
    Add {
        /// By so much.
        by: i64,
    },
}

/// What may be asked to know.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// The total, and what is set.
    Summary {},
}

/// What has happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was counted on.
    Added {
        /// By so much.
        by: i64,
    },
}

impl Plugin for Picky {
    const NAME: &'static str = "picky";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        let Command::Add { by } = command;
        let largest = Self::config().largest;
        match by > largest {
            true => Err(Rejection::new(
                "too_much",
                format!("{by} is above {largest}"),
            )),
            false => Ok(Decision::event(Event::Added { by })),
        }
    }

    fn apply(&mut self, event: Event) {
        let Event::Added { by } = event;
        self.total = self.total.saturating_add(by);
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        let Query::Summary {} = query;
        let config = Self::config();
        Ok(Reply::json(&json!({
            "total": self.total,
            "largest": config.largest,
            "greeting": config.greeting,
        })))
    }
}

impl Configure for Picky {
    type Config = Config;
    const SETTINGS: &'static [Setting] = &[
        Setting::integer("largest", 1, 1_000)
            .default("10")
            .about("the largest step"),
        Setting::text("greeting").default("salam"),
    ];
}

export_plugin!(Picky: Configure);
