//! Subscriptions: dates that come due, late or in time, and their gifts.

use host_sdk::Effect;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::limits::DONATIONS_MAX;

const TIMER: &str = "subscription/m";

/// Of the subscription `m`: how many dates have had their gift, when the next comes,
/// and whether it goes on.
fn standing(desk: &mut Desk) -> (u64, Value, Value) {
    let again = desk.subscribe("m", "3", "month").unwrap();
    assert_eq!(again["duplicate"], true);
    let taken = again["taken"].as_u64().unwrap();
    (taken, again["next_on"].clone(), again["standing"].clone())
}

#[test]
fn each_date_has_its_gift() {
    let mut desk = Desk::open_on("2026-01-31");
    let reply = desk.subscribe("m", "3", "month").unwrap();
    assert_eq!(
        reply,
        json!({
            "subscription_id": "m", "fund": "sadaqah", "amount": "3.00", "currency": "USD",
            "every": "month", "start_on": "2026-01-31", "times": null, "taken": 0,
            "next_on": "2026-01-31", "standing": "active",
        })
    );
    assert_eq!(desk.totals(), ("0.00".into(), 0), "not before its timer");
    assert_eq!(desk.fire_due(), 1);
    let news = desk.effects.iter().find_map(|effect| match effect {
        Effect::Broadcast { event, payload } if event == "donation_received" => Some(payload),
        _ => None,
    });
    let news = news.expect("it is told as any gift is");
    assert_eq!(
        (&news["donation_id"], &news["subscription_id"]),
        (&json!("m/1"), &json!("m"))
    );
    for (day, fired, ids) in [
        ("2026-02-27", 0, "m/1"),
        ("2026-02-28", 1, "m/1 m/2"),
        ("2026-03-30", 0, "m/1 m/2"),
        ("2026-03-31", 1, "m/1 m/2 m/3"),
        // A host that was away for months makes up for each date, once.
        ("2026-07-01", 3, "m/1 m/2 m/3 m/4 m/5 m/6"),
    ] {
        desk.set_day(day);
        assert_eq!(desk.fire_due(), fired, "{day}");
        assert_eq!(desk.donation_ids().join(" "), ids, "{day}");
    }
    assert_eq!(desk.totals(), ("18.00".into(), 6));
    assert_eq!(desk.summary()["subscriptions"], 1);
    assert_eq!(
        standing(&mut desk),
        (6, json!("2026-07-31"), json!("active"))
    );
}

#[test]
fn zakat_that_comes_round_is_paid_for_its_payer() {
    let mut desk = Desk::open_on("2026-01-31");
    let terms = json!({
        "subscription_id": "m", "amount": "3", "currency": "USD", "every": "year",
        "fund": "zakat", "payer": "ali",
    });
    desk.send("subscribe", terms).unwrap();
    desk.fire_due();
    let paid = Effect::Cast {
        to: "zakat:ali".into(),
        event: "pay".into(),
        payload: json!({
            "payment_id": "ramadan-2026/m/1", "amount": "3.00", "currency": "USD",
        }),
    };
    assert!(desk.effects.contains(&paid), "{:?}", desk.effects);
}

#[test]
fn a_timer_that_fires_again_takes_nothing() {
    let mut desk = Desk::open_on("2026-01-31");
    desk.subscribe("m", "3", "month").unwrap();
    desk.fire_due();
    let timers = desk.timers.clone();
    for number in [0, 1, 3, u32::MAX] {
        desk.fire(TIMER, json!({ "number": number }));
        assert_eq!(desk.effects, [], "{number}");
    }
    assert_eq!(desk.donation_ids(), ["m/1"]);
    desk.timers = timers;
    desk.set_day("2026-02-28");
    assert_eq!(desk.fire_due(), 1);
}

#[test]
fn it_ends_after_so_many_times() {
    let mut desk = Desk::open_on("2026-01-31");
    let terms = json!({
        "subscription_id": "m", "amount": "3", "currency": "USD", "every": "day", "times": 3,
        "start_on": "2026-01-30",
    });
    let first = desk.send("subscribe", terms.clone()).unwrap();
    assert_eq!(first["next_on"], "2026-01-30");
    assert_eq!(desk.fire_due(), 2);
    desk.set_day("2026-06-01");
    assert_eq!(desk.fire_due(), 1);
    assert!(desk.timers.is_empty(), "{:?}", desk.timers);
    let end = desk.send("subscribe", terms).unwrap();
    assert_eq!(
        (&end["taken"], &end["next_on"], &end["standing"]),
        (&json!(3), &Value::Null, &json!("completed"))
    );
    let over = desk.send("unsubscribe", json!({ "subscription_id": "m" }));
    assert_eq!(over, Err("subscription_ended".into()));
    assert_eq!(desk.summary()["subscriptions"], 0);
}

