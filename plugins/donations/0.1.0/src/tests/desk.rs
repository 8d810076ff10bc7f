//! One campaign, without a host.

use host_sdk::{Cx, Effect, Plugin};
use serde_json::{Value, json};

use crate::{Command, Donations, Event, Query};

/// Hands commands to a campaign and applies what comes of them.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) state: Donations,
    pub(super) events: Vec<Event>,
    pub(super) effects: Vec<Effect>,
}

impl Desk {
    /// A desk of a campaign in USD that is open.
    pub(super) fn open() -> Self {
        let mut desk = Self::default();
        let reply = desk.send(
            "open",
            json!({ "title": "Iftar", "currency": "USD", "goal": "5000" }),
        );
        assert_eq!(
            reply,
            Ok(json!({ "title": "Iftar", "currency": "USD", "goal": "5000.00" }))
        );
        desk
    }

    /// The reply, or the reason of the refusal; the effects are kept for a look.
    pub(super) fn send(&mut self, event: &str, payload: Value) -> Result<Value, String> {
        let command: Command = serde_json::from_value(json!({ event: payload }))
            .map_err(|e| format!("bad_payload ({e})"))?;
        let cx = Cx::for_test("ramadan-2026", event, 0);
        let decision = self
            .state
            .decide(&cx, command)
            .map_err(|rejection| rejection.reason.into_owned())?;
        let (event, reply, effects) = decision.into_parts();
        if let Some(event) = event {
            self.events.push(event.clone());
            self.state.apply(event);
        }
        self.effects = effects;
        self.state
            .check()
            .expect("every command keeps the invariants");
        Ok(reply.to_value().unwrap())
    }

    /// `donate` of US dollars by nobody.
    pub(super) fn donate(&mut self, donation_id: &str, amount: &str) -> Result<Value, String> {
        self.send(
            "donate",
            json!({ "donation_id": donation_id, "amount": amount, "currency": "USD" }),
        )
    }

    pub(super) fn summary(&self) -> Value {
        let cx = Cx::for_test("ramadan-2026", "summary", 0);
        let reply = self.state.query(&cx, Query::Summary {}).unwrap();
        reply.to_value().unwrap()
    }
}
