//! Life and death of the host: start, stop, restart.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use host_cli::failure::EXIT_LOOK;
use host_cli::{Client, Failure, Output};
use host_model::Version;
use host_model::control::Status;
use host_model::limits::{ATTEMPTS_MAX, STOP_TIMEOUT};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::boots::{Attempt, counted};
use crate::home::Home;
use crate::launcher::{Found, home_failure};
use crate::pidfile::{PidFile, holder, is_held};
use crate::{checks, heap, logfile, logs, notify, serve};

/// How long a start may take: plugins opened, journal checked.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stop may take before it is given up: the host's own time, the
/// keeper's patience, and room.
const GONE_TIMEOUT: Duration = Duration::from_secs(STOP_TIMEOUT.as_secs() + 10);

/// A keeper whose host has stopped in order ends at once. One that is still there
/// after this is told to.
const KEEPER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a process that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Lines of the log that are shown when a start fails.
const LAST_WORDS_LINES: usize = 20;

/// Set for a host that belongs to a console, and ends with it.
pub(crate) const CONSOLE: &str = "HOST_CONSOLE";

/// Whether `start` stays in the foreground by itself: as process 1 of a container,
/// and where systemd waits for a word.
pub(crate) fn is_foreground() -> bool {
    std::process::id() == 1 || std::env::var_os(notify::NOTIFY_SOCKET).is_some()
}

/// `host serve`: is the host until it ends.
pub(crate) fn serve(found: &Found, take_over: bool) -> Result<u8, Failure> {
    heap::give_back_beside();
    if std::env::var_os(CONSOLE).is_some() {
        // Also where the console is killed: nobody else would know of this process.
        set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|e| Failure::refused("io", format!("be tied to the console: {e}")))?;
    }
    let attempt = Attempt::inherited(&found.home);
    let config = checks::checked(found)?;
    let (release, why) = found
        .home
        .booting(counted().as_ref())
        .map_err(home_failure)?;
    let release = release.manifest.version;
    found.home.make_folders().map_err(home_failure)?;
    let _pid = PidFile::take(&found.home.pid_file()).map_err(|e| {
        Failure::refused(
            "running",
            format!(
                "start the host: {:#}; it runs already",
                anyhow::Error::from(e)
            ),
        )
    })?;
    let attempt = attempt.at(&release, &why).map_err(home_failure)?;
    let boot = serve::Boot {
        found,
        release: &release,
        why: &why,
    };
    serve::serve(&boot, attempt, config, take_over, notify::ready).map_err(|error| {
        // A failure that already knows its exit code keeps it.
        let failure = match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Failure::refused("failed", format!("{error:#}")),
        };
        gave_up(found, &release, failure)
    })
}

/// A start that failed. After too many, of a release that has never come up and that
/// nothing is behind, nobody is to try again by himself.
fn gave_up(found: &Found, release: &Version, failure: Failure) -> Failure {
    let boots = found.home.boots();
    let again = found.home.choice(None);
    match (boots, again) {
        (Ok(boots), Ok(next)) if boots.has_failed(release) && next.release == *release => {
            Failure::look(
                "never_came_up",
                format!(
                    "{failure}\nrelease {release} has not come up in {ATTEMPTS_MAX} starts, and there is no other to boot: mend what is said above, or put the release before it back and write its version into {}",
                    found.home.data_dir().join("permanent").display()
                ),
            )
        }
        _ => failure,
    }
}

