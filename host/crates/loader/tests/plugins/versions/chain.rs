//! Campaigns that go from 0.1.0 over 0.2.0 to 0.3.0, all the way back, and up again.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_loader::Plugin;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};

use super::donations::{newer_command, older_command};
use super::{CASES, Command};
use crate::Bench;
use crate::actor::{Actor, json};

const DAY_MS: i64 = 86_400_000;

/// No command: so many days pass, and the timers that come due meanwhile fire.
const WAIT: &str = "(days)";

/// The three versions, oldest first.
struct Chain([Arc<Plugin>; 3]);

impl Chain {
    fn open(bench: &Bench) -> Self {
        Self(["0-1-0", "0-2-0", "0-3-0"].map(|v| bench.open(&format!("donations-v{v}"))))
    }

    fn place(&self, actor: &Actor) -> usize {
        let version = actor.state.plugin().version();
        let place = self.0.iter().position(|code| code.version() == version);
        place.expect("it is one of the three")
    }

    /// Brings an actor over, one hop after the other, each with its laws.
    fn bring(&self, actor: &mut Actor, to: usize) {
        loop {
            match self.place(actor) {
                here if here < to => {
                    actor.up_and_down_changes_nothing(&self.0[here + 1]);
                    actor.up(&self.0[here + 1]);
                }
                here if here > to => {
                    actor.down_and_up_changes_nothing(&self.0[here - 1]);
                    actor.down(&self.0[here - 1]);
                }
                _ => return,
            }
        }
    }

    /// A gift as a client of 0.3.0 says it, in the shape of the actor's version.
    fn shaped(&self, actor: &Actor, gift: &Value) -> Value {
        let mut gift = gift.clone();
        for at in (self.place(actor) + 1..self.0.len()).rev() {
            let older = self.0[at - 1].version();
            let down = self.0[at].downcast(older, "donate", gift.to_string().as_bytes());
            let (event, payload) = down.unwrap().unwrap();
            assert_eq!(event, "donate");
            gift = json(&payload);
        }
        gift
    }
}

/// By donation id: the gift as it was first accepted, and its receipt.
#[derive(Default)]
struct Receipts(BTreeMap<String, (Value, Value)>);

impl Receipts {
    fn run(&mut self, actor: &mut Actor, commands: &[Command]) {
        for (event, payload) in commands {
            if *event == WAIT {
                actor.wait(payload.as_i64().unwrap() * DAY_MS);
                continue;
            }
            let before = actor.export();
            match actor.send(event, payload) {
                Ok(reply) if *event == "donate" => {
                    let id = payload["donation_id"].as_str().unwrap().to_owned();
                    let receipt = (payload.clone(), reply["receipt_no"].clone());
                    self.0.entry(id).or_insert(receipt);
                }
                Ok(_) => {}
                Err(_) => assert_eq!(actor.export(), before, "a refusal leaves no trace"),
            }
        }
        actor.check();
    }

    /// Everything that was ever acknowledged is there, once, in whichever version.
    fn ask(&self, actor: &mut Actor, chain: &Chain) {
        let before = actor.export();
        for (id, (gift, receipt_no)) in &self.0 {
            let reply = actor.send("donate", &chain.shaped(actor, gift));
            let reply = reply.unwrap_or_else(|reason| panic!("{id}: {reason}"));
            assert_eq!(
                (&reply["receipt_no"], &reply["duplicate"]),
                (receipt_no, &json!(true))
            );
        }
        assert_eq!(actor.export(), before, "a duplicate changes nothing");
    }
}

