//! Donors who give without end, each over a connection of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rust_decimal::Decimal;
use serde_json::json;

use crate::wait::DEADLINE;
use crate::{Client, Reply, Tally};

/// How much there is to do.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Where the host listens.
    pub port: u16,
    /// Connections.
    pub clients: usize,
    /// Campaigns; a client gives to one.
    pub campaigns: usize,
    /// Between an answer and the same client's next gift.
    pub pace: Duration,
}

/// Donors at work. A gift that is not acknowledged is sent again with the same
/// `donation_id`, over a new connection if the old one is gone.
#[derive(Debug)]
pub struct Load {
    threads: Vec<JoinHandle<Result<Seen>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connected: AtomicU64,
    acknowledged: AtomicU64,
}

/// What the donors have seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was acknowledged to them.
    pub tally: Tally,
    /// Connections that ended without their doing.
    pub closed: u64,
    /// Errors that they were answered with, by reason.
    pub errors: BTreeMap<String, u64>,
    /// How long they waited for each acknowledgement.
    pub waits: Vec<Wait>,
    /// How often they were told that their campaign has come to another version.
    pub releases: u64,
}

/// From the first sending of a gift to its acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// When it was first sent.
    pub sent: Instant,
    /// How long it took.
    pub took: Duration,
}

impl Load {
    /// Opens the campaigns, connects everyone, and lets them give.
    ///
    /// # Errors
    ///
    /// That a campaign cannot be opened, or that not everyone connects.
    pub fn start(shape: Shape) -> Result<Self> {
        let mut opener = Client::connect(shape.port)?;
        for number in 0..shape.campaigns {
            let topic = campaign(number);
            opener.join(&topic)?.ok()?;
            let open = json!({"title": topic, "currency": "USD", "goal": "1000000.00"});
            opener.push(&topic, "open", &open)?.ok()?;
            opener.push(&topic, "phx_leave", &json!({}))?.ok()?;
        }
        let shared = Arc::new(Shared::default());
        let donor = |number: usize| {
            let donor = Donor {
                number,
                shape,
                topic: campaign(number % shape.campaigns),
                client: None,
                seen: Seen::default(),
                shared: Arc::clone(&shared),
            };
            thread::spawn(move || donor.give())
        };
        let load = Self {
            threads: (0..shape.clients).map(donor).collect(),
            shared: Arc::clone(&shared),
        };
        let all = shape.clients as u64;
        crate::wait::until("every donor has connected", || {
            (shared.connected.load(Ordering::Relaxed) >= all).then_some(())
        })?;
        Ok(load)
    }

    /// Four donors to two campaigns, `pace` between their gifts: for tests of what goes
    /// on beside them.
    ///
    /// # Errors
    ///
    /// As [`Load::start`].
    pub fn few(port: u16, pace: Duration) -> Result<Self> {
        Self::start(Shape {
            port,
            clients: 4,
            campaigns: 2,
            pace,
        })
    }

    /// Gifts acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more gifts are acknowledged.
    ///
    /// # Errors
    ///
    /// That they are not.
    pub fn more(&self, gifts: u64) -> Result<()> {
        let wanted = self.acknowledged() + gifts;
        crate::wait::until("gifts are acknowledged", || {
            (self.acknowledged() >= wanted).then_some(())
        })
    }

    /// Lets everyone finish the gift that is under way, and gathers what they saw.
    ///
    /// # Errors
    ///
    /// The first donor's who gave up.
    pub fn stop(self) -> Result<Seen> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let Ok(seen) = thread.join() else {
                bail!("a donor's thread has panicked");
            };
            let seen = seen?;
            all.tally.merge(seen.tally);
            all.closed += seen.closed;
            all.waits.extend(seen.waits);
            all.releases += seen.releases;
            for (reason, times) in seen.errors {
                *all.errors.entry(reason).or_default() += times;
            }
        }
        Ok(all)
    }
}

/// Clients were refused for these reasons, if at all, and for no other.
///
/// # Errors
///
/// Why they were refused.
pub fn only(refusals: &BTreeMap<String, u64>, reasons: &[&str]) -> Result<()> {
    let mut came = refusals.keys();
    ensure!(
        came.all(|reason| reasons.contains(&reason.as_str())),
        "clients may be refused for {reasons:?}, and were for {refusals:?}"
    );
    Ok(())
}

/// The actor of a campaign.
#[must_use]
pub fn campaign(number: usize) -> String {
    format!("donations:c{number}")
}

struct Donor {
    number: usize,
    shape: Shape,
    topic: String,
    client: Option<Client>,
    seen: Seen,
    shared: Arc<Shared>,
}

impl Donor {
    fn give(mut self) -> Result<Seen> {
        // Everyone is connected before anyone is counted as late.
        self.connect()?;
        self.shared.connected.fetch_add(1, Ordering::Relaxed);
        let mut gift = 0_u32;
        while !self.shared.stop.load(Ordering::Relaxed) {
            gift += 1;
            self.donate(gift)?;
            self.pause();
        }
        Ok(self.seen)
    }

    /// Gives once, however often that must be said.
    fn donate(&mut self, gift: u32) -> Result<()> {
        let donation_id = format!("d{}-{gift}", self.number);
        // Any amounts that differ from gift to gift.
        let cents = 1 + (self.number as i64 * 7_919 + i64::from(gift) * 104_729) % 99_999;
        let amount = Decimal::new(cents, 2);
        let payload = json!({"donation_id": donation_id, "donor": format!("donor {}", self.number),
            "amount": amount.to_string(), "currency": "USD"});
        let sent = Instant::now();
        while sent.elapsed() < DEADLINE {
            self.connect()?;
            let client = self.client.as_mut().context("it has just connected")?;
            match client.push(&self.topic, "donate", &payload) {
                Ok(Reply::Ok(_)) => {
                    self.seen.tally.add(&self.topic, &donation_id, amount);
                    let took = sent.elapsed();
                    self.seen.waits.push(Wait { sent, took });
                    self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Reply::Error { reason, .. }) => {
                    *self.seen.errors.entry(reason).or_default() += 1;
                }
                Err(_) => self.lose_connection(),
            }
        }
        bail!(
            "{donation_id} to {} was not acknowledged within {} s; errors: {:?}",
            self.topic,
            DEADLINE.as_secs(),
            self.seen.errors
        )
    }

    fn connect(&mut self) -> Result<()> {
        if self.client.is_none() {
            let (port, topic) = (self.shape.port, &self.topic);
            let client = crate::wait::until("a donor connects", || {
                let mut client = Client::connect(port).ok()?;
                client.join(topic).ok()?.ok().ok()?;
                Some(client)
            })?;
            self.client = Some(client);
        }
        Ok(())
    }

    fn lose_connection(&mut self) {
        self.client = None;
        self.seen.closed += 1;
    }

    /// Listens for as long as the pace says.
    fn pause(&mut self) {
        let Some(client) = &mut self.client else {
            return;
        };
        match client.listen(self.shape.pace) {
            Ok(heard) => {
                let releases = heard.iter().filter(|m| m.event == "host:release").count();
                self.seen.releases += releases as u64;
            }
            Err(_) => self.lose_connection(),
        }
    }
}
