//! What comes in, what goes out, and what is shown of it.

use host_sdk::Effect;
use serde_json::{Value, json};

use super::desk::Desk;

fn broadcast(event: &'static str, payload: Value) -> Effect {
    Effect::Broadcast {
        event: event.into(),
        payload,
    }
}

#[test]
fn a_gift_without_a_fund_is_sadaqah() {
    let mut desk = Desk::open();
    let gift = json!({ "donation_id": "d1", "amount": "7.5", "currency": "USD" });
    desk.send("donate", gift).unwrap();
    let news = json!({
        "receipt_no": 1, "donation_id": "d1", "donor": "anonymous", "amount": "7.50",
        "currency": "USD", "fund": "sadaqah", "total": "7.50", "count": 1,
    });
    assert_eq!(desk.effects, [broadcast("donation_received", news)]);
    assert_eq!(desk.balance("sadaqah", "USD"), "7.50");
    let again = desk.donate("d1", ("7.50", "USD"), "sadaqah", "").unwrap();
    assert_eq!(again["duplicate"], true);
    assert_eq!(desk.effects, []);
}

#[test]
fn only_zakat_with_a_payer_is_a_payment() {
    let mut desk = Desk::open();
    for (donation_id, fund, payer) in [
        ("a", "zakat", ""),
        ("b", "sadaqah", "ali"),
        ("c", "waqf", "ali"),
    ] {
        desk.donate(donation_id, ("1", "USD"), fund, payer).unwrap();
        assert_eq!(desk.effects.len(), 1, "{fund}: only the broadcast");
    }
}

#[test]
fn a_refund_takes_the_payment_back() {
    let mut desk = Desk::open();
    desk.donate("d1", ("250", "USD"), "zakat", "ali").unwrap();
    let answer = desk.refund("d1").unwrap();
    let news = json!({
        "receipt_no": 1, "donation_id": "d1", "amount": "250.00", "currency": "USD",
        "fund": "zakat", "balance": "0.00", "total": "0.00", "count": 0,
    });
    assert_eq!(answer, news);
    let reversed = Effect::Cast {
        to: "zakat:ali".into(),
        event: "pay_reversed".into(),
        payload: json!({ "payment_id": "ramadan-2026/d1" }),
    };
    assert_eq!(
        desk.effects,
        [broadcast("donation_refunded", news), reversed]
    );
}

#[test]
fn a_refunded_gift_keeps_its_receipt() {
    let mut desk = Desk::open();
    desk.donate("d1", ("5", "USD"), "waqf", "").unwrap();
    desk.refund("d1").unwrap();
    let receipt = json!({
        "receipt_no": 1, "donation_id": "d1", "total": "5.00", "count": 1, "duplicate": true,
    });
    assert_eq!(desk.donate("d1", ("5", "USD"), "waqf", ""), Ok(receipt));
    assert_eq!(desk.refund("d1"), Err("already_refunded".into()));
    assert_eq!(desk.summary()["recent"], json!([]));
}

#[test]
fn who_has_joined_hears_what_is_spent() {
    let mut desk = Desk::open();
    desk.donate("d1", ("9", "EUR"), "sadaqah", "").unwrap();
    let spent = json!({
        "fund": "sadaqah", "category": "soup kitchen", "amount": "4", "currency": "EUR",
    });
    desk.send("allocate", spent).unwrap();
    let news = json!({
        "fund": "sadaqah", "category": "soup kitchen", "amount": "4.00", "currency": "EUR",
        "balance": "5.00",
    });
    assert_eq!(desk.effects, [broadcast("funds_allocated", news)]);
    assert_eq!(
        desk.totals(),
        ("0.00".into(), 0),
        "spending changes neither"
    );
}

#[test]
fn every_zakat_category_is_allowed() {
    let mut desk = Desk::open();
    desk.donate("d1", ("8", "USD"), "zakat", "").unwrap();
    for category in [
        "fuqara",
        "masakin",
        "amilin",
        "muallafah",
        "riqab",
        "gharimin",
        "fi_sabilillah",
        "ibn_al_sabil",
    ] {
        desk.allocate(category, "1").unwrap();
    }
    assert_eq!(desk.balance("zakat", "USD"), "0.00");
}

#[test]
fn the_summary() {
    let mut desk = Desk::open();
    let gift = |id: &str, donor: Value, currency: &str| json!({ "donation_id": id, "donor": donor, "amount": "10", "currency": currency });
    desk.send("donate", gift("d1", json!("Ali"), "USD"))
        .unwrap();
    desk.send("donate", gift("d2", json!("Ali"), "JPY"))
        .unwrap();
    desk.send("donate", gift("d3", json!("Zaynab"), "USD"))
        .unwrap();
    desk.send("donate", gift("d4", Value::Null, "USD")).unwrap();
    desk.refund("d3").unwrap();
    desk.refund("d1").unwrap();
    let shown = |id: &str, receipt_no, donor: &str, amount: &str, currency: &str| {
        json!({
            "receipt_no": receipt_no, "donation_id": id, "donor": donor,
            "amount": amount, "currency": currency,
        })
    };
    assert_eq!(
        desk.summary(),
        json!({
            "title": "Iftar", "currency": "USD", "goal": "5000.00", "total": "10.00", "count": 1,
            "funds": {
                "zakat": {},
                "sadaqah": {
                    "JPY": { "balance": "10", "received": "10", "refunded": "0", "allocated": "0" },
                    "USD": {
                        "balance": "10.00", "received": "30.00", "refunded": "20.00",
                        "allocated": "0.00",
                    },
                },
                "waqf": {},
            },
            "donors": 1,
            "pledges": { "zakat": {}, "sadaqah": {}, "waqf": {} },
            "subscriptions": 0,
            "recent": [
                shown("d4", 4, "anonymous", "10.00", "USD"),
                shown("d2", 2, "Ali", "10", "JPY"),
            ],
            "version": "0.3.0",
        })
    );
}

#[test]
fn a_campaign_that_is_not_open_can_be_looked_at() {
    let empty = json!({
        "title": null, "currency": null, "goal": null, "total": "0", "count": 0,
        "funds": { "zakat": {}, "sadaqah": {}, "waqf": {} }, "donors": 0,
        "pledges": { "zakat": {}, "sadaqah": {}, "waqf": {} }, "subscriptions": 0,
        "recent": [], "version": "0.3.0",
    });
    assert_eq!(Desk::default().summary(), empty);
}
