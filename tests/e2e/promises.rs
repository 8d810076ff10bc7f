//! Pledges and recurring gifts of donations 0.3.0 on a real host: dates come due while
//! it is killed, and while older versions rule, and each has one gift.

use e2e::{Client, Home, wait};
use host_model::control::Outcome;
use serde_json::{Value, json};

const CAMPAIGN: &str = "donations:monthly";

/// Subscriptions, and how many dates each has, all of them in the past: so many that a
/// host takes seconds for them.
const SUBSCRIPTIONS: usize = 10;
const DATES: usize = 300;

/// A home on 0.3.0 with the campaign open.
fn home() -> Home {
    let home = Home::new().unwrap();
    home.start().unwrap();
    assert_eq!(home.upgrade("0.3.0").unwrap().outcome, Outcome::Committed);
    let open = json!({"title": "Monthly", "currency": "USD", "goal": "1000.00"});
    home.rpc(CAMPAIGN, "open", &open).unwrap();
    home
}

/// Subscribes to gifts of each day, from less than a year ago on.
fn subscribe(home: &Home) {
    let start_on = long_ago(home);
    for id in 0..SUBSCRIPTIONS {
        let terms = json!({"subscription_id": format!("s{id}"), "amount": "1.00",
            "currency": "USD", "every": "day", "start_on": start_on, "times": DATES});
        home.rpc(CAMPAIGN, "subscribe", &terms).unwrap();
    }
}

/// The first of next month, a year before: at most a year ago, and more than
/// [`DATES`] days. What day it is, the host says.
fn long_ago(home: &Home) -> String {
    let today = json!({"subscription_id": "today", "amount": "1.00", "currency": "USD",
        "every": "year"});
    let today = home.rpc(CAMPAIGN, "subscribe", &today).unwrap();
    let today = today["start_on"].as_str().unwrap();
    let mut parts = today.split('-').map(|part| part.parse::<u32>().unwrap());
    let (year, month) = (parts.next().unwrap(), parts.next().unwrap());
    match month {
        12 => format!("{year}-01-01"),
        _ => format!("{}-{:02}-01", year - 1, month + 1),
    }
}

/// What the campaign shows now, in any version.
fn summary(home: &Home) -> Value {
    let port = home.status().unwrap().port;
    let look = || {
        let mut client = Client::connect(port).ok()?;
        let mut joined = client.join(CAMPAIGN).ok()?.ok().ok()?;
        Some(joined["summary"].take())
    };
    wait::until("the campaign shows itself", look).unwrap()
}

fn count(home: &Home) -> u64 {
    summary(home)["count"].as_u64().unwrap()
}

/// Waits until there are so many gifts. As a rule the last dates are to come still; where
/// the machine is quick, what is looked for holds all the same.
fn has_gifts(home: &Home, gifts: u64) {
    wait::until("dates have had their gifts", || {
        Some(count(home)).filter(|count| *count >= gifts)
    })
    .unwrap();
}

/// Waits for the last date, and looks at each.
fn each_date_has_one_gift(home: &Home) {
    // One comes round each year, and has not ended.
    wait::until_is("the last date has had its gift", &json!(1), || {
        summary(home)["subscriptions"].take()
    })
    .unwrap();
    let state = home.state(CAMPAIGN).unwrap().state;
    let ledger = state["campaign"]["ledger"].as_array().unwrap();
    let mut ids: Vec<_> = ledger
        .iter()
        .map(|gift| gift["donation_id"].as_str().unwrap().to_owned())
        .filter(|id| id.starts_with('s'))
        .collect();
    let mut wanted: Vec<_> = (0..SUBSCRIPTIONS)
        .flat_map(|id| (1..=DATES).map(move |date| format!("s{id}/{date}")))
        .collect();
    ids.sort();
    wanted.sort();
    assert_eq!(ids, wanted);
    for id in 0..SUBSCRIPTIONS {
        let subscription = &state["campaign"]["subscriptions"][format!("s{id}")];
        assert_eq!(
            (&subscription["taken"], &subscription["standing"]),
            (&json!(DATES), &json!("completed"))
        );
    }
    let letters: Vec<Value> = home.answer(&["dead-letters", "list", "--json"]).unwrap();
    assert_eq!(letters, Vec::<Value>::new());
}

#[test]
fn dates_that_come_due_while_it_is_killed_have_one_gift_each() {
    let home = home();
    subscribe(&home);
    for kills in 1..=3 {
        has_gifts(&home, kills * 300);
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
    }
    each_date_has_one_gift(&home);
}

#[test]
fn dates_that_pass_while_older_versions_rule_are_made_up_for_once() {
    let home = home();
    subscribe(&home);
    has_gifts(&home, 200);
    home.rollback().unwrap();
    let below = count(&home);
    let gift = json!({"donation_id": "d1", "amount": "5.00", "currency": "USD"});
    home.rpc(CAMPAIGN, "donate", &gift).unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    assert_eq!(count(&home), below + 1, "0.1.0 knows no dates");

    // Through 0.2.0 first, which knows none either.
    home.upgrade("0.2.0").unwrap();
    assert_eq!(count(&home), below + 1);
    home.upgrade("0.3.0").unwrap();
    has_gifts(&home, (below + 300).min((SUBSCRIPTIONS * DATES) as u64));
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    each_date_has_one_gift(&home);
    // The five of d1, and the first of the one that comes round each year.
    let total = format!("{}.00", SUBSCRIPTIONS * DATES + 6);
    assert_eq!(summary(&home)["total"], total);
}

#[test]
fn a_pledge_is_outstanding_until_gifts_name_it() {
    let home = home();
    let outstanding = || summary(&home)["pledges"]["waqf"]["USD"]["outstanding"].take();
    let pledge = json!({"pledge_id": "p", "fund": "waqf", "amount": "100.00", "currency": "USD"});
    home.rpc(CAMPAIGN, "pledge", &pledge).unwrap();
    assert_eq!(outstanding(), "100.00");
    let gift = json!({"donation_id": "d1", "fund": "waqf", "amount": "30.00", "currency": "USD",
        "pledge_id": "p"});
    home.rpc(CAMPAIGN, "donate", &gift).unwrap();
    assert_eq!(outstanding(), "70.00");
    home.done(&["restart"]).unwrap();
    assert_eq!(outstanding(), "70.00");
    let more = json!({"donation_id": "d2", "fund": "waqf", "amount": "70.01", "currency": "USD",
        "pledge_id": "p"});
    let refused = home.refused(CAMPAIGN, "donate", &more).unwrap();
    assert_eq!(refused, "pledge_exceeded");
}
