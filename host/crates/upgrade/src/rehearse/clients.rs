//! Whether clients are served beside a rehearsal, which then makes room for them.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whether handlers run, for whomever.
pub(super) struct Clients<'a> {
    /// Runs so far.
    runs: &'a dyn Fn() -> u64,
    last: Cell<Look>,
}

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    /// Runs until then.
    runs: u64,
    are_served: bool,
}

impl<'a> Clients<'a> {
    /// They are, until it is known.
    pub(super) fn of(runs: &'a dyn Fn() -> u64) -> Self {
        let look = Look {
            at: Instant::now(),
            runs: runs(),
            are_served: true,
        };
        Self {
            runs,
            last: Cell::new(look),
        }
    }

    pub(super) fn are_served(&self) -> bool {
        let last = self.last.get();
        if last.at.elapsed() < LOOK_EVERY {
            return last.are_served;
        }
        let runs = (self.runs)();
        let are_served = runs != last.runs;
        self.last.set(Look {
            at: Instant::now(),
            runs,
            are_served,
        });
        are_served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_served_until_nothing_has_run_for_a_while_and_from_the_next_run_on() {
        let count = Cell::new(7);
        let runs = || count.get();
        let clients = Clients::of(&runs);
        assert!(clients.are_served(), "nothing is known yet");
        let comes_to = |are_served: bool| {
            let began = Instant::now();
            while clients.are_served() != are_served {
                assert!(began.elapsed() < Duration::from_secs(60), "{are_served}");
                std::thread::yield_now();
            }
        };
        comes_to(false);
        count.set(8);
        comes_to(true);
        comes_to(false);
    }
}
