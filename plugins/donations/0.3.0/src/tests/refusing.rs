//! Every reason to refuse.

use host_sdk::{Cx, Migrate, Plugin, Random};
use serde_json::{Value, json};

use super::desk::{Desk, KEY, opening};
use crate::Donations;
use crate::limits::{ALLOCATIONS_MAX, DONATIONS_MAX, PLEDGES_MAX, SUBSCRIPTIONS_MAX};

/// A command in an open campaign with 10.00 USD of sadaqah and of waqf, with one
/// field replaced.
#[track_caller]
fn refused(event: &str, field: &str, value: Value, reason: &str) {
    let mut desk = Desk::open();
    desk.donate("s", ("10", "USD"), "sadaqah", "").unwrap();
    desk.donate("w", ("10", "USD"), "waqf", "").unwrap();
    desk.pledge("p", "10").unwrap();
    desk.set_day("2026-03-31");
    let before = desk.state.clone();
    let mut payload = match event {
        "donate" => json!({ "donation_id": "d1", "amount": "1.00", "currency": "USD" }),
        "refund" => json!({ "donation_id": "s", "reason": "asked for" }),
        "pledge" => json!({ "pledge_id": "p1", "amount": "1.00", "currency": "USD" }),
        "fulfil" => json!({ "pledge_id": "p", "donation_id": "s" }),
        "cancel_pledge" => json!({ "pledge_id": "p", "reason": "asked for" }),
        "unsubscribe" => json!({}),
        "subscribe" => json!({
            "subscription_id": "m", "amount": "1.00", "currency": "USD", "every": "month",
        }),
        _ => json!({ "fund": "sadaqah", "category": "soup", "amount": "1", "currency": "USD" }),
    };
    payload[field] = value;
    let found = desk
        .send(event, payload)
        .expect_err("the command is refused");
    assert_eq!(found.split(' ').next(), Some(reason));
    assert_eq!(desk.state, before, "a refusal leaves no trace");
}

#[test]
fn nothing_happens_before_the_opening() {
    let closed = Err("campaign_not_open".to_owned());
    let mut desk = Desk::default();
    assert_eq!(desk.donate("d1", ("1", "USD"), "waqf", ""), closed);
    assert_eq!(desk.refund("d1"), closed);
    assert_eq!(desk.allocate("fuqara", "1"), closed);
    assert_eq!(desk.pledge("p", "1"), closed);
    assert_eq!(desk.subscribe("m", "1", "month"), closed);
}

#[test]
fn a_campaign_is_opened_once() {
    assert_eq!(
        Desk::open().send("open", opening()),
        Err("already_open".into())
    );
}

#[test]
fn another_body_under_a_taken_id_is_a_conflict() {
    let mut desk = Desk::open();
    desk.donate("d1", ("1", "USD"), "zakat", "ali").unwrap();
    for (money, fund, payer) in [
        (("2", "USD"), "zakat", "ali"),
        (("1", "EUR"), "zakat", "ali"),
        (("1", "USD"), "waqf", "ali"),
        (("1", "USD"), "zakat", "omar"),
        (("1", "USD"), "zakat", ""),
    ] {
        assert_eq!(
            desk.donate("d1", money, fund, payer),
            Err("conflict".into())
        );
    }
}

#[test]
fn gifts() {
    for amount in [
        "0",
        "-1",
        "1e3",
        "10.005",
        "10.000",
        "1000000000000000000",
        "",
    ] {
        refused("donate", "amount", json!(amount), "bad_amount");
    }
    refused("donate", "amount", json!(1), "bad_payload");
    for code in ["XAU", "XXX", "usd", "", "ZZZ"] {
        refused("donate", "currency", json!(code), "bad_currency");
    }
    for fund in ["Zakat", "", "qard"] {
        refused("donate", "fund", json!(fund), "bad_fund");
    }
    for payer in ["", " ", "ali baba", "a\tb", &"x".repeat(129)] {
        refused("donate", "payer", json!(payer), "bad_payload");
    }
    for id in ["", "a\nb", &"x".repeat(129)] {
        refused("donate", "donation_id", json!(id), "bad_payload");
    }
    refused("donate", "donor", json!("x".repeat(257)), "bad_payload");
}

#[test]
fn refunds() {
    refused("refund", "donation_id", json!("s2"), "unknown_donation");
    refused("refund", "donation_id", json!(""), "bad_payload");
    refused("refund", "reason", json!(""), "bad_payload");
    refused("refund", "reason", Value::Null, "bad_payload");
}

