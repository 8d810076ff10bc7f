//! The least plugin there is: an empty state, a command that changes nothing but
//! the sequence, and a query of eight bytes. The benches measure the host by it.

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, Violation, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No state at all.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Minimal {}

/// What may be asked to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Happens.
    Touch {},
}

/// What may be asked to know.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Eight bytes, as they are.
    Eight {},
}

/// What has happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Nothing but this.
    Touched {},
}

impl Plugin for Minimal {
    const NAME: &'static str = "minimal";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self {}
    }

    fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        match command {
            Command::Touch {} => Ok(Decision::event(Event::Touched {})),
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Touched {} => {}
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Eight {} => Ok(Reply::raw(&[8; 8])),
        }
    }

    fn check(&self) -> Result<(), Violation> {
        // Kept from being folded away: the benches compare this call made directly
        // with the same call made over the boundary.
        std::hint::black_box(Ok(()))
    }
}

export_plugin!(Minimal);
