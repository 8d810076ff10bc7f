//! `make crash`: kills a host under load for so many minutes, looks behind each
//! restart for every gift, and prints a table. Ends with 0 only if all held.
//!
//! | variable | |
//! |---|---|
//! | `MINUTES` | how long; 1 |
//! | `SEED` | of the choices; another one each time |
//! | `STORE` | `sqlite`, or `postgres`: a server of its own, killed as well |
//! | `SOCKETS`, `CALLERS` | givers over WebSockets and over HTTP; 48 and 16 |
//! | `OWNERS` | those who declare over HTTP under `Idempotency-Key`; 4 |

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use e2e::Home;
use e2e::crash::{self, Report, Settings, Store};
use e2e::variable::read;

fn main() -> ExitCode {
    let ran = settings().and_then(|settings| {
        println!("SEED={}", settings.seed);
        run(&settings)
    });
    match ran {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("not all of it holds: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<Report> {
    let mut home = Home::new()?;
    let ran = crash::run(&home, settings);
    ran.map_err(|error| error.context(format!("the home is kept in {}", home.keep().display())))
}

fn settings() -> Result<Settings> {
    let minutes: f64 = read("MINUTES", 1.0)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = now.map_or(0, |now| now.as_secs());
    Ok(Settings {
        seed: read("SEED", seed)?,
        time: Duration::from_secs_f64((minutes * 60.0).clamp(1.0, 1e6)),
        rounds: u64::MAX,
        sockets: read("SOCKETS", 48)?,
        callers: read("CALLERS", 16)?,
        owners: read("OWNERS", 4)?,
        store: read("STORE", Store::Sqlite)?,
    })
}
