//! Tests: what commands do, the worked examples, and the way there and back.

mod examples;
mod migration;
mod properties;

use host_sdk::{Cx, Decision, Plugin, Rejection};
use serde_json::{Value, json};

use crate::{Command, Day, Event, Query, Zakat};

/// 2025-06-01 12:00 UTC.
pub(crate) const NOON: i64 = 1_748_779_200_000;

fn named(event: &str, payload: Value) -> Value {
    let mut message = json!({});
    message[event] = payload;
    message
}

/// One payer, with the clock in the test's hand.
#[derive(Default)]
pub(crate) struct Payer {
    pub(crate) state: Zakat,
    pub(crate) now_ms: i64,
}

impl Payer {
    pub(crate) fn new() -> Self {
        Self {
            now_ms: NOON,
            ..Self::default()
        }
    }

    pub(crate) fn decide(&self, event: &str, payload: Value) -> Result<Decision<Event>, Rejection> {
        let command: Command = serde_json::from_value(named(event, payload))
            .map_err(|e| Rejection::new("bad_payload", e.to_string()))?;
        let cx = Cx::for_test("ali", event, self.now_ms);
        self.state.decide(&cx, command)
    }

    /// The reply, after what was decided is applied the way the journal would:
    /// as JSON.
    pub(crate) fn tell(&mut self, event: &str, payload: Value) -> Result<Value, Rejection> {
        let decision = self.decide(event, payload)?;
        let (event, reply, effects) = decision.into_parts();
        assert_eq!(event.is_some(), !effects.is_empty());
        if let Some(event) = event {
            let written = serde_json::to_vec(&event).unwrap();
            self.state.apply(serde_json::from_slice(&written).unwrap());
        }
        self.state.check().unwrap();
        Ok(reply.to_value().unwrap())
    }

