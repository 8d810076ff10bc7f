//! What holds after any sequence of commands, in either version.

use host_sdk::{Migrate, Plugin, Random};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::desk::{Desk, bytes, old_donate, old_refund, opening};
use crate::{Day, Donations, Event, Old};

fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (1_u64..100_000).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        2 => (1_u64..1_000).prop_map(|n| n.to_string()),
        1 => Just("999999999999999999".to_owned()),
        1 => ".{0,6}",
    ]
}

fn currency() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just("USD"), 2 => Just("EUR"), 1 => Just("JPY"), 1 => Just("XAU")]
}

fn fund() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("zakat"), Just("sadaqah"), Just("waqf")]
}

/// Commands that are often right and sometimes wrong, with few ids, so that
/// repeats, conflicts and refunds that find their gift are common.
fn old_command() -> impl Strategy<Value = (&'static str, Value)> {
    let donor = prop_oneof![Just(Value::Null), Just(json!("Ali")), Just(json!("Zaynab"))];
    let payer = prop_oneof![Just(Value::Null), Just(json!("ali"))];
    let donate = (0..12, donor, amount(), currency(), fund(), payer).prop_map(
        |(id, donor, amount, currency, fund, payer)| {
            let payload = json!({
                "donation_id": format!("d{id}"), "donor": donor, "amount": amount,
                "currency": currency, "fund": fund, "payer": payer,
            });
            ("donate", payload)
        },
    );
    let refund = (0..12).prop_map(|id| {
        let payload = json!({ "donation_id": format!("d{id}"), "reason": "asked for" });
        ("refund", payload)
    });
    let allocate = (fund(), amount(), currency()).prop_map(|(fund, amount, currency)| {
        let payload = json!({
            "fund": fund, "category": "fuqara", "amount": amount, "currency": currency,
        });
        ("allocate", payload)
    });
    prop_oneof![8 => donate, 3 => refund, 3 => allocate]
}

/// What this version adds: promises and subscriptions with few ids, and days that pass.
fn command() -> impl Strategy<Value = (&'static str, Value)> {
    let pledge = (0..4, amount(), currency(), fund()).prop_map(|(id, amount, currency, fund)| {
        let payload = json!({
            "pledge_id": format!("p{id}"), "amount": amount, "currency": currency,
            "fund": fund, "due_on": "2026-06-30",
        });
        ("pledge", payload)
    });
    let towards = (0..12, 0..4, 1_u64..2_000, currency(), fund()).prop_map(
        |(id, pledge, cents, currency, fund)| {
            let payload = json!({
                "donation_id": format!("d{id}"), "amount": cents.to_string(),
                "currency": currency, "fund": fund, "pledge_id": format!("p{pledge}"),
            });
            ("donate", payload)
        },
    );
    let fulfil = (0..4, 0..12).prop_map(|(pledge, id)| {
        let payload = json!({ "pledge_id": format!("p{pledge}"), "donation_id": format!("d{id}") });
        ("fulfil", payload)
    });
    let cancel = (0..4).prop_map(|id| {
        let payload = json!({ "pledge_id": format!("p{id}"), "reason": "asked for" });
        ("cancel_pledge", payload)
    });
    let every = prop_oneof![
        Just("day"),
        Just("week"),
        Just("month"),
        Just("year"),
        Just("")
    ];
    let times = prop_oneof![2 => Just(Value::Null), 3 => (0..5_u8).prop_map(|n| json!(n))];
    let subscribe = (0..3, amount(), currency(), fund(), every, times).prop_map(
        |(id, amount, currency, fund, every, times)| {
            let payload = json!({
                "subscription_id": format!("s{id}"), "amount": amount, "currency": currency,
                "fund": fund, "every": every, "times": times, "payer": "ali",
            });
            ("subscribe", payload)
        },
    );
    let unsubscribe = (0..3).prop_map(|id| {
        let payload = json!({ "subscription_id": format!("s{id}") });
        ("unsubscribe", payload)
    });
    let reserved = (0..3, 0..6).prop_map(|(id, number)| {
        let payload = json!({
            "donation_id": format!("s{id}/{number}"), "amount": "1", "currency": "USD",
        });
        ("donate", payload)
    });
    let given_back = (0..3, 1..4).prop_map(|(id, number)| {
        let payload = json!({ "donation_id": format!("s{id}/{number}"), "reason": "twice" });
        ("refund", payload)
    });
    let days = (0..20_u8).prop_map(|days| (WAIT, json!(days)));
    prop_oneof![
        10 => old_command(), 3 => pledge, 4 => towards, 2 => fulfil, 1 => cancel,
        3 => subscribe, 1 => unsubscribe, 1 => reserved, 1 => given_back, 4 => days,
    ]
}

/// No command: days pass, and the timers that come due meanwhile fire.
const WAIT: &str = "(days)";

const DAY_MS: i64 = 86_400_000;

impl Desk {
    /// A command, or days that pass. A refusal leaves no trace.
    fn step(&mut self, event: &str, payload: Value) {
        if event == WAIT {
            self.now_ms += payload.as_i64().unwrap() * DAY_MS;
            self.fire_due();
            return;
        }
        let before = self.state.clone();
        if self.send(event, payload).is_err() {
            assert_eq!(before, self.state, "a refusal leaves no trace");
        }
    }

