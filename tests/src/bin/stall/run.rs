//! One measurement: a home of its own, filled, switched under load, and held against
//! what was acknowledged.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::Home;
use host_model::control::{HistoryRow, UpgradeReport};
use host_model::flight::FlightRecord;

use crate::bare;
use crate::cpu::Cpu;
use crate::fill;
use crate::ledger::Ledger;
use crate::paced::Load;
use crate::report::{self, Measured, Phase, Switch};
use crate::settings::{BESIDE_DONATIONS, Settings};
use crate::window::Window;

/// Between a switch and the steady window after it: what the switch has left to do,
/// such as a checkpoint of the store, is not counted as steady.
const SETTLE: Duration = Duration::from_secs(2);

/// What came of a measurement.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) measured: Vec<Measured>,
    /// Actors in memory when the clients came, and at the end.
    pub(crate) awake: (u64, u64),
    /// Bytes of all snapshots that a switch writes, up and down.
    pub(crate) written: [bare::Written; 2],
}

/// Measures with these settings, and prints what was found.
pub(crate) fn run(settings: &Settings) -> Result<Ran> {
    println!("{settings}");
    let mut home = Home::new()?;
    home.set("PORT", Some("0"));
    let status = home.start().context("start the host")?;

    let mut ledger = Ledger::new(settings.all());
    let filled = fill(&home, status.port, settings, &mut ledger)?;

    let load = Load::start(status.port, settings)?;
    thread::sleep(SETTLE);
    let mut switches = Vec::new();
    let measured = (1..=settings.runs).try_for_each(|run| {
        switches.push(switch(run, Phase::Up, &home, &load)?);
        switches.push(switch(run, Phase::Down, &home, &load)?);
        anyhow::Ok(())
    });
    let seen = load.stop().context("the paced clients")?;
    // What the clients saw explains it, so it comes after them.
    measured.context("measure the switches")?;
    ledger.add(&seen);

    let figures = report::figures(&seen, &switches);
    report::print(&figures, &seen);
    // A check wakes who sleeps.
    let awake = home.status()?.actors.awake;
    let check = fill::check(status.port, settings, &ledger).context("ask every campaign")?;
    println!("{check}");
    let status = home.status()?;
    println!(
        "memory at the end: {} MiB with {} actors awake of {}",
        status.rss_bytes >> 20,
        status.actors.awake,
        status.actors.known
    );
    home.stop()?;
    ensure!(check.is_exact(), "the state is not what was acknowledged");
    let store = home.data().join("data/host.db");
    Ok(Ran {
        measured: figures,
        awake: (filled, awake),
        written: [
            bare::snapshots(&store, "0.2.0")?,
            bare::snapshots(&store, "0.1.0")?,
        ],
    })
}

fn fill(home: &Home, port: u16, settings: &Settings, ledger: &mut Ledger) -> Result<u64> {
    let empty = home.status()?.rss_bytes;
    let began = Instant::now();
    fill::fill(port, settings, ledger).context("fill the campaigns")?;
    let took = began.elapsed();
    let status = home.status()?;
    let commands = u64::from(settings.actors) * u64::from(settings.donations + 1)
        + u64::from(settings.beside) * u64::from(BESIDE_DONATIONS + 1);
    println!(
        "filled: {commands} durable commands in {:.1} s, {:.0} a second; {} actors awake; \
         memory {} MiB, {} bytes an actor",
        took.as_secs_f64(),
        commands as f64 / took.as_secs_f64(),
        status.actors.awake,
        status.rss_bytes >> 20,
        status.rss_bytes.saturating_sub(empty) / u64::from(settings.all()),
    );
    Ok(status.actors.awake)
}

/// One switch under load, and a steady window of the same length after it.
fn switch(run: u32, phase: Phase, home: &Home, load: &Load) -> Result<Switch> {
    let mut cpu = Cpu::now(home)?;
    let from = load.elapsed();
    let report: UpgradeReport = match phase {
        Phase::Up => home.upgrade_unrehearsed("0.2.0")?,
        Phase::Down => home.rollback()?,
    };
    let to = load.elapsed();
    let switching = Window { from, to };
    let switching_cpu = cpu.lap(home)?;

    thread::sleep(SETTLE);
    let mut cpu = Cpu::now(home)?;
    let from = load.elapsed();
    thread::sleep(switching.length());
    let steady = Window {
        from,
        to: load.elapsed(),
    };
    let switch = Switch {
        run,
        phase,
        switching: (switching, switching_cpu),
        steady: (steady, cpu.lap(home)?),
        report,
    };
    println!("{switch}");
    println!("  it was {}", stages(home)?);
    Ok(switch)
}

/// How long the last switch stayed in each state, as its flight record has it.
fn stages(home: &Home) -> Result<String> {
    let last: Vec<HistoryRow> = home.answer(&["history", "--limit", "1", "--json"])?;
    let id = last.first().context("a switch is in the history")?.id;
    let flight: FlightRecord = home.answer(&["history", &id.to_string(), "--json"])?;
    let stages = flight.transitions.iter().filter_map(|stage| {
        let lasted = stage.lasted_ms?;
        Some(format!("{} for {lasted} ms", stage.state))
    });
    Ok(stages.collect::<Vec<_>>().join(", "))
}
