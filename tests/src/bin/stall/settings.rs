//! How much the bench does, from the environment.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_ACTORS` | 100000 | campaigns, all awake |
//! | `BENCH_DONATIONS` | 10 | donations in each before it begins |
//! | `BENCH_BESIDE` | 0 | further campaigns, small ones, which the clients give to instead |
//! | `BENCH_CLIENTS` | 4 | paced clients |
//! | `BENCH_RATE` | 250 | calls a second of each |
//! | `BENCH_RUNS` | 5 | times up and down |
//! | `BENCH_SEED` | by the clock | of campaigns and amounts |

use std::fmt;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

/// How many a campaign takes.
const DONATIONS_MAX: u32 = 1_000_000;

/// Donations in each of the campaigns beside those that are measured.
pub(crate) const BESIDE_DONATIONS: u32 = 10;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) actors: u32,
    pub(crate) donations: u32,
    pub(crate) beside: u32,
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
            beside: small("BENCH_BESIDE", 0)?,
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
            settings.donations <= DONATIONS_MAX,
            "a campaign takes {DONATIONS_MAX} donations"
        );
        Ok(settings)
    }

    /// All campaigns: those that are measured, and behind them those beside.
    pub(crate) fn all(&self) -> u32 {
        self.actors + self.beside
    }

    /// Those that the clients give to.
    pub(crate) fn called(&self) -> Range<u32> {
        match self.beside {
            0 => 0..self.actors,
            _ => self.actors..self.all(),
        }
    }

    /// As the peer is told of it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("BENCH_ACTORS", self.actors.to_string()),
            ("BENCH_DONATIONS", self.donations.to_string()),
            ("BENCH_BESIDE", self.beside.to_string()),
            ("BENCH_CLIENTS", self.clients.to_string()),
            ("BENCH_RATE", self.rate.to_string()),
            ("BENCH_RUNS", self.runs.to_string()),
            ("BENCH_SEED", self.seed.to_string()),
        ]
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
            beside,
            clients,
            rate,
            runs,
            seed,
        } = self;
        write!(
            f,
            "stall bench: {actors} actors with {donations} donations each, "
        )?;
        if *beside > 0 {
            write!(f, "{beside} small ones beside them that are called, ")?;
        }
        write!(
            f,
            "{clients} clients with {rate} calls/s each, {runs} runs, seed {seed}"
        )
    }
}
