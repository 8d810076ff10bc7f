//! Payers that go from 0.1.0 to 0.2.0 and back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Command, Promises, Versions, live_many};
use crate::Bench;
use crate::actor::Actor;

/// By payment id: the payment as it was accepted, unless it was taken back.
#[derive(Default)]
struct Payments(BTreeMap<String, Value>);

impl Promises for Payments {
    fn accepted(&mut self, event: &str, payload: &Value, reply: &Value) {
        let id = || payload["payment_id"].as_str().unwrap().to_owned();
        match event {
            // A repeat of one that was taken back is answered, and pays nothing.
            "pay" if reply.get("reversed_at").is_none() => {
                self.0.insert(id(), payload.clone());
            }
            "pay_reversed" => {
                self.0.remove(&id());
            }
            _ => {}
        }
    }

    fn ask(&self, actor: &mut Actor, _: &Versions) {
        assert_eq!(actor.summary()["payments"], self.0.len());
        let before = actor.export();
        for (payment_id, payload) in &self.0 {
            let reply = actor.send("pay", payload);
            let reply = reply.unwrap_or_else(|reason| panic!("{payment_id}: {reason}"));
            assert_eq!(reply["duplicate"], true, "{payment_id}");
        }
        assert_eq!(actor.export(), before, "a duplicate changes nothing");
    }
}

fn id() -> impl Strategy<Value = String> + Clone {
    (0..6_u8).prop_map(|n| format!("id-{n}"))
}

fn amount() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        8 => (1_u64..100_000).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        2 => (1_u64..1_000).prop_map(|n| n.to_string()),
        1 => Just("0".to_owned()),
        1 => Just("999999999999999999".to_owned()),
    ]
}

fn currency() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec!["USD", "EUR", "JPY", "KWD", "XAU"])
}

fn day() -> impl Strategy<Value = String> {
    (2023..2027_u16, 1..13_u8, 1..29_u8).prop_map(|(y, m, d)| format!("{y}-{m:02}-{d:02}"))
}

fn older_command() -> impl Strategy<Value = Command> + Clone {
    let kind = prop::sample::select(vec!["cash", "trade_goods", "receivables"]);
    let money = (kind, id(), amount(), currency()).prop_map(|(kind, id, amount, currency)| {
        let asset = json!({ "asset_id": id, "kind": kind, "amount": amount, "currency": currency });
        ("declare", asset)
    });
    let kind = prop::sample::select(vec!["gold", "silver"]);
    let metal = (kind, id(), amount(), 1..30_u8).prop_map(|(kind, id, grams, karat)| {
        let asset = json!({ "asset_id": id, "kind": kind, "grams": grams, "karat": karat });
        ("declare", asset)
    });
    let remove = id().prop_map(|id| ("remove", json!({ "asset_id": id })));
    let pay = (id(), amount(), currency()).prop_map(|(id, amount, currency)| {
        let paid = json!({ "payment_id": id, "amount": amount, "currency": currency });
        ("pay", paid)
    });
    prop_oneof![money, metal, remove, pay]
}

fn newer_command() -> impl Strategy<Value = Command> {
    let held = (id(), amount(), currency(), day()).prop_map(|(id, amount, currency, day)| {
        let asset = json!({
            "asset_id": id, "kind": "cash", "amount": amount, "currency": currency,
            "held_since": day,
        });
        ("declare", asset)
    });
    let reversed = id().prop_map(|id| ("pay_reversed", json!({ "payment_id": id })));
    let anniversary =
        prop::option::of(day()).prop_map(|day| ("set_anniversary", json!({ "date": day })));
    let year = prop::sample::select(vec!["lunar", "solar"])
        .prop_map(|year| ("set_year", json!({ "year": year })));
    let owe = (id(), amount(), currency(), day()).prop_map(|(id, amount, currency, day)| {
        let debt = json!({ "debt_id": id, "amount": amount, "currency": currency, "due_on": day });
        ("owe", debt)
    });
    let settle = id().prop_map(|id| ("settle", json!({ "debt_id": id })));
    let crops = (id(), amount(), currency(), day()).prop_map(|(id, kg, currency, day)| {
        let harvest = json!({
            "crop_id": id, "crop": "wheat", "kg": kg, "watering": "mixed",
            "price_per_kg": "0.30", "currency": currency, "harvested_on": day,
        });
        ("crops", harvest)
    });
    let rikaz = (id(), amount(), currency(), day()).prop_map(|(id, amount, currency, day)| {
        let find =
            json!({ "find_id": id, "amount": amount, "currency": currency, "found_on": day });
        ("rikaz", find)
    });
    prop_oneof![
        4 => older_command(), 2 => held, 3 => reversed, 1 => anniversary, 1 => year,
        1 => owe, 1 => settle, 1 => crops, 1 => rikaz
    ]
}

#[test]
fn a_payer_keeps_every_payment_whatever_happens() {
    let versions = Versions::open(&Bench::new(), "zakat");
    live_many::<Payments>(&versions, older_command(), newer_command());
}

/// What is due the moment after the upgrade is what was due before it, and again
/// after the way back.
#[test]
fn what_is_due_survives_the_upgrade() {
    let versions = Versions::open(&Bench::new(), "zakat");
    let mut actor = Actor::new(&versions.older, "ali");
    for asset in [
        json!({ "asset_id": "a", "kind": "cash", "amount": "5000", "currency": "USD" }),
        json!({ "asset_id": "b", "kind": "gold", "grams": "100", "karat": 22 }),
        json!({ "asset_id": "c", "kind": "trade_goods", "amount": "3000", "currency": "USD" }),
        json!({ "asset_id": "d", "kind": "receivables", "amount": "1000", "currency": "USD" }),
        json!({ "asset_id": "e", "kind": "cash", "amount": "1000", "currency": "EUR" }),
    ] {
        actor.send("declare", &asset).unwrap();
    }
    let due = |actor: &Actor| {
        let prices =
            json!({ "gold_gram": "75", "silver_gram": "0.90", "rates": { "EUR": "1.10" } });
        let question = json!({ "currency": "USD", "nisab": "gold", "prices": prices });
        let answer = actor.ask("assess", &question).unwrap();
        (answer["zakatable"].clone(), answer["due"].clone())
    };
    let worked = (json!("16975.00"), json!("424.38"));
    assert_eq!(due(&actor), worked);
    actor.up(&versions.newer);
    assert_eq!(due(&actor), worked);
    let debt = json!({
        "debt_id": "d", "amount": "2500", "currency": "USD", "due_on": "2025-01-01",
    });
    actor.send("owe", &debt).unwrap();
    assert_eq!(due(&actor), (json!("14475.00"), json!("361.88")));
    actor.down(&versions.older);
    assert_eq!(due(&actor), worked);
    assert!(!actor.up(&versions.newer));
    assert_eq!(due(&actor), (json!("14475.00"), json!("361.88")));
}
