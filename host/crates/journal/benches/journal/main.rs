//! Durable commands a second, beside a bare loop that stores the same bytes: what
//! order, outcomes, heads and the chain of hashes cost. Run by `make bench`.
//!
//! Each caller appends its next record when the one before is durable, so with n
//! callers at most n records share a commit. The bare loop has the same callers and
//! the same channel; its writer puts the bytes of what has gathered into one blob row
//! and commits, with the same SQLite, the same pragmas and on the same disk. It never
//! checkpoints: that is the most that SQLite gives here.

mod bare;
mod callers;

use std::path::Path;
use std::sync::mpsc;

use anyhow::Result;
use host_journal::{Entry, Journal, Options, Rows};

use crate::bare::Bare;
use crate::callers::{Caller, Durable, record, run};

/// Of each of the two at each number of callers; the median counts.
const RUNS: usize = 5;

/// Callers, and the share of the bare loop's rate that the journal is to reach.
const CALLERS: [(usize, Option<f64>); 4] =
    [(1, None), (64, None), (256, Some(0.7)), (1024, Some(0.7))];

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let bytes = record(&callers::first(0)?).1.len();
    println!("median of {RUNS} runs each, in turn; records of {bytes} bytes");
    println!("callers       bare    journal  records a second; share of the bare loop");
    for (callers, least) in CALLERS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            let folder = tempfile::tempdir()?;
            rates[0].push(bare(callers, &folder.path().join("bare.db"))?);
            rates[1].push(journal(callers, &folder.path().join("host.db"))?);
        }
        let [bare, journal] = rates.map(median);
        let share = journal / bare;
        let bar = match least {
            Some(least) if share >= least => format!(" (at least {:.0} %: met)", least * 100.0),
            Some(least) => format!(" (at least {:.0} %: NOT MET)", least * 100.0),
            None => String::new(),
        };
        let share = share * 100.0;
        println!("{callers:7} {bare:10.0} {journal:10.0}  {share:.0} %{bar}");
    }
    Ok(())
}

fn bare(callers: usize, path: &Path) -> Result<f64> {
    let (sender, done) = mpsc::channel();
    let bare = Bare::open(path, sender)?;
    run(callers, &done, |caller| bare.append(caller))
}

fn journal(callers: usize, path: &Path) -> Result<f64> {
    let (sender, done) = mpsc::channel::<Durable>();
    let options = Options {
        path: path.to_owned(),
    };
    let journal = Journal::open(options, move |entries| {
        let durable = entries.into_iter().map(|entry| match entry.result {
            Ok(()) => Ok(entry.token),
            Err(lost) => Err(lost.into()),
        });
        // At the end nobody waits any more.
        drop(sender.send(durable.collect()));
    })?;
    run(callers, &done, |caller: Caller| {
        let rows = Rows {
            record: Some(record(&caller).0),
            ..Rows::default()
        };
        let entry = Entry {
            incarnation: journal.incarnation(),
            rows,
            token: caller,
        };
        Ok(journal.append(entry).map(drop).map_err(|it| it.reason)?)
    })
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