    pub(crate) fn ask(&self, event: &str, payload: Value) -> Result<Value, Rejection> {
        let query: Query = serde_json::from_value(named(event, payload))
            .map_err(|e| Rejection::new("bad_payload", e.to_string()))?;
        let cx = Cx::for_test("ali", event, self.now_ms);
        let reply = self.state.query(&cx, query)?;
        Ok(reply.to_value().unwrap())
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, Rejection>) -> String {
    result.unwrap_err().reason.into_owned()
}

pub(crate) fn cash(id: &str, amount: &str, currency: &str) -> Value {
    json!({ "asset_id": id, "kind": "cash", "amount": amount, "currency": currency })
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn owned(id: &str, amount: &str, since: &str) -> Value {
    let mut asset = cash(id, amount, "USD");
    asset["held_since"] = json!(since);
    asset
}

fn gold_at_75(as_of: &str) -> Value {
    json!({ "currency": "USD", "nisab": "gold", "prices": { "gold_gram": "75.00" }, "as_of": as_of })
}

impl Payer {
    pub(crate) fn due(&self, as_of: &str) -> Value {
        self.ask("assess", gold_at_75(as_of)).unwrap()["due"].clone()
    }
}

#[test]
fn held_since_stays_unless_it_is_given() {
    let mut ali = Payer::new();
    let held = |ali: &Payer| ali.state.assets["a"].held_since.map(|day| day.to_string());
    ali.tell("declare", cash("a", "1", "USD")).unwrap();
    assert_eq!(held(&ali), None);
    ali.tell("declare", owned("a", "2", "2024-03-11")).unwrap();
    ali.tell("declare", cash("a", "3", "USD")).unwrap();
    let mut null = cash("a", "4", "USD");
    null["held_since"] = json!(null);
    ali.tell("declare", null).unwrap();
    assert_eq!(held(&ali).unwrap(), "2024-03-11");
    ali.tell("declare", owned("a", "5", "2025-01-01")).unwrap();
    assert_eq!(held(&ali).unwrap(), "2025-01-01");
    ali.tell("remove", json!({ "asset_id": "a" })).unwrap();
    ali.tell("declare", cash("a", "6", "USD")).unwrap();
    assert_eq!(held(&ali), None);
}

#[test]
fn a_missing_day_30_becomes_29() {
    // 30 Ramadan 1445; Ramadan 1446 has 29 days.
    assert_eq!(day("2024-04-09").one_lunar_year_after(), day("2025-03-29"));
    assert_eq!(day("2024-04-08").one_lunar_year_after(), day("2025-03-29"));
    assert_eq!(day("2024-04-10").one_lunar_year_after(), day("2025-03-30"));
}

#[test]
fn an_anniversary_adds_and_takes_nothing_away() {
    let mut ali = Payer::new();
    ali.tell("declare", owned("old", "7000", "2024-03-11"))
        .unwrap();
    ali.tell("declare", owned("new", "1000", "2025-02-01"))
        .unwrap();
    ali.tell("declare", owned("later", "500", "2025-03-05"))
        .unwrap();
    ali.tell("set_anniversary", json!({ "date": "2024-03-12" }))
        .unwrap();
    assert_eq!(ali.due("2025-02-28"), "0.00");
    assert_eq!(ali.due("2025-03-01"), "175.00");
    // What is bought after the day asked about is not owned on it.
    assert_eq!(ali.due("2025-03-02"), "200.00");
    assert_eq!(ali.due("2025-03-05"), "212.50");
    assert_eq!(
        reason(ali.tell("set_anniversary", json!({}))),
        "bad_payload"
    );
    ali.tell("set_anniversary", json!({ "date": null }))
        .unwrap();
    assert_eq!(ali.due("2025-03-05"), "175.00");
}

#[test]
fn debts_are_taken_from_wealth_down_to_nothing() {
    let mut ali = Payer::new();
    ali.tell("declare", cash("a", "7000", "USD")).unwrap();
    let owe = |id: &str, amount: &str, due_on: &str| json!({ "debt_id": id, "amount": amount, "currency": "USD", "due_on": due_on });
    ali.tell("owe", owe("d", "100", "2025-06-01")).unwrap();
    assert_eq!(ali.due("2025-05-31"), "175.00");
    assert_eq!(ali.due("2025-06-01"), "172.50");
    // Below the nisab after debts.
    ali.tell("owe", owe("d", "625.01", "2025-06-01")).unwrap();
    assert_eq!(ali.due("2025-06-01"), "0.00");
    ali.tell("owe", owe("e", "99999", "2025-06-01")).unwrap();
    let answer = ali.ask("assess", gold_at_75("2025-06-01")).unwrap();
    assert_eq!(answer["zakatable"], "0.00");
    assert_eq!(answer["breakdown"]["debts"][0]["value"], "625.01");
    ali.tell("settle", json!({ "debt_id": "d" })).unwrap();
    ali.tell("settle", json!({ "debt_id": "e" })).unwrap();
    assert_eq!(ali.due("2025-06-01"), "175.00");
    assert_eq!(
        reason(ali.tell("settle", json!({ "debt_id": "e" }))),
        "unknown_debt"
    );
    assert_eq!(
        reason(ali.tell("owe", owe("e", "0", "2025-06-01"))),
        "bad_amount"
    );
    assert_eq!(
        reason(ali.tell("owe", owe("e", "1", "June"))),
        "bad_payload"
    );
}

fn wheat(id: &str, kg: &str, on: &str) -> Value {
    json!({ "crop_id": id, "crop": "wheat", "kg": kg, "watering": "rain",
            "price_per_kg": "0.30", "currency": "USD", "harvested_on": on })
}

#[test]
fn a_season_meets_the_nisab_together() {
    let mut ali = Payer::new();
    ali.tell("crops", wheat("a", "400", "2025-04-01")).unwrap();
    let mut barley = wheat("b", "400", "2025-04-01");
    barley["crop"] = json!("barley");
    ali.tell("crops", barley).unwrap();
    assert_eq!(ali.due("2025-04-01"), "0.00");
    // 90 days later is the same season, in whatever case; 91 is another.
    let mut more = wheat("c", "253", "2025-06-30");
    more["crop"] = json!(" Wheat ");
    ali.tell("crops", more).unwrap();
    assert_eq!(ali.due("2025-06-29"), "0.00");
    assert_eq!(ali.due("2025-06-30"), "19.59");
    ali.tell("crops", wheat("c", "253", "2025-07-01")).unwrap();
    assert_eq!(ali.due("2025-07-01"), "0.00");
}

#[test]
fn crops_and_finds_are_owed_once_and_apart() {
    let mut ali = Payer::new();
    ali.tell("crops", wheat("a", "653", "2025-04-01")).unwrap();
    let find =
        json!({ "find_id": "f", "amount": "1000", "currency": "USD", "found_on": "2025-04-01" });
    ali.tell("rikaz", find).unwrap();
    assert_eq!(ali.due("2025-03-31"), "0.00");
    assert_eq!(ali.due("2025-04-01"), "219.59");
    // A lunar year later they are of the year before.
    assert_eq!(ali.due("2026-03-21"), "219.59");
    assert_eq!(ali.due("2026-03-22"), "0.00");
    // Their worth does not help wealth to the nisab.
    ali.tell("declare", cash("a", "6374.99", "USD")).unwrap();
    let answer = ali.ask("assess", gold_at_75("2025-04-01")).unwrap();
    assert_eq!(
        (&answer["zakatable"], &answer["due"]),
        (&json!("6374.99"), &json!("219.59"))
    );
    assert_eq!(
        answer["breakdown"],
        json!({
            "assets": [{ "asset_id": "a", "kind": "cash", "value": "6374.99",
                         "held_since": "unknown", "counts": true }],
            "debts": [],
            "wealth": { "rate": "0.025", "due": "0.00" },
            "crops": [{ "crop_id": "a", "crop": "wheat", "rate": "0.10", "counts": true,
                        "value": "195.90", "due": "19.59" }],
            "rikaz": [{ "find_id": "f", "value": "1000.00", "due": "200.00" }],
        })
    );
    let mut nameless = wheat("a", "1", "2025-04-01");
    nameless["crop"] = json!("  ");
    assert_eq!(reason(ali.tell("crops", nameless)), "bad_payload");
    assert_eq!(
        reason(ali.tell("crops", wheat("a", "-1", "2025-04-01"))),
        "bad_amount"
    );
}

#[test]
fn a_payment_taken_back_is_not_paid_and_its_id_stays_taken() {
    let mut ali = Payer::new();
    let pay = |amount: &str| json!({ "payment_id": "c/d1", "amount": amount, "currency": "USD" });
    let back = json!({ "payment_id": "c/d1" });
    assert_eq!(
        reason(ali.tell("pay_reversed", back.clone())),
        "unknown_payment"
    );
    ali.tell("pay", pay("250")).unwrap();
    assert_eq!(
        ali.ask("assess", gold_at_75("2025-06-01")).unwrap()["paid"],
        "250.00"
    );
    ali.now_ms += 5;
    let reversed = ali.tell("pay_reversed", back.clone()).unwrap();
    assert_eq!(reversed["reversed_at"], NOON + 5);
    ali.now_ms += 5;
    let again = ali.tell("pay_reversed", back).unwrap();
    assert_eq!(
        (&again["reversed_at"], &again["duplicate"]),
        (&json!(NOON + 5), &json!(true))
    );
    assert_eq!(
        ali.ask("assess", gold_at_75("2025-06-01")).unwrap()["paid"],
        "0.00"
    );
    let retried = ali.tell("pay", pay("250.00")).unwrap();
    assert_eq!(
        (&retried["reversed_at"], &retried["duplicate"]),
        (&json!(NOON + 5), &json!(true))
    );
    assert_eq!(reason(ali.tell("pay", pay("251"))), "conflict");
    assert_eq!(ali.ask("summary", json!({})).unwrap()["payments"], 0);
}

#[test]
fn set_year_takes_lunar_or_solar() {
    let mut ali = Payer::new();
    assert_eq!(
        reason(ali.tell("set_year", json!({ "year": "leap" }))),
        "bad_payload"
    );
    let said = ali.tell("set_year", json!({ "year": "solar" })).unwrap();
    assert_eq!(said, json!({ "anniversary": null, "year": "solar" }));
}

#[test]
fn a_payment_is_recorded_once() {
    let mut ali = Payer::new();
    let pay = |amount: &str| json!({ "payment_id": "p", "amount": amount, "currency": "USD" });
    let first = ali.tell("pay", pay("250.00")).unwrap();
    assert_eq!(
        first,
        json!({ "payment_id": "p", "amount": "250.00", "currency": "USD", "paid_at": NOON })
    );
    ali.now_ms += 1;
    let mut again = ali.tell("pay", pay("250")).unwrap();
    assert_eq!(again["duplicate"], json!(true));
    again.as_object_mut().unwrap().remove("duplicate");
    assert_eq!(again, first);
    assert_eq!(reason(ali.tell("pay", pay("250.01"))), "conflict");
    let summary = ali.ask("summary", json!({})).unwrap();
    assert_eq!(
        summary,
        json!({
            "assets": 0, "payments": 1, "debts": 0, "crops": 0, "rikaz": 0,
            "anniversary": null, "year": "lunar", "version": "0.2.0",
        })
    );
}

#[test]
fn the_payer_may_all_an_auditor_may_read() {
    let may = |event: &str, claims: &str| {
        Zakat::authorize(&Cx::for_test("ali", event, NOON).with_claims(claims.as_bytes())).is_ok()
    };
    for event in ["phx_join", "assess", "summary"] {
        assert!(may(event, r#"{"sub":"ali"}"#));
        assert!(may(event, r#"{"sub":"eve","roles":["auditor"]}"#));
        assert!(!may(event, r#"{"sub":"eve","roles":["treasurer"]}"#));
        assert!(!may(event, r#"{"roles":["auditor"]}"#) && !may(event, ""));
    }
    for event in [
        "declare",
        "remove",
        "pay",
        "pay_reversed",
        "owe",
        "set_year",
    ] {
        assert!(may(event, r#"{"sub":"ali","roles":[]}"#));
        assert!(!may(event, r#"{"sub":"eve","roles":["auditor"]}"#));
    }
}
