//! What an operator does, as records of the same chain.
//!
//! An action is two records of the reserved actor [`OPERATOR`]: the intent, durable
//! before anything is done, and the outcome, which names the intent's position. One
//! without the other says that the host died in between. Their sequence is 0: they
//! belong to no actor's replay, so no head, no snapshot and no tail knows them.

use bytes::Bytes;
use host_model::Version;
use serde_json::{Value, json};

use crate::{Position, Record};

/// Whose records actions are. No plugin may have the name [`RESERVED`].
pub const OPERATOR: &str = "host:operator";

/// The name that is kept for the host's own records.
pub const RESERVED: &str = "host";

/// Something that an operator asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What: `upgrade`, `quarantine/release`, ...
    pub name: String,
    /// Who: `operator:ali`.
    pub principal: String,
    /// All that is known of who asks, such as the process: JSON.
    pub peer: Value,
    /// With which arguments: JSON.
    pub arguments: Value,
    /// The release that rules.
    pub release: Version,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One snake-case word: `done`, or why not.
    pub outcome: String,
    /// For people; empty where there is nothing to say.
    pub message: String,
}

impl Outcome {
    /// It was done.
    #[must_use]
    pub fn done() -> Self {
        Self {
            outcome: "done".to_owned(),
            message: String::new(),
        }
    }
}

impl Action {
    /// The record that stands before it. `time_ms` is Unix milliseconds, UTC.
    #[must_use]
    pub fn intended(&self, time_ms: i64) -> Record {
        let said = json!({"phase": "intended", "arguments": self.arguments, "peer": self.peer});
        self.record(time_ms, &said)
    }

    /// The record that stands behind it. `intent` is the position of the one before.
    #[must_use]
    pub fn ended(&self, time_ms: i64, intent: Position, outcome: &Outcome) -> Record {
        let mut said = json!({"phase": "ended", "intent": intent, "outcome": outcome.outcome});
        if !outcome.message.is_empty() {
            said["message"] = Value::from(outcome.message.as_str());
        }
        self.record(time_ms, &said)
    }

    /// A record of its own, by its name: what `said` has, a JSON object.
    #[must_use]
    pub fn record(&self, time_ms: i64, said: &Value) -> Record {
        Record {
            actor: OPERATOR.parse().expect("it is a plugin's name and a key"),
            seq: 0,
            version: self.release.clone(),
            time_ms,
            command: self.name.clone(),
            payload: Bytes::new(),
            event: Bytes::from(json!({ &self.name: said }).to_string()),
            principal: self.principal.clone(),
            idempotency_key: None,
            effects: Bytes::new(),
        }
    }
}

impl Record {
    /// Whether it is an operator's action, which no replay takes.
    #[must_use]
    pub fn is_action(&self) -> bool {
        self.seq == 0
    }
}
