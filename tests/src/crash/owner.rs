//! One who declares what it owns without end, each time under a new key of the header,
//! and asks again under old ones.
//!
//! `declare` of the plugin zakat has no key of its own: carried out again, it puts an old
//! amount in the place of the new one, and is a second record. So only the host's key
//! keeps a repetition from being one.

use std::sync::Arc;
use std::thread;

use serde_json::json;

use super::Dice;
use super::giver::{AGAIN, ATTEMPTS_MAX, Field};
use super::keys::{Known, amount, asset, key};
use super::post::{Posted, leaves_open, may_try_again, post};

/// How far back an owner asks again: over more than one kill.
const BACK: u64 = 400;

/// One owner.
pub(crate) struct Owner {
    pub(crate) number: u64,
    pub(crate) dice: Dice,
    pub(crate) field: Arc<Field>,
}

impl Owner {
    /// Declares until it is over.
    pub(crate) fn declare(mut self) {
        for number in 0_u64.. {
            let actor = self.actor();
            if !self.until_told(&actor, number) {
                return;
            }
            let old = number.saturating_sub(self.dice.below(BACK));
            let known = self.field.keys.known(&actor, old);
            // One that is open, and not the last, would now be declared out of its turn.
            let is_known = matches!(known, Some(Known::Answered(_)));
            if self.dice.percent(20) && is_known && !self.until_told(&actor, old) {
                return;
            }
        }
    }

    fn actor(&self) -> String {
        let generation = self.field.campaigns.generation();
        format!("zakat:g{generation}-o{}", self.number)
    }

    /// Sends until it is told what has come of it, or gives it up. False: it is over.
    fn until_told(&mut self, actor: &str, number: u64) -> bool {
        for _ in 0..ATTEMPTS_MAX {
            let mut told = None;
            let went_on = self.field.gate.pass(|| told = self.attempt(actor, number));
            match told {
                _ if !went_on => return false,
                Some(true) => return true,
                // Then nobody ever hears what became of it.
                Some(false) if self.dice.percent(25) => return true,
                Some(false) => {}
                None => thread::sleep(AGAIN),
            }
        }
        true
    }

    /// One attempt. None: it has come to nothing; true: it is known to be there.
    fn attempt(&self, actor: &str, number: u64) -> Option<bool> {
        let Field {
            port, keys, book, ..
        } = &*self.field;
        let before = keys.sends(actor, number);
        let body = json!({"asset_id": asset(number), "kind": "cash",
            "amount": amount(number).to_string(), "currency": "USD"});
        let header = format!("Idempotency-Key: {}\r\n", key(number));
        match post(*port, actor, "declare", &header, &body) {
            Posted::Taken(answer) => {
                let head = answer.head.to_ascii_lowercase();
                let replayed = head.contains("idempotent-replayed: true");
                let answer = (answer.body.as_str(), replayed);
                if let Some(wrong) = keys.answered(actor, number, &before, answer) {
                    book.wrong(wrong);
                }
                Some(true)
            }
            Posted::Lost => Some(false),
            Posted::Refused(reason) if leaves_open(&reason) => Some(false),
            Posted::Unsent => {
                keys.came_to_nothing(actor, number, before);
                None
            }
            Posted::Refused(reason) => {
                keys.came_to_nothing(actor, number, before);
                if may_try_again(&reason) {
                    return None;
                }
                book.wrong(format!("{actor} {} was answered {reason}", key(number)));
                Some(true)
            }
        }
    }
}
