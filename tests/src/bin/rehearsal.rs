//! How many small actors are rehearsed in a second.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_REHEARSED` | 100000 | campaigns that exist, with a gift each |
//!
//! Started by `taskset -c 0`, the host, its child and this share one core: then the
//! figure is that of one core. They are as many as are taken where nobody says how many, and
//! beside that all, with every law of each. Each campaign is as it is behind its first
//! commands, once more behind an upgrade and a way back, when it has a snapshot and a
//! carry, and once more behind another gift: then there is something to ask by each law.
//!
//! With the argument `load`: what clients wait while rehearsals go on beside them, and
//! what they wait without, in turn. One in a hundred waits for a slow sync of the disk
//! anyway, so a single turn says little.

use std::env;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::figures::bar;
use e2e::load::{Shape, Wait};
use e2e::visits::everywhere;
use e2e::wire::Answer;
use e2e::{Home, Load};
use host_model::control::{RehearsalOutcome, RehearsalReport};

/// What is wanted of one core.
const BAR: f64 = 30_000.0;

/// Rehearsals measured of each kind; the best counts, for others may share the core.
const RUNS: usize = 3;

/// What clients may wait beside a rehearsal, at the 99th percentile, over what they wait
/// without one.
const WAIT_RATIO_MAX: f64 = 1.5;

/// How long each is looked at in a turn.
const WINDOW: Duration = Duration::from_secs(10);

/// Turns of both.
const TURNS: usize = 3;

fn main() -> Result<()> {
    let actors = match env::var("BENCH_REHEARSED") {
        Ok(text) => text.parse().context("BENCH_REHEARSED is no number")?,
        Err(_) => 100_000,
    };
    let home = Home::new()?;
    let port = home.start()?.port;
    if env::args().nth(1).as_deref() == Some("load") {
        return beside(&home, port, actors);
    }
    fill(port, actors)?;
    println!(
        "actors                           rehearsed   a second   longest pause   asked of each law"
    );
    let fresh = row(&home, "two commands, no snapshot", &[])?;
    row(&home, "the same, every law of everyone", &["--all"])?;
    home.upgrade_unrehearsed("0.2.0")?;
    home.rollback()?;
    let asleep = row(&home, "a snapshot and a carry", &[])?;
    let gift = r#"{"donation_id":"d2","amount":"5.00","currency":"USD"}"#;
    said(port, actors, &[("donate", gift.to_owned())])?;
    let used = row(&home, "a snapshot, a carry and a gift", &[])?;
    row(&home, "the same, every law of everyone", &["--all"])?;
    for (name, found) in [("fresh", fresh), ("snapshot", asleep), ("used", used)] {
        let (wanted, shown) = (format!("{BAR:.0} a second"), format!("{found:.0}"));
        println!("{}", bar(name, &wanted, &shown, found >= BAR));
    }
    home.stop()
}

fn row(home: &Home, name: &str, how: &[&str]) -> Result<f64> {
    let line = [&["rehearse", "0.2.0", "--json"], how].concat();
    let mut best = 0.0_f64;
    let mut last: Option<RehearsalReport> = None;
    for _ in 0..RUNS {
        let report: RehearsalReport = home.answer(&line)?;
        ensure!(report.outcome == RehearsalOutcome::Passed, "{report:?}");
        let seconds = f64::from(u32::try_from(report.duration_ms)?) / 1e3;
        best = best.max(f64::from(u32::try_from(report.rehearsed)?) / seconds);
        last = Some(report);
    }
    let report = last.context("it has run")?;
    let longest = report.plugins.iter().map(|it| it.pause_us.max).max();
    let asked = report.laws.iter().map(|it| it.asked.to_string());
    println!(
        "{name:<33}{:>9}{best:>11.0}{:>13} us   {}",
        report.rehearsed,
        longest.unwrap_or(0),
        asked.collect::<Vec<_>>().join(" ")
    );
    Ok(best)
}

/// Gives to a few campaigns, with and without rehearsals beside it.
fn beside(home: &Home, port: u16, actors: u32) -> Result<()> {
    let load = Load::start(Shape {
        port,
        clients: 16,
        campaigns: 16,
        pace: Duration::from_millis(20),
    })?;
    fill(port, actors)?;
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    let mut rehearsals = 0;
    for turn in 0..TURNS {
        let began = Instant::now();
        while began.elapsed() < WINDOW {
            load.more(100)?;
        }
        quiet.push(began..Instant::now());
        // Every law of everyone once, otherwise as many as are taken by themselves.
        let how: &[&str] = if turn == 0 { &["--all"] } else { &[] };
        let line = [&["rehearse", "0.2.0", "--json"], how].concat();
        let began = Instant::now();
        while began.elapsed() < WINDOW {
            let report: RehearsalReport = home.answer(&line)?;
            ensure!(report.outcome == RehearsalOutcome::Passed, "{report:?}");
            rehearsals += 1;
        }
        busy.push(began..Instant::now());
    }
    let seen = load.stop()?;
    ensure!(
        seen.closed == 0 && seen.errors.is_empty(),
        "{} connections closed, and these errors came: {:?}",
        seen.closed,
        seen.errors
    );
    let waits = seen.waits;
    let (without, with) = (p99(&waits, &quiet)?, p99(&waits, &busy)?);
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    let lasted =
        |of: &[Range<Instant>]| -> Duration { of.iter().map(|it| it.end - it.start).sum() };
    println!(
        "p99 of a gift: {:.1} ms without ({:.0} s), {:.1} ms beside {rehearsals} rehearsals ({:.0} s)",
        without.as_secs_f64() * 1e3,
        lasted(&quiet).as_secs_f64(),
        with.as_secs_f64() * 1e3,
        lasted(&busy).as_secs_f64(),
    );
    let (wanted, found) = (format!("{WAIT_RATIO_MAX} times"), format!("{ratio:.2}"));
    println!("{}", bar("wait", &wanted, &found, ratio <= WAIT_RATIO_MAX));
    home.stop()
}

/// Of what was sent within these times.
fn p99(waits: &[Wait], times: &[Range<Instant>]) -> Result<Duration> {
    let is_sent = |wait: &&Wait| times.iter().any(|it| it.contains(&wait.sent));
    let sent = waits.iter().filter(is_sent);
    let mut took: Vec<_> = sent.map(|wait| wait.took).collect();
    took.sort_unstable();
    ensure!(took.len() >= 100, "only {} gifts were given", took.len());
    Ok(took[took.len() * 99 / 100])
}

/// Opens the campaigns, and gives once to each.
fn fill(port: u16, actors: u32) -> Result<()> {
    let open = r#"{"title":"A campaign","currency":"USD","goal":"1000000.00"}"#;
    let gift = r#"{"donation_id":"d1","amount":"5.00","currency":"USD"}"#;
    said(
        port,
        actors,
        &[("open", open.to_owned()), ("donate", gift.to_owned())],
    )
}

/// Says the same to all campaigns.
fn said(port: u16, actors: u32, what: &[(&str, String)]) -> Result<()> {
    everywhere(port, 0..actors, what, |answers| {
        for Answer { visit, to, result } in answers {
            // Some may have been opened by those who give beside it.
            if let Err(reason) = result
                && reason != "already_open"
            {
                bail!("campaign {visit} answers {to:?} with {reason}")
            }
        }
        Ok(())
    })
    .context("give to the campaigns")
    .map(drop)
}
