//! Campaigns that go from 0.1.0 to 0.2.0 and back.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Command, Promises, Versions, live_many};
use crate::Bench;
use crate::actor::{Actor, json};

/// By donation id: the command as it was first accepted, and its receipt.
#[derive(Default)]
struct Receipts(BTreeMap<String, (Value, u64)>);

impl Promises for Receipts {
    fn accepted(&mut self, event: &str, payload: &Value, reply: &Value) {
        if event != "donate" {
            return;
        }
        let receipt_no = reply["receipt_no"].as_u64().unwrap();
        let donation_id = payload["donation_id"].as_str().unwrap().to_owned();
        // The first counts: 0.1.0 knows no funds, so it also answers a repeat of a
        // gift of zakat that names none, which 0.2.0 calls a conflict.
        match self.0.entry(donation_id) {
            Entry::Occupied(known) => {
                let first = known.get().1;
                assert_eq!((receipt_no, &reply["duplicate"]), (first, &json!(true)));
            }
            Entry::Vacant(new) => {
                new.insert((payload.clone(), receipt_no));
            }
        }
    }

    fn ask(&self, actor: &mut Actor, versions: &Versions) {
        let before = actor.export();
        for (donation_id, (payload, receipt_no)) in &self.0 {
            let reply = actor.send("donate", &shaped(actor, payload, versions));
            let reply = reply.unwrap_or_else(|reason| panic!("{donation_id}: {reason}"));
            assert_eq!(
                (
                    &reply["receipt_no"],
                    &reply["donation_id"],
                    &reply["duplicate"]
                ),
                (&json!(receipt_no), &json!(donation_id), &json!(true))
            );
        }
        assert_eq!(actor.export(), before, "a duplicate changes nothing");
    }
}

/// A client's message in the shape of the version that the actor has, as the
/// host converts it.
fn shaped(actor: &Actor, payload: &Value, versions: &Versions) -> Value {
    if actor.state.plugin().version() == versions.newer.version() {
        return payload.clone();
    }
    let payload = payload.to_string();
    let older = versions.older.version();
    let down = versions.newer.downcast(older, "donate", payload.as_bytes());
    let (event, payload) = down.unwrap().unwrap();
    assert_eq!(event, "donate");
    json(&payload)
}

fn amount() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        8 => (1_u64..100_000).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        2 => (1_u64..1_000).prop_map(|n| n.to_string()),
        1 => Just("999999999999999999".to_owned()),
        1 => Just("0.001".to_owned()),
    ]
}

fn currency() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![6 => Just("USD"), 2 => Just("EUR"), 1 => Just("JPY"), 1 => Just("XAU")]
}

fn donor() -> impl Strategy<Value = Value> + Clone {
    prop_oneof![Just(Value::Null), Just(json!("Ali")), Just(json!("Zaynab"))]
}

/// Few ids, so that repeats and conflicts are common.
fn id() -> impl Strategy<Value = String> + Clone {
    (0..16).prop_map(|n| format!("d{n}"))
}

fn open() -> impl Strategy<Value = Command> + Clone {
    let opening = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    Just(("open", opening))
}

pub(super) fn older_command() -> impl Strategy<Value = Command> + Clone {
    let donate = (id(), donor(), amount(), currency()).prop_map(|(id, donor, amount, currency)| {
        let gift =
            json!({ "donation_id": id, "donor": donor, "amount": amount, "currency": currency });
        ("donate", gift)
    });
    prop_oneof![1 => open(), 4 => donate]
}

pub(super) fn newer_command() -> impl Strategy<Value = Command> {
    let fund = || prop_oneof![Just("zakat"), Just("sadaqah"), Just("waqf")];
    let payer = prop_oneof![Just(Value::Null), Just(json!("ali"))];
    let donate = (id(), donor(), amount(), currency(), fund(), payer).prop_map(
        |(id, donor, amount, currency, fund, payer)| {
            let gift = json!({
                "donation_id": id, "donor": donor, "amount": amount,
                "currency": currency, "fund": fund, "payer": payer,
            });
            ("donate", gift)
        },
    );
    let refund = id().prop_map(|id| {
        let refund = json!({ "donation_id": id, "reason": "asked for" });
        ("refund", refund)
    });
    let allocate = (fund(), amount(), currency()).prop_map(|(fund, amount, currency)| {
        let spent = json!({
            "fund": fund, "category": "fuqara", "amount": amount, "currency": currency,
        });
        ("allocate", spent)
    });
    prop_oneof![2 => open(), 8 => donate, 3 => refund, 3 => allocate]
}

#[test]
fn a_campaign_keeps_every_receipt_whatever_happens() {
    let versions = Versions::open(&Bench::new(), "donations");
    live_many::<Receipts>(&versions, older_command(), newer_command());
}

/// What `summary` shows of total and count.
fn totals(actor: &Actor) -> (String, u64) {
    let summary = actor.summary();
    let total = summary["total"].as_str().unwrap().to_owned();
    (total, summary["count"].as_u64().unwrap())
}

fn balance(actor: &Actor, fund: &str, currency: &str) -> Value {
    actor.summary()["funds"][fund][currency]["balance"].clone()
}

