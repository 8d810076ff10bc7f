//! `host trace ACTOR`: what an operator sees of an actor while it works.

use e2e::{Home, Talk};
use serde_json::{Value, json};

fn trace(home: &Home, more: &[&str]) -> Talk {
    let line = [&["trace", "donations:a"], more].concat();
    let mut talk = Talk::piped(home.command(&line)).unwrap();
    let first = if more.contains(&"--json") {
        "\"began\""
    } else {
        "tracing donations:a\n"
    };
    talk.shows(first).unwrap();
    talk
}

fn open(home: &Home) {
    let campaign = json!({"title": "Wells", "currency": "USD", "goal": "1000"});
    home.rpc("donations:a", "open", &campaign).unwrap();
}

#[test]
fn messages_and_what_they_lead_to_are_seen_over_an_upgrade() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let mut talk = trace(&home, &["--json", "--count", "5"]);
    open(&home);
    let gift = json!({"donation_id": "d1", "amount": "5.00", "currency": "USD", "note": "x".repeat(5_000)});
    home.rpc("donations:a", "donate", &gift).unwrap();
    let bad = json!({"donation_id": "d2", "amount": "0", "currency": "USD"});
    home.refused("donations:a", "donate", &bad).unwrap();
    home.upgrade("0.2.0").unwrap();
    let zakat = json!({"donation_id": "d3", "amount": "9.00", "currency": "USD", "fund": "zakat", "payer": "ali"});
    home.rpc("donations:a", "donate", &zakat).unwrap();
    // Of another actor nothing is told.
    home.rpc("donations:b", "summary", &json!({})).unwrap();
    talk.shows("\"to\":\"zakat:ali\"").unwrap();
    home.rpc("donations:a", "summary", &json!({})).unwrap();
    assert!(talk.end().unwrap().success());

    let lines = talk.all();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    let messages: Vec<&Value> = lines.iter().filter(|it| it["kind"] == "message").collect();
    let told = |it: &&Value| json!([it["event"], it["outcome"], it["version"], it["seq"]]);
    let expected = json!([
        ["open", "accepted", "0.1.0", 1],
        ["donate", "accepted", "0.1.0", 2],
        ["donate", "rejected", "0.1.0", 2],
        ["donate", "accepted", "0.2.0", 3],
        ["summary", "answered", "0.2.0", 3],
    ]);
    let found: Vec<Value> = messages.iter().map(told).collect();
    assert_eq!(Value::from(found), expected);
    let gift = messages[1];
    assert_eq!(gift["payload"]["text"].as_str().unwrap().len(), 1_024);
    assert!(gift["payload"]["bytes"].as_u64() > Some(5_000), "{gift}");
    assert!(gift["position"].is_u64() && gift["duration_us"].is_u64());
    let principal = gift["principal"].as_str().unwrap();
    assert!(principal.starts_with("operator:"), "{gift}");
    assert_eq!(messages[2]["reason"], "bad_amount");
    let has = |kind: &str, field: &str, value: Value| {
        let found = lines
            .iter()
            .any(|it| it["kind"] == kind && it[field] == value);
        assert!(found, "no {kind} with {field} {value} in {lines:#?}");
    };
    has("sent", "event", json!("donation_received"));
    has("sent", "event", json!("pay"));
    has("migrated", "to", json!("0.2.0"));

    // The other side of the cast, and of the way back.
    let line = ["trace", "zakat:ali"];
    let mut payer = Talk::piped(home.command(&line)).unwrap();
    payer.shows("tracing zakat:ali\n").unwrap();
    let refund = json!({"donation_id": "d3", "reason": "asked"});
    home.rpc("donations:a", "refund", &refund).unwrap();
    payer.shows("  cast   pay_reversed ").unwrap();
    payer.shows(" by actor:donations:a").unwrap();
    payer.shows("accepted in ").unwrap();
    home.stop().unwrap();
    assert_eq!(payer.end().unwrap().code(), Some(3));
    assert!(
        payer.all().contains("the host has stopped"),
        "{}",
        payer.all()
    );
}

#[test]
fn a_trace_ends_when_it_is_told_to_and_names_what_is_no_actor() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let ran = home.done(&["trace", "donations:a", "--for", "1s"]).unwrap();
    assert_eq!(ran.stdout, "tracing donations:a\n");
    let mut talk = trace(&home, &[]);
    open(&home);
    talk.shows("  call   open {").unwrap();
    talk.signal(rustix::process::Signal::INT).unwrap();
    assert!(talk.end().unwrap().success());
    let wrong = home.host(&["trace", "donatoins:a", "--json"]).unwrap();
    let reason = wrong.ends_with(1).unwrap().reason().unwrap();
    assert_eq!(reason, "unknown_plugin");
}

/// An operator whose terminal stands still costs no caller anything.
#[test]
fn nobody_waits_for_who_does_not_read() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    open(&home);
    let mut talk = trace(&home, &["--json"]);
    talk.signal(rustix::process::Signal::STOP).unwrap();
    // Some megabytes: more than the sockets and the queue between them hold.
    let path = "/api/v1/donations/a/donate";
    let note = "x".repeat(2_000);
    for id in 0..2_000 {
        let gift = json!({"donation_id": format!("d{id}"), "amount": "1.00", "currency": "USD", "note": note});
        let answer = e2e::http::request(port, "POST", path, &gift.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    talk.signal(rustix::process::Signal::CONT).unwrap();
    talk.shows("\"kind\":\"lost\",\"lines\":").unwrap();
}
