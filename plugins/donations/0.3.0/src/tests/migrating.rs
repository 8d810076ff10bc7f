//! Up, down, what contradicts itself, and messages that cross.

use host_sdk::{Message, Migrate, Plugin, Random};
use serde_json::{Value, json};

use super::desk::{Desk, bytes, old_donate, old_opened, old_refund};
use crate::{Carry, Donations, Old};

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

/// A campaign with a pledge `p` of 30.00, of which `d1` has brought 10.00, and a
/// subscription `m` of which the first gift was taken.
fn promised() -> Desk {
    let mut desk = Desk::open_on("2026-01-31");
    desk.pledge("p", "30").unwrap();
    desk.give_to("p", "d1", "10").unwrap();
    desk.subscribe("m", "3", "month").unwrap();
    assert_eq!(desk.fire_due(), 1);
    desk
}

/// The same after 0.2.0 did something to it, with the timers that waited meanwhile.
fn after(desk: Desk, meanwhile: impl FnOnce(&mut Old)) -> Desk {
    let down = desk.state.down().unwrap();
    let mut old = down.old;
    meanwhile(&mut old);
    Desk {
        timers: desk.timers,
        now_ms: desk.now_ms,
        ..Desk::up(old, Some(down.carry), true)
    }
}

#[test]
fn a_gift_that_0_2_0_gave_back_is_outstanding_again() {
    let desk = after(promised(), |old| old_refund(old, "d1"));
    assert_eq!(desk.promised(), ["30.00", "0.00", "0.00", "30.00", "0.00"]);
}

#[test]
fn gifts_of_subscriptions_are_ordinary_ones_in_0_2_0() {
    let desk = promised();
    let down = desk.state.down().unwrap();
    let campaign = serde_json::to_value(down.old).unwrap()["campaign"].take();
    assert_eq!(campaign["ledger"][1]["donation_id"], "m/1");
    assert_eq!(campaign["books"]["total"], "13.00");
    let mut desk = after(desk, |old| old_refund(old, "m/1"));
    let again = desk.subscribe("m", "3", "month").unwrap();
    assert_eq!(again["taken"], 1, "its date is over all the same");
}

#[test]
fn dates_that_passed_meanwhile_have_their_gifts_late_and_once() {
    let mut desk = after(promised(), |old| old_donate(old, "d2", "1"));
    desk.set_day("2026-04-01");
    assert_eq!(desk.fire_due(), 2);
    assert_eq!(desk.donation_ids(), ["d1", "m/1", "d2", "m/2", "m/3"]);
    desk.set_day("2026-04-30");
    assert_eq!(desk.fire_due(), 1);
}

#[test]
fn a_gift_that_0_2_0_took_under_a_dates_id_is_that_dates() {
    // As a giver does who was told that no timer would come.
    let mut desk = after(promised(), |old| old_donate(old, "m/2", "3"));
    desk.set_day("2026-03-31");
    assert_eq!(desk.fire_due(), 2);
    assert_eq!(desk.donation_ids(), ["d1", "m/1", "m/2", "m/3"]);
    let again = desk.subscribe("m", "3", "month").unwrap();
    assert_eq!(
        (&again["taken"], &again["next_on"]),
        (&json!(3), &json!("2026-04-30"))
    );
}

/// The carry of [`promised`], changed by `edit`.
fn edited(edit: impl FnOnce(&mut Value)) -> (Old, Carry) {
    let down = promised().state.down().unwrap();
    let mut carry = serde_json::to_value(down.carry).unwrap();
    edit(&mut carry);
    (down.old, serde_json::from_value(carry).unwrap())
}

#[test]
fn what_contradicts_itself_stays_on_0_2_0() {
    let (old, carry) = edited(|_| ());
    assert!(Donations::up(old, Some(carry), true).is_ok());
    for (what, (old, carry)) in [
        (
            "a carry of a campaign that was never opened",
            (Old::default(), edited(|_| ()).1),
        ),
        (
            "a gift that only the carry knows",
            edited(|c| c["gifts"]["d9"] = json!("p")),
        ),
        (
            "a gift that names a pledge which nobody made",
            edited(|c| c["gifts"]["d1"] = json!("q")),
        ),
        (
            "more given than was promised",
            edited(|c| c["pledges"]["p"]["amount"] = json!("9.00")),
        ),
        (
            "a gift that names a pledge to another fund",
            edited(|c| c["pledges"]["p"]["fund"] = json!("waqf")),
        ),
        (
            "a date that is over without a gift",
            edited(|c| c["subscriptions"]["m"]["taken"] = json!(2)),
        ),
        (
            "a subscription that goes on after its last date",
            edited(|c| c["subscriptions"]["m"]["terms"]["times"] = json!(1)),
        ),
    ] {
        assert!(Donations::up(old, Some(carry), true).is_err(), "{what}");
    }
}

#[test]
fn messages_of_0_2_0_are_ones_of_this_version() {
    let gift = json!({ "donation_id": "d1", "amount": "1", "currency": "EUR", "fund": "waqf" });
    let message = Message::new("donate", &gift);
    assert_eq!(Donations::upcast(message.clone()), Ok(message.clone()));
    let mut with = message.clone();
    with.payload["pledge_id"] = json!("x");
    assert_eq!(Donations::upcast(with), Ok(message));
}

#[test]
fn what_0_2_0_does_not_know_is_refused_by_name() {
    for event in [
        "pledge",
        "fulfil",
        "cancel_pledge",
        "subscribe",
        "unsubscribe",
        "subscription/m",
    ] {
        let refused = Donations::downcast(Message::new(event, &json!({}))).unwrap_err();
        assert_eq!(refused.reason, "unknown_event");
        assert!(refused.message.contains(event));
    }
    for event in ["open", "refund", "allocate", "summary"] {
        let message = Message::new(event, &json!({ "pledge_id": "p" }));
        assert_eq!(Donations::downcast(message.clone()), Ok(message));
    }
}

#[test]
fn a_gift_goes_back_without_its_pledge() {
    let gift = json!({ "donation_id": "d1", "amount": "1", "currency": "EUR", "fund": "zakat" });
    let mut newer = gift.clone();
    newer["pledge_id"] = json!("p");
    let older = Donations::downcast(Message::new("donate", &newer));
    assert_eq!(older, Ok(Message::new("donate", &gift)));
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
            let is_new = event != "donate" || payload["pledge_id"].is_string();
            assert!(is_new, "{event} {payload}");
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
fn a_sample_counts_what_0_2_0_took_towards_a_pledge() {
    let mut old = old_opened();
    old_donate(&mut old, "d1", "5");
    let desk = Desk::up(old, None, false);
    let samples = desk.state.samples(&mut Random::new(0), 2);
    assert_eq!(samples[1].event, "fulfil");
    assert_eq!(samples[1].payload["donation_id"], "d1");
    desk.state.check().unwrap();
}
