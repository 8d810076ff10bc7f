//! What owners have declared under keys of the header `Idempotency-Key`, with the first
//! answer to each; and all of it held against the state and the trail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use serde_json::Value;

use super::audit::{Findings, decimal};

/// How many assets each owner has: each is declared anew again and again.
const ASSETS: u64 = 50;

/// What is known of a command under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It has not happened.
    Not,
    /// It may have happened or not.
    Open,
    /// It has, and this was the answer.
    Answered(String),
}

/// Commands by owner and number, and how often what happened.
#[derive(Debug, Default)]
pub struct Keys {
    owners: Mutex<BTreeMap<String, BTreeMap<u64, Known>>>,
    /// Commands answered for the first time.
    pub taken: AtomicU64,
    /// First answers given again.
    pub again: AtomicU64,
    /// Of them those that nobody had heard before.
    pub told_there: AtomicU64,
}

/// The key of a command.
pub(super) fn key(number: u64) -> String {
    format!("k{number}")
}

/// The asset that it declares. Its amount is the number, counted from 1.
pub(super) fn asset(number: u64) -> String {
    format!("a{}", number % ASSETS)
}

/// The amount that it declares.
pub(super) fn amount(number: u64) -> u64 {
    number + 1
}

impl Keys {
    /// Takes down that a command is about to be sent; what was known of it.
    pub(super) fn sends(&self, actor: &str, number: u64) -> Known {
        let mut owners = self.lock();
        let keys = owners.entry(actor.to_owned()).or_default();
        let known = keys.entry(number).or_insert(Known::Not);
        let before = known.clone();
        if before == Known::Not {
            *known = Known::Open;
        }
        before
    }

