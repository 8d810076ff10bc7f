//! What this host has been told of the store: against it every new session's server is
//! held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::store::End;
use crate::witness::{Found, compare};

/// Shared by all who have sessions.
#[derive(Debug)]
pub(super) struct Truth {
    store_id: String,
    told: Mutex<End>,
    lost: OnceLock<Arc<str>>,
    away: Mutex<Option<Arc<str>>>,
    unrenewed: Mutex<Option<Arc<str>>>,
    bytes: AtomicU64,
}

impl Truth {
    pub(super) fn new(store_id: String, told: End) -> Self {
        Self {
            store_id,
            told: Mutex::new(told),
            lost: OnceLock::new(),
            away: Mutex::default(),
            unrenewed: Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Where the store ends, as it has said last.
    pub(super) fn told(&self) -> End {
        *self.told.lock()
    }

    /// The store has said that it ends here.
    pub(super) fn tell(&self, end: End) {
        *self.told.lock() = end;
    }

    /// Holds what a server shows against what was `told` before it was asked. If it
    /// does not hold, this store is lost for this host.
    pub(super) fn check(&self, told: End, found: Found<'_>) -> Result<(), String> {
        let checked = compare((&self.store_id, told), found);
        if let Err(why) = &checked {
            self.lose(why);
        }
        checked
    }

    /// An operator must look. The first reason stays.
    pub(super) fn lose(&self, why: &str) {
        if self.lost.set(why.into()).is_ok() {
            tracing::error!(why, "the store is not to be used on");
        }
    }

    pub(super) fn lost(&self) -> Option<Arc<str>> {
        self.lost.get().cloned()
    }

    /// The writer waits for the server, because of `why`; or does no longer.
    pub(super) fn set_away(&self, why: Option<&str>) {
        *self.away.lock() = why.map(Into::into);
    }

    /// The lease is not renewed, because of `why`; or it is again. This is heard of while
    /// nobody writes, too.
    pub(super) fn set_unrenewed(&self, why: Option<&str>) {
        *self.unrenewed.lock() = why.map(Into::into);
    }

    pub(super) fn away(&self) -> Option<Arc<str>> {
        let away = self.away.lock().clone();
        away.or_else(|| self.unrenewed.lock().clone())
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    fn end(last: u64, hash: u8) -> End {
        End {
            last: Position(last),
            hash: [hash; 32],
        }
    }

    #[test]
    fn the_first_reason_stays() {
        let truth = Truth::new("one".to_owned(), end(5, 1));
        assert_eq!(truth.lost(), None);
        assert!(
            truth
                .check(
                    truth.told(),
                    Found {
                        store_id: "one",
                        end: end(3, 1),
                        then: None,
                        epoch: 0,
                    }
                )
                .is_err()
        );
        truth.lose("later");
        assert!(truth.lost().unwrap().contains("lost 2 positions"));
    }
}
