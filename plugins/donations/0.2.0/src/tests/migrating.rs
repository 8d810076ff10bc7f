//! Up, down, what contradicts itself, and messages that cross.

use host_sdk::{Message, Migrate, Plugin, Random};
use serde_json::{Value, json};

use super::desk::{Desk, bytes, old_donate, old_opened};
use crate::{CarriedGift, Carry, Donations, Old, Refund};

#[test]
fn a_campaign_that_is_not_open_crosses() {
    let migrated = Donations::default().down().unwrap();
    assert_eq!(migrated.old, Old::default());
    assert_eq!(
        Desk::up(Old::default(), None, false).state,
        Donations::default()
    );
    let up = Desk::up(migrated.old, Some(migrated.carry), false);
    assert_eq!(up.state, Donations::default());
}

#[test]
fn a_campaign_may_be_opened_after_the_way_back() {
    let migrated = Donations::default().down().unwrap();
    let mut old = old_opened();
    old_donate(&mut old, "d1", "5");
    let desk = Desk::up(old, Some(migrated.carry), true);
    assert_eq!(desk.balance("sadaqah", "USD"), "5.00");
}

#[test]
fn a_refund_after_the_way_there_and_back_reverses_the_payment() {
    let mut desk = Desk::open();
    desk.donate("d1", ("5", "USD"), "zakat", "ali").unwrap();
    let down = desk.state.down().unwrap();
    let mut desk = Desk::up(down.old, Some(down.carry), false);
    desk.refund("d1").unwrap();
    assert_eq!(desk.effects.len(), 2, "{:?}", desk.effects);
}

/// A campaign of 0.1.0 with d1, and one of its donations changed by `edit`.
fn edited(edit: impl FnOnce(&mut Value)) -> Old {
    let mut old = old_opened();
    old_donate(&mut old, "d1", "5");
    let mut value = serde_json::to_value(old).unwrap();
    edit(&mut value["campaign"]);
    serde_json::from_value(value).unwrap()
}

fn carried(donation_id: &str, gift: CarriedGift) -> Option<Carry> {
    Some(Carry {
        gifts: [(donation_id.to_owned(), gift)].into(),
        allocations: Vec::new(),
    })
}

#[test]
fn what_contradicts_itself_stays_on_0_1_0() {
    let refund = Some(Refund {
        reason: "asked for".into(),
    });
    let refunded = CarriedGift {
        refund,
        ..CarriedGift::default()
    };
    let spent: Carry = serde_json::from_value(json!({ "gifts": {}, "allocations": [
        { "fund": "sadaqah", "category": "soup", "amount": "5.01", "currency": "USD" },
    ]}))
    .unwrap();
    for (what, old, carry) in [
        (
            "a gift in euros, and no carry to say for which fund",
            edited(|c| c["ledger"][0]["currency"] = json!("EUR")),
            None,
        ),
        (
            "a refund, and no carry to say why",
            edited(|c| c["ledger"][0]["refunded"] = json!(true)),
            None,
        ),
        (
            "a refund that only the carry knows",
            edited(|_| ()),
            carried("d1", refunded.clone()),
        ),
        (
            "a refund that only the state knows",
            edited(|c| c["ledger"][0]["refunded"] = json!(true)),
            Some(Carry::default()),
        ),
        (
            "a gift that only the carry knows",
            edited(|_| ()),
            carried("d2", CarriedGift::default()),
        ),
        (
            "a carry of a campaign that was never opened",
            Old::default(),
            carried("d1", refunded),
        ),
        (
            "a total that is not the sum",
            edited(|c| c["total"] = json!("6.00")),
            None,
        ),
        ("more spent than received", edited(|_| ()), Some(spent)),
        (
            "a donation_id twice",
            edited(|c| {
                let twice = c["ledger"][0].clone();
                c["ledger"].as_array_mut().unwrap().push(twice);
                c["total"] = json!("10.00");
                c["count"] = json!(2);
            }),
            None,
        ),
    ] {
        assert!(Donations::up(old, carry, true).is_err(), "{what}");
    }
}