    /// Every date of every subscription that has passed has one gift, and no other
    /// has: said of a campaign whose timers have fired.
    fn has_its_dates(&self) {
        let campaign = self.state.campaign.as_ref().unwrap();
        for (id, subscription) in &campaign.subscriptions {
            if let Some((number, due_on)) = subscription.next() {
                assert!(due_on.start_ms() > self.now_ms, "{id} is late for {number}");
                let (at_ms, _) = self.timers[&format!("subscription/{id}")];
                assert_eq!(at_ms, due_on.start_ms(), "{id}");
            } else {
                assert!(!self.timers.contains_key(&format!("subscription/{id}")));
            }
        }
    }
}

/// A campaign after some commands and days; each has been checked by `Desk::send`.
fn desk() -> impl Strategy<Value = Desk> {
    vec(command(), 0..40).prop_map(|commands| {
        let mut desk = Desk::open_on("2026-01-31");
        for (event, payload) in commands {
            desk.step(event, payload);
        }
        desk.fire_due();
        desk
    })
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.events.fmt(f)
    }
}

/// A campaign of 0.2.0 after some commands.
fn old() -> impl Strategy<Value = Old> {
    vec(old_command(), 0..20).prop_map(|commands| {
        let mut desk = Desk::open();
        for (event, payload) in commands {
            desk.step(event, payload);
        }
        desk.state.down().unwrap().old
    })
}

proptest! {
    #[test]
    fn a_replay_gives_the_same_state(desk in desk()) {
        let journal = serde_json::to_vec(&desk.events).unwrap();
        let mut replayed = Donations::default();
        for event in serde_json::from_slice::<Vec<Event>>(&journal).unwrap() {
            replayed.apply(event);
        }
        prop_assert_eq!(bytes(&replayed), bytes(&desk.state));
    }

    #[test]
    fn a_state_has_one_encoding(desk in desk()) {
        let exported = bytes(&desk.state);
        let imported: Donations = rmp_serde::from_slice(&exported).unwrap();
        prop_assert_eq!(bytes(&imported), exported);
        prop_assert_eq!(imported, desk.state);
    }

    #[test]
    fn each_date_has_its_gift_and_no_other_has(desk in desk()) {
        desk.has_its_dates();
    }

    /// Down and up again, through the bytes that the host keeps.
    #[test]
    fn the_way_back_and_forth_changes_nothing(desk in desk()) {
        let down = desk.state.down().unwrap();
        let old = rmp_serde::from_slice(&bytes(&down.old)).unwrap();
        let carry = rmp_serde::from_slice(&bytes(&down.carry)).unwrap();
        let up = Desk::up(old, Some(carry), false);
        prop_assert_eq!(bytes(&up.state), bytes(&desk.state));
    }

    #[test]
    fn from_0_2_0_and_back_changes_nothing(old in old()) {
        let up = Desk::up(old.clone(), None, false);
        let down = up.state.down().unwrap();
        prop_assert_eq!(bytes(&down.old), bytes(&old));
    }

    /// Gifts that 0.2.0 takes and gives back meanwhile are what they would be here, the
    /// dates that pass have their gifts afterwards, and nothing else moves.
    #[test]
    fn what_0_2_0_does_meanwhile_is_kept(
        desk in desk(),
        gifts in vec(1_u64..1_000_000, 0..10),
        days in 0_i64..100,
    ) {
        let down = desk.state.down().unwrap();
        let mut old = down.old;
        let mut expected = Desk { state: desk.state, timers: desk.timers.clone(), ..Desk::default() };
        for (n, minor) in gifts.iter().enumerate() {
            let id = format!("meanwhile-{n}");
            let amount = format!("{}.{:02}", minor / 100, minor % 100);
            old_donate(&mut old, &id, &amount);
            // What this version does with the same gift is what `up` must come to.
            expected.donate(&id, (&amount, "USD"), "sadaqah", "").unwrap();
            if n % 3 == 0 {
                old_refund(&mut old, &id);
                expected.refund(&id).unwrap();
            }
        }
        let mut up = Desk::up(old, Some(down.carry), !gifts.is_empty());
        prop_assert_eq!(bytes(&up.state), bytes(&expected.state));
        up.timers = desk.timers;
        for desk in [&mut up, &mut expected] {
            desk.now_ms = "2026-01-31".parse::<Day>().unwrap().start_ms() + days * DAY_MS;
            desk.fire_due();
        }
        up.has_its_dates();
        prop_assert_eq!(bytes(&up.state), bytes(&expected.state));
    }

    #[test]
    fn samples_are_acceptable_anywhere(desk in desk(), seed: u64, count in 0_usize..30) {
        let mut desk = desk;
        let samples = desk.state.samples(&mut Random::new(seed), count);
        prop_assert_eq!(samples.len(), count);
        for sample in samples {
            prop_assert!(desk.send(&sample.event, sample.payload).is_ok());
        }
    }

    #[test]
    fn an_opening_can_come_at_any_time(commands in vec(command(), 0..5)) {
        let mut desk = Desk::default();
        for (event, payload) in commands {
            prop_assert!(event == WAIT || desk.send(event, payload).is_err());
        }
        prop_assert_eq!(desk.send("open", opening()).is_ok(), true);
    }
}
