//! What is taken, and what is shown of it.

use host_sdk::Effect;
use serde_json::json;

use super::desk::Desk;
use crate::Donations;

/// The first row of the worked examples.
#[test]
fn a_donation_id_is_good_for_one_gift() {
    let mut desk = Desk::open();
    let first = json!({ "receipt_no": 1, "donation_id": "d1", "total": "100.00", "count": 1 });
    assert_eq!(desk.donate("d1", "100.00"), Ok(first));

    let again = json!({
        "receipt_no": 1, "donation_id": "d1", "total": "100.00", "count": 1, "duplicate": true,
    });
    assert_eq!(desk.donate("d1", "100.00"), Ok(again.clone()));
    assert_eq!(
        desk.donate("d1", "100"),
        Ok(again),
        "the same amount, written shorter"
    );
    assert_eq!(desk.donate("d1", "101.00"), Err("conflict".into()));
    assert_eq!(desk.donate("d2", "10.005"), Err("bad_amount".into()));
    assert_eq!(desk.events.len(), 2, "only what happened is recorded");
    assert_eq!(desk.summary()["total"], "100.00");
    assert_eq!(desk.summary()["count"], 1);
}

#[test]
fn a_repeat_gets_the_first_receipt_whatever_came_since() {
    let mut desk = Desk::open();
    desk.donate("d1", "1").unwrap();
    desk.donate("d2", "2").unwrap();
    let again = desk.donate("d1", "1").unwrap();
    assert_eq!(again["total"], "1.00");
    assert_eq!(again["count"], 1);
}

#[test]
fn who_has_joined_hears_of_each_gift_once() {
    let mut desk = Desk::open();
    desk.donate("d1", "7.5").unwrap();
    let news = json!({
        "receipt_no": 1, "donation_id": "d1", "donor": "anonymous",
        "amount": "7.50", "currency": "USD", "total": "7.50", "count": 1,
    });
    let broadcast = Effect::Broadcast {
        event: "donation_received".into(),
        payload: news,
    };
    assert_eq!(desk.effects, [broadcast]);
    desk.donate("d1", "7.50").unwrap();
    assert_eq!(desk.effects, []);
}

#[test]
fn an_unfilled_donor_is_nobody() {
    let mut desk = Desk::open();
    let gift =
        |donor| json!({ "donation_id": "d1", "donor": donor, "amount": "1", "currency": "USD" });
    desk.send("donate", gift(" ")).unwrap();
    assert_eq!(desk.donate("d1", "1").unwrap()["duplicate"], true);
    assert_eq!(desk.send("donate", gift("Ali")), Err("conflict".into()));
    assert_eq!(desk.summary()["recent"][0]["donor"], "anonymous");
}

#[test]
fn each_currency_has_its_own_minor_digits() {
    for (code, amount, total) in [("JPY", "1000", "1000"), ("KWD", "1.5", "1.500")] {
        let mut desk = Desk::default();
        desk.send(
            "open",
            json!({ "title": "t", "currency": code, "goal": "1" }),
        )
        .unwrap();
        let gift = json!({ "donation_id": "d1", "amount": amount, "currency": code });
        assert_eq!(desk.send("donate", gift).unwrap()["total"], total);
    }
}

#[test]
fn the_summary_lists_the_last_ten_newest_first() {
    let mut desk = Desk::open();
    for n in 1..=12 {
        desk.donate(&format!("d{n}"), "1").unwrap();
    }
    let summary = desk.summary();
    let recent = summary["recent"].as_array().unwrap();
    let numbers: Vec<_> = recent
        .iter()
        .map(|d| d["receipt_no"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
    assert_eq!(
        recent[0],
        json!({
            "receipt_no": 12, "donation_id": "d12", "donor": "anonymous",
            "amount": "1.00", "currency": "USD",
        })
    );
    assert_eq!(summary["goal"], "5000.00");
    assert_eq!(summary["version"], "0.1.0");
}

#[test]
fn a_campaign_that_is_not_open_can_be_looked_at() {
    let empty = json!({
        "title": null, "currency": null, "goal": null, "total": "0", "count": 0,
        "recent": [], "version": "0.1.0",
    });
    assert_eq!(Desk::default().summary(), empty);
}

/// What a later version leaves here: a gift given back, one in euros.
fn after_a_way_back() -> Desk {
    let state: Donations = serde_json::from_value(json!({ "campaign": {
        "title": "Iftar", "currency": "USD", "goal": "5000.00", "total": "250.00", "count": 1,
        "ledger": [
            { "donation_id": "d1", "donor": null, "amount": "100.00", "currency": "USD",
              "total": "100.00", "count": 1, "refunded": true },
            { "donation_id": "d3", "donor": null, "amount": "250.00", "currency": "USD",
              "total": "350.00", "count": 2, "refunded": false },
            { "donation_id": "d4", "donor": null, "amount": "40.00", "currency": "EUR",
              "total": "350.00", "count": 2, "refunded": false },
        ],
    }}))
    .unwrap();
    Desk {
        state,
        ..Desk::default()
    }
}

/// The fifth row of the worked examples.
#[test]
fn what_a_later_version_took_keeps_its_receipt() {
    let mut desk = after_a_way_back();
    let euros = json!({ "donation_id": "d4", "amount": "40", "currency": "EUR", "fund": "waqf" });
    let receipt = json!({
        "receipt_no": 3, "donation_id": "d4", "total": "350.00", "count": 2, "duplicate": true,
    });
    assert_eq!(desk.send("donate", euros), Ok(receipt));
    assert_eq!(desk.donate("d1", "100").unwrap()["duplicate"], true);
    assert_eq!(desk.donate("d4", "40"), Err("conflict".into()));

    let next = json!({ "receipt_no": 4, "donation_id": "d5", "total": "260.00", "count": 2 });
    assert_eq!(desk.donate("d5", "10.00"), Ok(next));
    let recent = desk.summary()["recent"].clone();
    let ids: Vec<_> = recent
        .as_array()
        .unwrap()
        .iter()
        .map(|d| &d["donation_id"])
        .collect();
    assert_eq!(ids, ["d5", "d4", "d3"]);
}
