//! What stands in the journal and in snapshots.

use host_sdk::Plugin;
use serde_json::json;

use super::desk::Desk;
use crate::{Donations, Old};

/// A campaign with an entry of every kind.
fn busy() -> Desk {
    let mut desk = Desk::open();
    desk.donate("d2", ("100", "USD"), "zakat", "ali").unwrap();
    desk.donate("d1", ("0.5", "KWD"), "waqf", "").unwrap();
    desk.allocate("fuqara", "30").unwrap();
    desk.refund("d1").unwrap();
    desk
}

#[test]
fn the_shape_of_the_events() {
    assert_eq!(
        serde_json::to_value(busy().events).unwrap(),
        json!([
            { "opened": { "title": "Iftar", "currency": "USD", "goal": "5000.00" } },
            { "donated": {
                "receipt_no": 1, "donation_id": "d2", "donor": null, "amount": "100.00",
                "currency": "USD", "fund": "zakat", "payer": "ali", "total": "100.00", "count": 1,
            } },
            { "donated": {
                "receipt_no": 2, "donation_id": "d1", "donor": null, "amount": "0.500",
                "currency": "KWD", "fund": "waqf", "payer": null, "total": "100.00", "count": 1,
            } },
            { "allocated": {
                "fund": "zakat", "category": "fuqara", "amount": "30.00", "currency": "USD",
            } },
            { "refunded": {
                "receipt_no": 2, "donation_id": "d1", "amount": "0.500", "currency": "KWD",
                "fund": "waqf", "reason": "asked for", "total": "100.00", "count": 1,
            } },
        ])
    );
}

/// The text that a test of 0.1.0 says its state has: fields in that order.
#[test]
fn the_old_shape_is_that_of_0_1_0() {
    for text in [
        concat!(
            r#"{"campaign":{"title":"Iftar","currency":"USD","goal":"5000.00","total":"100.00","#,
            r#""count":1,"ledger":[{"donation_id":"d1","donor":null,"amount":"100.00","#,
            r#""currency":"USD","total":"100.00","count":1,"refunded":false}]}}"#,
        ),
        r#"{"campaign":null}"#,
    ] {
        let old: Old = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&old).unwrap(), text);
    }
}

#[test]
fn a_broken_state_is_found() {
    let sound = serde_json::to_value(busy().state).unwrap();
    for (path, value) in [
        ("/campaign/goal", json!("5000")),
        ("/campaign/books/total", json!("100.0")),
        ("/campaign/books/total", json!("99.00")),
        ("/campaign/books/count", json!(2)),
        ("/campaign/books/donors", json!({ "Ali": 1 })),
        (
            "/campaign/books/accounts/zakat/USD/received",
            json!("101.00"),
        ),
        (
            "/campaign/books/accounts/zakat/USD/received",
            json!("100.0"),
        ),
        ("/campaign/books/accounts/waqf/KWD/refunded", json!("0.000")),
        ("/campaign/books/accounts/waqf", json!({})),
        ("/campaign/allocations/0/amount", json!("100.01")),
        ("/campaign/allocations/0/fund", json!("waqf")),
        ("/campaign/allocations/0/category", json!("marketing")),
        ("/campaign/ledger/0/amount", json!("20.00")),
        ("/campaign/ledger/0/fund", json!("sadaqah")),
        ("/campaign/ledger/0/count", json!(2)),
        ("/campaign/ledger/1/refund", json!(null)),
        ("/campaign/ledger/1/donation_id", json!("d2")),
    ] {
        let mut broken = sound.clone();
        *broken.pointer_mut(path).expect(path) = value;
        let state: Donations = serde_json::from_value(broken).unwrap();
        assert!(state.check().is_err(), "{path}");
    }
    let state: Donations = serde_json::from_value(sound).unwrap();
    assert_eq!(state.check(), Ok(()));
}
