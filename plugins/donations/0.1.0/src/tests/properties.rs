//! What holds after any sequence of commands.

use host_sdk::Plugin;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::{Donations, Event};

/// Commands that are often right and sometimes wrong, with few ids, so that
/// repeats and conflicts are common.
fn command() -> impl Strategy<Value = (&'static str, Value)> {
    let amount = prop_oneof![
        8 => (1_u64..1_000_000).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        1 => Just("999999999999999999.99".to_owned()),
        1 => ".{0,6}",
    ];
    let code = prop_oneof![8 => Just("USD"), 1 => Just("EUR"), 1 => Just("XAU")];
    let donor = prop_oneof![Just(Value::Null), Just(json!("Ali")), Just(json!("Zaynab"))];
    let donate = (0..12, donor, amount, code).prop_map(|(id, donor, amount, currency)| {
        let payload = json!({
            "donation_id": format!("d{id}"), "donor": donor, "amount": amount, "currency": currency,
        });
        ("donate", payload)
    });
    let open = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    prop_oneof![9 => donate, 1 => Just(("open", open))]
}

proptest! {
    /// `Desk::send` checks the invariants after each command.
    #[test]
    fn commands_keep_the_books(commands in prop::collection::vec(command(), 0..40)) {
        let mut desk = Desk::default();
        for (event, payload) in commands {
            let before = desk.state.clone();
            if desk.send(event, payload).is_err() {
                prop_assert_eq!(&before, &desk.state);
            }
        }

        let mut replayed = Donations::default();
        let journal = serde_json::to_vec(&desk.events).unwrap();
        for event in serde_json::from_slice::<Vec<Event>>(&journal).unwrap() {
            replayed.apply(event);
        }
        prop_assert_eq!(&replayed, &desk.state);

        let bytes = rmp_serde::to_vec_named(&desk.state).unwrap();
        let imported: Donations = rmp_serde::from_slice(&bytes).unwrap();
        prop_assert_eq!(rmp_serde::to_vec_named(&imported).unwrap(), bytes);
    }

    #[test]
    fn no_text_as_an_amount_panics(text in ".{0,40}", digits in "[0-9]{0,30}[.]?[0-9]{0,30}") {
        let mut desk = Desk::open();
        let _ = desk.donate("d1", &text);
        let _ = desk.donate("d2", &digits);
    }
}
