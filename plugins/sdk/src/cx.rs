//! What a handler may know of the world.

use std::cell::Cell;

use serde::de::DeserializeOwned;

#[cfg(test)]
mod tests;

/// The context of one call. A replay or a shadow run sees the same.
#[derive(Debug)]
pub struct Cx<'a> {
    pub(crate) key: &'a str,
    pub(crate) event: &'a str,
    pub(crate) claims: &'a [u8],
    pub(crate) now_ms: i64,
    pub(crate) seed: Cell<u64>,
    pub(crate) seq: u64,
    pub(crate) caller: Caller,
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A client of the gateway, or an operator.
    Client,
    /// Another actor, by a cast.
    Actor,
    /// A timer of this actor.
    Timer,
}

impl<'a> Cx<'a> {
    /// A context for a test of `decide` or `query`, without a host.
    #[must_use]
    pub fn for_test(key: &'a str, event: &'a str, now_ms: i64) -> Self {
        Self {
            key,
            event,
            claims: b"",
            now_ms,
            seed: Cell::new(0),
            seq: 0,
            caller: Caller::Client,
        }
    }

    /// The same, with a caller's claims (a JSON object).
    #[must_use]
    pub fn with_claims(mut self, claims: &'a [u8]) -> Self {
        self.claims = claims;
        self
    }

    /// The same, sent by another kind of caller.
    #[must_use]
    pub fn with_caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// The actor's key: `ramadan-2026` of `donations:ramadan-2026`.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// Name of the command, query or timer.
    #[must_use]
    pub fn event(&self) -> &'a str {
        self.event
    }

    /// Unix milliseconds, UTC. Never less than at the actor's previous event.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Sequence of the actor's last event; 0 before the first.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Who sent it.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// The caller's verified claims, or `None` where there are none or they are
    /// not of this shape.
    #[must_use]
    pub fn claims<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.claims).ok()
    }

    /// Random bits, different at each use within a call.
    #[must_use]
    pub fn random(&self) -> Random {
        let seed = self.seed.get();
        self.seed.set(Random::new(seed).next_u64());
        Random::new(seed)
    }
}

/// Random bits from a seed: splitmix64 (Steele, Lea, Flood 2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; the same seed gives the same bits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound - 1`; 0 for a bound of 0. The bias is below
    /// `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a product of two u64 is a u64")
    }
}
