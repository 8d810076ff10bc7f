//! What a client may do a second: token buckets, by whatever clock they are told.
//!
//! A bucket is one moment, that at which it is full again (GCRA, as of ITU-T I.371): it has
//! no timer, and costs nothing while nobody asks.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::Place;
use crate::counters::Counters;
use crate::limits::{BURST, REFUSED_IN_A_ROW_MAX};

/// What may be done a second, as a mean: [`BURST`] seconds' worth of it at once. 0: as much
/// as one likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Topics joined.
    pub joins: u64,
    /// Messages and requests, joins among them.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What clients may do. Those on this machine's own addresses may do as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Over one WebSocket.
    pub connection: Rates,
    /// From one address, over all that is open.
    pub address: Rates,
    /// Connections from one address at once; 0: as many as there are.
    pub connections: u64,
}

impl Default for ClientLimits {
    /// Far above what people do, and what a program does that waits for answers: an address
    /// may be a company's, or a mobile network's.
    fn default() -> Self {
        Self {
            connection: Rates {
                joins: 50,
                messages: 1_000,
                bytes: 2 << 20,
            },
            address: Rates {
                joins: 1_000,
                messages: 10_000,
                bytes: 20 << 20,
            },
            connections: 2_000,
        }
    }
}

/// What was done too often. Each is a rate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Joins,
    Messages,
    Bytes,
}

/// That somebody is to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "there are more {} than {per_second} a second {}; try again in {} ms",
    .what.name(), if *.is_address { "from this address" } else { "over this connection" },
    .retry_after.as_millis()
)]
pub(crate) struct Limited {
    pub(crate) what: What,
    per_second: u64,
    is_address: bool,
    pub(crate) retry_after: Duration,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Joins => "joins",
            Self::Messages => "messages",
            Self::Bytes => "bytes",
        }
    }
}

impl Limited {
    /// One word for programs.
    pub(crate) const REASON: &'static str = "rate_limited";

    /// Where it is counted.
    pub(crate) fn counter(self, counters: &Counters) -> &AtomicU64 {
        match self.what {
            What::Joins => &counters.limited_joins,
            What::Messages => &counters.limited_messages,
            What::Bytes => &counters.limited_bytes,
        }
    }
}

/// One rate's: when it will be full again, if it is not.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket(Option<Instant>);

impl Bucket {
    /// Takes `cost` out; what does not fit into it at all, it gives when it is full.
    ///
    /// # Errors
    ///
    /// How long to wait until that is there.
    fn take(&mut self, cost: u64, per_second: u64, now: Instant) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let full_at = self.0.filter(|at| *at > now).unwrap_or(now);
        let ahead = full_at + cost_of(cost, per_second) - now;
        if ahead > BURST && full_at > now {
            return Err(ahead - BURST);
        }
        self.0 = Some(now + ahead);
        Ok(())
    }

    fn is_full(&self, now: Instant) -> bool {
        self.0.is_none_or(|at| at <= now)
    }
}

/// How long `cost` takes to come back.
fn cost_of(cost: u64, per_second: u64) -> Duration {
    let ns = u128::from(cost) * 1_000_000_000 / u128::from(per_second);
    // Beyond it nothing is sent: 584 years of it.
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX / 4))
}

/// What one connection, or one address, has done lately.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    joins: Bucket,
    messages: Bucket,
    bytes: Bucket,
}

impl Buckets {
    /// Takes a message out, or a join, which is one.
    pub(super) fn take(
        &mut self,
        rates: &Rates,
        is_address: bool,
        now: Instant,
        is_join: bool,
        bytes: u64,
    ) -> Result<(), Limited> {
        let one = |what, bucket: &mut Bucket, cost, per_second| {
            let taken = bucket.take(cost, per_second, now);
            taken.map_err(|retry_after| Limited {
                what,
                per_second,
                is_address,
                // Not a moment too early, in the milliseconds that are told.
                retry_after: Duration::from_millis(1 + retry_after.as_millis() as u64),
            })
        };
        one(What::Messages, &mut self.messages, 1, rates.messages)?;
        one(What::Bytes, &mut self.bytes, bytes, rates.bytes)?;
        match is_join {
            true => one(What::Joins, &mut self.joins, 1, rates.joins),
            false => Ok(()),
        }
    }

