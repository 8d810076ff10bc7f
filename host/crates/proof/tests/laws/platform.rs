//! The example plugins keep the law.

use host_proof::Difference;
use serde_json::json;

use super::*;

fn giving(bench: &Bench, at: usize, gifts: u32) -> Actor {
    let mut campaign = Actor::new(bench.plugin(at), "ramadan-2026");
    let open = json!({"title": "Ramadan", "currency": "USD", "goal": "100.00"});
    campaign.send("open", &open);
    for gift in 0..gifts {
        let funds: &[&str] = if at == 0 {
            &["sadaqah"]
        } else {
            &["zakat", "sadaqah", "waqf"]
        };
        let fund = funds[gift as usize % funds.len()];
        let donation = json!({"donation_id": format!("d{gift}"), "donor": format!("donor {}", gift % 7),
            "amount": format!("{}.25", gift + 1), "currency": "USD", "fund": fund});
        campaign.send("donate", &donation);
        if gift % 10 == 9 {
            campaign.snapshot();
        }
    }
    campaign
}

#[test]
fn campaigns_of_all_versions_keep_it() {
    let bench = Bench::with(&["donations-v0-1-0", "donations-v0-2-0", "donations-v0-3-0"]);
    for at in [0, 1, 2] {
        let mut campaign = giving(&bench, at, 40);
        if at >= 1 {
            let refund = json!({"donation_id": "d4", "reason": "asked for"});
            campaign.send("refund", &refund);
            let allocate =
                json!({"fund": "zakat", "category": "fuqara", "amount": "1.00", "currency": "USD"});
            campaign.send("allocate", &allocate);
        }
        if at == 2 {
            let pledge = json!({"pledge_id": "p", "amount": "50.00", "currency": "USD"});
            campaign.send("pledge", &pledge);
            let gift = json!({"donation_id": "p1", "amount": "20.00", "currency": "USD",
                "pledge_id": "p"});
            campaign.send("donate", &gift);
            let refund = json!({"donation_id": "p1", "reason": "asked for"});
            campaign.send("refund", &refund);
            let terms = json!({"subscription_id": "s", "amount": "3.00", "currency": "USD",
                "every": "month", "times": 12});
            campaign.send("subscribe", &terms);
            campaign.send("unsubscribe", &json!({"subscription_id": "s"}));
        }
        let replayed = bench.judge(&campaign.course).unwrap();
        assert_eq!(replayed.state, campaign.state.export().unwrap());
        assert_eq!(replayed.events, campaign.course.events.len());

        // A course may begin at a snapshot, as it does behind a migration.
        let start = campaign.course.snapshots[1].clone();
        campaign.course.events.retain(|event| event.seq > start.seq);
        campaign.course.start = Some(start);
        assert_eq!(bench.judge(&campaign.course).unwrap().state, replayed.state);
    }
}

#[test]
fn payers_of_both_versions_keep_it() {
    let bench = Bench::with(&["zakat-v0-1-0", "zakat-v0-2-0"]);
    for at in [0, 1] {
        let mut payer = Actor::new(bench.plugin(at), "ali");
        for asset in 0..10 {
            let declare = json!({"asset_id": format!("a{asset}"), "kind": "cash",
                "amount": format!("{}.00", 100 * asset + 1), "currency": "USD"});
            payer.send("declare", &declare);
            let pay =
                json!({"payment_id": format!("p{asset}"), "amount": "2.50", "currency": "USD"});
            payer.send("pay", &pay);
        }
        payer.send("remove", &json!({"asset_id": "a3"}));
        let replayed = bench.judge(&payer.course).unwrap();
        assert_eq!(replayed.state, payer.state.export().unwrap());
    }
}

#[test]
fn an_actor_without_events_keeps_it() {
    let bench = Bench::with(&["zakat-v0-1-0"]);
    let mut payer = Actor::new(bench.plugin(0), "ali");
    assert!(bench.judge(&payer.course).unwrap().state.is_empty());
    payer.course.start = Some(payer.base());
    let replayed = bench.judge(&payer.course).unwrap();
    assert_eq!(replayed.state, payer.state.export().unwrap());
}

#[test]
fn a_snapshot_that_is_not_what_happened_is_named_by_its_field() {
    let bench = Bench::with(&["donations-v0-1-0"]);
    let mut campaign = giving(&bench, 0, 20);
    // As if a store had kept the state of another campaign with one gift more.
    let mut other = giving(&bench, 0, 10);
    let gift = json!({"donation_id": "d0-again", "amount": "11.25", "currency": "USD"});
    other.send("donate", &gift);
    campaign.course.snapshots[1].state = other.base().state;
    campaign.course.snapshots[1].seq = 12;
    let error = bench.judge(&campaign.course).unwrap_err();
    let LawError::Violated(violation) = &error else {
        panic!("{error}");
    };
    assert_eq!(violation.actor, campaign.course.actor);
    assert_eq!(violation.seq, 12);
    let Difference { field, one, other } = &violation.difference;
    assert_eq!(field, "campaign.ledger[10].donation_id", "{error}");
    assert_eq!((&**one, &**other), ("\"d10\"", "\"d0-again\""));
}

#[test]
fn what_cannot_be_asked_is_no_law_that_holds() {
    let bench = Bench::with(&["donations-v0-1-0"]);
    let campaign = giving(&bench, 0, 3);
    let mut gap = campaign.course.clone();
    gap.events.remove(1);
    let error = bench.judge(&gap).unwrap_err();
    assert!(matches!(&error, LawError::Replay { .. }), "{error}");

    let mut missing = campaign.course.clone();
    missing.events[2].version = "0.9.0".parse().unwrap();
    let error = bench.judge(&missing).unwrap_err();
    assert!(matches!(&error, LawError::Replay { .. }), "{error}");

    let code = Code::of(bench.plugins.iter().cloned());
    for program in ["/nonexistent", "/bin/true"] {
        let other = OtherProcess::new(program, Vec::<String>::new());
        let law = Law::new(&code).in_another_process(&other);
        let error = law.holds(&campaign.course).unwrap_err();
        assert!(matches!(&error, LawError::Process { .. }), "{error}");
    }
}
