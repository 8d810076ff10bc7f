//! What is killed, and how the host comes back from it.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use test_postgres::Server;

use super::Dice;
use crate::home::{self, Home};
use crate::wait;

/// The longest that a host which has just been booted again is left alone.
const BOOT_MS_MAX: u64 = 400;

/// The longest that nobody boots a server again.
const AWAY_MS_MAX: u64 = 2_500;

/// A keeper gives up after five crashes within a minute, and one blow is two at most,
/// three where the host loses its server too while it starts: behind so many it is
/// killed too, and the next one begins to count anew.
const KEPT_MAX: u64 = 2;

/// How often what was killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kills {
    pub(crate) host: u64,
    pub(crate) keeper: u64,
    pub(crate) server: u64,
    /// Crashes of the host that the present keeper has seen.
    kept: u64,
}

/// One way to end a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// It lives on.
    Nobody,
    /// The keeper boots it again.
    Host,
    /// The keeper boots it again, and the second blow meets it while it starts.
    HostTwice,
    /// Nobody boots it but an operator.
    Both,
    /// The keeper first, and the host a little later.
    KeeperFirst,
}

/// When its PostgreSQL server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Never,
    /// A little before the host.
    Before,
    /// A little behind it, while it starts.
    Behind,
}

/// What is done to a host and its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    blow: Blow,
    strike: Strike,
}

impl Plan {
    fn new(has_server: bool, dice: &mut Dice, kept: u64) -> Self {
        let strike = match has_server {
            false => Strike::Never,
            true => match dice.below(100) {
                0..35 => Strike::Never,
                35..75 => Strike::Before,
                _ => Strike::Behind,
            },
        };
        let blow = match dice.below(100) {
            0..40 if strike == Strike::Before => Blow::Nobody,
            _ if kept >= KEPT_MAX => Blow::Both,
            0..35 => Blow::Host,
            35..50 => Blow::HostTwice,
            50..85 => Blow::Both,
            _ => Blow::KeeperFirst,
        };
        Self { blow, strike }
    }
}

/// Kills, and returns when the host is ready again. A server is booted again soon.
pub(crate) fn kill(
    home: &Home,
    server: Option<&mut Server>,
    dice: &mut Dice,
    kills: &mut Kills,
) -> Result<()> {
    let plan = Plan::new(server.is_some(), dice, kills.kept);
    let killed = carry_out(plan, home, server, dice, kills);
    killed.with_context(|| format!("after {plan:?}"))
}

fn carry_out(
    Plan { blow, strike }: Plan,
    home: &Home,
    server: Option<&mut Server>,
    dice: &mut Dice,
    kills: &mut Kills,
) -> Result<()> {
    match (strike, server) {
        (Strike::Before, Some(server)) => {
            strike_down(server, kills)?;
            pause(dice, BOOT_MS_MAX);
            end(home, blow, dice, kills)?;
            pause(dice, AWAY_MS_MAX);
            server.boot()?;
        }
        (Strike::Behind, Some(server)) => {
            end(home, blow, dice, kills)?;
            pause(dice, BOOT_MS_MAX);
            strike_down(server, kills)?;
            // A host that was starting may have ended over it.
            kills.kept += 1;
            pause(dice, AWAY_MS_MAX);
            server.boot()?;
        }
        _ => end(home, blow, dice, kills)?,
    }
    if matches!(blow, Blow::Both | Blow::KeeperFirst) {
        home.start()
            .context("start the host after both were killed")?;
        kills.kept = 0;
    }
    home.settled().map(drop)
}

fn strike_down(server: &mut Server, kills: &mut Kills) -> Result<()> {
    kills.server += 1;
    server.kill()
}

fn pause(dice: &mut Dice, ms_max: u64) {
    thread::sleep(Duration::from_millis(dice.below(ms_max)));
}

fn end(home: &Home, blow: Blow, dice: &mut Dice, kills: &mut Kills) -> Result<()> {
    let old = wait::until("a host runs", || home.host_pid())?;
    match blow {
        Blow::Nobody => {}
        Blow::Host => host(home, old, kills)?,
        Blow::HostTwice => {
            host(home, old, kills)?;
            let next = wait::until("the keeper boots the host", || {
                home.host_pid().filter(|pid| *pid != old)
            })?;
            pause(dice, BOOT_MS_MAX);
            host(home, next, kills)?;
        }
        Blow::Both => {
            keeper(home, kills)?;
            kept(home, kills)?;
        }
        Blow::KeeperFirst => {
            keeper(home, kills)?;
            pause(dice, BOOT_MS_MAX);
            kept(home, kills)?;
        }
    }
    Ok(())
}

/// Kills whom a keeper that is gone has left: it may have booted another host last of all.
fn kept(home: &Home, kills: &mut Kills) -> Result<()> {
    home.host_pid().map_or(Ok(()), |pid| host(home, pid, kills))
}

fn host(home: &Home, pid: u32, kills: &mut Kills) -> Result<()> {
    if home::kill(pid) {
        kills.host += 1;
        kills.kept += 1;
    }
    gone(|| home.host_pid() == Some(pid))
}

fn keeper(home: &Home, kills: &mut Kills) -> Result<()> {
    let Some(pid) = home.keeper_pid() else {
        return Ok(());
    };
    if home::kill(pid) {
        kills.keeper += 1;
    }
    gone(|| home.keeper_pid() == Some(pid))
}

fn gone(lives: impl Fn() -> bool) -> Result<()> {
    wait::until("a killed process is gone", || (!lives()).then_some(()))
}
