//! Durable commands over WebSockets, beside the bare loop that stores as many bytes: what
//! all between a client's socket and the disk costs.

use std::path::Path;
use std::sync::mpsc;

use anyhow::{Context, Result, ensure};
use bare_loop::{Bare, Durable};
use e2e::Home;
use e2e::figures::median;
use e2e::load::campaign;
use rusqlite::{Connection, OpenFlags};

use crate::speed::{CONNECTIONS, measure};
use crate::{RATIOS, joined};

/// Gifts to open campaigns, and what of the bare loop they are; each caller of that is a
/// gift that waits for its answer. `runs` of each, in turn. A figure and no bar: the loop
/// has its bytes ready, and no client.
pub(crate) fn compare(home: &Home, port: u16, runs: usize) -> Result<()> {
    let mut round = 0;
    println!("depth   durable commands a second   bare loop   ratio");
    for (depth, _) in RATIOS {
        let (mut of_host, mut of_peer) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for _ in 0..runs {
            round += 1;
            of_host.push(gifts(port, round, depth)?);
            bytes = record_bytes(&home.data().join("data/host.db"))?;
            of_peer.push(bare(CONNECTIONS * depth, bytes)?);
        }
        let (host, peer) = (median(of_host), median(of_peer));
        let ratio = host / peer;
        println!("{depth:<8}{host:>25.0}{peer:>12.0}{ratio:>8.2}   records of {bytes} bytes");
    }
    Ok(())
}

/// Gifts a second, so many at once over each connection.
fn gifts(port: u16, round: usize, depth: usize) -> Result<f64> {
    let gift = |number: usize, asked: usize| {
        let topic = campaign(number);
        format!(
            r#"["1","{asked}","{topic}","donate",{{"donation_id":"{round}-{number}-{asked}","amount":"1.00","currency":"USD"}}]"#
        )
    };
    // Its answer, and the broadcast to whoever has joined, which is the donor alone.
    measure(joined(port)?, depth, 2, &gift)
}

/// Records a second of a bare loop in a folder beside the home.
fn bare(callers: usize, bytes: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let (sender, done) = mpsc::channel::<Durable<()>>();
    let bare = Bare::start(bare_loop::sqlite(folder.path())?, sender);
    let record: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
    let callers = std::iter::repeat_n((), callers);
    bare_loop::run(callers, &done, |()| bare.append((), record.clone()))
}

/// What a record takes in the store of a host, as a mean.
fn record_bytes(store: &Path) -> Result<usize> {
    let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let sql = "SELECT CAST(total(length(body)) / total(records) AS INTEGER) FROM groups";
    let bytes = store.query_row(sql, [], |row| row.get::<_, i64>(0));
    let bytes = usize::try_from(bytes.context("add up the records")?)?;
    ensure!(bytes > 0, "the store has no records");
    Ok(bytes)
}
