//! The worked example of donations, in its order, over one connection that stays
//! open through every change of version.

use std::time::Duration;

use e2e::{Client, Home, http, wait};
use host_model::control::Outcome;
use serde_json::{Value, json};

const CAMPAIGN: &str = "donations:example";

/// One client that has joined the campaign, and never connects again.
struct Desk(Client);

impl Desk {
    fn open(port: u16) -> Self {
        let mut client = Client::connect(port).unwrap();
        client.join(CAMPAIGN).unwrap().ok().unwrap();
        let mut desk = Self(client);
        desk.takes(
            "open",
            json!({"title": "Example", "currency": "USD", "goal": "5000.00"}),
        );
        desk
    }

    fn takes(&mut self, event: &str, payload: Value) -> Value {
        self.0
            .push(CAMPAIGN, event, &payload)
            .unwrap()
            .ok()
            .unwrap()
    }

    fn refuses(&mut self, event: &str, payload: Value) -> String {
        self.0
            .push(CAMPAIGN, event, &payload)
            .unwrap()
            .reason()
            .unwrap()
    }

    fn summary(&mut self) -> Value {
        self.takes("summary", json!({}))
    }

    fn has(&mut self, total: &str, count: u64) {
        let summary = self.summary();
        assert_eq!(summary["total"], total, "{summary}");
        assert_eq!(summary["count"], count, "{summary}");
    }

    fn balance(&mut self, fund: &str, currency: &str) -> Value {
        self.summary()["funds"][fund][currency]["balance"].clone()
    }

    fn hears_release(&mut self, version: &str) {
        let message = self.0.next_of("host:release").unwrap();
        assert_eq!(message.topic, CAMPAIGN);
        assert_eq!(
            message.payload,
            json!({"version": version, "plugin": version})
        );
    }
}

fn gift(id: &str, amount: &str) -> Value {
    json!({"donation_id": id, "amount": amount, "currency": "USD"})
}

#[test]
fn the_worked_example_holds_through_two_upgrades_and_a_way_back() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let mut desk = Desk::open(port);

    // 1. Release 0.1.0.
    desk.takes("donate", gift("d1", "100.00"));
    desk.has("100.00", 1);
    let again = desk.takes("donate", gift("d1", "100.00"));
    assert_eq!(
        (&again["duplicate"], &again["receipt_no"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(desk.refuses("donate", gift("d1", "101.00")), "conflict");
    assert_eq!(desk.refuses("donate", gift("d2", "10.005")), "bad_amount");

    // 2. Upgrade. A gift of zakat reaches its payer, one of another currency its fund.
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed);
    desk.hears_release("0.2.0");
    desk.takes(
        "donate",
        json!({"donation_id": "d3", "amount": "250.00", "currency": "USD",
        "fund": "zakat", "payer": "ali"}),
    );
    desk.has("350.00", 2);
    desk.takes(
        "donate",
        json!({"donation_id": "d4", "amount": "40.00", "currency": "EUR",
        "fund": "waqf"}),
    );
    desk.has("350.00", 2);
    ali_has_paid(&home);

    // 3. Allocations.
    let allocation = |category: &str, amount: &str| json!({"fund": "zakat", "category": category, "amount": amount, "currency": "USD"});
    desk.takes("allocate", allocation("gharimin", "200.00"));
    assert_eq!(desk.balance("zakat", "USD"), "50.00");
    assert_eq!(
        desk.refuses("allocate", allocation("fuqara", "60.00")),
        "insufficient_funds"
    );
    assert_eq!(
        desk.refuses("allocate", allocation("marketing", "1.00")),
        "bad_category"
    );
    let refund = |id: &str| json!({"donation_id": id, "reason": "the giver asked"});
    assert_eq!(desk.refuses("refund", refund("d3")), "insufficient_funds");

    // 4. A refund.
    desk.takes("refund", refund("d1"));
    desk.has("250.00", 1);

    // 5. Back to 0.1.0, which cannot say most of this.
    home.rollback().unwrap();
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    desk.hears_release("0.1.0");
    desk.has("250.00", 1);
    assert!(desk.summary()["funds"].is_null(), "0.1.0 knows no funds");
    assert_eq!(home.state(CAMPAIGN).unwrap().carries.len(), 1);
    let d4 = json!({"donation_id": "d4", "amount": "40.00", "currency": "EUR", "fund": "waqf"});
    assert_eq!(desk.takes("donate", d4)["duplicate"], true);
    desk.takes("donate", gift("d5", "10.00"));
    desk.has("260.00", 2);

    // 6. Up again: nothing was forgotten.
    home.upgrade("0.2.0").unwrap();
    desk.hears_release("0.2.0");
    assert_eq!(desk.balance("sadaqah", "USD"), "10.00");
    assert_eq!(desk.balance("zakat", "USD"), "50.00");
    assert_eq!(desk.balance("waqf", "EUR"), "40.00");
    desk.has("260.00", 2);
    assert_eq!(
        home.state(CAMPAIGN).unwrap().carries.len(),
        0,
        "the carry is consumed"
    );
    ali_has_paid(&home);

    // And all of it is durable: the same after a restart.
    home.done(&["restart"]).unwrap();
    ali_has_paid(&home);
    let summary = home.rpc(CAMPAIGN, "summary", &json!({})).unwrap();
    assert_eq!(
        summary["funds"]["zakat"]["USD"]["balance"], "50.00",
        "{summary}"
    );
    assert_eq!(summary["version"], "0.2.0");
}

/// `zakat:ali` has one payment of 250.00, that of d3.
fn ali_has_paid(home: &Home) {
    let paid = || {
        let state = home.state("zakat:ali").ok()?.state;
        let payments = state["payments"].as_object()?;
        (!payments.is_empty()).then(|| payments.clone())
    };
    let payments = wait::until("the payment has come to zakat:ali", paid).unwrap();
    let ids: Vec<_> = payments.keys().collect();
    assert_eq!(ids, ["example/d3"]);
    let payment = payments["example/d3"].to_string();
    assert!(payment.contains("\"250.00\""), "{payment}");
}

#[test]
fn a_refund_of_zakat_takes_the_payment_back() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    home.upgrade("0.2.0").unwrap();
    let mut desk = Desk::open(port);
    let gift = json!({"donation_id": "d1", "amount": "250.00", "currency": "USD",
        "fund": "zakat", "payer": "omar"});
    desk.takes("donate", gift);
    let paid = |home: &Home| {
        let question = json!({"currency": "USD", "nisab": "gold",
            "prices": {"gold_gram": "75.00", "silver_gram": "0.90"}});
        home.rpc("zakat:omar", "assess", &question).unwrap()["paid"].clone()
    };
    wait::until_is("the payment counts", &json!("250.00"), || paid(&home)).unwrap();
    desk.takes("refund", json!({"donation_id": "d1", "reason": "twice"}));
    wait::until_is("the payment counts no more", &json!("0.00"), || paid(&home)).unwrap();
}

