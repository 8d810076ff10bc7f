//! Calls of libraries that do not rule: made beside whoever wants them, and given up where
//! they do not return.
//!
//! Native code cannot be interrupted, so a call that is given up goes on. When it returns at
//! last it may have put something old in the place of something new; so it is made again
//! with the latest, until that is what it was made with. **Invariant:** what a library was
//! given last is in force once no call of it is out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use host_loader::Digest;
use parking_lot::{Condvar, Mutex};

/// The calls that are out, one of a library at most.
pub(crate) struct Aside<T> {
    out: Arc<Calls<T>>,
}

struct Calls<T> {
    calls: Mutex<HashMap<Digest, Out<T>>>,
    /// One is out no more.
    returned: Condvar,
}

/// A call that has not returned.
struct Out<T> {
    latest: T,
    /// Counts what came meanwhile.
    turn: u64,
}

impl<T> Calls<T> {
    fn remove(&self, of: Digest) {
        self.calls.lock().remove(&of);
        self.returned.notify_all();
    }
}

impl<T> Out<T> {
    fn overtake(&mut self, latest: T) {
        self.latest = latest;
        self.turn += 1;
    }
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came<R> {
    /// It has returned.
    Back(R),
    /// It was waited for, and is given up.
    GivenUp,
    /// One that was given up before is still out, and will be made again with this.
    StillOut,
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        let out = Arc::new(Calls {
            calls: Mutex::default(),
            returned: Condvar::new(),
        });
        Self { out }
    }
}

impl<T: Clone + Send + 'static> Aside<T> {
    /// Makes `call` with `what` on a thread called `name`, unless one is out, and waits for
    /// it. One that comes back behind its time ends with `late`. Blocking.
    ///
    /// # Errors
    ///
    /// There is no thread for it, or it has panicked.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        of: Digest,
        name: String,
        what: T,
        wait: Duration,
        call: impl Fn(&T) -> R + Send + 'static,
        late: impl FnOnce(R) + Send + 'static,
    ) -> io::Result<Came<R>> {
        match self.out.calls.lock().entry(of) {
            Entry::Occupied(mut out) => {
                out.get_mut().overtake(what);
                return Ok(Came::StillOut);
            }
            Entry::Vacant(none) => none.insert(Out {
                latest: what,
                turn: 0,
            }),
        };
        let (back, returned) = mpsc::channel();
        let out = Arc::clone(&self.out);
        let thread = std::thread::Builder::new().name(name);
        let spawned = thread.spawn(move || {
            let made = panic::catch_unwind(AssertUnwindSafe(|| make(&out, of, call, &back)));
            match made {
                Ok(result) => _ = result.map(late),
                // It is out no more. Who waits learns it by the end of the channel.
                Err(_) => {
                    tracing::error!("a call of a library that does not rule has panicked");
                    out.remove(of);
                }
            }
        });
        // It has no owner that joins it: it may never end.
        if let Err(error) = spawned {
            self.out.remove(of);
            return Err(error);
        }
        match returned.recv_timeout(wait) {
            Ok(result) => return Ok(Came::Back(result)),
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("it panicked")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let mut out = self.out.calls.lock();
        // It may have come back just now.
        if let Ok(result) = returned.try_recv() {
            return Ok(Came::Back(result));
        }
        if let Some(call) = out.get_mut(&of) {
            call.turn += 1;
        }
        // Under the lock: from here on whatever comes back is late.
        drop(returned);
        Ok(Came::GivenUp)
    }

    /// Waits until no call of the library is out: false, if one is still then. Blocking.
    pub(crate) fn returns(&self, of: Digest, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut calls = self.out.calls.lock();
        while calls.contains_key(&of) {
            if self.out.returned.wait_until(&mut calls, until).timed_out() {
                return !calls.contains_key(&of);
            }
        }
        true
    }

    /// Says that the library is given `what` now, in place or not at all: a call that is out
    /// is made again with it. Whether one is.
    ///
    /// Whoever gives it in place has read what is set before he says so, and gives it after.
    pub(crate) fn overtake(&self, of: Digest, what: &T) -> bool {
        let mut out = self.out.calls.lock();
        let call = out.get_mut(&of);
        call.map(|call| call.overtake(what.clone())).is_some()
    }
}

/// Makes a call until nothing newer came meanwhile. The result, where nobody waits for it.
fn make<T: Clone, R>(
    out: &Calls<T>,
    of: Digest,
    call: impl Fn(&T) -> R,
    back: &mpsc::Sender<R>,
) -> Option<R> {
    loop {
        let (what, turn) = {
            let calls = out.calls.lock();
            let call = calls.get(&of)?;
            (call.latest.clone(), call.turn)
        };
        let result = call(&what);
        let mut calls = out.calls.lock();
        if calls.get(&of)?.turn == turn {
            calls.remove(&of);
            out.returned.notify_all();
            return back.send(result).err().map(|unsent| unsent.0);
        }
    }
}

#[cfg(test)]
mod tests;
