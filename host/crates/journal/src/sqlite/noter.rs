//! Writes down beside the commits where the store ends, on a thread of its own: see
//! [`crate::witness`].

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::store::End;
use crate::witness::Witness;

/// Between two notes, while there is news: a note takes some syncs of its own, which
/// share the disk with the commits.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// The thread that notes, and what it is told.
pub(super) struct Noter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    witness: Arc<Witness>,
    store_id: String,
    epoch: u64,
    told: Mutex<Told>,
    changed: Condvar,
}

struct Told {
    end: End,
    stop: bool,
}

impl Noter {
    /// For a store that was taken just now; its end is noted when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be noted, or there is no thread to be had.
    pub(super) fn start(
        witness: Arc<Witness>,
        store_id: String,
        epoch: u64,
        end: End,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            witness,
            store_id,
            epoch,
            told: Mutex::new(Told { end, stop: false }),
            changed: Condvar::new(),
        });
        if !shared.note(end, true) {
            return Err(std::io::Error::other("see the line before"));
        }
        let thread = std::thread::Builder::new().name("witness".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The store has said that it ends here.
    pub(super) fn tell(&self, end: End) {
        self.shared.told.lock().end = end;
    }

    /// Ends the thread; then nothing is committed any more. Notes the end, and that it
    /// needs no log to be there. False: it could not be noted.
    pub(super) fn end(mut self) -> bool {
        self.stop();
        let end = self.shared.told.lock().end;
        self.shared.note(end, false)
    }

    /// Ends the thread, which notes what it was told last.
    fn stop(&mut self) {
        self.shared.told.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the witness's thread had panicked");
        }
    }
}

impl Drop for Noter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let (end, stop) = {
                let mut told = self.told.lock();
                if !told.stop {
                    self.changed.wait_for(&mut told, NOTE_EVERY);
                }
                (told.end, told.stop)
            };
            self.note(end, true);
            if stop {
                return;
            }
        }
    }

    fn note(&self, end: End, log: bool) -> bool {
        self.witness.note_file(&self.store_id, end, self.epoch, log)
    }
}
