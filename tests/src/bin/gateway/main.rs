//! What connections cost: memory of an idle one, calls a second beside a bare echo of axum,
//! durable commands a second beside a bare loop that stores as many bytes, and messages a
//! second to many subscribers.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_CONNECTIONS` | 10000 | idle connections, each joined to a channel |
//! | `BENCH_SUBSCRIBERS` | 5000 | of one campaign |
//! | `BENCH_RUNS` | 5 | of each throughput, host and peer in turn; the medians count |
//!
//! The peer is `tests/examples/bare_echo.rs`, which answers each message with itself. `make
//! bench` runs it with a home of the profile `release`.

mod client;
mod durable;
mod speed;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::bare_echo::BareEcho;
use e2e::figures::{bar, median};
use e2e::load::campaign;
use e2e::{Home, variable};

use client::{Client, frame};
use speed::{CONNECTIONS, measure};

/// Host memory of an idle connection that has joined one channel, at most: half of what
/// one costs in Cowboy.
const IDLE_BYTES_MAX: f64 = 6.0 * 1024.0;

/// Queries over those of the bare echo, at least: with one at once over a connection, and
/// with many.
const RATIOS: [(usize, f64); 2] = [(1, 0.8), (16, 1.0)];

/// Gifts to the campaign that many listen to.
const GIFTS: usize = 200;

fn main() -> Result<()> {
    let home = Home::new()?;
    let port = home.start()?.port;
    let runs = variable::read("BENCH_RUNS", 5_usize)?.max(1);
    let mut bars = vec![memory(&home, port)?];
    open(port)?;
    bars.extend(queries(port, runs)?);
    durable::compare(&home, port, runs)?;
    fan_out(port)?;
    home.stop()?;
    for bar in bars {
        println!("{bar}");
    }
    Ok(())
}

/// Memory that the host has more with many idle connections than without.
fn memory(home: &Home, port: u16) -> Result<String> {
    let many = variable::read("BENCH_CONNECTIONS", 10_000_usize)?;
    ensure!(many > 0, "BENCH_CONNECTIONS is 0");
    let before = home.status()?.rss_bytes;
    let idle = (0..many).map(|number| Client::join(port, &campaign(number % 1_000)));
    let idle = idle.collect::<Result<Vec<_>>>()?;
    let status = home.status()?;
    ensure!(status.connections == many as u64, "{status:?}");
    let each = status.rss_bytes.saturating_sub(before) as f64 / many as f64;
    println!("idle connections: {many}, {each:.0} bytes of the host's memory each");
    ensure!(
        each > 0.0,
        "the host gave back more memory meanwhile than the connections took: no figure"
    );
    drop(idle);
    let found = format!("{each:.0} bytes");
    let wanted = format!("at most {IDLE_BYTES_MAX:.0} bytes");
    Ok(bar(
        "idle connection",
        &wanted,
        &found,
        each <= IDLE_BYTES_MAX,
    ))
}

/// Opens the campaigns that are asked about and given to.
fn open(port: u16) -> Result<()> {
    for number in 0..CONNECTIONS {
        let topic = campaign(number);
        let mut client = Client::join(port, &topic)?;
        let payload = r#"{"title":"A campaign","currency":"USD","goal":"1000000.00"}"#;
        client.send(&frame(&format!(r#"["1","2","{topic}","open",{payload}]"#)))?;
        client.text()?;
    }
    Ok(())
}

/// A connection to each of them.
fn joined(port: u16) -> Result<Vec<Client>> {
    let clients = (0..CONNECTIONS).map(|number| Client::join(port, &campaign(number)));
    clients.collect()
}

/// Queries a second, and what of the bare echo they are.
fn queries(port: u16, runs: usize) -> Result<Vec<String>> {
    let peer = BareEcho::start()?;
    let query = |number: usize, asked: usize| {
        format!(r#"["1","{asked}","{}","summary",{{}}]"#, campaign(number))
    };
    let bare = || -> Result<Vec<_>> {
        let clients = (0..CONNECTIONS).map(|_| Client::connect(peer.port(), "/"));
        clients.collect()
    };
    let mut bars = Vec::new();
    println!("depth   queries a second   bare echo   ratio");
    for (depth, wanted) in RATIOS {
        let (mut of_host, mut of_peer) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            of_host.push(measure(joined(port)?, depth, 1, &query)?);
            of_peer.push(measure(bare()?, depth, 1, &query)?);
        }
        let (host, peer) = (median(of_host), median(of_peer));
        let ratio = host / peer;
        println!("{depth:<8}{host:>16.0}{peer:>12.0}{ratio:>8.2}");
        let name = format!("queries, {depth} at once");
        let wanted_text = format!("{wanted:.1} of the bare echo");
        bars.push(bar(
            &name,
            &wanted_text,
            &format!("{ratio:.2}"),
            ratio >= wanted,
        ));
    }
    Ok(bars)
}

/// Messages a second to many who listen to one campaign.
fn fan_out(port: u16) -> Result<()> {
    let many = variable::read("BENCH_SUBSCRIBERS", 5_000_usize)?;
    let topic = campaign(0);
    let mut all = (0..many)
        .map(|_| Client::join(port, &topic))
        .collect::<Result<Vec<_>>>()?;
    let mut donor = Client::join(port, &topic)?;
    let mut gifts = Vec::new();
    for gift in 0..GIFTS {
        gifts.extend(frame(&format!(
            r#"["1","g{gift}","{topic}","donate",{{"donation_id":"fan-{gift}","amount":"1.00","currency":"USD"}}]"#
        )));
    }
    let began = Instant::now();
    donor.send(&gifts)?;
    let mut missing = many * GIFTS;
    while missing > 0 {
        ensure!(
            began.elapsed() < Duration::from_secs(300),
            "{missing} messages have not come"
        );
        for subscriber in &mut all {
            missing -= subscriber.come()?.min(missing);
        }
    }
    let rate = (many * GIFTS) as f64 / began.elapsed().as_secs_f64();
    println!("broadcasts: {GIFTS} to {many} subscribers, {rate:.0} messages a second");
    Ok(())
}
