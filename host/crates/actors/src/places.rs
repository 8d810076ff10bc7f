//! Room for the calls of clients that are under way: so many and no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use host_model::limits::CALLS_UNDER_WAY_BYTES_MAX;

use crate::{Actors, CallError};

/// The calls that have a place, and the bytes of their payloads.
#[derive(Debug, Default)]
pub(crate) struct Places {
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

/// A call's place among those under way, until it is dropped.
#[derive(Debug)]
pub struct Place {
    among: Arc<Places>,
    bytes: usize,
}

impl Places {
    fn take(self: &Arc<Self>, bytes: usize, most: usize) -> Result<Place, CallError> {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // Whether it may stay or not, dropping it takes back what was added.
        let place = Place {
            among: Arc::clone(self),
            bytes,
        };
        if calls >= most || before + bytes > CALLS_UNDER_WAY_BYTES_MAX {
            let bytes = before;
            return Err(CallError::Busy { calls, bytes });
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.among.calls.fetch_sub(1, Ordering::Relaxed);
        self.among.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Actors {
    /// A place for a client's call with a payload of so many bytes. To be taken before the
    /// call waits for anything, and kept until it is answered. What the host itself and its
    /// operators ask needs none: it goes on when clients are too many.
    ///
    /// # Errors
    ///
    /// [`CallError::Busy`] where as many are under way as may be.
    pub fn admit(&self, bytes: usize) -> Result<Place, CallError> {
        let place = self.places.take(bytes, self.limits.calls_max());
        place.inspect_err(|busy| self.refusals.count(busy))
    }

    /// Calls of clients that are under way.
    #[must_use]
    pub fn calls_under_way(&self) -> usize {
        self.places.calls.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_and_one_that_is_given_back_is_free() {
        let places = Arc::new(Places::default());
        let first = places.take(10, 2).unwrap();
        let second = places.take(20, 2).unwrap();
        let refused = places.take(30, 2).unwrap_err();
        let (calls, bytes) = (2, 30);
        assert_eq!(refused, CallError::Busy { calls, bytes });
        assert_eq!(refused.reason(), "overloaded");
        drop(first);
        drop(places.take(30, 2).unwrap());
        drop(second);
        assert_eq!(places.calls.load(Ordering::Relaxed), 0);
        assert_eq!(places.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn few_calls_are_too_many_if_they_are_large() {
        let places = Arc::new(Places::default());
        let large = places.take(CALLS_UNDER_WAY_BYTES_MAX, 9).unwrap();
        assert!(places.take(0, 9).is_ok());
        assert!(places.take(1, 9).is_err());
        drop(large);
        assert!(places.take(1, 9).is_ok());
    }
}
