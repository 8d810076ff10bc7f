//! What holds after any sequence of commands.

use host_sdk::Plugin;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOON, Payer};
use crate::Zakat;

pub(super) fn id() -> impl Strategy<Value = String> {
    (0..6_u8).prop_map(|n| format!("id-{n}"))
}

pub(super) fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..2_000_000_i64, 0..4_u32)
            .prop_map(|(units, scale)| rust_decimal::Decimal::new(units, scale).to_string()),
        Just("0".to_owned()),
        Just("999999999999999999".to_owned()),
    ]
}

pub(super) fn currency() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["USD", "EUR", "JPY", "KWD", "XAU"])
}

/// Commands that 0.1.0 knows too.
pub(super) fn old_command() -> impl Strategy<Value = (&'static str, Value)> {
    let money = (
        prop::sample::select(vec!["cash", "trade_goods", "receivables"]),
        id(),
        amount(),
        currency(),
    )
        .prop_map(|(kind, id, amount, currency)| {
            let asset =
                json!({ "asset_id": id, "kind": kind, "amount": amount, "currency": currency });
            ("declare", asset)
        });
    let metal = (
        prop::sample::select(vec!["gold", "silver"]),
        id(),
        amount(),
        1..30_u8,
    )
        .prop_map(|(kind, id, grams, karat)| {
            let asset = json!({ "asset_id": id, "kind": kind, "grams": grams, "karat": karat });
            ("declare", asset)
        });
    let remove = id().prop_map(|id| ("remove", json!({ "asset_id": id })));
    let pay = (id(), amount(), currency()).prop_map(|(id, amount, currency)| {
        let pay = json!({ "payment_id": id, "amount": amount, "currency": currency });
        ("pay", pay)
    });
    prop_oneof![money, metal, remove, pay]
}

fn day() -> impl Strategy<Value = String> {
    (2023..2027_u16, 1..13_u8, 1..29_u8).prop_map(|(y, m, d)| format!("{y}-{m:02}-{d:02}"))
}

/// Commands of this version.
pub(super) fn command() -> impl Strategy<Value = (&'static str, Value)> {
    let held = (id(), amount(), currency(), day()).prop_map(|(id, amount, currency, day)| {
        let asset = json!({ "asset_id": id, "kind": "cash", "amount": amount,
                            "currency": currency, "held_since": day });
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
    let crops =
        (id(), amount(), amount(), currency(), day()).prop_map(|(id, kg, price, currency, day)| {
            let harvest = json!({ "crop_id": id, "crop": "dates", "kg": kg, "watering": "mixed",
                "price_per_kg": price, "currency": currency, "harvested_on": day });
            ("crops", harvest)
        });
    let rikaz = (id(), amount(), currency(), day()).prop_map(|(id, amount, currency, day)| {
        let find =
            json!({ "find_id": id, "amount": amount, "currency": currency, "found_on": day });
        ("rikaz", find)
    });
    prop_oneof![
        4 => old_command(), 1 => held, 2 => reversed, 1 => anniversary, 1 => year,
        1 => owe, 1 => settle, 1 => crops, 1 => rikaz
    ]
}

proptest! {
    /// `tell` checks after each command; what is exported comes back and is
    /// exported as the same bytes; an accepted payment is accepted again.
    #[test]
    fn any_commands_keep_the_invariants(commands in prop::collection::vec(command(), 0..40)) {
        let mut ali = Payer::new();
        for (step, (event, payload)) in commands.into_iter().enumerate() {
            ali.now_ms = NOON + i64::try_from(step).unwrap();
            if ali.tell(event, payload.clone()).is_ok() && event == "pay" {
                prop_assert_eq!(&ali.tell(event, payload).unwrap()["duplicate"], true);
            }
        }
        let bytes = rmp_serde::to_vec_named(&ali.state).unwrap();
        let back: Zakat = rmp_serde::from_slice(&bytes).unwrap();
        prop_assert_eq!(&back, &ali.state);
        prop_assert_eq!(rmp_serde::to_vec_named(&back).unwrap(), bytes);
        prop_assert!(back.check().is_ok());
        // Whatever is on record can be assessed, or is refused in words.
        let rates = json!({ "USD": "1.1", "EUR": "1.2", "JPY": "0.007", "KWD": "3.25" });
        let prices = json!({ "gold_gram": "75", "silver_gram": "0.9", "rates": rates });
        let question = json!({ "currency": "USD", "nisab": "gold", "prices": prices });
        if let Err(refused) = ali.ask("assess", question) {
            prop_assert_eq!(refused.reason, "bad_amount");
        }
    }
}