/// `host start` in the background.
pub(crate) async fn start(
    found: &Found,
    take_over: bool,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let home = &found.home;
    let attempt = Attempt::inherited(home);
    // Here too, so that what is wrong is told at once and not in a log.
    for warning in checks::checked(found)?.warnings {
        out.warn(&warning);
    }
    refuse_second(home)?;
    home.make_folders().map_err(home_failure)?;
    let failed = |what: &Path, e: std::io::Error| {
        Failure::refused("io", format!("start the host: {}: {e}", what.display()))
    };
    let path = home.log();
    let log = logfile::open(&path).map_err(|e| failed(&path, e))?;
    let from = log.metadata().map_err(|e| failed(&path, e))?.len();
    let program = std::env::current_exe().map_err(|e| failed(Path::new("this program"), e))?;
    let mut keeper = Command::new(&program)
        .args(found.arguments())
        .arg("keeper")
        .args(take_over.then_some("--take-over"))
        // A host of another release may not know the flags.
        .envs(found.allow.root.then_some(("HOST_ALLOW_ROOT", "yes")))
        .envs(found.allow.debug.then_some(("HOST_ALLOW_DEBUG", "yes")))
        .current_dir(&home.root)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|e| failed(&path, e))?)
        .stderr(log)
        .spawn()
        .map_err(|e| failed(&program, e))?;
    attempt.hand_on();
    let status = ready(
        home,
        START_TIMEOUT,
        |_| true,
        || match keeper.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(last_words(home, "start", from, status.code())),
            Err(e) => Err(failed(&program, e)),
        },
    );
    told(&status.await?, out)
}

/// `host stop`
pub(crate) async fn stop(home: &Home, out: &mut Output<'_>) -> Result<u8, Failure> {
    let client = Client::new(&home.socket());
    let answer: Result<Value, Failure> = client.post("/v1/stop", &json!({})).await;
    if let Err(failure) = answer {
        // It may live and not listen: still starting, or between two boots.
        let processes = [home.keeper_pid_file(), home.pid_file()];
        let Some(pid) = processes.iter().find_map(|file| holder(file)) else {
            return Err(failure);
        };
        signal(pid, Signal::TERM)?;
    }
    let begun = Instant::now();
    let mut host_gone = None;
    let mut keeper_told = false;
    loop {
        let (host, keeper) = (is_held(&home.pid_file()), is_held(&home.keeper_pid_file()));
        if !host && !keeper {
            break;
        }
        if !host {
            host_gone.get_or_insert_with(Instant::now);
        }
        // A host that crashed instead of stopping would be booted again.
        if keeper
            && !keeper_told
            && host_gone.is_some_and(|gone| gone.elapsed() > KEEPER_TIMEOUT)
            && let Some(pid) = holder(&home.keeper_pid_file())
        {
            signal(pid, Signal::TERM)?;
            keeper_told = true;
        }
        if begun.elapsed() > GONE_TIMEOUT {
            let pid = holder(&home.pid_file()).or(holder(&home.keeper_pid_file()));
            return Err(Failure::look(
                "stop_timeout",
                format!(
                    "stop the host: process {} still runs after {} s; look at `host logs`, and as the last resort `kill -9` it (acknowledged commands are safe)",
                    pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string()),
                    GONE_TIMEOUT.as_secs()
                ),
            ));
        }
        sleep(LOOK_EVERY).await;
    }
    out.document(&json!({ "stopped": true }), |_| "stopped".to_owned())?;
    Ok(0)
}

/// `host restart`: the keeper stops its host and boots it anew.
pub(crate) async fn restart(found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let home = &found.home;
    if !is_held(&home.keeper_pid_file()) {
        let status: Status = Client::new(&home.socket()).get("/v1/status").await?;
        return Err(Failure::refused(
            "no_keeper",
            format!(
                "restart the host: process {} runs without a keeper; restart it by what started it, or `host stop` and `host start`",
                status.pid
            ),
        ));
    }
    let old = holder(&home.pid_file());
    let from = std::fs::metadata(home.log()).map_or(0, |log| log.len());
    // By the host, which has it in the audit trail.
    let asked: Result<Value, Failure> = Client::new(&home.socket())
        .post("/v1/restart", &json!({}))
        .await;
    if let Err(failure) = asked {
        // It has looked whether it would be back, with the settings that it was started with.
        if failure.problem().reason == "unfit" {
            return Err(failure);
        }
        checks::checked(found)?;
        out.warn(&format!(
            "{failure}: its keeper is told, and that is not in the audit trail"
        ));
        notify::restart(&home.keeper_socket())
            .map_err(|e| Failure::refused("signal", format!("tell the keeper: {e}")))?;
    }
    let is_new = |status: &Status| Some(status.pid) != old;
    let status = ready(
        home,
        START_TIMEOUT + GONE_TIMEOUT,
        is_new,
        || match is_held(&home.keeper_pid_file()) {
            true => Ok(()),
            false => Err(last_words(home, "restart", from, Some(EXIT_LOOK.into()))),
        },
    );
    told(&status.await?, out)
}

