//! What stands in the journal and in snapshots. These shapes are frozen: 0.2.0
//! reads them.

use serde_json::json;

use super::desk::Desk;
use crate::{Currency, Donations};

fn export(state: &Donations) -> Vec<u8> {
    rmp_serde::to_vec_named(state).unwrap()
}

#[test]
fn a_state_has_one_encoding() {
    let mut desk = Desk::open();
    desk.donate("d2", "100").unwrap();
    desk.donate("d1", "0.10").unwrap();
    let bytes = export(&desk.state);
    let imported: Donations = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(export(&imported), bytes);
    assert_eq!(
        imported, desk.state,
        "the index of the ledger is there again"
    );
}

#[test]
fn the_shape_of_the_state() {
    let mut desk = Desk::open();
    desk.donate("d1", "100").unwrap();
    let shape = concat!(
        r#"{"campaign":{"title":"Iftar","currency":"USD","goal":"5000.00","total":"100.00","#,
        r#""count":1,"ledger":[{"donation_id":"d1","donor":null,"amount":"100.00","#,
        r#""currency":"USD","total":"100.00","count":1,"refunded":false}]}}"#,
    );
    // As text: the order of the fields is part of the encoding.
    assert_eq!(serde_json::to_string(&desk.state).unwrap(), shape);
    let unopened = serde_json::to_value(Donations::default()).unwrap();
    assert_eq!(unopened, json!({ "campaign": null }));
}

#[test]
fn the_shape_of_the_events() {
    let mut desk = Desk::open();
    desk.donate("d1", "100").unwrap();
    assert_eq!(
        serde_json::to_value(&desk.events).unwrap(),
        json!([
            { "opened": { "title": "Iftar", "currency": "USD", "goal": "5000.00" } },
            { "donated": {
                "receipt_no": 1, "donation_id": "d1", "donor": null, "amount": "100.00",
                "currency": "USD", "total": "100.00", "count": 1,
            } },
        ])
    );
}

#[test]
fn every_currency_keeps_its_zeros() {
    for code in ["USD", "JPY", "KWD", "CLF"] {
        let currency = Currency::parse(code).unwrap();
        let amount = currency.amount("100").unwrap();
        let bytes = rmp_serde::to_vec_named(&(amount, amount - amount)).unwrap();
        let (read, zero): (rust_decimal::Decimal, rust_decimal::Decimal) =
            rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(read.scale(), currency.minor_digits());
        assert_eq!(zero.to_string(), currency.zero().to_string());
    }
}

#[test]
fn a_broken_state_is_found() {
    use host_sdk::Plugin;

    let mut desk = Desk::open();
    desk.donate("d1", "100").unwrap();
    let sound = serde_json::to_value(&desk.state).unwrap();
    for (path, value) in [
        ("/campaign/total", json!("100.0")),
        ("/campaign/total", json!("99.00")),
        ("/campaign/count", json!(2)),
        ("/campaign/goal", json!("0.00")),
        ("/campaign/ledger/0/amount", json!("100")),
        ("/campaign/ledger/0/currency", json!("EUR")),
        ("/campaign/ledger/0/refunded", json!(true)),
        ("/campaign/ledger/0/count", json!(2)),
    ] {
        let mut broken = sound.clone();
        *broken.pointer_mut(path).unwrap() = value;
        let state: Donations = serde_json::from_value(broken).unwrap();
        assert!(state.check().is_err(), "{path}");
    }
    let mut twice = sound;
    let ledger = twice
        .pointer_mut("/campaign/ledger")
        .unwrap()
        .as_array_mut()
        .unwrap();
    ledger.push(ledger[0].clone());
    let state: Donations = serde_json::from_value(twice).unwrap();
    assert!(state.check().is_err());
}
