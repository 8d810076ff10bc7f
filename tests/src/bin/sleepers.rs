//! What a start takes in an empty home, beside a bare server; and what sleeping actors
//! cost: memory, and the time of a start, with few and with a million of them, and with
//! some awake.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_SLEEPERS` | 1000000 | campaigns that exist |
//! | `BENCH_AWAKE` | 100000 | of them, awake at the end |
//!
//! A start is `bin/host start`, from the command to the host that is ready, and by
//! the keeper after a kill -9. `make bench` runs it with a home of the profile
//! `release`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::bare_echo::BareEcho;
use e2e::figures::{bar, median};
use e2e::visits::everywhere;
use e2e::wire::{Answer, Asked};
use e2e::{Home, variable};
use host_model::control::Status;
use host_model::limits::TAIL_SPAN_MAX;

/// Campaigns in the small store that the large one is compared with.
const FEW: u32 = 1_000;

/// How long snapshots may take to shorten the journal's tail.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(300);

/// Starts measured of each kind; the median counts.
const STARTS: usize = 3;

/// Starts in an empty home, and of the bare server.
const EMPTY_STARTS: usize = 11;

/// What a start in an empty home may take: a restart is not to be noticed.
const EMPTY_START_MAX: Duration = Duration::from_millis(300);

fn main() -> Result<()> {
    let (sleepers, awake) = (
        variable::read("BENCH_SLEEPERS", 1_000_000)?,
        variable::read("BENCH_AWAKE", 100_000)?,
    );
    ensure!(
        (FEW..=sleepers).contains(&awake),
        "from {FEW} to BENCH_SLEEPERS actors can be awake"
    );
    let empty = empty()?;
    let home = Home::new()?;
    println!(
        "actors         awake   memory MiB   store MiB   tail MiB   start ms   after kill -9 ms"
    );
    home.start().context("start the host")?;
    row(&home, 0)?;
    for actors in [FEW, sleepers] {
        fill(home.status()?.port, actors)?;
        await_short_tail(&home)?;
        row(&home, actors)?;
    }
    let began = Instant::now();
    wake(home.status()?.port, awake)?;
    let took = began.elapsed();
    let status = home.status()?;
    ensure!(
        status.actors.awake >= u64::from(awake),
        "only {} of {awake} are awake",
        status.actors.awake
    );
    println!("{}", figures(&home, &status)?);
    println!(
        "woken: {awake} in {:.1} s, {:.0} a second",
        took.as_secs_f64(),
        f64::from(awake) / took.as_secs_f64()
    );
    home.stop()?;
    println!("{empty}");
    Ok(())
}

/// What a start takes where nothing is, and a server of axum that only listens.
fn empty() -> Result<String> {
    let (mut of_host, mut of_peer) = (Vec::new(), Vec::new());
    for _ in 0..EMPTY_STARTS {
        let home = Home::new()?;
        let began = Instant::now();
        home.start()?;
        of_host.push(began.elapsed());
        home.stop()?;
        let began = Instant::now();
        let peer = BareEcho::start()?;
        of_peer.push(began.elapsed());
        drop(peer);
    }
    let (host, peer) = (median(of_host), median(of_peer));
    println!(
        "start in an empty home: {:.0} ms, of a bare server {:.1} ms: {:.0} times",
        host.as_secs_f64() * 1e3,
        peer.as_secs_f64() * 1e3,
        host.as_secs_f64() / peer.as_secs_f64()
    );
    let wanted = format!("at most {} ms", EMPTY_START_MAX.as_millis());
    let found = format!("{} ms", host.as_millis());
    Ok(bar("start", &wanted, &found, host <= EMPTY_START_MAX))
}

/// Starts the host again and again, and says what it took and what it costs.
fn row(home: &Home, actors: u32) -> Result<()> {
    let mut starts = Vec::new();
    let mut reboots = Vec::new();
    for _ in 0..STARTS {
        home.stop()?;
        let began = Instant::now();
        home.start()?;
        starts.push(began.elapsed());
        let began = Instant::now();
        home.rebooted(home.kill_host()?)?;
        reboots.push(began.elapsed());
    }
    let status = home.status()?;
    ensure!(
        status.actors.known == u64::from(actors),
        "{} actors are known of {actors}",
        status.actors.known
    );
    println!(
        "{}{:>11.0}{:>19.0}",
        figures(home, &status)?,
        median(starts).as_secs_f64() * 1e3,
        median(reboots).as_secs_f64() * 1e3
    );
    Ok(())
}

/// Waits until the host has caught up: a campaign that is opened lengthens the tail, and
/// so many at once lengthen it faster than snapshots shorten it.
fn await_short_tail(home: &Home) -> Result<()> {
    let began = Instant::now();
    while tail_bytes(&home.status()?) > TAIL_SPAN_MAX {
        ensure!(
            began.elapsed() < CAUGHT_UP_WITHIN,
            "the journal's tail stays above {} MiB",
            TAIL_SPAN_MAX >> 20
        );
        thread::sleep(Duration::from_millis(200));
    }
    println!(
        "caught up {:.1} s behind the last",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn tail_bytes(status: &Status) -> u64 {
    status.counters["journal_tail_bytes"]
}

fn figures(home: &Home, status: &Status) -> Result<String> {
    let mut bytes = 0;
    for entry in fs::read_dir(home.data().join("data"))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(format!(
        "{:<12}{:>8}{:>13}{:>12}{:>11}",
        status.actors.known,
        status.actors.awake,
        status.rss_bytes >> 20,
        bytes >> 20,
        tail_bytes(status) >> 20
    ))
}

/// Opens the campaigns up to this number.
fn fill(port: u16, actors: u32) -> Result<()> {
    let open = r#"{"title":"A campaign","currency":"USD","goal":"1000000.00"}"#;
    everywhere(port, 0..actors, &[("open", open.to_owned())], |answers| {
        for Answer { visit, to, result } in answers {
            match result {
                // The few are opened before the many.
                Err(reason) if reason != "already_open" => {
                    bail!("campaign {visit} answers {to:?} with {reason}")
                }
                _ => {}
            }
        }
        Ok(())
    })
    .context("open the campaigns")
    .map(drop)
}

/// Asks the campaigns up to this number for their summary, which a join gives.
fn wake(port: u16, actors: u32) -> Result<()> {
    everywhere(port, 0..actors, &[], |answers| {
        for answer in answers.filter(|answer| answer.to == Asked::Join) {
            ensure!(answer.result.is_ok(), "{answer:?}");
        }
        Ok(())
    })
    .context("wake the campaigns")
    .map(drop)
}
