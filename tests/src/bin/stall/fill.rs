//! Visits to every campaign, many at once over a few connections: to fill them
//! before the clients come, and to ask what they hold when the clients are gone.

use std::ops::ControlFlow;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::ledger::{Check, Ledger};
use crate::settings::Settings;
use crate::wire::{self, Answer, Asked};

/// Enough to keep the host's journal busy.
const CONNECTIONS: u32 = 4;

/// Calls without an answer over one connection: below the 1,024 at which the host
/// refuses more.
const CALLS_MAX: u32 = 800;

/// What a donation of the filling gives.
const FILL_CENTS: u32 = 125;

/// The actor of a campaign.
pub(crate) fn topic(campaign: u32) -> String {
    format!("donations:c{campaign}")
}

/// The payload of a donation.
pub(crate) fn donation(id: &str, cents: u32) -> String {
    let (units, cents) = (cents / 100, cents % 100);
    format!(
        r#"{{"donation_id":"{id}","donor":"a donor","amount":"{units}.{cents:02}","currency":"USD"}}"#
    )
}

/// Opens every campaign and gives it its donations.
pub(crate) fn fill(port: u16, settings: &Settings, ledger: &mut Ledger) -> Result<()> {
    let open = r#"{"title":"A campaign","currency":"USD","goal":"1000000.00"}"#;
    let donations = (0..settings.donations)
        .map(|index| ("donate", donation(&format!("fill-{index}"), FILL_CENTS)));
    let pushes: Vec<_> = std::iter::once(("open", open.to_owned()))
        .chain(donations)
        .collect();
    everywhere(port, settings.actors, &pushes, |answers| {
        for Answer { visit, to, result } in answers {
            result.map_err(|reason| anyhow!("campaign {visit} answers {to:?} with {reason}"))?;
        }
        Ok(())
    })?;
    for campaign in 0..settings.actors {
        for _ in 0..settings.donations {
            ledger.take(campaign, FILL_CENTS);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Joined {
    summary: Option<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    count: u64,
    total: Decimal,
}

/// Asks every campaign for its summary, which a join gives.
pub(crate) fn check(port: u16, settings: &Settings, ledger: &Ledger) -> Result<Check> {
    let parts = everywhere(port, settings.actors, &[], |answers| {
        let mut part = Check::default();
        for Answer { visit, to, result } in answers.filter(|a| a.to == Asked::Join) {
            let response = result
                .map_err(|reason| anyhow!("campaign {visit} answers {to:?} with {reason}"))?;
            let joined: Joined = serde_json::from_str(&response)
                .with_context(|| format!("read the summary {response}"))?;
            let summary = joined.summary.context("a campaign has a summary")?;
            ledger.compare(visit, summary.count, summary.total, &mut part);
        }
        Ok(part)
    })?;
    let mut check = Check::default();
    parts.into_iter().for_each(|part| check.add(part));
    Ok(check)
}

/// Visits every campaign with these pushes; the visit's number is the campaign's.
/// `take` is given the answers over one connection as they come, joins and pushes.
fn everywhere<T: Send>(
    port: u16,
    actors: u32,
    pushes: &[(&str, String)],
    take: impl Fn(&mut dyn Iterator<Item = Answer>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let take = &take;
    thread::scope(|scope| {
        let connection = |first: u32| {
            scope.spawn(move || {
                let campaigns = (first..actors).step_by(CONNECTIONS as usize);
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
            let Some(campaign) = self.campaigns.next() else {
                break;
            };
            self.sender.visit(campaign, &topic(campaign), self.pushes)?;
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
