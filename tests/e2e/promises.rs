//! Pledges and recurring gifts of donations 0.3.0 on a real host: dates come due while
//! it is killed, and while older versions rule, and each has one gift.

use e2e::{Client, Home, wait};
use host_model::control::Outcome;
use serde_json::{Value, json};

const CAMPAIGN: &str = "donations:monthly";

/// Subscriptions that are made at once, and how many dates each has, all of them in the past:
/// so many that a host takes seconds for them.
const SUBSCRIPTIONS: usize = 10;
const DATES: usize = 300;

/// How often so many more are made, where a host was done with those before: far more often
/// than any is.
const BATCHES_MAX: usize = 6;

/// A home on 0.3.0 with the campaign open.
fn home() -> Home {
    let home = Home::new().unwrap();
    home.start().unwrap();
    assert_eq!(home.upgrade("0.3.0").unwrap().outcome, Outcome::Committed);
    let open = json!({"title": "Monthly", "currency": "USD", "goal": "1000.00"});
    home.rpc(CAMPAIGN, "open", &open).unwrap();
    home
}

/// Those who have subscribed to gifts of each day, from less than a year ago on.
struct Subscribed {
    start_on: String,
    subscriptions: usize,
}

impl Subscribed {
    fn new(home: &Home) -> Self {
        let mut subscribed = Self {
            start_on: long_ago(home),
            subscriptions: 0,
        };
        subscribed.more(home);
        subscribed
    }

    fn more(&mut self, home: &Home) {
        let from = self.subscriptions;
        self.subscriptions += SUBSCRIPTIONS;
        assert!(self.subscriptions <= BATCHES_MAX * SUBSCRIPTIONS);
        for id in from..self.subscriptions {
            let terms = json!({"subscription_id": format!("s{id}"), "amount": "1.00",
                "currency": "USD", "every": "day", "start_on": self.start_on, "times": DATES});
            home.rpc(CAMPAIGN, "subscribe", &terms).unwrap();
        }
    }

    /// How many gifts there are to come.
    fn gifts(&self) -> u64 {
        (self.subscriptions * DATES) as u64
    }

    /// Waits until some more dates have had their gifts, and others have not: how many have.
    fn in_the_middle(&mut self, home: &Home) -> u64 {
        const SOME: u64 = 200;
        loop {
            let wanted = count(home) + SOME;
            let found = has_gifts(home, wanted.min(self.gifts()));
            if found < self.gifts() {
                return found;
            }
            self.more(home);
        }
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

/// Waits until there are so many gifts: how many there are then.
fn has_gifts(home: &Home, gifts: u64) -> u64 {
    wait::until("dates have had their gifts", || {
        Some(count(home)).filter(|count| *count >= gifts)
    })
    .unwrap()
}

/// Waits for the last date, and looks at each.
fn each_date_has_one_gift(home: &Home, subscribed: &Subscribed) {
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
    let mut wanted: Vec<_> = (0..subscribed.subscriptions)
        .flat_map(|id| (1..=DATES).map(move |date| format!("s{id}/{date}")))
        .collect();
    ids.sort();
    wanted.sort();
    assert_eq!(ids, wanted);
    for id in 0..subscribed.subscriptions {
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
    let mut subscribed = Subscribed::new(&home);
    for _ in 0..3 {
        subscribed.in_the_middle(&home);
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
    }
    each_date_has_one_gift(&home, &subscribed);
}

#[test]
fn dates_that_pass_while_older_versions_rule_are_made_up_for_once() {
    let home = home();
    let mut subscribed = Subscribed::new(&home);
    let below = loop {
        subscribed.in_the_middle(&home);
        home.rollback().unwrap();
        let below = count(&home);
        if below < subscribed.gifts() {
            break below;
        }
        // The last of them have come on the way.
        home.upgrade("0.3.0").unwrap();
        subscribed.more(&home);
    };
    let gift = json!({"donation_id": "d1", "amount": "5.00", "currency": "USD"});
    home.rpc(CAMPAIGN, "donate", &gift).unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    assert_eq!(count(&home), below + 1, "0.1.0 knows no dates");

    // Through 0.2.0 first, which knows none either.
    home.upgrade("0.2.0").unwrap();
    assert_eq!(count(&home), below + 1);
    home.upgrade("0.3.0").unwrap();
    has_gifts(&home, (below + 300).min(subscribed.gifts()));
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    each_date_has_one_gift(&home, &subscribed);
    // The five of d1, and the first of the one that comes round each year.
    let total = format!("{}.00", subscribed.gifts() + 6);
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
