//! `make soak`: the whole matrix of an upgrade's steps and of faults, round after round,
//! and a thousand cycles up and down. Prints a line for each; ends with 0 only if all
//! held.
//!
//! | variable | |
//! |---|---|
//! | `ROUNDS` | times through the matrix; 1 |
//! | `MINUTES` | no round begins after so many; any number of rounds until then, where it is set alone |
//! | `SEED` | of the order of a round; another one each time |
//! | `CYCLES` | up and down; 1000 |
//! | `AT_ONCE` | ways of the matrix at the same time; 4 |
//! | `ONLY` | of the matrix, the ways whose names have this: `Migration x Panic` |

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use e2e::crash::Dice;
use e2e::matrix::{self, Matrix, sample::shuffle};
use e2e::{cycles, variable};

fn main() -> ExitCode {
    match soak() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("not all of it holds: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak() -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed: u64 = variable::read("SEED", now.map_or(0, |now| now.as_secs()))?;
    let minutes: f64 = variable::read("MINUTES", 0.0)?;
    let rounds = variable::read("ROUNDS", if minutes > 0.0 { u64::MAX } else { 1 })?;
    let count = variable::read("CYCLES", 1_000)?;
    let only: String = variable::read("ONLY", String::new())?;
    let at_once = variable::read("AT_ONCE", 4)?;
    println!("SEED={seed}\n\n{}\n", matrix::table());
    let home = Matrix::new()?;
    let limit = match minutes > 0.0 {
        true => Duration::from_secs_f64((minutes * 60.0).min(1e6)),
        false => Duration::MAX,
    };
    let failed = run_matrix(&home, seed, rounds, limit, &only, at_once)?;
    if count > 0 {
        println!("\n{count} cycles up and down");
        let cycles = cycles::run(&home.home()?, count)?;
        println!("{cycles}");
        cycles.flat()?;
    }
    ensure!(
        failed.is_empty(),
        "SEED={seed}, {} ways:\n{}",
        failed.len(),
        failed.join("\n")
    );
    Ok(())
}

/// The names of the ways that failed.
fn run_matrix(
    home: &Matrix,
    seed: u64,
    rounds: u64,
    limit: Duration,
    only: &str,
    at_once: usize,
) -> Result<Vec<String>> {
    let began = Instant::now();
    let mut failed = Vec::new();
    for round in 1..=rounds {
        if began.elapsed() >= limit {
            break;
        }
        let mut cells = matrix::cells();
        cells.retain(|cell| cell.to_string().contains(only));
        ensure!(
            !cells.is_empty(),
            "no way of the matrix has {only:?} in its name"
        );
        shuffle(&mut cells, &mut Dice::new(seed, round));
        println!("round {round}: {} ways", cells.len());
        let names = home.run_all(cells, at_once).into_iter();
        failed.extend(names.map(|cell| cell.to_string()));
    }
    Ok(failed)
}
