//! What the givers have sent and what they were told, one line for each gift.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rust_decimal::Decimal;

/// What is known of a gift from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is not there: it was never sent, or refused each time.
    Not,
    /// It may be there or not: an answer is under way, was lost, or said so.
    Open,
    /// It is there, with this receipt where one was given.
    There {
        /// `receipt_no`
        receipt: Option<u64>,
    },
}

/// One gift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    /// In the campaign's currency.
    pub amount: Decimal,
    /// Whose zakat it pays, where the version knows of such.
    pub payer: Option<String>,
    /// What is known of it.
    pub told: Told,
}

/// How often what happened.
#[derive(Debug, Default)]
pub struct Counts {
    /// Gifts acknowledged.
    pub acknowledged: AtomicU64,
    /// Acknowledged as already there, behind an attempt whose end was open.
    pub told_there: AtomicU64,
    /// Acknowledged as new, behind an attempt whose end was open.
    pub told_new: AtomicU64,
    /// Answers that left it open, and connections lost over a gift.
    pub opened: AtomicU64,
    /// Of them answers that said so: `outcome_unknown`.
    pub unknown: AtomicU64,
    /// Answers that nothing has happened.
    pub refused: AtomicU64,
    /// Acknowledged gifts sent once more, and known.
    pub repeated: AtomicU64,
    /// Summaries read and found to have what was acknowledged before.
    pub queried: AtomicU64,
}

/// Gifts by actor and id, and what was wrong with answers.
#[derive(Debug, Default)]
pub struct Book {
    gifts: Mutex<BTreeMap<String, BTreeMap<String, Gift>>>,
    wrong: Mutex<Vec<String>>,
    /// How often what happened.
    pub counts: Counts,
}

impl Book {
    /// Takes down a gift that is about to be sent: from now on it may be there.
    /// Says whether it might have been there before.
    pub fn sends(&self, actor: &str, id: &str, amount: Decimal, payer: Option<&str>) -> bool {
        let mut gifts = self.lock();
        let gifts = gifts.entry(actor.to_owned()).or_default();
        let gift = gifts.entry(id.to_owned()).or_insert_with(|| Gift {
            amount,
            payer: payer.map(str::to_owned),
            told: Told::Not,
        });
        let before = gift.told;
        if before == Told::Not {
            gift.told = Told::Open;
        }
        before != Told::Not
    }

    /// Takes down that a gift is there.
    pub fn is_there(&self, actor: &str, id: &str, receipt: Option<u64>) {
        let before = self.change(actor, id, |gift| {
            let known = match gift.told {
                Told::There { receipt } => receipt,
                _ => None,
            };
            gift.told = Told::There {
                receipt: known.or(receipt),
            };
            known
        });
        if let (Some(Some(before)), Some(now)) = (before, receipt)
            && before != now
        {
            self.wrong(format!("{actor} {id} had receipt {before} and then {now}"));
        }
    }

    /// Takes down that the attempt which has just been made has come to nothing.
    /// `before`: what [`Book::sends`] said of it.
    pub fn is_refused(&self, actor: &str, id: &str, before: bool) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        if !before {
            self.change(actor, id, |gift| gift.told = Told::Not);
        }
    }

    /// Takes down that an answer was not as it must be.
    pub fn wrong(&self, what: String) {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    /// All that was wrong so far; it is not told again.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The actors that someone has given to.
    #[must_use]
    pub fn actors(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// The gifts to an actor.
    #[must_use]
    pub fn gifts(&self, actor: &str) -> BTreeMap<String, Gift> {
        self.lock().get(actor).cloned().unwrap_or_default()
    }

    /// How many gifts to an actor are known to be there.
    #[must_use]
    pub fn known(&self, actor: &str) -> u64 {
        let gifts = self.lock();
        let there = |gift: &&Gift| matches!(gift.told, Told::There { .. });
        gifts
            .get(actor)
            .map_or(0, |gifts| gifts.values().filter(there).count() as u64)
    }

    fn change<T>(&self, actor: &str, id: &str, change: impl FnOnce(&mut Gift) -> T) -> Option<T> {
        let mut gifts = self.lock();
        gifts.get_mut(actor)?.get_mut(id).map(change)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, Gift>>> {
        // A giver that panicked has failed the run; what it wrote stands.
        self.gifts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(book: &Book) -> Told {
        book.gifts("a")["g"].told
    }

    #[test]
    fn what_may_have_happened_once_is_not_undone_by_a_refusal() {
        let book = Book::default();
        let amount = Decimal::ONE;
        assert!(!book.sends("a", "g", amount, None));
        book.is_refused("a", "g", false);
        assert_eq!(told(&book), Told::Not);
        assert!(!book.sends("a", "g", amount, None));
        // No answer came.
        assert_eq!(told(&book), Told::Open);
        assert!(book.sends("a", "g", amount, None));
        book.is_refused("a", "g", true);
        assert_eq!(told(&book), Told::Open);
        book.is_there("a", "g", Some(7));
        assert_eq!(told(&book), Told::There { receipt: Some(7) });
        assert_eq!(book.known("a"), 1);
        book.is_there("a", "g", Some(8));
        assert_eq!(book.take_wrong().len(), 1);
    }
}