    /// Whether they are as if nothing had been done.
    pub(super) fn are_full(&self, now: Instant) -> bool {
        [&self.joins, &self.messages, &self.bytes]
            .iter()
            .all(|bucket| bucket.is_full(now))
    }
}

/// What one connection may do, by its own rates and by those of its address.
#[derive(Debug)]
pub(crate) struct Limiter {
    own: Box<Buckets>,
    place: Place,
    refused_in_a_row: u32,
}

impl Limiter {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            own: Box::default(),
            place,
            refused_in_a_row: 0,
        }
    }

    /// Whether a message may be handled.
    ///
    /// # Errors
    ///
    /// What there is too much of, and for how long.
    pub(crate) fn allow(
        &mut self,
        now: Instant,
        is_join: bool,
        bytes: usize,
    ) -> Result<(), Limited> {
        let bytes = bytes as u64;
        let rates = self.place.limits().connection;
        let own = self.own.take(&rates, false, now, is_join, bytes);
        let allowed = own.and_then(|()| self.place.take(now, is_join, bytes));
        self.refused_in_a_row = match allowed {
            Ok(()) => 0,
            Err(_) => self.refused_in_a_row.saturating_add(1),
        };
        allowed
    }

    /// Whether the client does not heed what it is told.
    pub(crate) fn is_flooded(&self) -> bool {
        self.refused_in_a_row > REFUSED_IN_A_ROW_MAX
    }
}

/// Of a test that wants them so.
#[cfg(test)]
pub(crate) fn limiter(limits: ClientLimits) -> Limiter {
    let addresses = super::Addresses::new(limits);
    let place = addresses.enter(std::net::IpAddr::from([192, 0, 2, 1]));
    Limiter::new(place.unwrap().unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::default();
        let taken = (0..1_000).take_while(|_| bucket.take(1, 10, now).is_ok());
        assert_eq!(taken.count(), 100, "ten seconds' worth");
        assert_eq!(bucket.take(1, 10, now), Err(Duration::from_millis(100)));
        let later = now + Duration::from_millis(100);
        assert_eq!(bucket.take(1, 10, later), Ok(()));
        assert!(bucket.take(1, 10, later).is_err());
        assert!(!bucket.is_full(now + Duration::from_secs(10)));
        assert!(bucket.is_full(now + Duration::from_secs(11)));
    }

    #[test]
    fn what_is_larger_than_a_bucket_passes_when_that_is_full() {
        let now = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(1_000, 10, now), Ok(()), "100 s ahead");
        assert_eq!(bucket.take(1, 10, now), Err(Duration::from_millis(90_100)));
        let full = now + Duration::from_secs(100);
        assert_eq!(bucket.take(u64::MAX, 10, full), Ok(()));
        assert!(bucket.take(1, 0, full).is_ok(), "no rate, no limit");
    }

    #[test]
    fn joins_are_messages_and_the_address_counts_for_all_its_connections() {
        let rates = |joins, messages, bytes| Rates {
            joins,
            messages,
            bytes,
        };
        let limits = ClientLimits {
            connection: rates(1, 0, 0),
            address: rates(0, 2, 0),
            connections: 0,
        };
        let mut limiter = limiter(limits);
        let now = Instant::now();
        let joins = (0..100).take_while(|_| limiter.allow(now, true, 1).is_ok());
        assert_eq!(joins.count(), 10);
        let limited = limiter.allow(now, true, 1).unwrap_err();
        assert_eq!(limited.what, What::Joins);
        let text = limited.to_string();
        assert!(text.contains("1 a second over this connection"), "{text}");
        let mut other = Limiter::new(limiter.place.clone());
        let messages = (0..100).take_while(|_| other.allow(now, false, 1).is_ok());
        assert_eq!(messages.count(), 10, "of twenty, ten were the other's");
        let limited = other.allow(now, false, 1).unwrap_err();
        assert_eq!(limited.what, What::Messages);
        assert!(limited.to_string().contains("from this address"));
        for _ in 2..=REFUSED_IN_A_ROW_MAX {
            assert!(!other.is_flooded());
            other.allow(now, false, 1).unwrap_err();
        }
        assert!(other.is_flooded());
    }
}
