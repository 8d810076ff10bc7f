//! Few actors and many, small ones and large: each size beside the peer in the same run,
//! and the large ones beside a bare loop that writes the same bytes.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_SIZES` | all | names of sizes, between spaces: see [`SIZES`] |
//! | `BENCH_RUNS` | by size | times up and down, at most |
//!
//! Clients, their rate and the seed are those of [`crate::settings`].

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::report::{Medians, Phase, STALL_FLOOR, STALL_RATIO, in_ms, medians_of};
use crate::run::Ran;
use crate::settings::Settings;
use crate::{bare, peer, run};

/// What is measured.
const SIZES: [Size; 6] = [
    Size::small("1k", 1_000, 10, 5),
    Size::small("10k", 10_000, 10, 5),
    Size::small("100k", 100_000, 10, 3),
    // Of one donation each, for the filling is to take a minute and not ten.
    Size::small("1M", 1_000_000, 1, 1),
    // A donation is about 120 bytes of a snapshot.
    Size::large("1kx100KB", 1_000, 830, 3),
    Size::large("1x100MB", 1, 830_000, 3),
];

/// From how many actors on the longest silence is held against the peer's.
const MANY: u32 = 100_000;

/// How much shorter than the peer's it is to be.
const STALL_SHARE: u32 = 100;

/// How many times as long as a bare loop a switch of large actors may take.
const BARE_RATIO_MAX: f64 = 1.5;

/// What others may wait beside large actors, at the 99th percentile, over what they wait
/// in a steady window.
const WAIT_RATIO_MAX: f64 = 3.0;

/// Campaigns that are called while large ones come over.
const BESIDE: u32 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    actors: u32,
    donations: u32,
    /// Whether they are large: then others are called.
    large: bool,
    runs: u32,
}

impl Size {
    const fn small(name: &'static str, actors: u32, donations: u32, runs: u32) -> Self {
        Self {
            name,
            actors,
            donations,
            large: false,
            runs,
        }
    }

    const fn large(name: &'static str, actors: u32, donations: u32, runs: u32) -> Self {
        Self {
            large: true,
            ..Self::small(name, actors, donations, runs)
        }
    }

    fn settings(&self, common: &Settings) -> Settings {
        Settings {
            actors: self.actors,
            donations: self.donations,
            beside: if self.large { BESIDE } else { 0 },
            runs: common.runs.min(self.runs),
            ..*common
        }
    }
}

/// What was found of one size, one way.
#[derive(Debug)]
struct Row {
    size: Size,
    phase: Phase,
    host: Medians,
    awake: (u64, u64),
    peer: Option<peer::Peer>,
    /// Of a large size: the bytes of its snapshots as the store has them, and as the plugin
    /// gave them.
    bare: Option<[Duration; 2]>,
}

/// Goes through the sizes, and prints the table and the bars.
pub(crate) fn run(common: &Settings) -> Result<()> {
    let mut rows: Vec<Row> = Vec::new();
    let has_peer = peer::is_installed();
    if !has_peer {
        println!("the peer is not installed: apt-get install erlang-nox erlang-dev");
    }
    for size in wanted()? {
        println!("\n-- {}; {}", size.name, load()?);
        let settings = size.settings(common);
        let host = run::run(&settings).with_context(|| format!("the host, {}", size.name))?;
        // Without it the host's figures, and the sizes to come, are worth as much.
        let peers = has_peer.then(|| peer::run(&settings));
        let peers = peers.and_then(|ran| {
            ran.inspect_err(|error| println!("no figures of the peer: {error:#}"))
                .ok()
        });
        rows.extend(size.rows(&host, peers)?);
    }
    println!("\n{}; times in ms, medians", load()?);
    print(&rows);
    Ok(())
}

impl Size {
    fn rows(self, host: &Ran, peers: Option<[peer::Peer; 2]>) -> Result<Vec<Row>> {
        let phases = [Phase::Up, Phase::Down].into_iter().enumerate();
        let row = |(at, phase): (usize, Phase)| {
            let bare::Written { stored, plain } = host.written[at];
            let write = |bytes, what| -> Result<Duration> {
                let took = bare::write(bytes)?;
                let mb = bytes as f64 / 1e6;
                println!(
                    "bare {}, {what}: {mb:.1} MB in {} ms",
                    phase.name(),
                    in_ms(took)
                );
                Ok(took)
            };
            let both =
                || -> Result<_> { Ok([write(stored, "as stored")?, write(plain, "unpacked")?]) };
            let bare = self.large.then(both).transpose()?;
            Ok(Row {
                size: self,
                phase,
                host: medians_of(&host.measured, phase),
                awake: host.awake,
                peer: peers.map(|peers| peers[at]),
                bare,
            })
        };
        phases.map(row).collect()
    }
}

