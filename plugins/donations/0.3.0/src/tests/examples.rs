//! The worked examples: one campaign in USD, through both versions.
//!
//! What 0.1.0 does is told on its state's shape; that it does so is tested there.

use host_sdk::{Effect, Migrate};
use serde_json::json;

use super::desk::{Desk, bytes, old_donate, old_opened};
use crate::Donations;

#[test]
fn one_campaign_through_both_versions() {
    // 1. 0.1.0: d1 100.00.
    let mut old = old_opened();
    old_donate(&mut old, "d1", "100.00");

    // 2. Upgrade. d3 zakat 250.00 by ali, d4 waqf EUR 40.00.
    let mut desk = Desk::up(old, None, false);
    let d3 = desk.donate("d3", ("250.00", "USD"), "zakat", "ali");
    assert_eq!(
        d3,
        Ok(json!({ "receipt_no": 2, "donation_id": "d3", "total": "350.00", "count": 2 }))
    );
    let payment = json!({
        "payment_id": "ramadan-2026/d3", "amount": "250.00", "currency": "USD",
    });
    let cast = Effect::Cast {
        to: "zakat:ali".into(),
        event: "pay".into(),
        payload: payment,
    };
    assert!(desk.effects.contains(&cast), "{:?}", desk.effects);
    desk.donate("d4", ("40.00", "EUR"), "waqf", "").unwrap();
    assert_eq!(desk.totals(), ("350.00".into(), 2));

    // 3. Zakat goes to its own, as far as it reaches, and from no other fund.
    let spent = desk.allocate("gharimin", "200.00").unwrap();
    assert_eq!(spent["balance"], "50.00");
    assert_eq!(desk.balance("zakat", "USD"), "50.00");
    assert_eq!(
        desk.allocate("fuqara", "60.00"),
        Err("insufficient_funds".into())
    );
    assert_eq!(
        desk.allocate("marketing", "1.00"),
        Err("bad_category".into())
    );
    assert_eq!(desk.refund("d3"), Err("insufficient_funds".into()));

    // 4. refund d1.
    desk.refund("d1").unwrap();
    assert_eq!(desk.totals(), ("250.00".into(), 1));

    // 5. Roll back to 0.1.0: d4 keeps its receipt, d5 10.00 comes in.
    let before = bytes(&desk.state);
    let down = desk.state.down().unwrap();
    let untouched = Donations::up(down.old.clone(), Some(down.carry.clone()), false).unwrap();
    assert_eq!(bytes(&untouched), before);
    let mut old = down.old;
    let campaign = old.campaign.as_ref().unwrap();
    assert_eq!(
        (campaign.total.to_string(), campaign.count),
        ("250.00".into(), 1)
    );
    let ids: Vec<_> = campaign
        .ledger
        .iter()
        .map(|d| d.donation_id.as_str())
        .collect();
    assert_eq!(ids, ["d1", "d3", "d4"]);
    old_donate(&mut old, "d5", "10.00");
    let campaign = old.campaign.as_ref().unwrap();
    assert_eq!(
        (campaign.total.to_string(), campaign.count),
        ("260.00".into(), 2)
    );

    // 6. Upgrade again.
    let mut desk = Desk::up(old, Some(down.carry), true);
    assert_eq!(desk.balance("sadaqah", "USD"), "10.00");
    assert_eq!(desk.balance("zakat", "USD"), "50.00");
    assert_eq!(desk.balance("waqf", "EUR"), "40.00");
    assert_eq!(desk.totals(), ("260.00".into(), 2));

    // And nothing is forgotten: not a receipt, not why, not whose.
    let again = desk.donate("d4", ("40", "EUR"), "waqf", "").unwrap();
    assert_eq!(again["receipt_no"], 3);
    assert_eq!(again["duplicate"], true);
    assert_eq!(desk.refund("d1"), Err("already_refunded".into()));
    let d6 = desk.donate("d6", ("1", "USD"), "sadaqah", "").unwrap();
    assert_eq!(d6["receipt_no"], 5);
}