    /// Takes down an answer, and says what is wrong with it. `before` is what
    /// [`Keys::sends`] said.
    pub(super) fn answered(
        &self,
        actor: &str,
        number: u64,
        before: &Known,
        (body, replayed): (&str, bool),
    ) -> Option<String> {
        let count = match replayed {
            true => &self.again,
            false => &self.taken,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{actor} {}", key(number));
        let wrong = match (before, replayed) {
            (Known::Not, true) => Some(format!("{name} was known before it was sent: {body}")),
            (Known::Answered(_), false) => Some(format!("{name} was taken a second time: {body}")),
            (Known::Answered(first), true) if first != body => Some(format!(
                "{name} was answered {first} first, and {body} then"
            )),
            (Known::Open, true) => {
                self.told_there.fetch_add(1, Ordering::Relaxed);
                None
            }
            _ => None,
        };
        self.set(actor, number, Known::Answered(body.to_owned()));
        wrong
    }

    /// Takes down that the attempt which has just been made has come to nothing.
    pub(super) fn came_to_nothing(&self, actor: &str, number: u64, before: Known) {
        self.set(actor, number, before);
    }

    /// The owners of whom something is known to be there.
    pub(super) fn owners(&self) -> Vec<String> {
        let there = |keys: &BTreeMap<u64, Known>| {
            keys.values()
                .any(|known| matches!(known, Known::Answered(_)))
        };
        let owners = self.lock();
        let owners = owners.iter().filter(|(_, keys)| there(keys));
        owners.map(|(actor, _)| actor.clone()).collect()
    }

    /// Holds an owner's assets against what was declared: each is as the last command
    /// has left it, so no older one was carried out again.
    pub(super) fn of_state(
        &self,
        actor: &str,
        state: &Value,
        findings: &mut Findings,
    ) -> Result<()> {
        let mut may_be: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        let mut settled = BTreeSet::new();
        for (number, known) in self.of(actor).into_iter().rev() {
            let asset = asset(number);
            if settled.contains(&asset) || known == Known::Not {
                continue;
            }
            may_be
                .entry(asset.clone())
                .or_default()
                .insert(amount(number));
            if known != Known::Open {
                settled.insert(asset);
            }
        }
        for (asset, amounts) in may_be {
            let found = &state["assets"][&asset]["holding"]["amount"];
            let is_one = match found.is_null() {
                true => !settled.contains(&asset),
                false => {
                    let found = decimal(found)?;
                    amounts.iter().any(|it| found == (*it).into())
                }
            };
            if !is_one {
                let wrong = format!("{actor} {asset} has {found} for one of {amounts:?}");
                findings.wrong.push(wrong);
            }
        }
        Ok(())
    }

    /// Holds the keys in an owner's trail against what was sent: one that was answered
    /// is there once, an open one at most, and no other.
    pub(super) fn of_trail(&self, actor: &str, trail: &[Value], findings: &mut Findings) {
        let mut found: BTreeMap<&str, u64> = BTreeMap::new();
        for event in trail {
            *found
                .entry(event["idempotency_key"].as_str().unwrap_or_default())
                .or_default() += 1;
        }
        for (number, known) in self.of(actor) {
            let key = key(number);
            let times = found.remove(key.as_str()).unwrap_or_default();
            let list = match (known, times) {
                (Known::Answered(_), 1) | (Known::Open, 0 | 1) | (Known::Not, 0) => continue,
                (Known::Answered(_), 0) => &mut findings.lost,
                (Known::Not, _) => &mut findings.invented,
                _ => &mut findings.doubled,
            };
            list.push(format!("{actor} {key}, {times} times in the trail"));
        }
        let strange = found
            .keys()
            .map(|key| format!("{actor} {key:?} in the trail"));
        findings.invented.extend(strange);
    }

    /// What is known of a command.
    pub(super) fn known(&self, actor: &str, number: u64) -> Option<Known> {
        self.lock().get(actor)?.get(&number).cloned()
    }

    fn of(&self, actor: &str) -> BTreeMap<u64, Known> {
        self.lock().get(actor).cloned().unwrap_or_default()
    }

    fn set(&self, actor: &str, number: u64, known: Known) {
        let mut owners = self.lock();
        let keys = owners.entry(actor.to_owned()).or_default();
        keys.insert(number, known);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<u64, Known>>> {
        // An owner that panicked has failed the run; what it wrote stands.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(keys: &Keys, number: u64, body: &str, replayed: bool) -> Option<String> {
        let before = keys.sends("o", number);
        keys.answered("o", number, &before, (body, replayed))
    }

    #[test]
    fn an_answer_that_is_not_the_first_one_again_is_found() {
        let keys = Keys::default();
        assert_eq!(answer(&keys, 0, "{}", false), None);
        assert_eq!(answer(&keys, 0, "{}", true), None);
        assert!(answer(&keys, 0, "{ }", true).is_some(), "another byte");
        let keys = Keys::default();
        assert_eq!(answer(&keys, 0, "{}", false), None);
        assert!(answer(&keys, 0, "{}", false).is_some(), "taken twice");
        assert!(answer(&keys, 1, "{}", true).is_some(), "never sent");
        // Nobody has heard what came of it.
        assert_eq!(keys.sends("o", 2), Known::Not);
        assert_eq!(answer(&keys, 2, "{}", true), None);
        assert_eq!(keys.told_there.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_older_command_carried_out_again_is_found_in_the_state_and_in_the_trail() {
        let keys = Keys::default();
        for number in [0, ASSETS] {
            answer(&keys, number, "{}", false);
        }
        keys.sends("o", 1);
        let state =
            |amount: u64| json!({"assets": {"a0": {"holding": {"amount": amount.to_string()}}}});
        let mut found = Findings::default();
        keys.of_state("o", &state(amount(ASSETS)), &mut found)
            .unwrap();
        assert!(found.hold(), "{found}");
        keys.of_state("o", &state(amount(0)), &mut found).unwrap();
        assert_eq!(found.wrong.len(), 1, "{found}");

        let trail = |numbers: &[u64]| -> Vec<Value> {
            let event = |number: &u64| json!({"idempotency_key": key(*number)});
            numbers.iter().map(event).collect()
        };
        let mut found = Findings::default();
        keys.of_trail("o", &trail(&[0, 1, ASSETS]), &mut found);
        keys.of_trail("o", &trail(&[0, ASSETS]), &mut found);
        assert!(found.hold(), "{found}");
        keys.of_trail("o", &trail(&[0, 0, 7]), &mut found);
        let lists = [found.doubled, found.lost, found.invented];
        assert_eq!(lists.map(|list| list.len()), [1, 1, 1]);
    }
}
