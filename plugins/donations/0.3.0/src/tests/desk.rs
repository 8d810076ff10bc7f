//! One campaign, without a host, its timers, and what 0.2.0 would do to it.

use std::collections::BTreeMap;

use host_sdk::{Caller, Cx, Decision, Effect, Migrate, Plugin};
use serde_json::{Value, json};

use crate::{Carry, Command, Day, Donations, Event, Old, Query};

pub(super) const KEY: &str = "ramadan-2026";

/// Hands commands to a campaign and applies what comes of them.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) state: Donations,
    pub(super) events: Vec<Event>,
    pub(super) effects: Vec<Effect>,
    /// Unix milliseconds.
    pub(super) now_ms: i64,
    /// What is due when, and what with, by name: as the host keeps them.
    pub(super) timers: BTreeMap<String, (i64, Value)>,
}

impl Desk {
    /// A desk of a campaign in USD that is open.
    pub(super) fn open() -> Self {
        let mut desk = Self::default();
        desk.send("open", opening()).unwrap();
        desk
    }

    /// The same on a day.
    pub(super) fn open_on(day: &str) -> Self {
        let mut desk = Self::open();
        desk.set_day(day);
        desk
    }

    /// It is the morning of a day.
    pub(super) fn set_day(&mut self, day: &str) {
        let day: Day = day.parse().unwrap();
        self.now_ms = day.start_ms() + 8 * 3_600_000;
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
        self.send_as(b"", event, payload)
    }

    /// The same with a token's claims.
    pub(super) fn send_as(
        &mut self,
        claims: &[u8],
        event: &str,
        payload: Value,
    ) -> Result<Value, String> {
        let command: Command = serde_json::from_value(json!({ event: payload }))
            .map_err(|e| format!("bad_payload ({e})"))?;
        let cx = Cx::for_test(KEY, event, self.now_ms).with_claims(claims);
        let decision = self
            .state
            .decide(&cx, command)
            .map_err(|rejection| rejection.reason.into_owned())?;
        Ok(self.happen(decision))
    }

    fn happen(&mut self, decision: Decision<Event>) -> Value {
        let (event, reply, effects) = decision.into_parts();
        if let Some(event) = event {
            self.events.push(event.clone());
            self.state.apply(event);
            for effect in &effects {
                match effect.clone() {
                    Effect::SetTimer {
                        name,
                        at_ms,
                        payload,
                    } => drop(self.timers.insert(name, (at_ms, payload))),
                    Effect::CancelTimer { name } => drop(self.timers.remove(&name)),
                    _ => {}
                }
            }
        }
        self.effects = effects;
        self.state
            .check()
            .expect("every command keeps the invariants");
        reply.to_value().unwrap()
    }

    /// Fires a timer, as the host does: it is used up by what comes of it.
    pub(super) fn fire(&mut self, name: &str, payload: Value) {
        let cx = Cx::for_test(KEY, name, self.now_ms).with_caller(Caller::Timer);
        let decision = self.state.timer(&cx, payload);
        let decision = decision.expect("no timer of a subscription is refused");
        self.timers.remove(name);
        self.happen(decision);
    }

    /// Fires what is due, earliest first, until nothing is. How many fired.
    pub(super) fn fire_due(&mut self) -> usize {
        let mut fired = 0;
        loop {
            let due = self.timers.iter().filter(|(_, (at, _))| *at <= self.now_ms);
            let next = due.min_by_key(|(_, (at, _))| *at);
            let Some((name, (_, payload))) = next.map(|(n, t)| (n.clone(), t.clone())) else {
                return fired;
            };
            self.fire(&name, payload);
            fired += 1;
        }
    }

    /// `subscribe` to sadaqah in US dollars.
    pub(super) fn subscribe(
        &mut self,
        subscription_id: &str,
        amount: &str,
        every: &str,
    ) -> Result<Value, String> {
        let terms = json!({
            "subscription_id": subscription_id, "amount": amount, "currency": "USD", "every": every,
        });
        self.send("subscribe", terms)
    }

    /// `pledge` of sadaqah in US dollars.
    pub(super) fn pledge(&mut self, pledge_id: &str, amount: &str) -> Result<Value, String> {
        self.send(
            "pledge",
            json!({ "pledge_id": pledge_id, "amount": amount, "currency": "USD" }),
        )
    }

    /// A gift of sadaqah in US dollars that names a pledge.
    pub(super) fn give_to(
        &mut self,
        pledge_id: &str,
        donation_id: &str,
        amount: &str,
    ) -> Result<Value, String> {
        self.send(
            "donate",
            json!({
                "donation_id": donation_id, "amount": amount, "currency": "USD",
                "pledge_id": pledge_id,
            }),
        )
    }

    /// What `summary` shows of pledges of sadaqah in US dollars: pledged, fulfilled,
    /// cancelled, outstanding, overdue.
    pub(super) fn promised(&self) -> [String; 5] {
        let promised = self.summary()["pledges"]["sadaqah"]["USD"].clone();
        [
            "pledged",
            "fulfilled",
            "cancelled",
            "outstanding",
            "overdue",
        ]
        .map(|sum| promised[sum].as_str().unwrap_or("none").to_owned())
    }

    /// The donation ids in the ledger, in the order of their receipts.
    pub(super) fn donation_ids(&self) -> Vec<String> {
        let ledger = &self.state.campaign.as_ref().expect("it is open").ledger;
        ledger.iter().map(|(_, d)| d.donation_id.clone()).collect()
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
        let cx = Cx::for_test(KEY, "summary", self.now_ms);
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

// What 0.2.0 does to its state is told by this version, for commands that are the same
// in both; that the real 0.2.0 does so, the loader's tests show with the real libraries.

/// A campaign of 0.2.0 that has taken nothing.
pub(super) fn old_opened() -> Old {
    let down = Desk::open().state.down().unwrap();
    down.old
}

/// What 0.2.0 does to its state when it takes a gift of sadaqah in US dollars.
pub(super) fn old_donate(old: &mut Old, donation_id: &str, amount: &str) {
    let mut desk = Desk {
        state: Donations::up(old.clone(), None, false).unwrap(),
        ..Desk::default()
    };
    desk.donate(donation_id, (amount, "USD"), "sadaqah", "")
        .unwrap();
    *old = desk.state.down().unwrap().old;
}

/// What 0.2.0 does to its state when it gives a gift back.
pub(super) fn old_refund(old: &mut Old, donation_id: &str) {
    let mut desk = Desk {
        state: Donations::up(old.clone(), None, false).unwrap(),
        ..Desk::default()
    };
    desk.refund(donation_id).unwrap();
    *old = desk.state.down().unwrap().old;
}

/// A state or a carry as the host keeps it.
pub(super) fn bytes(value: &impl serde::Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}
