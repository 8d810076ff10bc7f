//! Visits to many campaigns, many at once over a few connections: join, push, leave.

use std::ops::{ControlFlow, Range};
use std::thread;

use anyhow::{Result, anyhow, ensure};

use crate::load::campaign;
use crate::wire::{self, Answer, Asked};

/// Enough to keep the host's journal busy.
const CONNECTIONS: u32 = 4;

/// Calls without an answer over one connection: below the 1,024 at which the host
/// refuses more.
const CALLS_MAX: u32 = 800;

/// Visits all these campaigns with these pushes; the visit's number is the campaign's.
/// `take` is given the answers over one connection as they come, joins and pushes.
///
/// # Errors
///
/// The first that `take` gave, or that a connection is gone.
pub fn everywhere<T: Send>(
    port: u16,
    campaigns: Range<u32>,
    pushes: &[(&str, String)],
    take: impl Fn(&mut dyn Iterator<Item = Answer>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let take = &take;
    thread::scope(|scope| {
        let connection = |number: u32| {
            let campaigns = campaigns.start + number..campaigns.end;
            scope.spawn(move || {
                let campaigns = campaigns.step_by(CONNECTIONS as usize);
                let mut visits = Visits::new(port, campaigns, pushes)?;
                let taken = take(&mut std::iter::from_fn(|| visits.next()));
                visits.failed.map_or(taken, Err)
            })
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(connection).collect();
        let ended = threads.into_iter().map(|thread| {
            let joined = thread.join();
            joined.map_err(|_| anyhow!("a connection's thread has panicked"))?
        });
        ended.collect()
    })
}

/// The visits over one connection, as many at once as may be.
struct Visits<'a, C> {
    sender: wire::Sender,
    receiver: wire::Receiver,
    campaigns: C,
    pushes: &'a [(&'a str, String)],
    /// Calls that have no answer yet.
    calls: u32,
    failed: Option<anyhow::Error>,
}

impl<'a, C: Iterator<Item = u32>> Visits<'a, C> {
    fn new(port: u16, campaigns: C, pushes: &'a [(&'a str, String)]) -> Result<Self> {
        ensure!(
            (pushes.len() as u32) < CALLS_MAX,
            "a visit has more pushes than may wait for an answer"
        );
        let (sender, receiver) = wire::connect(port)?;
        Ok(Self {
            sender,
            receiver,
            campaigns,
            pushes,
            calls: 0,
            failed: None,
        })
    }

    /// The next answer to a join or a push; none at the end, or when it has failed.
    fn next(&mut self) -> Option<Answer> {
        match self.step() {
            Ok(ControlFlow::Continue(answer)) => Some(answer),
            Ok(ControlFlow::Break(())) => None,
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn step(&mut self) -> Result<ControlFlow<(), Answer>> {
        let each = self.pushes.len() as u32 + 1;
        while self.calls + each <= CALLS_MAX {
            let Some(number) = self.campaigns.next() else {
                break;
            };
            self.sender
                .visit(number, &campaign(number as usize), self.pushes)?;
            self.calls += each;
        }
        while self.calls > 0 {
            let answer = self.receiver.answer()?;
            if answer.to != Asked::Leave {
                self.calls -= 1;
                return Ok(ControlFlow::Continue(answer));
            }
        }
        Ok(ControlFlow::Break(()))
    }
}