#[test]
fn allocations() {
    refused("allocate", "fund", json!("qard"), "bad_fund");
    refused("allocate", "fund", json!("waqf"), "waqf_corpus");
    refused("allocate", "fund", json!("zakat"), "bad_category");
    refused("allocate", "category", json!(""), "bad_payload");
    refused("allocate", "amount", json!("10.01"), "insufficient_funds");
    refused("allocate", "amount", json!("0"), "bad_amount");
    refused("allocate", "amount", json!(1), "bad_payload");
    refused("allocate", "currency", json!("XAU"), "bad_currency");
    refused("allocate", "currency", json!("EUR"), "insufficient_funds");
}

#[test]
fn gifts_towards_a_pledge() {
    refused("donate", "pledge_id", json!("p2"), "unknown_pledge");
    refused(
        "donate",
        "pledge_id",
        json!("x".repeat(1000)),
        "unknown_pledge",
    );
    let mut desk = Desk::open();
    desk.pledge("p", "10.00").unwrap();
    for (amount, currency, fund, reason) in [
        ("10.01", "USD", "sadaqah", "pledge_exceeded"),
        ("1", "EUR", "sadaqah", "wrong_pledge"),
        ("1", "USD", "zakat", "wrong_pledge"),
    ] {
        let gift = json!({
            "donation_id": "d", "amount": amount, "currency": currency, "fund": fund,
            "pledge_id": "p",
        });
        assert_eq!(desk.send("donate", gift), Err(reason.into()));
    }
    let cancel = json!({ "pledge_id": "p", "reason": "moved away" });
    desk.send("cancel_pledge", cancel.clone()).unwrap();
    let cancelled = Err("pledge_cancelled".to_owned());
    assert_eq!(desk.give_to("p", "d", "1"), cancelled);
    assert_eq!(desk.send("cancel_pledge", cancel), cancelled);
}

#[test]
fn pledges() {
    refused("pledge", "pledge_id", json!("p"), "conflict");
    refused("pledge", "pledge_id", json!(""), "bad_payload");
    refused("pledge", "pledge_id", json!("x".repeat(129)), "bad_payload");
    refused("pledge", "donor", json!("x".repeat(257)), "bad_payload");
    refused("pledge", "amount", json!("0"), "bad_amount");
    refused("pledge", "currency", json!("XAU"), "bad_currency");
    refused("pledge", "fund", json!("qard"), "bad_fund");
    for day in [
        "2026-02-29",
        "26-02-28",
        "2026-2-3",
        "tomorrow",
        "1969-12-31",
    ] {
        refused("pledge", "due_on", json!(day), "bad_payload");
    }
    refused("fulfil", "pledge_id", json!("p2"), "unknown_pledge");
    refused("fulfil", "donation_id", json!("s2"), "unknown_donation");
    refused("fulfil", "donation_id", json!("w"), "wrong_pledge");
    refused("cancel_pledge", "pledge_id", json!("p2"), "unknown_pledge");
    refused("cancel_pledge", "reason", json!(""), "bad_payload");
}

#[test]
fn subscriptions() {
    refused("subscribe", "subscription_id", json!(""), "bad_payload");
    let long = json!("x".repeat(101));
    refused("subscribe", "subscription_id", long, "bad_payload");
    refused("subscribe", "donor", json!("x".repeat(257)), "bad_payload");
    refused("subscribe", "amount", json!("1.005"), "bad_amount");
    refused("subscribe", "currency", json!("usd"), "bad_currency");
    refused("subscribe", "fund", json!("qard"), "bad_fund");
    refused("subscribe", "payer", json!("ali baba"), "bad_payload");
    for every in ["", "Month", "quarter", "2 weeks"] {
        refused("subscribe", "every", json!(every), "bad_interval");
    }
    refused("subscribe", "times", json!(0), "bad_times");
    refused("subscribe", "times", json!(-1), "bad_payload");
    refused("subscribe", "start_on", json!("2025-03-29"), "bad_date");
    refused("subscribe", "start_on", json!("2026-04-31"), "bad_payload");
    let unknown = json!("m");
    refused(
        "unsubscribe",
        "subscription_id",
        unknown,
        "unknown_subscription",
    );
}

#[test]
fn there_is_room_for_so_many_promises() {
    let mut desk = Desk::open();
    for n in 0..PLEDGES_MAX {
        desk.pledge(&n.to_string(), "1").unwrap();
    }
    assert_eq!(desk.pledge("more", "1"), Err("campaign_full".into()));
    assert_eq!(desk.pledge("0", "1").unwrap()["duplicate"], true);
    for n in 0..SUBSCRIPTIONS_MAX {
        desk.subscribe(&n.to_string(), "1", "month").unwrap();
    }
    let more = desk.subscribe("more", "1", "month");
    assert_eq!(more, Err("campaign_full".into()));
    let again = desk.subscribe("0", "1", "month").unwrap();
    assert_eq!(again["duplicate"], true);
    let samples = desk.state.samples(&mut Random::new(1), 50);
    assert_eq!(samples, []);
}

