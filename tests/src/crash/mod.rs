//! Kills a host again and again while clients give to it, and looks after each
//! restart for every gift.
//!
//! Givers send over WebSockets and over HTTP ([`giver`]), and write down what they
//! were told in one [`Book`]. Owners send commands that have no key of their own under
//! one of the header `Idempotency-Key` ([`owner`]), and keep each first answer ([`keys`]).
//! The [`run`] kills the host, its keeper or both with
//! `kill -9`, and the PostgreSQL server where there is one, in the middle of upgrades
//! and of ways back, has them started again, and holds the book against the state
//! ([`audit`]) and against what `host audit` shows. All that is chosen is chosen by
//! a seed; what the machine makes of it in between is not.

pub mod audit;
pub mod book;
mod campaigns;
pub mod giver;
pub mod keys;
mod kill;
pub mod owner;
mod post;
mod report;
pub mod run;
mod trail;

pub use audit::Findings;
pub use book::Book;
pub use report::Report;
pub use run::{CUT, Settings, Store, run};

/// Numbers that look random and follow from a seed: Marsaglia's xorshift64.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice number `number` of a run.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Self {
        // Seeds that lie close together would begin alike.
        let mixed = seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut dice = Self(mixed | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 to `end`, without `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True in so many of a hundred times.
    pub fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }
}