fn wanted() -> Result<Vec<Size>> {
    let Ok(names) = std::env::var("BENCH_SIZES") else {
        return Ok(SIZES.to_vec());
    };
    let find = |name| {
        let found = SIZES.into_iter().find(|size| size.name == name);
        found.with_context(|| format!("BENCH_SIZES has {name:?}, which is no size"))
    };
    let sizes: Vec<_> = names.split_whitespace().map(find).collect::<Result<_>>()?;
    ensure!(!sizes.is_empty(), "BENCH_SIZES names no size");
    Ok(sizes)
}

fn load() -> Result<String> {
    let load = std::fs::read_to_string("/proc/loadavg").context("read the load")?;
    let load: Vec<_> = load.split(' ').take(3).collect();
    Ok(format!("load average: {}", load.join(" ")))
}

fn print(rows: &[Row]) {
    println!(
        "{:<9} {:<5} {:>9} {:>9} {:>6} {:>8} {:>8} {:>7} {:>9} {:>6} {:>9} {:>6} {:>8} {:>8}   awake",
        "size",
        "way",
        "host",
        "otp",
        "ratio",
        "stall",
        "otp",
        "ratio",
        "bare",
        "ratio",
        "unpacked",
        "ratio",
        "p99",
        "steady"
    );
    for row in rows {
        let host = &row.host;
        let ms = |time: Option<Duration>| time.map_or("-".to_owned(), in_ms);
        let over = |time: Duration, of: Option<Duration>| {
            of.map_or("-".to_owned(), |of| format!("{:.3}", ratio(time, of)))
        };
        let [stored, plain] = row.bare.map_or([None, None], |bare| bare.map(Some));
        let (took, stall) = (row.peer.map(|it| it.took), row.peer.map(|it| it.stall));
        println!(
            "{:<9} {:<5} {:>9} {:>9} {:>6} {:>8} {:>8} {:>7} {:>9} {:>6} {:>9} {:>6} {:>8} {:>8}   {} to {} of {}",
            row.size.name,
            row.phase.name(),
            in_ms(host.took),
            ms(took),
            over(host.took, took),
            in_ms(host.switching.stall),
            ms(stall),
            over(host.switching.stall, stall),
            ms(stored),
            over(host.took, stored),
            ms(plain),
            over(host.took, plain),
            in_ms(host.switching.p99),
            in_ms(host.steady.p99),
            row.awake.0,
            row.awake.1,
            row.size.actors + if row.size.large { BESIDE } else { 0 }
        );
    }
    println!(
        "host, otp: from the request until the release is permanent, as each says itself; the \
         host's is verified, and\nits libraries are copied, in that time. bare: a loop that writes \
         the new snapshots as the store has them, and\nunpacked. p99: of the calls due in it; beside \
         large actors {BESIDE} small ones are called."
    );
    for row in rows {
        row.bars().iter().for_each(|bar| println!("{bar}"));
    }
    for phase in [Phase::Up, Phase::Down] {
        let of = |name| {
            rows.iter()
                .find(|row| row.size.name == name && row.phase == phase)
        };
        if let (Some(few), Some(many)) = (of("100k"), of("1M")) {
            let allowed = STALL_FLOOR.max(few.host.switching.stall * STALL_RATIO);
            println!(
                "{}",
                many.at_most(
                    "stall beside that of 100k",
                    many.host.switching.stall,
                    allowed
                )
            );
        }
    }
}

impl Row {
    fn bars(&self) -> Vec<String> {
        let host = &self.host;
        let mut bars = Vec::new();
        if !self.size.large {
            let allowed = self.peer.map(|peer| peer.took);
            bars.push(self.beside_peer("time beside the peer's", host.took, allowed));
        }
        if self.size.actors >= MANY {
            let allowed = self.peer.map(|peer| peer.stall / STALL_SHARE);
            let stall = host.switching.stall;
            bars.push(self.beside_peer("stall, a hundredth of the peer's", stall, allowed));
        }
        if let Some([stored, _]) = self.bare {
            let allowed = stored.mul_f64(BARE_RATIO_MAX);
            bars.push(self.at_most("time, 1.5 times the bare loop's", host.took, allowed));
            let allowed = host.steady.p99.mul_f64(WAIT_RATIO_MAX);
            bars.push(self.at_most(
                "others' p99, 3 times the steady one",
                host.switching.p99,
                allowed,
            ));
        }
        bars
    }

    /// As [`Row::at_most`]; without a peer there is nothing that it is met by.
    fn beside_peer(&self, what: &str, found: Duration, allowed: Option<Duration>) -> String {
        match allowed {
            Some(allowed) => self.at_most(what, found, allowed),
            None => format!(
                "bar {} {}, {what}: {} ms, and there are no figures of the peer: NOT met",
                self.size.name,
                self.phase.name(),
                in_ms(found)
            ),
        }
    }

    fn at_most(&self, what: &str, found: Duration, allowed: Duration) -> String {
        format!(
            "bar {} {}, {what}: {} ms, at most {} ms: {}",
            self.size.name,
            self.phase.name(),
            in_ms(found),
            in_ms(allowed),
            if found <= allowed { "met" } else { "NOT met" }
        )
    }
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(1e-6)
}
