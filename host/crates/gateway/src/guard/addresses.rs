//! Who is connected from where. An address of IPv6 counts by its /64, which is what one
//! household is given; this machine's own are not counted at all.
//!
//! What is remembered of an address lives as long as somebody is connected from it, and for a
//! while after that, so that whoever comes again meets the same limits: at most
//! [`ADDRESSES_MAX`] such.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::rates::{Buckets, ClientLimits, Limited};
use crate::limits::ADDRESSES_MAX;

/// Everybody who is connected, by address, and what they may do.
#[derive(Debug, Default)]
pub struct Addresses {
    limits: Arc<ArcSwap<ClientLimits>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_address: HashMap<IpAddr, Arc<Address>, foldhash::fast::RandomState>,
    /// With how many it is looked through next.
    look_at: usize,
}

#[derive(Debug)]
struct Address {
    connections: AtomicU64,
    buckets: Mutex<Buckets>,
    limits: Arc<ArcSwap<ClientLimits>>,
}

/// One connection's place among those of its address, until its last copy is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Taken>);

#[derive(Debug)]
struct Taken(Arc<Address>);

/// An address without a connection of its own: of a request that came by a proxy.
#[derive(Debug)]
pub(crate) struct Visit(Arc<Address>);

impl Addresses {
    /// Nobody yet, within `limits`.
    #[must_use]
    pub fn new(limits: ClientLimits) -> Self {
        Self {
            limits: Arc::new(ArcSwap::from_pointee(limits)),
            known: Mutex::default(),
        }
    }

    /// Other limits from now on. Nobody is sent away for them.
    pub fn set_limits(&self, limits: ClientLimits) {
        self.limits.store(Arc::new(limits));
    }

    /// A place for one more connection from `address`; none where nothing is counted.
    ///
    /// # Errors
    ///
    /// How many there are, which is as many as may be.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Option<Place>, u64> {
        let Some(address) = counted(address) else {
            return Ok(None);
        };
        let most = self.limits.load().connections;
        let mut known = self.known.lock();
        let address = self.known(&mut known, address);
        // Under the lock, so that nobody is forgotten between two looks.
        let before = address.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::new(Taken(address)));
        drop(known);
        match most != 0 && before >= most {
            true => Err(most),
            false => Ok(Some(place)),
        }
    }

    /// What is known of an address, for one request; none where nothing is counted.
    pub(crate) fn look_up(&self, address: IpAddr) -> Option<Visit> {
        let address = counted(address)?;
        Some(Visit(self.known(&mut self.known.lock(), address)))
    }

    fn known(&self, known: &mut Known, address: IpAddr) -> Arc<Address> {
        if let Some(found) = known.by_address.get(&address) {
            return Arc::clone(found);
        }
        known.make_room();
        let new = Arc::new(Address {
            connections: AtomicU64::new(0),
            buckets: Mutex::default(),
            limits: Arc::clone(&self.limits),
        });
        known.by_address.insert(address, Arc::clone(&new));
        new
    }
}

impl Known {
    /// Forgets addresses at rest once there are many, and then all that nobody is connected
    /// from. It is looked through again when there are twice as many as are left.
    fn make_room(&mut self) {
        if self.by_address.len() < self.look_at.max(ADDRESSES_MAX) {
            return;
        }
        let now = Instant::now();
        let is_connected = |it: &Arc<Address>| it.connections.load(Ordering::Relaxed) > 0;
        self.by_address
            .retain(|_, it| is_connected(it) || !it.buckets.lock().are_full(now));
        if self.by_address.len() >= ADDRESSES_MAX / 2 {
            self.by_address.retain(|_, it| is_connected(it));
        }
        self.look_at = 2 * self.by_address.len();
    }
}

impl Address {
    fn take(&self, now: Instant, is_join: bool, bytes: u64) -> Result<(), Limited> {
        let rates = self.limits.load().address;
        let mut buckets = self.buckets.lock();
        buckets.take(&rates, true, now, is_join, bytes)
    }
}

impl Place {
    pub(super) fn limits(&self) -> ClientLimits {
        **self.0.0.limits.load()
    }

    /// Counts what is done over the connection against its address.
    pub(super) fn take(&self, now: Instant, is_join: bool, bytes: u64) -> Result<(), Limited> {
        self.0.0.take(now, is_join, bytes)
    }
}

impl Visit {
    /// As [`Place::take`].
    pub(super) fn take(&self, now: Instant, is_join: bool, bytes: u64) -> Result<(), Limited> {
        self.0.take(now, is_join, bytes)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As what an address is counted; none if it is this machine's own.
fn counted(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        own if own.is_loopback() => None,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        address => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn with(connections: u64) -> Addresses {
        Addresses::new(ClientLimits {
            connections,
            ..ClientLimits::default()
        })
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let addresses = with(2);
        let first = addresses.enter(address("192.0.2.1")).unwrap().unwrap();
        let copy = first.clone();
        let _second = addresses.enter(address("192.0.2.1")).unwrap();
        assert_eq!(addresses.enter(address("192.0.2.1")).unwrap_err(), 2);
        assert!(addresses.enter(address("192.0.2.2")).is_ok());
        drop(first);
        assert!(
            addresses.enter(address("192.0.2.1")).is_err(),
            "one is left"
        );
        drop(copy);
        assert!(addresses.enter(address("192.0.2.1")).is_ok());
        addresses.set_limits(ClientLimits {
            connections: 0,
            ..ClientLimits::default()
        });
        let many: Vec<_> = (0..9)
            .map(|_| addresses.enter(address("192.0.2.1")))
            .collect();
        assert!(many.iter().all(Result::is_ok), "0 is no limit");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_our_own_are_none() {
        let addresses = with(1);
        let _first = addresses.enter(address("2001:db8:1:2::3")).unwrap();
        assert!(addresses.enter(address("2001:db8:1:2:ffff::1")).is_err());
        assert!(addresses.enter(address("2001:db8:1:3::3")).is_ok());
        let _mapped = addresses.enter(address("::ffff:192.0.2.1")).unwrap();
        assert!(addresses.enter(address("192.0.2.1")).is_err());
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(addresses.enter(address(own)).unwrap().is_none(), "{own}");
        }
    }

    #[test]
    fn as_many_addresses_are_remembered_as_there_is_room_for() {
        let addresses = with(0);
        let stays = addresses.enter(address("192.0.2.1")).unwrap();
        let visit = |number: u32| {
            let visit = addresses.look_up(IpAddr::from(number.to_be_bytes()));
            let now = Instant::now();
            visit.unwrap().take(now, false, 1).unwrap();
        };
        for number in 0..3 * ADDRESSES_MAX as u32 {
            visit(number + (10 << 24));
            assert!(addresses.known.lock().by_address.len() <= ADDRESSES_MAX);
        }
        let known = addresses.known.lock();
        assert!(known.by_address.contains_key(&address("192.0.2.1")));
        drop(stays);
    }
}