#[test]
fn it_is_ended_when_the_giver_says_so() {
    let mut desk = Desk::open_on("2026-01-31");
    desk.subscribe("m", "3", "month").unwrap();
    desk.fire_due();
    let end = json!({ "subscription_id": "m" });
    let reply = desk.send("unsubscribe", end.clone()).unwrap();
    assert_eq!(
        (&reply["standing"], &reply["taken"], &reply["next_on"]),
        (&json!("ended"), &json!(1), &Value::Null)
    );
    assert!(desk.timers.is_empty(), "{:?}", desk.timers);
    // One that was under way already.
    desk.fire(TIMER, json!({ "number": 2 }));
    assert_eq!(desk.donation_ids(), ["m/1"], "what was taken stays");
    let again = desk.send("unsubscribe", end);
    assert_eq!(again, Err("subscription_ended".into()));
    assert_eq!(standing(&mut desk), (1, Value::Null, json!("ended")));
}

#[test]
fn it_may_begin_a_year_ago_or_later_than_today() {
    let mut desk = Desk::open_on("2026-03-31");
    for (id, start_on, fired) in [("a", "2025-03-30", 13), ("b", "2026-04-01", 0)] {
        let terms = json!({
            "subscription_id": id, "amount": "3", "currency": "USD", "every": "month",
            "start_on": start_on,
        });
        desk.send("subscribe", terms).unwrap();
        assert_eq!(desk.fire_due(), fired, "{start_on}");
    }
}

#[test]
fn other_terms_under_a_taken_id_are_a_conflict() {
    let mut desk = Desk::open_on("2026-01-31");
    desk.subscribe("m", "3", "month").unwrap();
    desk.set_day("2026-02-05");
    assert_eq!(desk.subscribe("m", "3", "week"), Err("conflict".into()));
    assert_eq!(desk.subscribe("m", "4", "month"), Err("conflict".into()));
    let terms = |start_on: &str| {
        json!({
            "subscription_id": "m", "amount": "3", "currency": "USD", "every": "month",
            "start_on": start_on,
        })
    };
    let other = desk.send("subscribe", terms("2026-02-05"));
    assert_eq!(other, Err("conflict".into()));
    // Also when that first date is long ago by now.
    desk.set_day("2028-02-05");
    let same = desk.send("subscribe", terms("2026-01-31"));
    assert_eq!(same.unwrap()["duplicate"], true);
    assert_eq!(
        desk.subscribe("m", "3", "month").unwrap()["duplicate"],
        true
    );
}

#[test]
fn nobody_takes_a_subscriptions_donation_ids() {
    let mut desk = Desk::open_on("2026-01-31");
    desk.subscribe("m", "3", "month").unwrap();
    for id in ["m/1", "m/2", "m/007"] {
        let taken = desk.donate(id, ("1", "USD"), "sadaqah", "");
        assert_eq!(taken, Err("conflict".into()), "{id}");
    }
    for id in ["m", "m/", "m/x", "m/1/2", "n/1", "/1"] {
        desk.donate(id, ("1", "USD"), "sadaqah", "").unwrap();
    }
    assert_eq!(desk.subscribe("n", "3", "month"), Err("conflict".into()));
    assert_eq!(desk.subscribe("m/1", "3", "month"), Err("conflict".into()));
    desk.subscribe("m/x", "3", "month").unwrap();
    desk.fire_due();
    // A gift that was taken answers a repeat, as any does.
    let again = desk.donate("m/1", ("3", "USD"), "sadaqah", "").unwrap();
    assert_eq!(again["duplicate"], true);
    desk.refund("m/1").unwrap();
    desk.set_day("2026-02-28");
    assert_eq!(desk.fire_due(), 2, "a refund ends nothing");
}

#[test]
fn a_gift_that_cannot_be_taken_ends_it() {
    let mut desk = Desk::open_on("2026-01-31");
    desk.subscribe("m", "3", "month").unwrap();
    for n in 0..DONATIONS_MAX {
        desk.donate(&n.to_string(), ("1", "USD"), "sadaqah", "")
            .unwrap();
    }
    desk.fire_due();
    assert!(desk.timers.is_empty(), "{:?}", desk.timers);
    let [Effect::Broadcast { event, payload }] = &desk.effects[..] else {
        panic!("{:?}", desk.effects);
    };
    assert_eq!(event, "subscription_ended");
    assert_eq!(
        (&payload["standing"], &payload["reason"]),
        (&json!("lapsed"), &json!("campaign_full"))
    );
    assert_eq!(standing(&mut desk), (0, Value::Null, json!("lapsed")));
}