/// What 0.3.0 alone understands, and days that pass.
fn newest_command() -> impl Strategy<Value = Command> {
    let pledge = (0..3_u8, 1..9_u8).prop_map(|(id, tens)| {
        let pledge = json!({
            "pledge_id": format!("p{id}"), "amount": format!("{tens}00"), "currency": "USD",
            "fund": "waqf",
        });
        ("pledge", pledge)
    });
    let towards = (0..16_u8, 0..3_u8, 1..200_u8).prop_map(|(id, pledge, amount)| {
        let gift = json!({
            "donation_id": format!("d{id}"), "amount": amount.to_string(), "currency": "USD",
            "fund": "waqf", "pledge_id": format!("p{pledge}"),
        });
        ("donate", gift)
    });
    let fulfil = (0..3_u8, 0..16_u8).prop_map(|(pledge, id)| {
        let fulfil = json!({ "pledge_id": format!("p{pledge}"), "donation_id": format!("d{id}") });
        ("fulfil", fulfil)
    });
    let cancel = (0..3_u8).prop_map(|id| {
        let cancel = json!({ "pledge_id": format!("p{id}"), "reason": "asked for" });
        ("cancel_pledge", cancel)
    });
    let every = prop::sample::select(vec!["day", "week", "month"]);
    let subscribe = (0..3_u8, every, prop::option::of(1..4_u8)).prop_map(|(id, every, times)| {
        let terms = json!({
            "subscription_id": format!("s{id}"), "amount": "3.00", "currency": "EUR",
            "fund": "zakat", "payer": "ali", "every": every, "times": times,
        });
        ("subscribe", terms)
    });
    let unsubscribe = (0..3_u8).prop_map(|id| {
        (
            "unsubscribe",
            json!({ "subscription_id": format!("s{id}") }),
        )
    });
    prop_oneof![
        6 => newer_command(), 3 => pledge, 3 => towards, 1 => fulfil, 1 => cancel,
        3 => subscribe, 1 => unsubscribe, 4 => (0..12_u8).prop_map(|days| (WAIT, json!(days))),
    ]
}

/// 0.1.0, 0.2.0, 0.3.0, 0.2.0, 0.1.0, and at once to 0.3.0: with commands in each.
fn live(chain: &Chain, [first, second, third, fourth, fifth]: &[Vec<Command>; 5]) {
    let mut receipts = Receipts::default();
    let mut actor = Actor::new(&chain.0[0], "k");
    let open = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    actor.send("open", &open).unwrap();
    for (place, commands) in [(0, first), (1, second), (2, third)] {
        chain.bring(&mut actor, place);
        receipts.run(&mut actor, commands);
        receipts.ask(&mut actor, chain);
    }
    actor.wait(0);
    let newest = actor.export();
    chain.bring(&mut actor, 0);
    chain.bring(&mut actor, 2);
    assert_eq!(actor.export(), newest, "nobody has touched it below");

    for (place, commands) in [(1, fourth), (0, fifth)] {
        chain.bring(&mut actor, place);
        actor.now_ms += 10 * DAY_MS;
        receipts.run(&mut actor, commands);
        receipts.ask(&mut actor, chain);
    }
    chain.bring(&mut actor, 2);
    receipts.ask(&mut actor, chain);
    actor.wait(0);
    actor.check();
    receipts.ask(&mut actor, chain);
    chain.bring(&mut actor, 0);
    receipts.ask(&mut actor, chain);
}

#[test]
fn a_campaign_keeps_every_receipt_through_three_versions() {
    let chain = Chain::open(&Bench::new());
    let given = std::env::var("LOADER_TEST_SEED").ok();
    let seed = given.map_or(std::process::id().into(), |seed| seed.parse().unwrap());
    let many = |max| prop::collection::vec(older_command(), 0..max);
    let life = (
        many(12),
        prop::collection::vec(newer_command(), 0..12),
        prop::collection::vec(newest_command(), 0..30),
        prop::collection::vec(newer_command(), 0..8),
        many(8),
    );
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&life, |(first, second, third, fourth, fifth)| {
        live(&chain, &[first, second, third, fourth, fifth]);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}\nrun again with LOADER_TEST_SEED={seed}");
    }
}

/// The receipts, the promises and the dates of one campaign, told step by step.
#[test]
fn dates_that_pass_below_have_their_gifts_above() {
    let chain = Chain::open(&Bench::new());
    let mut actor = Actor::new(&chain.0[2], "ramadan-2026");
    let open = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    actor.send("open", &open).unwrap();
    let terms = json!({
        "subscription_id": "s", "amount": "5.00", "currency": "USD", "every": "week",
    });
    actor.send("subscribe", &terms).unwrap();
    assert_eq!(actor.wait(0), 1);
    let total = |actor: &Actor| actor.summary()["total"].clone();
    // Which version rules for how many days, and how many dates have passed then.
    for (place, days, passed) in [(1, 7, 1), (0, 14, 2), (0, 0, 0), (1, 3, 0), (0, 4, 1)] {
        let before = total(&actor);
        chain.bring(&mut actor, place);
        actor.now_ms += days * DAY_MS;
        assert_eq!(total(&actor), before, "it has no gift below");
        chain.bring(&mut actor, 2);
        assert_eq!(actor.wait(0), passed, "{days} days in {place}");
    }
    let again = actor.send("subscribe", &terms).unwrap();
    assert_eq!(
        (&again["taken"], &again["standing"]),
        (&json!(5), &json!("active"))
    );
    assert_eq!(total(&actor), "25.00");
}