#[test]
fn a_donate_of_0_1_0_is_one_of_this_version() {
    let gift = json!({ "donation_id": "d1", "amount": "1", "currency": "EUR" });
    let message = Message::new("donate", &gift);
    assert_eq!(Donations::upcast(message.clone()), Ok(message.clone()));
    // What 0.1.0 took no notice of is kept where it says something here.
    for (field, value, stays) in [
        ("fund", json!("zakat"), true),
        ("fund", json!("anything"), false),
        ("fund", json!(7), false),
        ("payer", json!("ali"), true),
        ("payer", json!("has spaces"), false),
        ("payer", json!({}), false),
        ("payer", json!(null), true),
    ] {
        let mut with = message.clone();
        with.payload[field] = value;
        let expected = if stays { with.clone() } else { message.clone() };
        assert_eq!(Donations::upcast(with), Ok(expected), "{field}");
    }
}

#[test]
fn what_0_1_0_does_not_know_is_refused_by_name() {
    for event in ["refund", "allocate", "donation_refunded", "funds_allocated"] {
        let refused = Donations::downcast(Message::new(event, &json!({}))).unwrap_err();
        assert_eq!(refused.reason, "unknown_event");
        assert!(refused.message.contains(event));
    }
}

#[test]
fn sadaqah_goes_back_as_0_1_0_would_say_it() {
    let gift = json!({ "donation_id": "d1", "amount": "1", "currency": "EUR" });
    let mut newer = gift.clone();
    newer["fund"] = json!("sadaqah");
    newer["payer"] = json!("ali");
    let older = Donations::downcast(Message::new("donate", &newer));
    assert_eq!(older, Ok(Message::new("donate", &gift)));
}

#[test]
fn clients_of_0_1_0_are_told_of_a_gift_as_0_1_0_tells_it() {
    let gift = json!({ "receipt_no": 1, "donation_id": "d1", "total": "5", "count": 1 });
    let mut newer = gift.clone();
    newer["fund"] = json!("sadaqah");
    let [older, newer] = [gift, newer].map(|it| Message::new("donation_received", &it));
    assert_eq!(Donations::downcast(newer.clone()), Ok(older.clone()));
    assert_eq!(Donations::upcast(older), Ok(newer));
}

/// 0.1.0 refuses it by its fund, or answers a repeat; its own tests show both.
#[test]
fn other_funds_go_back_with_their_name() {
    let gift = json!({ "donation_id": "d1", "amount": "1", "currency": "USD", "fund": "zakat" });
    let message = Message::new("donate", &gift);
    assert_eq!(Donations::downcast(message.clone()), Ok(message));
}

#[test]
fn samples_are_new_and_acceptable() {
    let mut old = old_opened();
    old_donate(&mut old, "d1", "5");
    for (mut desk, seed) in [(Desk::open(), 1), (Desk::up(old, None, false), 2)] {
        let samples = desk.state.samples(&mut Random::new(seed), 23);
        assert_eq!(samples.len(), 23);
        assert_eq!(samples, desk.state.samples(&mut Random::new(seed), 23));
        for Message { event, payload } in samples {
            let new =
                event != "donate" || payload["fund"] != "sadaqah" || payload["currency"] != "USD";
            assert!(new, "{event} {payload}");
            desk.send(&event, payload.clone())
                .unwrap_or_else(|reason| panic!("{event} {payload}: {reason}"));
        }
        let down = desk.state.down().unwrap();
        assert_ne!(down.carry, Carry::default());
        let up = Donations::up(down.old, Some(down.carry), false).unwrap();
        assert_eq!(bytes(&up), bytes(&desk.state));
    }
    let unopened = Donations::default().samples(&mut Random::new(3), 5);
    assert_eq!(unopened, []);
}

#[test]
fn a_sample_gives_back_what_0_1_0_took() {
    let mut old = old_opened();
    old_donate(&mut old, "d1", "5");
    let desk = Desk::up(old, None, false);
    let samples = desk.state.samples(&mut Random::new(0), 1);
    assert_eq!(samples[0].payload["donation_id"], "d1");
    desk.state.check().unwrap();
}
