//! The stall bench: what clients see while 100,000 live actors change their
//! version, from the outside and with the real host.
//!
//! Four paced clients give 1,000 durable donations a second to campaigns chosen at
//! random, over one WebSocket connection each, and never stop: through `host
//! upgrade`, through `host rollback`, and in between. After every switch comes a
//! steady window exactly as long as the switch took, so that the longest silence
//! of the one can be held against that of the other. At the end every campaign is
//! asked for its count and its total: what was acknowledged has to be there.
//!
//! `make bench` runs it with a home of the profile `release`. How much it does is
//! set in the environment; see [`settings`].

mod cpu;
mod fill;
mod ledger;
mod paced;
mod report;
mod schedule;
mod settings;
mod window;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::Home;
use host_model::control::UpgradeReport;

use crate::cpu::Cpu;
use crate::ledger::Ledger;
use crate::paced::Load;
use crate::report::{Phase, Switch};
use crate::settings::Settings;
use crate::window::Window;

/// Between a switch and the steady window after it: what the switch has left to do,
/// such as a checkpoint of the store, is not counted as steady.
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let settings = Settings::from_environment()?;
    println!("{settings}");
    let mut home = Home::new()?;
    home.set("PORT", Some("0"));
    let status = home.start().context("start the host")?;

    let mut ledger = Ledger::new(settings.actors);
    fill(&home, status.port, &settings, &mut ledger)?;

    let load = Load::start(status.port, &settings)?;
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
    let check = fill::check(status.port, &settings, &ledger).context("ask every campaign")?;
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
    Ok(())
}

fn fill(home: &Home, port: u16, settings: &Settings, ledger: &mut Ledger) -> Result<()> {
    let empty = home.status()?.rss_bytes;
    let began = Instant::now();
    fill::fill(port, settings, ledger).context("fill the campaigns")?;
    let took = began.elapsed();
    let status = home.status()?;
    let commands = u64::from(settings.actors) * u64::from(settings.donations + 1);
    println!(
        "filled: {commands} durable commands in {:.1} s, {:.0} a second; {} actors awake; \
         memory {} MiB, {} bytes an actor",
        took.as_secs_f64(),
        commands as f64 / took.as_secs_f64(),
        status.actors.awake,
        status.rss_bytes >> 20,
        status.rss_bytes.saturating_sub(empty) / u64::from(settings.actors),
    );
    ensure!(
        status.actors.awake >= u64::from(settings.actors),
        "only {} of {} actors are awake",
        status.actors.awake,
        settings.actors
    );
    Ok(())
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
    Ok(switch)
}
