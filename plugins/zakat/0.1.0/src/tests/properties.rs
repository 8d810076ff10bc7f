//! What holds after any sequence of commands.

use host_sdk::Plugin;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOON, Payer};
use crate::Zakat;

fn id() -> impl Strategy<Value = String> {
    (0..6_u8).prop_map(|n| format!("id-{n}"))
}

fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..2_000_000_i64, 0..4_u32)
            .prop_map(|(units, scale)| rust_decimal::Decimal::new(units, scale).to_string()),
        Just("0".to_owned()),
        Just("999999999999999999".to_owned()),
    ]
}

fn currency() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["USD", "EUR", "JPY", "KWD", "XAU"])
}

fn command() -> impl Strategy<Value = (&'static str, Value)> {
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
    }
}
