//! Pledges: made, fulfilled, cancelled.

use host_sdk::Effect;
use serde_json::{Value, json};

use super::desk::Desk;

fn heard(desk: &Desk) -> Option<(String, Value)> {
    desk.effects.iter().find_map(|effect| match effect {
        Effect::Broadcast { event, payload } => Some((event.to_string(), payload.clone())),
        _ => None,
    })
}

#[test]
fn a_pledge_is_no_money() {
    let mut desk = Desk::open();
    let pledge = json!({
        "pledge_id": "p1", "donor": "Ali", "fund": "waqf", "amount": "100", "currency": "EUR",
        "due_on": "2026-12-31",
    });
    let reply = desk.send("pledge", pledge.clone()).unwrap();
    let mut shown = json!({
        "pledge_id": "p1", "fund": "waqf", "amount": "100.00", "currency": "EUR",
        "due_on": "2026-12-31", "fulfilled": "0.00", "outstanding": "100.00",
    });
    assert_eq!(reply, shown);
    shown["donor"] = json!("Ali");
    assert_eq!(heard(&desk), Some(("pledge_made".into(), shown)));
    assert_eq!(desk.totals(), ("0.00".into(), 0));
    assert_eq!(desk.balance("waqf", "EUR"), "no account");
    let again = desk.send("pledge", pledge.clone()).unwrap();
    assert_eq!(again["duplicate"], true);
    let mut other = pledge;
    other["due_on"] = Value::Null;
    assert_eq!(desk.send("pledge", other), Err("conflict".into()));
}

#[test]
fn a_pledge_is_fulfilled_in_parts_and_a_refund_takes_that_back() {
    let mut desk = Desk::open();
    desk.pledge("p", "30").unwrap();
    for (step, sums) in [
        ("give a 10", ["30.00", "10.00", "0.00", "20.00", "0.00"]),
        ("give b 20", ["30.00", "30.00", "0.00", "0.00", "0.00"]),
        ("refund a", ["30.00", "20.00", "0.00", "10.00", "0.00"]),
        ("refund b", ["30.00", "0.00", "0.00", "30.00", "0.00"]),
        ("give c 25", ["30.00", "25.00", "0.00", "5.00", "0.00"]),
        ("cancel", ["30.00", "25.00", "5.00", "0.00", "0.00"]),
        ("refund c", ["30.00", "0.00", "30.00", "0.00", "0.00"]),
    ] {
        let words: Vec<_> = step.split(' ').collect();
        match words.as_slice() {
            ["give", id, amount] => desk.give_to("p", id, amount),
            ["refund", id] => desk.refund(id),
            _ => desk.send(
                "cancel_pledge",
                json!({"pledge_id": "p", "reason": "moved"}),
            ),
        }
        .unwrap();
        assert_eq!(desk.promised(), sums, "{step}");
    }
}

#[test]
fn what_a_repeat_says_of_its_pledge() {
    let mut desk = Desk::open();
    desk.pledge("p", "30").unwrap();
    desk.pledge("q", "30").unwrap();
    desk.give_to("p", "d1", "10").unwrap();
    let (event, news) = heard(&desk).unwrap();
    assert_eq!(
        (event.as_str(), &news["pledge_id"]),
        ("donation_received", &json!("p"))
    );
    assert_eq!(desk.give_to("p", "d1", "10").unwrap()["duplicate"], true);
    assert_eq!(desk.give_to("q", "d1", "10"), Err("conflict".into()));
    // 0.2.0 may have taken it, and let the pledge's name fall.
    desk.donate("d2", ("10", "USD"), "sadaqah", "").unwrap();
    assert_eq!(desk.give_to("p", "d2", "10").unwrap()["duplicate"], true);
    assert_eq!(desk.promised()[1], "10.00");
}

#[test]
fn a_gift_can_be_counted_towards_a_pledge_later() {
    let mut desk = Desk::open();
    desk.pledge("p", "30").unwrap();
    desk.pledge("q", "30").unwrap();
    desk.donate("d1", ("10", "USD"), "sadaqah", "").unwrap();
    desk.donate("d2", ("25", "USD"), "sadaqah", "").unwrap();
    let fulfil = |pledge: &str, gift: &str| json!({ "pledge_id": pledge, "donation_id": gift });
    let reply = desk.send("fulfil", fulfil("p", "d1")).unwrap();
    assert_eq!(
        (&reply["fulfilled"], &reply["outstanding"]),
        (&json!("10.00"), &json!("20.00"))
    );
    let told = heard(&desk).unwrap();
    assert_eq!((told.0.as_str(), &told.1), ("pledge_fulfilled", &reply));
    let again = desk.send("fulfil", fulfil("p", "d1")).unwrap();
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["outstanding"], "20.00");
    let repeat = desk.donate("d1", ("10", "USD"), "sadaqah", "").unwrap();
    assert_eq!(repeat["duplicate"], true, "as its giver says it");
    let refused = |reason: &str| Err(reason.to_owned());
    assert_eq!(desk.send("fulfil", fulfil("q", "d1")), refused("conflict"));
    let more = desk.send("fulfil", fulfil("p", "d2"));
    assert_eq!(more, refused("pledge_exceeded"));
    desk.refund("d2").unwrap();
    let gone = desk.send("fulfil", fulfil("q", "d2"));
    assert_eq!(gone, refused("already_refunded"));
    assert_eq!(desk.totals(), ("10.00".into(), 1), "no money moved");
}

#[test]
fn what_is_outstanding_is_overdue_the_day_after() {
    let mut desk = Desk::open();
    let pledge = json!({
        "pledge_id": "p", "amount": "30", "currency": "USD", "due_on": "2026-03-31",
    });
    desk.send("pledge", pledge).unwrap();
    desk.give_to("p", "d1", "10").unwrap();
    for (day, overdue) in [("2026-03-31", "0.00"), ("2026-04-01", "20.00")] {
        desk.set_day(day);
        assert_eq!(desk.promised()[4], overdue, "{day}");
    }
}
