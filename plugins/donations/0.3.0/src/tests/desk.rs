//! One campaign, without a host, and what 0.1.0 would do to it.

use host_sdk::{Cx, Effect, Migrate, Plugin};
use serde_json::{Value, json};

use crate::{Carry, Command, Donations, Event, Old, OldDonation, Query};

pub(super) const KEY: &str = "ramadan-2026";

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
        desk.send("open", opening()).unwrap();
        desk
    }

    /// The same after `up`.
    #[track_caller]
    pub(super) fn up(old: Old, carry: Option<Carry>, changed: bool) -> Self {
        let state = Donations::up(old, carry, changed).expect("the state moves up");
        state
            .check()
            .expect("a migrated state keeps the invariants");
        Self {
            state,
            ..Self::default()
        }
    }

    /// The reply, or the reason of the refusal; the effects are kept for a look.
    pub(super) fn send(&mut self, event: &str, payload: Value) -> Result<Value, String> {
        let command: Command = serde_json::from_value(json!({ event: payload }))
            .map_err(|e| format!("bad_payload ({e})"))?;
        let cx = Cx::for_test(KEY, event, 0);
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

    /// `donate` by nobody, with `payer` where it is not empty.
    pub(super) fn donate(
        &mut self,
        donation_id: &str,
        (amount, currency): (&str, &str),
        fund: &str,
        payer: &str,
    ) -> Result<Value, String> {
        let mut gift = json!({
            "donation_id": donation_id, "amount": amount, "currency": currency, "fund": fund,
        });
        if !payer.is_empty() {
            gift["payer"] = json!(payer);
        }
        self.send("donate", gift)
    }

    /// `allocate` of US dollars of zakat.
    pub(super) fn allocate(&mut self, category: &str, amount: &str) -> Result<Value, String> {
        self.send(
            "allocate",
            json!({ "fund": "zakat", "category": category, "amount": amount, "currency": "USD" }),
        )
    }

    pub(super) fn refund(&mut self, donation_id: &str) -> Result<Value, String> {
        self.send(
            "refund",
            json!({ "donation_id": donation_id, "reason": "asked for" }),
        )
    }

    pub(super) fn summary(&self) -> Value {
        let cx = Cx::for_test(KEY, "summary", 0);
        let reply = self.state.query(&cx, Query::Summary {}).unwrap();
        reply.to_value().unwrap()
    }

    /// What `summary` shows of total and count.
    pub(super) fn totals(&self) -> (String, u64) {
        let summary = self.summary();
        let total = summary["total"].as_str().unwrap().to_owned();
        (total, summary["count"].as_u64().unwrap())
    }

    /// What `summary` shows as a fund's balance.
    pub(super) fn balance(&self, fund: &str, currency: &str) -> String {
        let balance = &self.summary()["funds"][fund][currency]["balance"];
        balance.as_str().unwrap_or("no account").to_owned()
    }
}

pub(super) fn opening() -> Value {
    json!({ "title": "Iftar", "currency": "USD", "goal": "5000" })
}

/// A campaign of 0.1.0 that has taken nothing.
pub(super) fn old_opened() -> Old {
    serde_json::from_value(json!({ "campaign": {
        "title": "Iftar", "currency": "USD", "goal": "5000.00",
        "total": "0.00", "count": 0, "ledger": [],
    }}))
    .unwrap()
}

/// What 0.1.0 does to its state when it takes a gift.
pub(super) fn old_donate(old: &mut Old, donation_id: &str, amount: &str) {
    let campaign = old.campaign.as_mut().expect("0.1.0 has the campaign open");
    let amount = campaign.currency.amount(amount).unwrap();
    campaign.total += amount;
    campaign.count += 1;
    campaign.ledger.push(OldDonation {
        donation_id: donation_id.to_owned(),
        donor: None,
        amount,
        currency: campaign.currency,
        total: campaign.total,
        count: campaign.count,
        refunded: false,
    });
}

/// A state or a carry as the host keeps it.
pub(super) fn bytes(value: &impl serde::Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}
