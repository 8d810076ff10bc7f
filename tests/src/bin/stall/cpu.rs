//! Who used the processors during a window: the host, this program, others. A
//! figure measured beside others is worth less, and the report says how much.

use std::fs;

use anyhow::{Context, Result};
use e2e::Home;

/// A reading of the kernel's counters, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// Of all processors, idle or not.
    all: u64,
    busy: u64,
    host: u64,
    own: u64,
}

/// Shares of the whole machine between two readings, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shares {
    pub(crate) host: f64,
    pub(crate) own: f64,
    pub(crate) others: f64,
}

impl Cpu {
    /// Reads the counters; the host of `home` runs.
    pub(crate) fn now(home: &Home) -> Result<Self> {
        let host = home.host_pid().context("the host runs")?;
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let first = stat.lines().next().context("/proc/stat has a line")?;
        // user nice system idle iowait irq softirq steal; what follows is in `user` already.
        let ticks: Vec<u64> = first
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        let all = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Ok(Self {
            all,
            busy: all - idle,
            host: process(host)?,
            own: process(std::process::id())?,
        })
    }

    /// Shares since the last reading.
    pub(crate) fn lap(&mut self, home: &Home) -> Result<Shares> {
        let before = std::mem::replace(self, Self::now(home)?);
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        let share = |now: u64, before: u64| 100.0 * now.saturating_sub(before) as f64 / all;
        let host = share(self.host, before.host);
        let own = share(self.own, before.own);
        let others = (share(self.busy, before.busy) - host - own).max(0.0);
        Ok(Shares { host, own, others })
    }
}

/// User and system time of a process, in ticks.
fn process(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name, in brackets, may have spaces in it.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = fields.get(11..13).context("a process has times")?;
    ticks
        .iter()
        .map(|t| t.parse::<u64>().with_context(|| format!("read {path}")))
        .sum()
}