/// Waits until a host that `is_wanted` is ready, as long as it is `alive`.
pub(crate) async fn ready(
    home: &Home,
    deadline: Duration,
    is_wanted: impl Fn(&Status) -> bool,
    mut alive: impl FnMut() -> Result<(), Failure>,
) -> Result<Status, Failure> {
    let client = Client::new(&home.socket());
    let begun = Instant::now();
    let mut reasons = Vec::new();
    loop {
        match client.get::<Status>("/v1/status").await {
            Ok(status) if is_wanted(&status) && status.ready.ready => return Ok(status),
            Ok(status) => reasons = status.ready.reasons,
            // It does not listen yet, or no longer.
            Err(_) => {}
        }
        alive()?;
        if begun.elapsed() > deadline {
            let why = match reasons.is_empty() {
                true => String::new(),
                false => format!(" ({})", reasons.join("; ")),
            };
            return Err(Failure::look(
                "start_timeout",
                format!(
                    "start the host: it is not ready after {} s{why}, and goes on starting; look at `host status` and `host logs`, or end it with `host stop`",
                    deadline.as_secs()
                ),
            ));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn told(status: &Status, out: &mut Output<'_>) -> Result<u8, Failure> {
    out.document(status, |status| {
        format!(
            "release {} is ready: process {}, port {}",
            status.version, status.pid, status.port
        )
    })?;
    Ok(0)
}

pub(crate) fn refuse_second(home: &Home) -> Result<(), Failure> {
    for file in [home.pid_file(), home.keeper_pid_file()] {
        if is_held(&file) {
            let pid = holder(&file).map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            // Only a keeper can restart its host.
            let instead = match is_held(&home.keeper_pid_file()) {
                true => "use `host restart`",
                false => {
                    "restart it by what started it in the foreground, or `host stop` and `host start`"
                }
            };
            return Err(Failure::refused(
                "running",
                format!(
                    "start the host: it runs already, process {pid}; see `host status`, or {instead}"
                ),
            ));
        }
    }
    Ok(())
}

/// Why a start or restart failed, which ended the keeper with this code: what the log says
/// since byte `from`.
fn last_words(home: &Home, attempted: &str, from: u64, code: Option<i32>) -> Failure {
    let lines = logs::tail(&home.log(), from, LAST_WORDS_LINES).unwrap_or_default();
    let exit_code = match code {
        Some(code) if code == i32::from(EXIT_LOOK) => EXIT_LOOK,
        _ => host_cli::failure::EXIT_REFUSED,
    };
    let message = match lines.is_empty() {
        true => format!(
            "{attempted} the host: it ended before it was ready, without a word in {}",
            home.log().display()
        ),
        false => format!(
            "{attempted} the host: it ended before it was ready. Its last words:\n  {}",
            lines.join("\n  ")
        ),
    };
    Failure::new("start_failed", exit_code, message)
}

pub(crate) fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::refused("signal", format!("signal process {pid}: {e}"))
    };
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = raw.ok_or_else(|| failed(&"it is no process id"))?;
    match kill_process(process, signal) {
        // Gone meanwhile: what was wanted, or what the waiting will find.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e @ rustix::io::Errno::PERM) => Err(failed(&format_args!(
            "{e}; run this as the user that the host runs as"
        ))),
        Err(e) => Err(failed(&e)),
    }
}

#[cfg(test)]
mod tests;
