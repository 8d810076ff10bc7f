//! The same counter, which cannot do without some of what can be set, and refuses what its
//! declaration cannot say. With one token it never returns.

use host_sdk::{
    Configure, Cx, Decision, Message, Migrate, Migrated, MigrationError, Plugin, Random, Rejection,
    Reply, Setting, export_plugin,
};
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
#[serde(try_from = "Written")]
pub struct Config {
    largest: i64,
    greeting: String,
    has_token: bool,
}

/// As it is set.
#[derive(Debug, Deserialize)]
struct Written {
    largest: i64,
    greeting: String,
    token: String,
}

impl TryFrom<Written> for Config {
    type Error = String;

    /// The declaration says that a token is a text; this says which.
    fn try_from(written: Written) -> Result<Self, String> {
        let Written {
            largest,
            greeting,
            token,
        } = written;
        if token == "tok-hangs" {
            loop {
                std::thread::park();
            }
        }
        match token.starts_with("tok-") {
            true => Ok(Self {
                largest,
                greeting,
                has_token: true,
            }),
            // As a careless author would have it.
            false => Err(format!("{token} does not begin with tok-")),
        }
    }
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
    const STATE_SCHEMA: u32 = 2;
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
            "has_token": config.has_token,
        })))
    }
}

impl Migrate for Picky {
    const FROM: &'static str = "~0.1";
    type Old = Self;
    type Carry = ();

    fn up(old: Self, _carry: Option<()>, _changed: bool) -> Result<Self, MigrationError> {
        Ok(old)
    }

    fn down(&self) -> Result<Migrated<Self, ()>, MigrationError> {
        let old = Self { total: self.total };
        Ok(Migrated { old, carry: () })
    }

    fn samples(&self, _random: &mut Random, _count: usize) -> Vec<Message> {
        Vec::new()
    }
}

impl Configure for Picky {
    type Config = Config;
    const SETTINGS: &'static [Setting] = &[
        Setting::integer("largest", 1, 1_000)
            .default("20")
            .about("the largest step"),
        Setting::choice("greeting", &["salam", "marhaba"]).default("salam"),
        Setting::text("token")
            .required()
            .secret()
            .about("what it shows to the bank"),
    ];
}

export_plugin!(Picky: Migrate + Configure);