fn gift(donation_id: &str, amount: &str, currency: &str) -> Value {
    json!({ "donation_id": donation_id, "amount": amount, "currency": currency })
}

fn gift_to(fund: &str, donation_id: &str, amount: &str, currency: &str) -> Value {
    let mut gift = gift(donation_id, amount, currency);
    gift["fund"] = json!(fund);
    gift
}

fn allocate(category: &str, amount: &str) -> Value {
    json!({ "fund": "zakat", "category": category, "amount": amount, "currency": "USD" })
}

/// The worked examples 1 to 6.
#[test]
fn the_worked_examples() {
    let versions = Versions::open(&Bench::new(), "donations");
    let mut actor = Actor::new(&versions.older, "ramadan-2026");
    let opening = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    actor.send("open", &opening).unwrap();
    let refused = |reason: &str| Err(reason.to_owned());

    // 1. 0.1.0
    let d1 = gift("d1", "100.00", "USD");
    assert_eq!(actor.send("donate", &d1).unwrap()["total"], "100.00");
    assert_eq!(totals(&actor), ("100.00".to_owned(), 1));
    assert_eq!(actor.send("donate", &d1).unwrap()["duplicate"], true);
    let other = gift("d1", "101.00", "USD");
    assert_eq!(actor.send("donate", &other), refused("conflict"));
    let uneven = gift("d2", "10.005", "USD");
    assert_eq!(actor.send("donate", &uneven), refused("bad_amount"));

    // 2. 0.2.0
    actor.up(&versions.newer);
    let mut d3 = gift_to("zakat", "d3", "250.00", "USD");
    d3["payer"] = json!("ali");
    actor.send("donate", &d3).unwrap();
    assert_eq!(totals(&actor), ("350.00".to_owned(), 2));
    let d4 = gift_to("waqf", "d4", "40.00", "EUR");
    actor.send("donate", &d4).unwrap();
    assert_eq!(totals(&actor), ("350.00".to_owned(), 2));

    // 3. Zakat goes to its own, as far as it reaches.
    let spent = actor.send("allocate", &allocate("gharimin", "200.00"));
    assert_eq!(spent.unwrap()["balance"], "50.00");
    let spent = actor.send("allocate", &allocate("fuqara", "60.00"));
    assert_eq!(spent, refused("insufficient_funds"));
    let spent = actor.send("allocate", &allocate("marketing", "1.00"));
    assert_eq!(spent, refused("bad_category"));
    let refund = |id: &str| json!({ "donation_id": id, "reason": "asked for" });
    let refunded = actor.send("refund", &refund("d3"));
    assert_eq!(refunded, refused("insufficient_funds"));

    // 4.
    actor.send("refund", &refund("d1")).unwrap();
    assert_eq!(totals(&actor), ("250.00".to_owned(), 1));

    // 5. Back on 0.1.0, with a client that knows it and one that does not.
    actor.down_and_up_changes_nothing(&versions.older);
    actor.down(&versions.older);
    assert_eq!(totals(&actor), ("250.00".to_owned(), 1));
    for again in [gift("d4", "40.00", "EUR"), shaped(&actor, &d4, &versions)] {
        assert_eq!(actor.send("donate", &again).unwrap()["duplicate"], true);
    }
    actor.send("donate", &gift("d5", "10.00", "USD")).unwrap();
    assert_eq!(totals(&actor), ("260.00".to_owned(), 2));

    // 6.
    assert!(actor.up(&versions.newer), "d5 came in meanwhile");
    assert_eq!(balance(&actor, "sadaqah", "USD"), "10.00");
    assert_eq!(balance(&actor, "zakat", "USD"), "50.00");
    assert_eq!(balance(&actor, "waqf", "EUR"), "40.00");
    assert_eq!(totals(&actor), ("260.00".to_owned(), 2));
    assert_eq!(actor.send("donate", &d3).unwrap()["duplicate"], true);
}

/// What a page shows is the same on both sides, but for what only one side knows.
#[test]
fn a_summary_survives_every_change_of_version() {
    let versions = Versions::open(&Bench::new(), "donations");
    let shared = |actor: &Actor| {
        let mut summary = actor.summary();
        let fields = summary.as_object_mut().unwrap();
        fields.retain(|name, _| !["funds", "donors", "version"].contains(&name.as_str()));
        assert!(fields.len() >= 6, "{fields:?}");
        summary
    };
    let mut actor = Actor::new(&versions.older, "k");
    let closed = shared(&actor);
    actor.up(&versions.newer);
    assert_eq!(shared(&actor), closed);
    let opening = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    actor.send("open", &opening).unwrap();
    for n in 0..12 {
        let currency = ["USD", "EUR", "KWD"][n % 3];
        let gift = gift_to(["zakat", "waqf"][n % 2], &format!("d{n}"), "7.50", currency);
        actor.send("donate", &gift).unwrap();
    }
    let refund = json!({ "donation_id": "d3", "reason": "asked for" });
    actor.send("refund", &refund).unwrap();
    let before = shared(&actor);
    actor.down(&versions.older);
    assert_eq!(shared(&actor), before);
    actor.up(&versions.newer);
    assert_eq!(shared(&actor), before);
}
