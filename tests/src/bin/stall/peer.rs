//! The peer: Erlang/OTP with the same settings, and what it prints.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::report::Phase;
use crate::settings::Settings;

/// Builds and runs it, in the folder that is its argument.
const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/otp/run.sh");

/// Of the switches that went the same way, medians.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// From the request until the release is permanent.
    pub(crate) took: Duration,
    /// The longest time in which no call completed.
    pub(crate) stall: Duration,
}

/// Whether it can be run.
pub(crate) fn is_installed() -> bool {
    Command::new("erlc").output().is_ok()
}

/// Measures with these settings, shows what it prints, and gives the switches up and
/// down.
pub(crate) fn run(settings: &Settings) -> Result<[Peer; 2]> {
    let folder = tempfile::tempdir()?;
    let mut child = Command::new(RUN)
        .arg(folder.path())
        .envs(settings.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {RUN}"))?;
    let stdout = child.stdout.take().context("it has an output")?;
    let mut medians = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        medians.extend(parse(&line));
    }
    let ended = child.wait()?;
    ensure!(ended.success(), "the peer has ended with {ended}");
    let of = |phase: Phase| {
        let found = medians.iter().find(|(name, _)| name == phase.name());
        found
            .map(|(_, peer)| *peer)
            .with_context(|| format!("the peer has printed no medians of {}", phase.name()))
    };
    Ok([of(Phase::Up)?, of(Phase::Down)?])
}

/// A line of medians: what they are of, and what they say.
fn parse(line: &str) -> Option<(String, Peer)> {
    let mut fields = line.strip_prefix("median otp ")?.split_whitespace();
    let name = fields.next()?.to_owned();
    // length calls p50 p99 p99.9 max stall, in ms.
    let fields: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let ms = |at: usize| Some(Duration::from_secs_f64(fields.get(at)? / 1e3));
    let peer = Peer {
        took: ms(0)?,
        stall: ms(6)?,
    };
    Some((name, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_read_and_all_else_is_passed_over() {
        let line = "median otp  down         2408.01     3411   1120.52   2215.08   2230.50   \
                    2240.10   2233.71";
        let (name, peer) = parse(line).unwrap();
        assert_eq!(name, "down");
        assert_eq!(peer.took, Duration::from_micros(2_408_010));
        assert_eq!(peer.stall, Duration::from_micros(2_233_710));
        for other in ["run 1 up: 2408 ms", "median otp", "median otp up 1.0 2"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
