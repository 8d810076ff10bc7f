//! Every reason to refuse.

use serde_json::{Value, json};

use super::desk::Desk;
use crate::limits::DONATIONS_MAX;

/// A valid gift with one field replaced.
fn gift(field: &str, value: Value) -> Value {
    let mut gift = json!({ "donation_id": "d1", "amount": "1.00", "currency": "USD" });
    gift[field] = value;
    gift
}

#[track_caller]
fn refused(field: &str, value: Value, reason: &str) {
    let mut desk = Desk::open();
    let answer = desk.send("donate", gift(field, value));
    let found = answer.expect_err("the gift is refused");
    assert_eq!(found.split(' ').next(), Some(reason));
    assert_eq!(desk.events.len(), 1, "a refusal leaves no trace");
}

#[test]
fn nothing_is_given_before_the_opening() {
    let mut desk = Desk::default();
    assert_eq!(desk.donate("d1", "1"), Err("campaign_not_open".into()));
}

#[test]
fn a_campaign_is_opened_once() {
    let mut desk = Desk::open();
    let open = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    assert_eq!(desk.send("open", open), Err("already_open".into()));
}

#[test]
fn an_opening_is_checked_too() {
    for (payload, reason) in [
        (
            json!({ "title": "", "currency": "USD", "goal": "1" }),
            "bad_payload",
        ),
        (
            json!({ "title": "x".repeat(257), "currency": "USD", "goal": "1" }),
            "bad_payload",
        ),
        (
            json!({ "title": "t", "currency": "XXX", "goal": "1" }),
            "bad_currency",
        ),
        (
            json!({ "title": "t", "currency": "USD", "goal": "0" }),
            "bad_amount",
        ),
    ] {
        assert_eq!(Desk::default().send("open", payload), Err(reason.into()));
    }
}

#[test]
fn only_the_campaigns_currency_is_taken() {
    refused("currency", json!("EUR"), "wrong_currency");
}

#[test]
fn a_currency_is_an_iso_code_with_a_minor_unit() {
    for code in [
        "XAU", "XXX", "XTS", "XDR", "usd", "US", "", "ZZZ", "DOLLARS!",
    ] {
        refused("currency", json!(code), "bad_currency");
    }
}

#[test]
fn an_amount_is_above_zero_and_fits_the_currency() {
    let huge = "9".repeat(40);
    for amount in [
        "0",
        "0.00",
        "-1",
        "+1",
        "1e3",
        "1_000",
        "1,5",
        " 1",
        "",
        ".",
        "1.",
        ".5",
        "1.2.3",
        "١",
        "NaN",
        "10.005",
        "10.000",
        "1000000000000000000",
        huge.as_str(),
    ] {
        refused("amount", json!(amount), "bad_amount");
    }
}

#[test]
fn the_largest_amounts_add_up_until_the_sum_is_too_large() {
    let mut desk = Desk::open();
    let largest = "999999999999999999.99";
    for n in 1..=1000 {
        desk.donate(&n.to_string(), largest).unwrap();
    }
    assert_eq!(desk.donate("1001", largest), Err("bad_amount".into()));
}

#[test]
fn a_number_is_no_amount() {
    refused("amount", json!(1), "bad_payload");
    refused("amount", json!(1.5), "bad_payload");
    refused("amount", Value::Null, "bad_payload");
}

#[test]
fn texts_have_bounds() {
    for id in ["", "a\nb", &"x".repeat(129)] {
        refused("donation_id", json!(id), "bad_payload");
    }
    refused("donor", json!("x".repeat(257)), "bad_payload");
    refused("donor", json!("a\u{0}b"), "bad_payload");
}

#[test]
fn zakat_is_not_taken_as_sadaqah() {
    refused("fund", json!("zakat"), "bad_fund");
    let mut desk = Desk::open();
    desk.send("donate", gift("fund", json!("sadaqah"))).unwrap();
}

#[test]
fn unknown_fields_are_ignored() {
    let mut desk = Desk::open();
    desk.send("donate", gift("colour", json!("green"))).unwrap();
}

#[test]
fn a_full_campaign_still_answers_repeats() {
    let mut desk = Desk::open();
    for n in 1..=DONATIONS_MAX {
        desk.donate(&n.to_string(), "1").unwrap();
    }
    assert_eq!(desk.donate("more", "1"), Err("campaign_full".into()));
    assert_eq!(desk.donate("1", "1").unwrap()["duplicate"], true);
}
