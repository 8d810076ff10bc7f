//! What is printed. The lines that begin with `median` are those that
//! `scripts/bench.sh` puts beside the peer's.

use std::fmt;
use std::time::Duration;

use host_model::control::UpgradeReport;

use crate::cpu::Shares;
use crate::paced::{Call, Seen};
use crate::window::{Figures, Window, median};

/// A stall of a switch that is no longer than this is met whatever the steady one.
pub(crate) const STALL_FLOOR: Duration = Duration::from_millis(20);

/// How many times the steady stall a switch's may be, above the floor.
pub(crate) const STALL_RATIO: u32 = 2;

/// Which way a switch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `host upgrade`
    Up,
    /// `host rollback`
    Down,
}

/// A switch that was made, and the steady window after it.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) run: u32,
    pub(crate) phase: Phase,
    pub(crate) switching: (Window, Shares),
    pub(crate) steady: (Window, Shares),
    pub(crate) report: UpgradeReport,
}

/// What clients saw of a switch and of the steady window after it.
#[derive(Debug)]
pub(crate) struct Measured {
    run: u32,
    phase: Phase,
    switching: (Figures, Shares),
    steady: (Figures, Shares),
    /// As the host says itself: without the command line around it.
    took: Duration,
}

/// Medians of all switches that go the same way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Medians {
    pub(crate) switching: Figures,
    pub(crate) steady: Figures,
    /// From the request until the release is permanent, within the host.
    pub(crate) took: Duration,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        write!(
            f,
            "run {} {}: {} to {} {:?} in {} ms, {} actors migrated; messages waited p50 {} µs, \
             p99 {} µs, max {} µs",
            self.run,
            self.phase.name(),
            report.from,
            report.to,
            report.outcome,
            report.duration_ms,
            report.actors_migrated,
            report.pause_us.p50,
            report.pause_us.p99,
            report.pause_us.max
        )
    }
}

/// Counts what is in the windows.
pub(crate) fn figures(seen: &Seen, switches: &[Switch]) -> Vec<Measured> {
    let mut calls: Vec<Call> = seen.calls.clone();
    calls.sort_unstable_by_key(|call| call.done);
    let counted = |(window, shares): (Window, Shares)| (window.figures(&calls), shares);
    let measured = switches.iter().map(|switch| Measured {
        run: switch.run,
        phase: switch.phase,
        switching: counted(switch.switching),
        steady: counted(switch.steady),
        took: Duration::from_millis(switch.report.duration_ms),
    });
    measured.collect()
}

/// Prints every run, the medians, and whether the bar is met.
pub(crate) fn print(measured: &[Measured], seen: &Seen) {
    println!(
        "calls: {} answered, errors: {:?}",
        seen.calls.len(),
        seen.errors
    );
    println!(
        "times in ms, `at` from the beginning of the window; shares of the processors in percent"
    );
    println!(
        "{:<16} {} {:>8} {:>6} {:>6} {:>6} {:>6}",
        "run",
        columns(),
        "at",
        "failed",
        "host",
        "bench",
        "others"
    );
    for one in measured {
        for (name, (figures, shares)) in
            [(one.phase.name(), &one.switching), ("steady", &one.steady)]
        {
            println!(
                "{:<16} {} {:>8.0} {:>6} {:>6.1} {:>6.1} {:>6.1}",
                format!("{} {name}", one.run),
                row(figures),
                figures.stall_at.as_secs_f64() * 1_000.0,
                figures.failed,
                shares.host,
                shares.own,
                shares.others
            );
        }
    }
    for phase in [Phase::Up, Phase::Down] {
        let Medians {
            switching, steady, ..
        } = medians_of(measured, phase);
        println!("median host {:<11} {}", phase.name(), row(&switching));
        println!("median host {:<11} {}", "steady", row(&steady));
        let allowed = STALL_FLOOR.max(steady.stall * STALL_RATIO);
        println!(
            "bar {}: the longest silence of a switch, {} ms, is to be at most {} ms: {}",
            phase.name(),
            in_ms(switching.stall),
            in_ms(allowed),
            if switching.stall <= allowed {
                "met"
            } else {
                "NOT met"
            }
        );
    }
}

/// Of the switches that go this way.
pub(crate) fn medians_of(measured: &[Measured], phase: Phase) -> Medians {
    let of = || measured.iter().filter(move |one| one.phase == phase);
    Medians {
        switching: medians(of().map(|one| one.switching.0)),
        steady: medians(of().map(|one| one.steady.0)),
        took: median(of().map(|one| one.took).collect()),
    }
}

fn medians(figures: impl Iterator<Item = Figures>) -> Figures {
    let all: Vec<_> = figures.collect();
    let of = |field: fn(&Figures) -> Duration| median(all.iter().map(field).collect());
    let mut calls: Vec<_> = all.iter().map(|f| f.calls).collect();
    calls.sort_unstable();
    Figures {
        length: of(|f| f.length),
        calls: calls
            .get(calls.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or_default(),
        failed: all.iter().map(|f| f.failed).sum(),
        p50: of(|f| f.p50),
        p99: of(|f| f.p99),
        p999: of(|f| f.p999),
        max: of(|f| f.max),
        stall: of(|f| f.stall),
        stall_at: of(|f| f.stall_at),
    }
}

fn columns() -> String {
    format!(
        "{:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "length", "calls", "p50", "p99", "p99.9", "max", "stall"
    )
}

fn row(figures: &Figures) -> String {
    let [length, p50, p99, p999, max, stall] = [
        figures.length,
        figures.p50,
        figures.p99,
        figures.p999,
        figures.max,
        figures.stall,
    ]
    .map(in_ms);
    let calls = figures.calls;
    format!("{length:>10} {calls:>8} {p50:>9} {p99:>9} {p999:>9} {max:>9} {stall:>9}")
}

pub(crate) fn in_ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1_000.0)
}
