//! A page in a real browser, open through upgrades. `E2E_CYCLES=20` has more of them.

use e2e::{Home, Tally};
use host_model::control::Outcome;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::json;

use crate::phoenix::Node;

/// What the page has seen, as `js/browser/page.js` says it.
#[derive(Debug, Deserialize)]
struct Seen {
    acknowledged: Vec<(String, i64)>,
    socket_closes: u64,
    socket_errors: u64,
    channel_closes: u64,
    channel_errors: u64,
    error_replies: Vec<String>,
    releases: Vec<String>,
    heard: Vec<String>,
}

#[test]
fn a_page_stays_open_through_upgrades() {
    let cycles = std::env::var("E2E_CYCLES").map_or(3, |cycles| cycles.parse().unwrap());
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let topic = "donations:page";
    let mut page = Node::run("browser.mjs", &json!({ "port": port, "topic": topic }));
    assert_eq!(page.line(), json!({ "ready": true }));

    for _ in 0..cycles {
        for (report, to) in [(home.upgrade("0.2.0"), "0.2.0"), (home.rollback(), "0.1.0")] {
            let report = report.unwrap();
            assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
            assert_eq!(report.to.to_string(), to);
        }
    }
    page.tell();
    let seen: Seen = serde_json::from_value(page.line()).unwrap();

    assert_eq!((seen.socket_closes, seen.socket_errors), (0, 0));
    assert_eq!((seen.channel_closes, seen.channel_errors), (0, 0));
    assert_eq!(seen.error_replies, Vec::<String>::new());
    assert_eq!(seen.releases, ["0.2.0", "0.1.0"].repeat(cycles));
    let given = seen.acknowledged.iter().map(|(id, _)| id);
    assert!(given.eq(&seen.heard), "each gift is heard once: {seen:?}");
    let mut tally = Tally::default();
    for (id, cents) in &seen.acknowledged {
        tally.add(topic, id, Decimal::new(*cents, 2));
    }
    let audit = tally.audit(&home).unwrap();
    assert!(audit.acknowledged > 2 * cycles as u64, "{audit:?}");
    audit.exact().unwrap();
}
