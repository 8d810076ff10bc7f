//! Durable commands a second, beside a bare loop that stores the same bytes: what
//! order, outcomes, heads and the chain of hashes cost. Run by `make bench`.
//!
//! Each caller appends its next record when the one before is durable, so with n
//! callers at most n records share a commit. The bare loop has the same callers and
//! the same channel; its writer puts the bytes of what has gathered into one blob row
//! and commits: with the same SQLite, the same pragmas and on the same disk, or on the
//! same PostgreSQL server.

mod callers;
mod stores;

use std::sync::mpsc;

use anyhow::{Context, Result};
use bare_loop::{Bare, Durable, run};
use host_journal::{Done, Entry, Journal, Rows};
use test_postgres::Server;

use crate::callers::{Caller, bytes, record};
use crate::stores::{Postgres, Sqlite, Store};

/// Of each of the two at each number of callers; the median counts.
const RUNS: usize = 5;

/// Callers, and whether so many are enough for the store's bar.
const CALLERS: [(usize, bool); 4] = [(1, false), (64, false), (256, true), (1024, true)];

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let one = Caller::all(1)?.pop().context("there is one")?;
    let bytes = bytes(&record(&one.next())).len();
    println!("median of {RUNS} runs each, in turn; records of {bytes} bytes");
    measure(&Sqlite)?;
    match test_postgres::is_installed() {
        true => measure(&Postgres(Server::start()?)),
        false => {
            println!("PostgreSQL is not installed, and skipped: apt-get install postgresql");
            Ok(())
        }
    }
}

fn measure(store: &dyn Store) -> Result<()> {
    let (name, least) = (store.name(), store.least());
    println!("{name}");
    println!("callers       bare    journal  records a second; share of the bare loop");
    for (callers, is_enough) in CALLERS {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            rates[0].push(bare(callers, store)?);
            rates[1].push(journal(callers, store)?);
        }
        let [bare, journal] = rates.map(median);
        let share = journal / bare;
        let bar = match is_enough {
            true if share >= least => format!(" (at least {:.0} %: met)", least * 100.0),
            true => format!(" (at least {:.0} %: NOT MET)", least * 100.0),
            false => String::new(),
        };
        let share = share * 100.0;
        println!("{callers:7} {bare:10.0} {journal:10.0}  {share:.0} %{bar}");
    }
    Ok(())
}

fn bare(callers: usize, store: &dyn Store) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let (sender, done) = mpsc::channel();
    let bare = Bare::start(store.bare(folder.path())?, sender);
    run(Caller::all(callers)?, &done, |caller| {
        let caller = caller.next();
        let bytes = bytes(&record(&caller));
        bare.append(caller, bytes)
    })
}

fn journal(callers: usize, store: &dyn Store) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let (sender, done) = mpsc::channel::<Durable<Caller>>();
    let tell = move |entries: Vec<Done<Caller>>| {
        let durable = entries.into_iter().map(|entry| match entry.result {
            Ok(()) => Ok(entry.token),
            Err(lost) => Err(lost.into()),
        });
        // At the end nobody waits any more.
        drop(sender.send(durable.collect()));
    };
    let journal = Journal::start(store.journal(folder.path())?, tell)?;
    run(Caller::all(callers)?, &done, |caller: Caller| {
        let caller = caller.next();
        let rows = Rows {
            record: Some(record(&caller)),
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
