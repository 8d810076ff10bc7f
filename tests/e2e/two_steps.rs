//! From 0.1.0 to 0.3.0 by one upgrade, through 0.2.0, and back by one rollback, while
//! clients give: every gift that was acknowledged is there once, and still is after a start.
//!
//! `E2E_CAMPAIGNS=10000` does it with so many.

use std::time::Duration;

use e2e::load::{Load, Shape, campaign};
use e2e::matrix::after;
use e2e::visits::everywhere;
use e2e::wire::{Answer, Asked};
use e2e::{Home, Tally};
use host_model::control::{Outcome, UpgradeReport};
use rust_decimal::Decimal;
use serde_json::{Value, json};

const CAMPAIGNS: u32 = 300;

/// Of them, those that clients give to all the time.
const BUSY: usize = 8;

/// What every campaign is given, one after the other: id, amount, and the pledge that
/// it names.
const GIFTS: [(&str, &str, Option<&str>); 3] = [
    ("before", "1.00", None),
    ("towards", "25.00", Some("p")),
    ("below", "4.00", None),
];

fn campaigns() -> u32 {
    let given = std::env::var("E2E_CAMPAIGNS").ok();
    given.map_or(CAMPAIGNS, |number| number.parse().unwrap())
}

fn donate(gift: usize) -> (&'static str, String) {
    let (id, amount, pledge) = GIFTS[gift];
    let gift = json!({"donation_id": id, "amount": amount, "currency": "USD", "pledge_id": pledge});
    ("donate", gift.to_string())
}

/// Says these to every campaign. What they answer is given to `check`, with the push's
/// index.
fn say(
    port: u16,
    pushes: &[(&str, String)],
    check: impl Fn(u32, u32, Result<Value, String>) + Sync,
) {
    let answered = everywhere(port, 0..campaigns(), pushes, |answers| {
        let mut pushed = 0_usize;
        for Answer { visit, to, result } in answers {
            let Asked::Push(index) = to else {
                assert!(result.is_ok(), "campaign {visit} answers {to:?} {result:?}");
                continue;
            };
            pushed += 1;
            let result = result.map(|reply| serde_json::from_str(&reply).unwrap());
            check(visit, index, result);
        }
        Ok(pushed)
    });
    let answered: usize = answered.unwrap().into_iter().sum();
    assert_eq!(answered, campaigns() as usize * pushes.len());
}

/// Gives to every campaign.
fn give(port: u16, gift: usize) {
    say(port, &[donate(gift)], |campaign, _, reply| {
        let reply = reply.unwrap_or_else(|reason| panic!("{campaign}: {reason}"));
        assert_eq!(reply["donation_id"], GIFTS[gift].0);
        assert!(reply.get("duplicate").is_none(), "{campaign}: {reply}");
    });
}

fn moved(report: &UpgradeReport, to: &str) {
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.to.to_string(), to);
    assert!(
        report.actors_migrated >= u64::from(campaigns()),
        "{report:?}"
    );
    println!(
        "{} to {}: {} actors in {} ms; messages waited {:?} µs",
        report.from, report.to, report.actors_migrated, report.duration_ms, report.pause_us
    );
}

#[test]
fn two_versions_up_at_once_and_back_under_load() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let shape = Shape {
        port,
        clients: 2 * BUSY,
        campaigns: BUSY,
        pace: Duration::from_millis(10),
    };
    let load = Load::start(shape).unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "1000.00"}).to_string();
    say(port, &[("open", open)], |_, _, reply| {
        // The load has opened its own.
        assert!(reply.is_ok() || reply == Err("already_open".to_owned()));
    });
    give(port, 0);

    let plan: Value = home.answer(&["plan", "0.3.0", "--json"]).unwrap();
    let plugins = plan["plugins"].as_array().unwrap();
    let donations = plugins.iter().find(|it| it["plugin"] == "donations");
    let hops = donations.unwrap()["change"]["hops"].as_array().unwrap();
    let hops: Vec<_> = hops.iter().map(|hop| (&hop["from"], &hop["to"])).collect();
    let step = |from: &str, to: &str| (json!(from), json!(to));
    let [first, second] = [step("0.1.0", "0.2.0"), step("0.2.0", "0.3.0")];
    assert_eq!(
        hops,
        [(&first.0, &first.1), (&second.0, &second.1)],
        "through 0.2.0: {plan:#}"
    );

    // Up by two versions, and on with what only the last one knows.
    moved(&home.upgrade("0.3.0").unwrap(), "0.3.0");
    load.more(200).unwrap();
    let pledge = json!({"pledge_id": "p", "amount": "100.00", "currency": "USD"});
    say(
        port,
        &[("pledge", pledge.to_string())],
        |campaign, _, reply| {
            let reply = reply.unwrap_or_else(|reason| panic!("{campaign}: {reason}"));
            assert_eq!(reply["outstanding"], "100.00");
        },
    );
    give(port, 1);

    // Back by two, and on with what the first one knows.
    moved(&home.rollback().unwrap(), "0.1.0");
    load.more(200).unwrap();
    give(port, 2);
    let carries = home.state(&campaign(0)).unwrap().carries;
    assert_eq!(carries.len(), 2, "one for each version above: {carries:?}");

    // And up again: nothing was forgotten.
    moved(&home.upgrade("0.3.0").unwrap(), "0.3.0");
    load.more(200).unwrap();
    let seen = load.stop().unwrap();
    assert_eq!(
        (seen.closed, seen.errors.len()),
        (0, 0),
        "{:?}",
        seen.errors
    );
    assert_eq!(
        seen.releases,
        3 * 2 * BUSY as u64,
        "each heard of each change"
    );
    println!("{} gifts by clients meanwhile", seen.tally.count());

    // In the store, and not only in memory.
    home.stop().unwrap();
    home.start().unwrap();
    is_all_there(&home, port, seen.tally);
    home.stop().unwrap();
    after::whole(&home).unwrap();
}

/// Every campaign has what it was given, once; those that clients gave to are looked
/// through gift by gift.
fn is_all_there(home: &Home, port: u16, mut tally: Tally) {
    let by_clients = |number: u32| {
        let given = tally.acknowledged.get(&campaign(number as usize));
        given.map_or(0, Vec::len)
    };
    let mut pushes: Vec<_> = (0..GIFTS.len()).map(donate).collect();
    pushes.push(("summary", "{}".to_owned()));
    say(port, &pushes, |number, index, reply| {
        let reply = reply.unwrap_or_else(|reason| panic!("{number}: {reason}"));
        if (index as usize) < GIFTS.len() {
            assert_eq!(reply["duplicate"], true, "{number}: {reply}");
            return;
        }
        assert_eq!(reply["version"], "0.3.0");
        let count = GIFTS.len() + by_clients(number);
        assert_eq!(reply["count"], count, "{number}: {reply}");
        if count == GIFTS.len() {
            assert_eq!(reply["total"], "30.00", "{number}: {reply}");
        }
        let promised = &reply["pledges"]["sadaqah"]["USD"];
        assert_eq!(
            (&promised["fulfilled"], &promised["outstanding"]),
            (&json!("25.00"), &json!("75.00")),
            "{number}: {reply}"
        );
    });
    for number in 0..BUSY {
        for (id, amount, _) in GIFTS {
            let amount: Decimal = amount.parse().unwrap();
            tally.add(&campaign(number), id, amount);
        }
    }
    assert_eq!(tally.acknowledged.len(), BUSY);
    tally.audit(home).unwrap().exact().unwrap();
}