#[test]
fn zakat_is_assessed_over_http_and_carried_through_an_upgrade() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let post = |event: &str, body: Value| {
        let path = format!("/api/v1/zakat/fatima/{event}");
        http::request(port, "POST", &path, &body.to_string()).unwrap()
    };
    let declared = post(
        "declare",
        json!({"asset_id": "savings", "kind": "cash", "amount": "6375.00", "currency": "USD"}),
    );
    assert_eq!(declared.status, 200, "{declared:?}");
    let question = json!({"currency": "USD", "nisab": "gold",
        "prices": {"gold_gram": "75.00", "silver_gram": "0.90"}});
    let due = |question: &Value| post("assess", question.clone()).json().unwrap()["due"].clone();
    assert_eq!(due(&question), "159.38");
    home.upgrade("0.2.0").unwrap();
    assert_eq!(due(&question), "159.38");
    let owed = post(
        "owe",
        json!({"debt_id": "rent", "amount": "0.01", "currency": "USD", "due_on": "2020-01-01"}),
    );
    assert_eq!(owed.status, 200, "{owed:?}");
    assert_eq!(due(&question), "0.00");
    home.rollback().unwrap();
    assert_eq!(due(&question), "159.38", "0.1.0 knows no debts");
    home.upgrade("0.2.0").unwrap();
    assert_eq!(
        due(&question),
        "0.00",
        "the debt has come back from the carry"
    );
}

#[test]
fn a_client_of_the_old_shape_is_understood_by_the_new_version() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let mut desk = Desk::open(port);
    home.upgrade("0.2.0").unwrap();
    // Joined under 0.1.0 and not joined since: its gifts are sadaqah.
    desk.takes("donate", gift("d1", "5.00"));
    assert_eq!(desk.balance("sadaqah", "USD"), "5.00");
    let broadcast = desk.0.next_of("donation_received").unwrap();
    assert!(broadcast.payload["seq"].is_u64(), "{broadcast:?}");
    assert_eq!(desk.0.listen(Duration::ZERO).unwrap(), []);
}

#[test]
fn a_client_of_the_new_shape_is_understood_or_told_by_the_old_version() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    home.upgrade("0.2.0").unwrap();
    let mut desk = Desk::open(port);
    desk.takes("donate", gift("d1", "5.00"));
    home.rollback().unwrap();
    // Joined under 0.2.0 and not joined since: what 0.1.0 can take it takes, and
    // zakat is not taken for sadaqah.
    desk.takes("donate", gift("d2", "6.00"));
    let zakat = json!({"donation_id": "d3", "amount": "7.00", "currency": "USD", "fund": "zakat"});
    desk.refuses("donate", zakat);
    let allocation =
        json!({"fund": "sadaqah", "category": "x", "amount": "1.00", "currency": "USD"});
    desk.refuses("allocate", allocation);
    desk.has("11.00", 2);
}

#[test]
fn clients_are_told_to_come_back_when_the_host_stops() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let mut desk = Desk::open(port);
    home.stop().unwrap();
    let end = loop {
        if let Err(end) = desk.0.next_message() {
            break end;
        }
    };
    let said = format!("{end:#}");
    // With 1000 the client of browsers would stay away.
    assert!(said.contains("Restart") || said.contains("Away"), "{said}");
}