#[test]
fn the_largest_amounts_add_up_until_the_sum_is_too_large() {
    let mut desk = Desk::open();
    let largest = ("999999999999999999.9999", "CLF");
    for n in 1..=1000 {
        desk.donate(&n.to_string(), largest, "waqf", "").unwrap();
    }
    let full = desk.donate("1001", largest, "waqf", "");
    assert_eq!(full, Err("bad_amount".into()));
    desk.donate("1001", largest, "zakat", "").unwrap();
}

#[test]
fn a_treasurer_opens_gives_back_and_spends() {
    let may = |event, claims: &[u8]| {
        let cx = Cx::for_test(KEY, event, 0).with_claims(claims);
        Donations::authorize(&cx).map_err(|rejection| rejection.reason)
    };
    let giver = br#"{"sub":"ali","roles":["giver"]}"#;
    let treasurer = br#"{"sub":"omar","roles":["giver","treasurer"]}"#;
    for event in ["open", "refund", "allocate", "fulfil"] {
        assert_eq!(may(event, treasurer), Ok(()));
        for claims in [&giver[..], b"", b"{}", br#"{"roles":"treasurer"}"#] {
            assert_eq!(may(event, claims), Err("forbidden".into()), "{event}");
        }
    }
    for event in [
        "donate",
        "pledge",
        "subscribe",
        "unsubscribe",
        "summary",
        "phx_join",
    ] {
        assert_eq!(may(event, b""), Ok(()));
    }
}

#[test]
fn a_full_campaign_still_answers_repeats_and_gives_back() {
    let mut desk = Desk::open();
    for n in 1..=DONATIONS_MAX {
        desk.donate(&n.to_string(), ("1", "USD"), "zakat", "")
            .unwrap();
    }
    let more = desk.donate("more", ("1", "USD"), "zakat", "");
    assert_eq!(more, Err("campaign_full".into()));
    let again = desk.donate("1", ("1", "USD"), "zakat", "").unwrap();
    assert_eq!(again["duplicate"], true);
    let samples = desk.state.samples(&mut Random::new(1), 50);
    assert_eq!(
        samples.len(),
        2,
        "there is room for a promise, and for no gift"
    );
    desk.refund("1").unwrap();
}

#[test]
fn allocations_have_a_bound() {
    let mut desk = Desk::open();
    desk.donate("d1", ("5000", "USD"), "zakat", "").unwrap();
    for _ in 0..ALLOCATIONS_MAX {
        desk.allocate("fuqara", "1").unwrap();
    }
    assert_eq!(desk.allocate("fuqara", "1"), Err("campaign_full".into()));
}

#[test]
fn a_promise_is_ended_by_whoever_made_it_or_a_treasurer() {
    let [ali, omar, zaynab] = [
        br#"{"sub":"ali"}"#.as_slice(),
        br#"{"sub":"omar"}"#.as_slice(),
        br#"{"sub":"zaynab","roles":["treasurer"]}"#.as_slice(),
    ];
    let pledge = json!({ "pledge_id": "p", "amount": "1", "currency": "USD" });
    let terms =
        json!({ "subscription_id": "m", "amount": "1", "currency": "USD", "every": "month" });
    let cancel = json!({ "pledge_id": "p", "reason": "asked for" });
    let end = json!({ "subscription_id": "m" });
    // Made with a token: its bearer's, and a treasurer's.
    for (claims, ends) in [(ali, true), (omar, false), (b"", false), (zaynab, true)] {
        let mut desk = Desk::open();
        desk.send_as(ali, "pledge", pledge.clone()).unwrap();
        desk.send_as(ali, "subscribe", terms.clone()).unwrap();
        for (event, payload) in [("cancel_pledge", &cancel), ("unsubscribe", &end)] {
            let ended = desk.send_as(claims, event, payload.clone());
            match ends {
                true => drop(ended.unwrap()),
                false => assert_eq!(ended, Err("forbidden".into()), "{event}"),
            }
        }
    }
    // Made without one: anyone's.
    let mut desk = Desk::open();
    desk.send("pledge", pledge).unwrap();
    desk.send("subscribe", terms).unwrap();
    desk.send_as(omar, "cancel_pledge", cancel).unwrap();
    desk.send("unsubscribe", end).unwrap();
}
