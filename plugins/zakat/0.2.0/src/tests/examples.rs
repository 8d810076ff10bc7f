//! The worked examples: gold at 75.00 a gram, silver at 0.90, in USD.

use serde_json::{Value, json};

use super::{Payer, cash, owned};

fn assess(assets: &[Value], nisab: &str, currency: &str, prices: &Value) -> Value {
    let mut ali = Payer::new();
    for asset in assets {
        ali.tell("declare", asset.clone()).unwrap();
    }
    ali.ask(
        "assess",
        json!({ "currency": currency, "nisab": nisab, "prices": prices }),
    )
    .unwrap()
}

fn usd(assets: &[Value], nisab: &str) -> Value {
    let prices = json!({ "gold_gram": "75.00", "silver_gram": "0.90", "rates": { "EUR": "1.10" } });
    assess(assets, nisab, "USD", &prices)
}

fn gold(grams: &str, karat: u32) -> Value {
    json!({ "asset_id": "g", "kind": "gold", "grams": grams, "karat": karat })
}

#[test]
fn the_nisab_is_reached_or_not() {
    let below = usd(&[cash("a", "6374.99", "USD")], "gold");
    assert_eq!(
        (&below["nisab"], &below["due"]),
        (&json!("6375.00"), &json!("0.00"))
    );
    assert_eq!(usd(&[cash("a", "6375.00", "USD")], "gold")["due"], "159.38");
    let silver = usd(&[cash("a", "6374.99", "USD")], "silver");
    assert_eq!(
        (&silver["nisab"], &silver["due"]),
        (&json!("535.50"), &json!("159.37"))
    );
}

#[test]
fn ties_go_to_even() {
    assert_eq!(usd(&[cash("a", "7000.60", "USD")], "gold")["due"], "175.02");
    assert_eq!(usd(&[cash("a", "7001.00", "USD")], "gold")["due"], "175.02");
}

#[test]
fn each_currency_has_its_own_minor_unit() {
    let yen = json!({ "gold_gram": "11000" });
    let dinar = json!({ "gold_gram": "12.345" });
    let due = |asset, currency, prices| assess(&[asset], "gold", currency, prices)["due"].clone();
    assert_eq!(due(cash("a", "1234567", "JPY"), "JPY", &yen), "30864");
    assert_eq!(due(cash("a", "1234.567", "KWD"), "KWD", &dinar), "30.864");
}

#[test]
fn the_threshold_is_tested_before_rounding() {
    // 84.9933... g of pure gold, and 85.0025 g.
    let below = usd(&[gold("92.72", 22)], "gold");
    assert_eq!(
        (&below["zakatable"], &below["due"]),
        (&json!("6374.50"), &json!("0.00"))
    );
    assert_eq!(usd(&[gold("92.73", 22)], "gold")["due"], "159.38");
    // 6374.9999... shows as 6375.00 and is still below it.
    let hair = usd(&[gold("84.999999999999", 24)], "gold");
    assert_eq!(
        (&hair["zakatable"], &hair["due"]),
        (&json!("6375.00"), &json!("0.00"))
    );
}

#[test]
fn the_whole_is_the_sum_of_all_kinds() {
    let answer = usd(
        &[
            cash("a", "5000", "USD"),
            gold("100", 22),
            json!({ "asset_id": "t", "kind": "trade_goods", "amount": "3000", "currency": "USD" }),
            json!({ "asset_id": "r", "kind": "receivables", "amount": "1000", "currency": "USD" }),
            cash("e", "1000", "EUR"),
        ],
        "gold",
    );
    assert_eq!(
        (&answer["zakatable"], &answer["due"]),
        (&json!("16975.00"), &json!("424.38"))
    );
}

#[test]
fn the_largest_figures_are_exact_or_refused() {
    let most = "999999999999999999.99";
    let rates = json!({ "gold_gram": "1", "rates": { "EUR": "1.000000000001" } });
    let answer = assess(&[cash("a", most, "EUR")], "gold", "USD", &rates);
    // 999999999999999999.99 + 999999.99999999999999999 = 1000000000000999999.98999...
    assert_eq!(answer["zakatable"], "1000000000000999999.99");
    let mut ali = Payer::new();
    ali.tell("declare", cash("a", most, "EUR")).unwrap();
    let prices = json!({ "gold_gram": "1", "rates": { "EUR": "999999999999999999.999999999999" } });
    let vast = json!({ "currency": "USD", "nisab": "gold", "prices": prices });
    assert_eq!(ali.ask("assess", vast).unwrap_err().reason, "bad_amount");
}

fn of(day: &str, tell: &[(&str, Value)]) -> Value {
    let mut ali = Payer::new();
    for (event, payload) in tell {
        ali.tell(event, payload.clone()).unwrap();
    }
    ali.due(day)
}

#[test]
fn a_debt_that_is_due_and_a_solar_year() {
    let mut tell = vec![
        ("declare", cash("a", "5000", "USD")),
        ("declare", gold("100", 22)),
        (
            "declare",
            json!({ "asset_id": "t", "kind": "trade_goods", "amount": "3000", "currency": "USD" }),
        ),
        (
            "declare",
            json!({ "asset_id": "r", "kind": "receivables", "amount": "1000", "currency": "USD" }),
        ),
        ("declare", cash("e", "1100", "USD")),
        (
            "owe",
            json!({ "debt_id": "d", "amount": "2500", "currency": "USD", "due_on": "2025-06-01" }),
        ),
    ];
    assert_eq!(of("2025-06-01", &tell), "361.88");
    tell.push(("set_year", json!({ "year": "solar" })));
    assert_eq!(of("2025-06-01", &tell), "373.02");
}

#[test]
fn a_year_is_complete_on_its_day() {
    let tell = [("declare", owned("a", "7000.00", "2024-03-11"))];
    assert_eq!(of("2025-02-28", &tell), "0.00");
    assert_eq!(of("2025-03-01", &tell), "175.00");
}

#[test]
fn by_asset_or_by_anniversary() {
    let mut tell = vec![
        ("declare", owned("old", "7000.00", "2024-03-11")),
        ("declare", owned("new", "1000.00", "2025-02-20")),
    ];
    assert_eq!(of("2025-03-01", &tell), "175.00");
    tell.push(("set_anniversary", json!({ "date": "2024-03-11" })));
    assert_eq!(of("2025-03-01", &tell), "200.00");
}

#[test]
fn wheat_and_rikaz() {
    let wheat = |kg: &str, watering: &str| {
        let harvest = json!({ "crop_id": "w", "crop": "wheat", "kg": kg, "watering": watering,
            "price_per_kg": "0.30", "currency": "USD", "harvested_on": "2025-05-01" });
        of("2025-06-01", &[("crops", harvest)])
    };
    for watering in ["rain", "irrigated", "mixed"] {
        assert_eq!(wheat("652.999", watering), "0.00");
    }
    assert_eq!(wheat("653", "rain"), "19.59");
    assert_eq!(wheat("653", "irrigated"), "9.80");
    assert_eq!(wheat("653", "mixed"), "14.69");
    let rikaz = [
        (
            "rikaz",
            json!({ "find_id": "f", "amount": "1000.00", "currency": "USD", "found_on": "2025-05-01" }),
        ),
        (
            "owe",
            json!({ "debt_id": "d", "amount": "2500", "currency": "USD", "due_on": "2025-06-01" }),
        ),
    ];
    assert_eq!(of("2025-06-01", &rikaz), "200.00");
}
