//! The paced clients. Each has a connection, a thread that sends each call when it
//! is due, and a thread that reads the answers.
//!
//! A call's time counts from when it was due, whenever it was sent and however many
//! are before it: a stall delays all that was due in it, and all of it is seen. A
//! call is a visit: join, donate, leave, sent at once; it has completed when the
//! donation is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use e2e::load::campaign;
use e2e::wire::{self, Asked};

use crate::fill::donation;
use crate::schedule::{Gift, Schedule};
use crate::settings::Settings;

/// Calls of one client that wait for their answer. A visit is two calls to the
/// host, which refuses the 1,025th; what is due beyond it is sent late.
const WAITING_MAX: u32 = 400;

/// Between two looks of a client that must not send.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The load, while it lasts.
#[derive(Debug)]
pub(crate) struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    sends: JoinHandle<Result<()>>,
    reads: JoinHandle<Result<Seen>>,
}

/// Calls, in the order of their answers at each client.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<Call>,
    /// Errors by their reason.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// A call that was answered. Times are from the beginning of the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) due: Duration,
    pub(crate) done: Duration,
    /// Whether it was acknowledged.
    pub(crate) ok: bool,
    pub(crate) gift: Gift,
}

/// What the two threads of a client share.
#[derive(Debug, Default)]
struct Progress {
    answered: AtomicU32,
    /// How many calls there are, once that is known; 0 before.
    total: AtomicU32,
}

impl Load {
    /// Connects all clients, and begins.
    pub(crate) fn start(port: u16, settings: &Settings) -> Result<Self> {
        let connections: Result<Vec<_>> =
            (0..settings.clients).map(|_| wire::connect(port)).collect();
        let began = Instant::now();
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..).zip(connections?).map(|(number, (sender, receiver))| {
            let schedule = Schedule::new(settings, number);
            let (stop, sent) = (Arc::clone(&stop), Arc::new(Progress::default()));
            let (sending, read) = (schedule.clone(), Arc::clone(&sent));
            Client {
                sends: thread::spawn(move || send(sender, &sending, began, &stop, &sent)),
                reads: thread::spawn(move || receive(receiver, &schedule, began, &read)),
            }
        });
        let clients = clients.collect();
        Ok(Self {
            began,
            stop,
            clients,
        })
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sends no more, waits for every answer, and gives what all clients saw.
    pub(crate) fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let panicked = |_| anyhow!("a client's thread has panicked");
            let sent = client.sends.join().map_err(panicked)?;
            let seen = client.reads.join().map_err(panicked)??;
            sent?;
            all.calls.extend(seen.calls);
            for (reason, times) in seen.errors {
                *all.errors.entry(reason).or_default() += times;
            }
        }
        Ok(all)
    }
}

fn send(
    mut sender: wire::Sender,
    schedule: &Schedule,
    began: Instant,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<()> {
    let mut number = 0;
    // The last call is announced before it is sent, so that the one who reads knows
    // when its answer comes that no other follows.
    loop {
        let due = began + schedule.due(number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        while number - progress.answered.load(Ordering::Relaxed) >= WAITING_MAX {
            thread::sleep(LOOK_EVERY);
        }
        let last = stop.load(Ordering::Relaxed);
        if last {
            progress.total.store(number + 1, Ordering::Release);
        }
        let gift = schedule.gift(number);
        let payload = donation(&schedule.donation_id(number), gift.cents);
        let topic = campaign(gift.campaign as usize);
        sender.visit(number, &topic, &[("donate", payload)])?;
        if last {
            return Ok(());
        }
        number += 1;
    }
}

fn receive(
    mut receiver: wire::Receiver,
    schedule: &Schedule,
    began: Instant,
    progress: &Progress,
) -> Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let answer = receiver
            .answer()
            .with_context(|| format!("{} calls of this client are answered", seen.calls.len()))?;
        let done = began.elapsed();
        match (answer.to, answer.result) {
            (Asked::Push(_), result) => {
                seen.calls.push(Call {
                    due: schedule.due(answer.visit),
                    done,
                    ok: result.is_ok(),
                    gift: schedule.gift(answer.visit),
                });
                if let Err(reason) = result {
                    *seen.errors.entry(reason).or_default() += 1;
                }
                let answered = progress.answered.fetch_add(1, Ordering::Relaxed) + 1;
                if answered == progress.total.load(Ordering::Acquire) {
                    return Ok(seen);
                }
            }
            (Asked::Join, Err(reason)) => {
                *seen.errors.entry(format!("join: {reason}")).or_default() += 1;
            }
            (Asked::Join | Asked::Leave, _) => {}
        }
    }
}
