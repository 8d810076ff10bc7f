//! Tests: what commands do, who may ask, and the worked examples.

mod examples;
mod properties;

use host_sdk::{Cx, Decision, Plugin, Rejection};
use serde_json::{Value, json};

use crate::{Command, Day, Event, Query, Zakat};

/// 2025-06-01 12:00 UTC.
pub(crate) const NOON: i64 = 1_748_779_200_000;
const DAY: i64 = 86_400_000;

fn named(event: &str, payload: Value) -> Value {
    let mut message = json!({});
    message[event] = payload;
    message
}

/// One payer, with the clock in the test's hand.
#[derive(Default)]
pub(crate) struct Payer {
    pub(crate) state: Zakat,
    pub(crate) now_ms: i64,
}

impl Payer {
    pub(crate) fn new() -> Self {
        Self {
            now_ms: NOON,
            ..Self::default()
        }
    }

    pub(crate) fn decide(&self, event: &str, payload: Value) -> Result<Decision<Event>, Rejection> {
        let command: Command = serde_json::from_value(named(event, payload))
            .map_err(|e| Rejection::new("bad_payload", e.to_string()))?;
        let cx = Cx::for_test("ali", event, self.now_ms);
        self.state.decide(&cx, command)
    }

    /// The reply, after what was decided is applied the way the journal would:
    /// as JSON.
    pub(crate) fn tell(&mut self, event: &str, payload: Value) -> Result<Value, Rejection> {
        let decision = self.decide(event, payload)?;
        let (event, reply, effects) = decision.into_parts();
        assert_eq!(event.is_some(), !effects.is_empty());
        if let Some(event) = event {
            let written = serde_json::to_vec(&event).unwrap();
            self.state.apply(serde_json::from_slice(&written).unwrap());
        }
        self.state.check().unwrap();
        Ok(reply.to_value().unwrap())
    }

