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
    desk.set_day("2026-01-31");
    desk.pledge("p1", "30").unwrap();
    desk.give_to("p1", "d3", "10").unwrap();
    desk.donate("d4", ("5", "USD"), "sadaqah", "").unwrap();
    let fulfil = json!({ "pledge_id": "p1", "donation_id": "d4" });
    desk.send("fulfil", fulfil).unwrap();
    let cancel = json!({ "pledge_id": "p1", "reason": "moved away" });
    desk.send("cancel_pledge", cancel).unwrap();
    desk.subscribe("m", "3", "month").unwrap();
    desk.fire_due();
    desk.send("unsubscribe", json!({ "subscription_id": "m" }))
        .unwrap();
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
                "currency": "USD", "fund": "zakat", "payer": "ali", "pledge_id": null,
                "subscription_id": null, "total": "100.00", "count": 1,
            } },
            { "donated": {
                "receipt_no": 2, "donation_id": "d1", "donor": null, "amount": "0.500",
                "currency": "KWD", "fund": "waqf", "payer": null, "pledge_id": null,
                "subscription_id": null, "total": "100.00", "count": 1,
            } },
            { "allocated": {
                "fund": "zakat", "category": "fuqara", "amount": "30.00", "currency": "USD",
            } },
            { "refunded": {
                "receipt_no": 2, "donation_id": "d1", "amount": "0.500", "currency": "KWD",
                "fund": "waqf", "reason": "asked for", "total": "100.00", "count": 1,
            } },
            { "pledged": { "pledge_id": "p1", "pledge": {
                "donor": null, "fund": "sadaqah", "amount": "30.00", "currency": "USD",
                "due_on": null, "subject": null, "cancelled": null,
            } } },
            { "donated": {
                "receipt_no": 3, "donation_id": "d3", "donor": null, "amount": "10.00",
                "currency": "USD", "fund": "sadaqah", "payer": null, "pledge_id": "p1",
                "subscription_id": null, "total": "110.00", "count": 2,
            } },
            { "donated": {
                "receipt_no": 4, "donation_id": "d4", "donor": null, "amount": "5.00",
                "currency": "USD", "fund": "sadaqah", "payer": null, "pledge_id": null,
                "subscription_id": null, "total": "115.00", "count": 3,
            } },
            { "pledge_fulfilled": {
                "pledge_id": "p1", "donation_id": "d4", "amount": "5.00",
            } },
            { "pledge_cancelled": {
                "pledge_id": "p1", "cancellation": { "reason": "moved away" },
            } },
            { "subscribed": { "subscription_id": "m", "subject": null, "terms": {
                "donor": null, "fund": "sadaqah", "amount": "3.00", "currency": "USD",
                "payer": null, "every": "month", "start_on": "2026-01-31", "times": null,
            } } },
            { "donated": {
                "receipt_no": 5, "donation_id": "m/1", "donor": null, "amount": "3.00",
                "currency": "USD", "fund": "sadaqah", "payer": null, "pledge_id": null,
                "subscription_id": "m", "total": "118.00", "count": 4,
            } },
            { "unsubscribed": { "subscription_id": "m" } },
        ])
    );
}

/// A state that 0.2.0 has written: every field, in its order.
#[test]
fn the_old_shape_is_that_of_0_2_0() {
    for text in [
        concat!(
            r#"{"campaign":{"title":"Iftar","currency":"USD","goal":"5000.00","ledger":["#,
            r#"{"donation_id":"d1","donor":null,"amount":"100.00","currency":"USD","#,
            r#""fund":"zakat","payer":"ali","total":"100.00","count":1,"#,
            r#""refund":{"reason":"asked for"}}],"allocations":[{"fund":"zakat","#,
            r#""category":"fuqara","amount":"1.00","currency":"USD"}],"#,
            r#""books":{"total":"0.00","count":0,"accounts":{"zakat":{"USD":{"#,
            r#""received":"100.00","refunded":"100.00","allocated":"1.00"}}},"donors":{}}}}"#,
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
        ("/campaign/books/total", json!("118.0")),
        ("/campaign/books/total", json!("117.00")),
        ("/campaign/books/count", json!(5)),
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
        ("/campaign/ledger/2/pledge_id", json!(null)),
        ("/campaign/ledger/2/pledge_id", json!("p2")),
        ("/campaign/ledger/4/pledge_id", json!("p1")),
        ("/campaign/ledger/4/donation_id", json!("m/2")),
        ("/campaign/pledges/fulfilled/p1", json!("14.00")),
        ("/campaign/pledges/pledges/p1/amount", json!("14.00")),
        ("/campaign/pledges/pledges/p1/amount", json!("30")),
        ("/campaign/pledges/pledges/p1/fund", json!("waqf")),
        ("/campaign/pledges/pledges/p1/currency", json!("EUR")),
        ("/campaign/subscriptions/m/taken", json!(2)),
        ("/campaign/subscriptions/m/terms/amount", json!("3.0")),
        ("/campaign/subscriptions/m/terms/times", json!(1)),
        ("/campaign/subscriptions/m/standing", json!("completed")),
    ] {
        let mut broken = sound.clone();
        *broken.pointer_mut(path).expect(path) = value;
        let state: Donations = serde_json::from_value(broken).unwrap();
        assert!(state.check().is_err(), "{path}");
    }
    let state: Donations = serde_json::from_value(sound).unwrap();
    assert_eq!(state.check(), Ok(()));
}
