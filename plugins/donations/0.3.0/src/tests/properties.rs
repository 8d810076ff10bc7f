//! What holds after any sequence of commands, in either version.

use host_sdk::{Migrate, Plugin, Random};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::desk::{Desk, bytes, old_donate, old_opened, opening};
use crate::{Donations, Event, Old};

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
fn command() -> impl Strategy<Value = (&'static str, Value)> {
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

/// A campaign after some commands; each has been checked by `Desk::send`.
fn desk() -> impl Strategy<Value = Desk> {
    vec(command(), 0..40).prop_map(|commands| {
        let mut desk = Desk::open();
        for (event, payload) in commands {
            let before = desk.state.clone();
            if desk.send(event, payload).is_err() {
                assert_eq!(before, desk.state, "a refusal leaves no trace");
            }
        }
        desk
    })
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.events.fmt(f)
    }
}

/// A campaign of 0.1.0 after some gifts.
fn old() -> impl Strategy<Value = Old> {
    vec(1_u64..1_000_000, 0..20).prop_map(|gifts| {
        let mut old = old_opened();
        for (n, minor) in gifts.iter().enumerate() {
            let amount = format!("{}.{:02}", minor / 100, minor % 100);
            old_donate(&mut old, &format!("old-{n}"), &amount);
        }
        old
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
    fn from_0_1_0_and_back_changes_nothing(old in old()) {
        let up = Desk::up(old.clone(), None, false);
        let down = up.state.down().unwrap();
        prop_assert_eq!(bytes(&down.old), bytes(&old));
    }

    /// Gifts that 0.1.0 takes meanwhile are sadaqah, and nothing else moves.
    #[test]
    fn gifts_taken_meanwhile_come_up_as_sadaqah(desk in desk(), gifts in vec(1_u64..1_000_000, 0..10)) {
        let down = desk.state.down().unwrap();
        let mut old = down.old;
        let mut expected = desk.state;
        for (n, minor) in gifts.iter().enumerate() {
            let id = format!("meanwhile-{n}");
            let amount = format!("{}.{:02}", minor / 100, minor % 100);
            old_donate(&mut old, &id, &amount);
            // What this version does with the same gift is what `up` must come to.
            let mut desk = Desk { state: expected, ..Desk::default() };
            desk.donate(&id, (&amount, "USD"), "sadaqah", "").unwrap();
            expected = desk.state;
        }
        let up = Desk::up(old, Some(down.carry), !gifts.is_empty());
        prop_assert_eq!(bytes(&up.state), bytes(&expected));
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
            prop_assert!(desk.send(event, payload).is_err());
        }
        prop_assert_eq!(desk.send("open", opening()).is_ok(), true);
    }
}
