//! The worked examples: one campaign in USD, step by step, and back to 0.2.0.

use host_sdk::Migrate;
use serde_json::{Value, json};

use super::desk::{Desk, bytes, old_donate};

/// A day, what is asked for on it, what comes of it (`ok`, `again`, or the reason of
/// a refusal), and what then holds: total, outstanding, the balance of sadaqah.
type Step = (&'static str, Value, &'static str, [&'static str; 3]);

/// Some steps, and the timers that have come due before each.
#[track_caller]
fn walk(desk: &mut Desk, steps: impl IntoIterator<Item = Step>) {
    for (day, command, expected, [total, outstanding, balance]) in steps {
        desk.set_day(day);
        desk.fire_due();
        let (event, payload) = command.as_object().unwrap().iter().next().unwrap();
        let answer = match desk.send(event, payload.clone()) {
            Ok(reply) if reply["duplicate"] == true => "again".to_owned(),
            Ok(_) => "ok".to_owned(),
            Err(reason) => reason,
        };
        desk.fire_due();
        let step = format!("{day} {command}");
        assert_eq!(answer, expected, "{step}");
        let found = [
            desk.totals().0,
            desk.promised()[3].clone(),
            desk.balance("sadaqah", "USD"),
        ];
        assert_eq!(found, [total, outstanding, balance], "{step}");
    }
}

fn pledge(id: &str, amount: &str) -> Value {
    json!({ "pledge": { "pledge_id": id, "amount": amount, "currency": "USD" } })
}

fn donate(id: &str, amount: &str, pledge_id: Value) -> Value {
    json!({ "donate": {
        "donation_id": id, "amount": amount, "currency": "USD", "pledge_id": pledge_id,
    } })
}

fn subscribe(id: &str, amount: &str, every: &str, times: Value) -> Value {
    json!({ "subscribe": {
        "subscription_id": id, "amount": amount, "currency": "USD", "every": every,
        "times": times,
    } })
}

fn allocate(amount: &str) -> Value {
    json!({ "allocate": {
        "fund": "sadaqah", "category": "soup", "amount": amount, "currency": "USD",
    } })
}

#[test]
#[rustfmt::skip]
fn one_campaign_to_0_2_0_and_back() {
    let mut desk = Desk::open();
    let refund = |id: &str| json!({ "refund": { "donation_id": id, "reason": "asked for" } });
    let cancel = json!({ "cancel_pledge": { "pledge_id": "p2", "reason": "moved away" } });

    // 1. A pledge is no money; gifts that name it are, as far as it reaches.
    walk(&mut desk, [
        ("2026-01-05", pledge("p1", "100.00"),                  "ok",              ["0.00", "100.00", "no account"]),
        ("2026-01-05", pledge("p1", "100.00"),                  "again",           ["0.00", "100.00", "no account"]),
        ("2026-01-05", pledge("p1", "101.00"),                  "conflict",        ["0.00", "100.00", "no account"]),
        ("2026-01-06", donate("d1", "60.00", json!("p1")),      "ok",              ["60.00", "40.00", "60.00"]),
        ("2026-01-06", donate("d2", "40.01", json!("p1")),      "pledge_exceeded", ["60.00", "40.00", "60.00"]),
        ("2026-01-06", donate("d2", "40.00", json!("p3")),      "unknown_pledge",  ["60.00", "40.00", "60.00"]),
        ("2026-01-07", pledge("p2", "500.00"),                  "ok",              ["60.00", "540.00", "60.00"]),
        ("2026-01-07", cancel.clone(),                          "ok",              ["60.00", "40.00", "60.00"]),
        ("2026-01-07", cancel,                                  "pledge_cancelled", ["60.00", "40.00", "60.00"]),
    // 2. What was given back is outstanding again.
        ("2026-01-08", refund("d1"),                            "ok",              ["0.00", "100.00", "0.00"]),
        ("2026-01-08", donate("d3", "75.00", json!("p1")),      "ok",              ["75.00", "25.00", "75.00"]),
    // 3. From the 31st on, each month: the last day of February, then the 31st again.
        ("2026-01-31", subscribe("m", "10.00", "month", json!(null)), "ok",        ["85.00", "25.00", "85.00"]),
        ("2026-02-01", subscribe("m", "10.00", "month", json!(null)), "again",     ["85.00", "25.00", "85.00"]),
        ("2026-02-28", allocate("95.01"),                       "insufficient_funds", ["95.00", "25.00", "95.00"]),
        ("2026-02-28", allocate("95.00"),                       "ok",              ["95.00", "25.00", "0.00"]),
        ("2026-03-30", donate("m/3", "1.00", json!(null)),      "conflict",        ["95.00", "25.00", "0.00"]),
        ("2026-03-31", refund("m/3"),                           "ok",              ["95.00", "25.00", "0.00"]),
    // 4. Twice, and no third time.
        ("2026-04-01", subscribe("w", "1.00", "week", json!(2)), "ok",             ["96.00", "25.00", "1.00"]),
        ("2026-04-29", subscribe("w", "1.00", "week", json!(2)), "again",          ["97.00", "25.00", "2.00"]),
    ]);
    assert_eq!(desk.donation_ids(), ["d1", "d3", "m/1", "m/2", "m/3", "w/1", "w/2"]);

    // 5. Back to 0.2.0: every gift stays, and two months pass without one of m's.
    let before = bytes(&desk.state);
    let down = desk.state.down().unwrap();
    let same = Desk::up(down.old.clone(), Some(down.carry.clone()), false);
    assert_eq!(bytes(&same.state), before);
    let mut old = down.old;
    let campaign = old.campaign.as_ref().unwrap();
    assert_eq!((campaign.books.total.to_string(), campaign.books.count), ("97.00".into(), 5));
    old_donate(&mut old, "d4", "20.00");

    // 6. Up again: the timer that waited makes up for 30 April and 31 May.
    let timers = desk.timers;
    desk = Desk { timers, ..Desk::up(old, Some(down.carry), true) };
    let fulfil = json!({ "fulfil": { "pledge_id": "p1", "donation_id": "d4" } });
    walk(&mut desk, [
        ("2026-06-15", pledge("p1", "100.00"),                  "again",           ["137.00", "25.00", "42.00"]),
        ("2026-06-15", fulfil,                                  "ok",              ["137.00", "5.00", "42.00"]),
        ("2026-06-30", allocate("50.00"),                       "ok",              ["147.00", "5.00", "2.00"]),
        ("2026-06-30", json!({ "unsubscribe": { "subscription_id": "m" } }), "ok", ["147.00", "5.00", "2.00"]),
        ("2027-01-01", json!({ "unsubscribe": { "subscription_id": "m" } }), "subscription_ended", ["147.00", "5.00", "2.00"]),
    ]);
    assert_eq!(desk.donation_ids()[7..], ["d4", "m/4", "m/5", "m/6"]);
}
