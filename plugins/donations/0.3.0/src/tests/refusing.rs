//! Every reason to refuse.

use host_sdk::{Cx, Migrate, Plugin, Random};
use serde_json::{Value, json};

use super::desk::{Desk, KEY, opening};
use crate::Donations;
use crate::limits::{ALLOCATIONS_MAX, DONATIONS_MAX};

/// A command in an open campaign with 10.00 USD of sadaqah and of waqf, with one
/// field replaced.
#[track_caller]
fn refused(event: &str, field: &str, value: Value, reason: &str) {
    let mut desk = Desk::open();
    desk.donate("s", ("10", "USD"), "sadaqah", "").unwrap();
    desk.donate("w", ("10", "USD"), "waqf", "").unwrap();
    let before = desk.state.clone();
    let mut payload = match event {
        "donate" => json!({ "donation_id": "d1", "amount": "1.00", "currency": "USD" }),
        "refund" => json!({ "donation_id": "s", "reason": "asked for" }),
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
    for event in ["open", "refund", "allocate"] {
        assert_eq!(may(event, treasurer), Ok(()));
        for claims in [&giver[..], b"", b"{}", br#"{"roles":"treasurer"}"#] {
            assert_eq!(may(event, claims), Err("forbidden".into()), "{event}");
        }
    }
    for event in ["donate", "summary", "phx_join"] {
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
    assert_eq!(samples.len(), 1, "there is room for none but a refund");
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
