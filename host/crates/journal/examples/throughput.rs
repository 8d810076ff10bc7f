//! Durable records a second with 1, 64, 256 and 1024 callers, each of which
//! appends its next record of 200 bytes when the one before is durable.
//!
//! `cargo run --release -p host-journal --example throughput [FOLDER]`

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host_journal::{Done, Entry, Journal, Options, Record, Rows};
use host_model::{ActorId, Version};

const RUN: Duration = Duration::from_secs(3);

struct Caller {
    actor: ActorId,
    seq: u64,
    started: Instant,
}

fn main() -> Result<()> {
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!("callers  records/s  p50 µs  p99 µs  max µs  records/group");
    for callers in [1, 64, 256, 1024] {
        let path = folder.path().join(format!("{callers}.db"));
        measure(callers, Options { path })?;
    }
    Ok(())
}

fn measure(callers: usize, options: Options) -> Result<()> {
    let (sender, done) = mpsc::channel::<Vec<Done<Caller>>>();
    // The receiver is gone at the end, when nobody waits any more.
    let journal = Journal::open(options, move |entries| drop(sender.send(entries)))?;
    for index in 0..callers {
        append(&journal, caller(index)?)?;
    }
    let mut waits_us = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < RUN {
        for ended in done.recv().context("the journal runs")? {
            ended.result?;
            waits_us.push(ended.token.started.elapsed().as_micros());
            let next = Caller {
                seq: ended.token.seq + 1,
                started: Instant::now(),
                ..ended.token
            };
            append(&journal, next)?;
        }
    }
    let rate = waits_us.len() as f64 / begun.elapsed().as_secs_f64();
    waits_us.sort_unstable();
    let at = |share: f64| waits_us[((waits_us.len() - 1) as f64 * share) as usize];
    let stats = journal.stats();
    println!(
        "{callers:7}  {rate:9.0}  {:6}  {:6}  {:6}  {:13.1}",
        at(0.5),
        at(0.99),
        at(1.0),
        stats.records as f64 / stats.groups as f64,
    );
    Ok(())
}

fn caller(index: usize) -> Result<Caller> {
    Ok(Caller {
        actor: ActorId::new("donations", &format!("campaign-{index}"))?,
        seq: 1,
        started: Instant::now(),
    })
}

fn append(journal: &Journal<Caller>, caller: Caller) -> Result<()> {
    let record = Record {
        actor: caller.actor.clone(),
        seq: caller.seq,
        version: Version::new(0, 1, 0),
        time_ms: 1_767_225_600_000,
        command: "donate".into(),
        payload: PAYLOAD.into(),
        event: EVENT.into(),
        principal: String::new(),
        idempotency_key: None,
    };
    let rows = Rows {
        record: Some(record),
        ..Rows::default()
    };
    let incarnation = journal.incarnation();
    let entry = Entry {
        incarnation,
        rows,
        token: caller,
    };
    journal
        .append(entry)
        .map(drop)
        .map_err(|refused| refused.reason.into())
}

const PAYLOAD: &str = r#"{"donation_id":"gift-0001","amount":"25.00","currency":"EUR"}"#;
const EVENT: &str = r#"{"donated":{"donation_id":"gift-0001","amount":"25.00","receipt":17}}"#;
