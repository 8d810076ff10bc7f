//! `make demo`: clients give while the host is upgraded, rolled back and upgraded
//! again, and a table says what they noticed of it.

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::load::{Load, Seen, Shape, Wait};
use e2e::tally::Audit;
use e2e::{Home, Ran};
use host_model::control::UpgradeReport;

const CLIENTS: usize = 200;
const CAMPAIGNS: usize = 50;
/// Between an answer and the same client's next gift.
const PACE: Duration = Duration::from_millis(100);
/// Of giving before, between and behind the switches.
const INTERLUDE: Duration = Duration::from_secs(4);

/// A change of release, as it was seen from outside.
struct Switch {
    began: Instant,
    ended: Instant,
    report: UpgradeReport,
}

impl Switch {
    /// Whether a gift waited at any moment of it.
    fn meets(&self, wait: &Wait) -> bool {
        wait.sent <= self.ended && wait.sent + wait.took >= self.began
    }
}

fn main() -> ExitCode {
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demonstration failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<()> {
    let home = Home::new()?;
    let status = home.start()?;
    say(&format!(
        "The host runs release {} on port {}.",
        status.version, status.port
    ))?;
    let load = Load::start(Shape {
        port: status.port,
        clients: CLIENTS,
        campaigns: CAMPAIGNS,
        pace: PACE,
    })?;
    say(&format!(
        "{CLIENTS} clients are connected over WebSockets and give to {CAMPAIGNS} campaigns.\n"
    ))?;
    let up: &[&str] = &["upgrade", "0.2.0", "--probation", "0s", "--json"];
    let back: &[&str] = &["rollback", "--json"];
    let mut switches = Vec::new();
    give(&load)?;
    let before = home.status()?.connections;
    for command in [up, back, up] {
        give(&load)?;
        say(&format!("$ host {}", shown(command)))?;
        switches.push(switch(&home, command)?);
    }
    give(&load)?;
    say("The clients finish what they have begun, and every gift is looked for in the state.\n")?;
    let after = home.status()?.connections;
    let seen = load.stop()?;
    let audit = seen.tally.audit(&home)?;
    home.stop()?;
    tell_switches(&switches, &seen)?;
    tell_gifts([before, after], &seen, &audit)?;
    audit.exact()?;
    ensure!(seen.closed == 0, "{} connections closed", seen.closed);
    say("Nobody lost a connection, and no gift was lost or counted twice.")
}

/// Lets the clients give for a while.
fn give(load: &Load) -> Result<()> {
    let (before, began) = (load.acknowledged(), Instant::now());
    thread::sleep(INTERLUDE);
    let gifts = load.acknowledged() - before;
    let seconds = began.elapsed().as_secs_f64();
    say(&format!(
        "  {:.0} gifts a second are acknowledged",
        gifts as f64 / seconds
    ))
}

fn switch(home: &Home, command: &[&str]) -> Result<Switch> {
    let began = Instant::now();
    let ran: Ran = home.host(command)?.ok()?;
    Ok(Switch {
        began,
        ended: Instant::now(),
        report: ran.json()?,
    })
}

/// A command as an operator types it.
fn shown(command: &[&str]) -> String {
    let words: Vec<_> = command.iter().filter(|word| **word != "--json").collect();
    words.iter().map(|w| **w).collect::<Vec<_>>().join(" ")
}

fn tell_switches(switches: &[Switch], seen: &Seen) -> Result<()> {
    say("switch            actors migrated   longest wait of a gift   duration")?;
    for switch in switches {
        let report = &switch.report;
        let waits = seen.waits.iter().filter(|wait| switch.meets(wait));
        say(&format!(
            "{:<18}{:>15}{:>22} ms{:>8} ms",
            format!("{} -> {}", report.from, report.to),
            report.actors_migrated,
            longest(waits),
            report.duration_ms
        ))?;
    }
    let is_calm = |wait: &&Wait| !switches.iter().any(|switch| switch.meets(wait));
    let calm = longest(seen.waits.iter().filter(is_calm));
    say(&format!(
        "{:<18}{:>15}{calm:>22} ms\n",
        "at other times", "-"
    ))
}

fn tell_gifts([before, after]: [u64; 2], seen: &Seen, audit: &Audit) -> Result<()> {
    for (what, count) in [
        ("clients connected before", before),
        ("clients connected afterwards", after),
        ("connections closed", seen.closed),
        ("errors answered", seen.errors.values().sum()),
        ("gifts acknowledged", audit.acknowledged),
        ("gifts in the state", audit.in_state),
        ("lost", audit.lost.len() as u64),
        ("doubled", audit.doubled.len() as u64),
    ] {
        say(&format!("{what:<30}{count:>8}"))?;
    }
    say("")
}

/// The longest that any of these gifts waited.
fn longest<'a>(waits: impl Iterator<Item = &'a Wait>) -> u128 {
    waits.map(|wait| wait.took.as_millis()).max().unwrap_or(0)
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