    pub(crate) fn ask(&self, event: &str, payload: Value) -> Result<Value, Rejection> {
        let query: Query = serde_json::from_value(named(event, payload))
            .map_err(|e| Rejection::new("bad_payload", e.to_string()))?;
        let cx = Cx::for_test("ali", event, self.now_ms);
        let reply = self.state.query(&cx, query)?;
        Ok(reply.to_value().unwrap())
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, Rejection>) -> String {
    result.unwrap_err().reason.into_owned()
}

pub(crate) fn cash(id: &str, amount: &str, currency: &str) -> Value {
    json!({ "asset_id": id, "kind": "cash", "amount": amount, "currency": currency })
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

#[test]
fn declare_replaces_by_id() {
    let mut ali = Payer::new();
    let first = ali.tell("declare", cash("a", "1.00", "USD")).unwrap();
    assert_eq!(first, json!({ "asset_id": "a", "assets": 1 }));
    ali.now_ms += 1;
    ali.tell("declare", cash("a", "2", "KWD")).unwrap();
    let asset = &ali.state.assets["a"];
    assert_eq!(asset.declared_at, NOON + 1);
    assert_eq!(
        serde_json::to_value(&asset.holding).unwrap(),
        json!({ "kind": "cash", "amount": "2.000", "currency": "KWD" })
    );
    ali.tell("remove", json!({ "asset_id": "a" })).unwrap();
    assert_eq!(
        reason(ali.tell("remove", json!({ "asset_id": "a" }))),
        "unknown_asset"
    );
}

#[test]
fn declare_says_what_is_wrong() {
    let mut ali = Payer::new();
    let mut refused = |payload: Value| {
        let mut payload = payload;
        payload["asset_id"] = json!("a");
        reason(ali.tell("declare", payload))
    };
    for amount in [
        "0",
        "0.00",
        "-1",
        "+1",
        "1e3",
        "",
        ".5",
        "5.",
        "1_000",
        " 1",
        "1,5",
        "10.005",
        "abc",
        "NaN",
        "1000000000000000000",
        "99999999999999999999999999999999999999999",
    ] {
        let cash = json!({ "kind": "cash", "amount": amount, "currency": "USD" });
        assert_eq!(refused(cash), "bad_amount", "{amount:?}");
    }
    for currency in ["XAU", "XXX", "XTS", "XDR", "usd", "US", "ABC", "", "💰💰💰"] {
        let cash = json!({ "kind": "cash", "amount": "1", "currency": currency });
        assert_eq!(refused(cash), "bad_currency", "{currency:?}");
        let gold = json!({ "kind": "gold", "grams": "1", "currency": currency });
        assert_eq!(refused(gold), "bad_currency", "{currency:?}");
    }
    assert_eq!(
        refused(json!({ "kind": "camels", "amount": "5" })),
        "bad_kind"
    );
    assert_eq!(
        refused(json!({ "kind": "cash", "amount": "5" })),
        "bad_currency"
    );
    assert_eq!(
        refused(json!({ "kind": "cash", "currency": "USD" })),
        "bad_amount"
    );
    assert_eq!(
        refused(json!({ "kind": "gold", "amount": "5", "currency": "USD" })),
        "bad_amount"
    );
    for (name, wrong) in [
        ("karat", json!(25)),
        ("karat", json!(0)),
        ("karat", json!(-22)),
        ("karat", json!("24.1")),
        ("fineness", json!("1.001")),
        ("fineness", json!(0)),
    ] {
        let mut gold = json!({ "kind": "gold", "grams": "1" });
        gold[name] = wrong;
        assert_eq!(refused(gold), "bad_amount");
    }
    let both = json!({ "kind": "gold", "grams": "1", "karat": 22, "fineness": "0.916" });
    assert_eq!(refused(both), "bad_amount");
    // A figure is text, so that no one's JSON library can have bent it.
    assert_eq!(
        refused(json!({ "kind": "cash", "amount": 5, "currency": "USD" })),
        "bad_payload"
    );
    assert_eq!(
        refused(json!({ "kind": "gold", "grams": 5 })),
        "bad_payload"
    );
    let nameless = json!({ "asset_id": "", "kind": "cash", "amount": "5", "currency": "USD" });
    assert_eq!(reason(ali.tell("declare", nameless)), "bad_payload");
}

#[test]
fn purity_is_text_or_a_number() {
    let mut ali = Payer::new();
    let mut purity = |field: &str, value: Value| {
        let mut gold = json!({ "asset_id": "a", "kind": "gold", "grams": "10.0" });
        gold[field] = value;
        ali.tell("declare", gold).unwrap();
        serde_json::to_value(&ali.state.assets["a"].holding).unwrap()["purity"].clone()
    };
    assert_eq!(purity("karat", json!(22)), json!({ "karat": "22" }));
    assert_eq!(purity("karat", json!("22")), json!({ "karat": "22" }));
    assert_eq!(
        purity("fineness", json!(0.916)),
        json!({ "fineness": "0.916" })
    );
    assert_eq!(
        purity("fineness", json!("1.000")),
        json!({ "fineness": "1" })
    );
    assert_eq!(purity("karat", json!(null)), json!({ "karat": "24" }));
}

#[test]
fn a_payment_is_recorded_once() {
    let mut ali = Payer::new();
    let pay = |amount: &str| json!({ "payment_id": "p", "amount": amount, "currency": "USD" });
    let first = ali.tell("pay", pay("250.00")).unwrap();
    assert_eq!(
        first,
        json!({ "payment_id": "p", "amount": "250.00", "currency": "USD", "paid_at": NOON })
    );
    ali.now_ms += 1;
    let mut again = ali.tell("pay", pay("250")).unwrap();
    assert_eq!(again["duplicate"], json!(true));
    again.as_object_mut().unwrap().remove("duplicate");
    assert_eq!(again, first);
    assert_eq!(reason(ali.tell("pay", pay("250.01"))), "conflict");
    let summary = ali.ask("summary", json!({})).unwrap();
    assert_eq!(
        summary,
        json!({ "assets": 0, "payments": 1, "version": "0.1.0" })
    );
}

#[test]
fn what_was_paid_is_counted_from_a_day_to_a_day() {
    let mut ali = Payer::new();
    ali.tell("declare", cash("a", "10000.00", "USD")).unwrap();
    for (id, days) in [("old", -400), ("last", -354), ("new", 0)] {
        ali.now_ms = NOON + days * DAY;
        ali.tell(
            "pay",
            json!({ "payment_id": id, "amount": "100", "currency": "USD" }),
        )
        .unwrap();
    }
    let mut question =
        json!({ "currency": "USD", "nisab": "gold", "prices": { "gold_gram": "75.00" } });
    // 12 Hijri months before 2025-06-01 (5 Dhu al-Hijja 1446) is 2024-06-11: 355 days.
    let answer = ali.ask("assess", question.clone()).unwrap();
    assert_eq!(answer["as_of"], "2025-06-01");
    assert_eq!(answer["paid_since"], "2024-06-11");
    assert_eq!(
        (&answer["paid"], &answer["outstanding"]),
        (&json!("200.00"), &json!("50.00"))
    );
    question["paid_since"] = json!("2024-06-12");
    assert_eq!(
        ali.ask("assess", question.clone()).unwrap()["paid"],
        "100.00"
    );
    question["as_of"] = json!("2025-05-31");
    assert_eq!(ali.ask("assess", question.clone()).unwrap()["paid"], "0.00");
    question["paid_since"] = json!("2000-01-01");
    assert_eq!(
        ali.ask("assess", question.clone()).unwrap()["paid"],
        "200.00"
    );
    ali.tell(
        "pay",
        json!({ "payment_id": "more", "amount": "1000", "currency": "USD" }),
    )
    .unwrap();
    question["as_of"] = json!(null);
    assert_eq!(ali.ask("assess", question).unwrap()["outstanding"], "0.00");
}

#[test]
fn payments_in_other_currencies_are_converted_and_rounded_once() {
    let mut ali = Payer::new();
    for id in ["p", "q", "r"] {
        ali.tell(
            "pay",
            json!({ "payment_id": id, "amount": "0.01", "currency": "EUR" }),
        )
        .unwrap();
    }
    ali.tell(
        "pay",
        json!({ "payment_id": "s", "amount": "1", "currency": "JPY" }),
    )
    .unwrap();
    let ask = |rates: Value| {
        let prices = json!({ "gold_gram": "75", "rates": rates });
        ali.ask(
            "assess",
            json!({ "currency": "USD", "nisab": "gold", "prices": prices }),
        )
    };
    // 0.0375 + 0.0065
    assert_eq!(
        ask(json!({ "EUR": "1.25", "JPY": "0.0065" })).unwrap()["paid"],
        "0.04"
    );
    assert_eq!(reason(ask(json!({ "EUR": "1.25" }))), "missing_rate");
}

#[test]
fn assess_says_which_price_is_missing() {
    let mut ali = Payer::new();
    ali.tell("declare", cash("a", "1.00", "EUR")).unwrap();
    let ask = |ali: &Payer, prices: Value| {
        let rejection = ali
            .ask(
                "assess",
                json!({ "currency": "USD", "nisab": "gold", "prices": prices }),
            )
            .unwrap_err();
        (rejection.reason.into_owned(), rejection.message)
    };
    let (reason, message) = ask(&ali, json!({ "gold_gram": "75" }));
    assert!(
        reason == "missing_rate" && message.contains("prices.rates.EUR"),
        "{message}"
    );
    let (reason, message) = ask(&ali, json!({ "rates": { "EUR": "1.1" } }));
    assert!(
        reason == "missing_price" && message.contains("prices.gold_gram"),
        "{message}"
    );
    let (reason, _) = ask(&ali, json!({ "gold_gram": "0", "rates": { "EUR": "1.1" } }));
    assert_eq!(reason, "bad_amount");
    let (reason, _) = ask(&ali, json!({ "gold_gram": 75, "rates": { "EUR": "1.1" } }));
    assert_eq!(reason, "bad_payload");
    ali.tell("remove", json!({ "asset_id": "a" })).unwrap();
    ali.tell(
        "declare",
        json!({ "asset_id": "s", "kind": "silver", "grams": "1" }),
    )
    .unwrap();
    let (reason, message) = ask(&ali, json!({ "gold_gram": "75" }));
    assert!(
        reason == "missing_price" && message.contains("prices.silver_gram"),
        "{message}"
    );
    let unasked = json!({ "currency": "XAU", "nisab": "gold" });
    assert_eq!(
        ali.ask("assess", unasked).unwrap_err().reason,
        "bad_currency"
    );
}

#[test]
fn the_payer_may_all_an_auditor_may_read() {
    let may = |event: &str, claims: &str| {
        Zakat::authorize(&Cx::for_test("ali", event, NOON).with_claims(claims.as_bytes())).is_ok()
    };
    for event in ["phx_join", "assess", "summary"] {
        assert!(may(event, r#"{"sub":"ali"}"#));
        assert!(may(event, r#"{"sub":"eve","roles":["auditor"]}"#));
        assert!(!may(event, r#"{"sub":"eve","roles":["treasurer"]}"#));
        assert!(!may(event, r#"{"roles":["auditor"]}"#) && !may(event, ""));
    }
    for event in ["declare", "remove", "pay"] {
        assert!(may(event, r#"{"sub":"ali","roles":[]}"#));
        assert!(!may(event, r#"{"sub":"eve","roles":["auditor"]}"#));
    }
}

#[test]
fn days_are_civil_and_years_are_lunar() {
    assert_eq!(day("2025-03-01").one_lunar_year_before(), day("2024-03-11"));
    assert_eq!(Day::of_ms(-1).to_string(), "1969-12-31");
    assert_eq!(Day::of_ms(i64::MIN).to_string(), "1900-01-01");
    assert_eq!(Day::of_ms(i64::MAX).to_string(), "2170-12-31");
    for wrong in [
        "2025-02-29",
        "2025-2-01",
        "1899-12-31",
        "2171-01-01",
        "20250301",
        "",
        "2025-03-01T00:00:00Z",
    ] {
        assert!(wrong.parse::<Day>().is_err(), "{wrong}");
    }
    for at in ["1900-01-01", "2024-02-29", "2170-12-31"] {
        assert_eq!(day(at).to_string(), at);
        assert!(day(at).one_lunar_year_before() < day(at));
    }
}

#[test]
fn a_full_record_takes_no_more() {
    use crate::state::{ASSETS_MAX, PAYMENTS_MAX};
    let mut ali = Payer::new();
    ali.tell("declare", cash("a", "1.00", "USD")).unwrap();
    ali.tell(
        "pay",
        json!({ "payment_id": "p", "amount": "1", "currency": "USD" }),
    )
    .unwrap();
    let (asset, payment) = (
        ali.state.assets["a"].clone(),
        ali.state.payments["p"].clone(),
    );
    ali.state.assets = (0..ASSETS_MAX)
        .map(|n| (n.to_string(), asset.clone()))
        .collect();
    ali.state.payments = (0..PAYMENTS_MAX)
        .map(|n| (n.to_string(), payment.clone()))
        .collect();
    assert_eq!(
        reason(ali.tell("declare", cash("a", "1.00", "USD"))),
        "too_many"
    );
    ali.tell("declare", cash("7", "1.00", "USD")).unwrap();
    let pay = json!({ "payment_id": "p", "amount": "1", "currency": "USD" });
    assert_eq!(reason(ali.tell("pay", pay)), "too_many");
}

/// The next version reads this shape, and its tests read this file.
#[test]
fn the_exported_shape_is_frozen() {
    let mut ali = Payer::new();
    let told = [
        ("declare", cash("c", "5000", "USD")),
        (
            "declare",
            json!({ "asset_id": "g", "kind": "gold", "grams": "100.0", "karat": 22 }),
        ),
        (
            "declare",
            json!({ "asset_id": "s", "kind": "silver", "grams": "1", "fineness": "0.925" }),
        ),
        (
            "declare",
            json!({ "asset_id": "t", "kind": "trade_goods", "amount": "3", "currency": "JPY" }),
        ),
        (
            "declare",
            json!({ "asset_id": "r", "kind": "receivables", "amount": "1", "currency": "KWD" }),
        ),
        (
            "pay",
            json!({ "payment_id": "p", "amount": "1.5", "currency": "EUR" }),
        ),
    ];
    for (event, payload) in told {
        ali.tell(event, payload).unwrap();
    }
    let bytes = rmp_serde::to_vec_named(&ali.state).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../golden/state.hex").trim());
}
