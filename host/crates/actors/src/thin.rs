//! Removes the snapshots that a sweep has left standing: see the journal's module `thin`.
//!
//! From the end of the sweep until that is done, who comes over removes its own again: so an
//! actor has one snapshot more than are kept, however fast sweeps follow one another. What a
//! host that dies has left goes with the next snapshot of its actor, or behind the next sweep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use host_journal::Rows;
use host_model::error::chain;
use tokio::sync::Notify;

use crate::Actors;

/// Rows of the index that are looked at together.
const ROWS_AT_ONCE: usize = 4_096;

/// Snapshots that go in one entry, which commands wait behind: about a millisecond.
const STEP_MAX: usize = 128;

/// Whether there is something to remove, and whether that is due, or under way.
#[derive(Debug, Default)]
pub(crate) struct Thinning {
    left: AtomicBool,
    wanted: Notify,
    is_due: AtomicBool,
}

impl Thinning {
    /// Whether an actor that comes over with a sweep leaves its older snapshots.
    pub(crate) fn leaves(&self) -> bool {
        let leaves = !self.is_due.load(Ordering::SeqCst);
        if leaves {
            self.left.store(true, Ordering::SeqCst);
        }
        leaves
    }

    /// A sweep has ended: what it left is looked for.
    pub(crate) fn sweep_ended(&self) {
        if self.left.swap(false, Ordering::SeqCst) {
            self.is_due.store(true, Ordering::SeqCst);
            self.wanted.notify_one();
        }
    }

    /// Nothing is looked for any more.
    pub(crate) fn stop(&self) {
        self.wanted.notify_one();
    }
}

impl Actors {
    async fn thin(&self) -> Result<(), String> {
        let mut after = String::new();
        loop {
            let look = || self.journal.not_kept(&after, ROWS_AT_ONCE);
            let found = tokio::task::block_in_place(look).map_err(|error| chain(&error))?;
            for step in found.positions.chunks(STEP_MAX) {
                let removed = self.write_rows(|| Rows {
                    snapshots_removed: step.to_vec(),
                    ..Rows::default()
                });
                removed.await.map_err(|lost| lost.to_string())?;
            }
            match found.through.filter(|_| !self.is_stopping()) {
                Some(through) => after = through,
                None => return Ok(()),
            }
        }
    }
}

/// Goes through all actors behind each sweep, until they are gone.
pub(crate) async fn run(actors: Weak<Actors>) {
    let Some(thinning) = actors.upgrade().map(|actors| Arc::clone(&actors.thinning)) else {
        return;
    };
    loop {
        // Without the actors: waiting must not keep them, and the store, open.
        thinning.wanted.notified().await;
        let Some(actors) = actors.upgrade().filter(|actors| !actors.is_stopping()) else {
            return;
        };
        if let Err(why) = actors.thin().await
            && !actors.is_stopping()
        {
            tracing::warn!(
                why,
                "snapshots that are not kept could not be removed, and go with later ones"
            );
        }
        // Those in pieces have left these.
        actors.large.untidied();
        thinning.is_due.store(false, Ordering::SeqCst);
    }
}
