//! How much the bench does, from the environment.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_ACTORS` | 100000 | campaigns, all awake |
//! | `BENCH_DONATIONS` | 10 | donations in each before it begins |
//! | `BENCH_CLIENTS` | 4 | paced clients |
//! | `BENCH_RATE` | 250 | calls a second of each |
//! | `BENCH_RUNS` | 5 | times up and down |
//! | `BENCH_SEED` | by the clock | of campaigns and amounts |

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) actors: u32,
    pub(crate) donations: u32,
    pub(crate) clients: u32,
    /// Calls a second of one client.
    pub(crate) rate: u32,
    pub(crate) runs: u32,
    pub(crate) seed: u64,
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Result<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let small = |name, default: u32| -> Result<u32> {
            let value = number(name, default.into())?;
            u32::try_from(value).with_context(|| format!("{name} is {value}, which is too large"))
        };
        let settings = Self {
            actors: small("BENCH_ACTORS", 100_000)?,
            donations: small("BENCH_DONATIONS", 10)?,
            clients: small("BENCH_CLIENTS", 4)?,
            rate: small("BENCH_RATE", 250)?,
            runs: small("BENCH_RUNS", 5)?,
            seed: number("BENCH_SEED", clock)?,
        };
        let Self {
            actors,
            clients,
            rate,
            runs,
            ..
        } = settings;
        let all = [actors, clients, rate, runs];
        ensure!(
            !all.contains(&0),
            "actors, clients, rate and runs are at least 1"
        );
        ensure!(
            settings.donations <= 100,
            "a campaign is filled with 100 donations at most"
        );
        Ok(settings)
    }
}

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{name} is {text:?} and no number")),
        Err(_) => Ok(default),
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            actors,
            donations,
            clients,
            rate,
            runs,
            seed,
        } = self;
        write!(
            f,
            "stall bench: {actors} actors with {donations} donations each, {clients} clients with \
             {rate} calls/s each, {runs} runs, seed {seed}"
        )
    }
}
