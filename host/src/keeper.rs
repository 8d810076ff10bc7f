//! Keeps a host alive in the background.
//!
//! The keeper runs the permanent release's host, hears from it when it is ready,
//! passes on what ends it, and boots it again when it crashes, until it crashes too
//! often. It has no state of its own: killed, it takes nothing with it, and the host
//! serves on.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram as Socket;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use host_cli::Failure;
use host_cli::failure::{EXIT_LOOK, EXIT_REFUSED};
use host_model::limits::STOP_TIMEOUT;
use rustix::process::Signal as ChildSignal;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::boots::{Attempt, COUNTED, counted};
use crate::exit;
use crate::launcher::Found;
use crate::logfile;
use crate::notify::{NOTIFY_SOCKET, READY, RESTART};
use crate::pidfile::PidFile;

/// Tells a host that its keeper boots it, and no operator: one before it was ready, and has
/// ended.
pub(crate) const AGAIN: &str = "HOST_BOOTED_AGAIN";

/// The pause before the first boot after a crash.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// How long a word is listened for when the host has ended: it is there already, and
/// only has to be read.
const LAST_WORD: Duration = Duration::from_millis(100);

/// So many crashes within [`CRASHES_WITHIN`] are no accident: booting again would be
/// the next one, and whoever runs the machine should hear of it.
const CRASHES_MAX: usize = 5;

/// A crash that lies further back than this no longer counts.
const CRASHES_WITHIN: Duration = Duration::from_secs(60);

/// How long a host may take to stop before it is killed: its own time, and room.
const KILL_AFTER: Duration = Duration::from_secs(STOP_TIMEOUT.as_secs() + 5);

/// How one run of the host went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    /// Its exit code; none if a signal ended it.
    code: Option<i32>,
    /// Whether it was ready at some time.
    was_ready: bool,
    /// What the operator had asked for.
    asked: Asked,
    /// When it ended, since the keeper began.
    at: Duration,
}

/// What an operator wants of the host that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// To go on.
    Run,
    /// To end (SIGTERM, SIGINT).
    Stop,
    /// To end and be booted again ([`RESTART`]).
    Restart,
}

/// What reaches the keeper from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// The host is ready.
    Ready,
    /// An operator wants something of the host's process.
    Asked(Asked),
    /// The configuration is to be read anew (SIGHUP): by the host itself.
    Reload,
    /// The log was moved (SIGUSR1). The host looks by itself: one of an older release would
    /// be ended by the signal.
    Moved,
}

/// What comes after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The keeper ends with this exit code.
    Exit(u8),
    /// The host boots after this pause.
    Boot(Duration),
    /// It crashes again and again: an operator has to look.
    GiveUp,
}

/// What the keeper remembers from run to run.
#[derive(Debug, Default)]
struct History {
    ever_ready: bool,
    /// When the host crashed, as [`Ended::at`]: those that still count.
    crashes: Vec<Duration>,
}

impl History {
    /// Decides what comes after a run.
    fn after(&mut self, ended: Ended) -> Next {
        const AGAIN: i32 = exit::AGAIN as i32;
        let first = !self.ever_ready;
        self.ever_ready |= ended.was_ready;
        match (ended.asked, ended.code) {
            (Asked::Restart, _) => Next::Boot(Duration::ZERO),
            (Asked::Stop, code) => Next::Exit(exit_code(code)),
            (Asked::Run, Some(0)) => Next::Exit(0),
            (Asked::Run, Some(code)) if code == i32::from(EXIT_LOOK) => Next::Exit(EXIT_LOOK),
            (Asked::Run, Some(AGAIN)) if ended.was_ready => Next::Boot(Duration::ZERO),
            // A host that never came up is told to the operator who waits for it.
            (Asked::Run, code) if first && !ended.was_ready && code != Some(AGAIN) => {
                Next::Exit(exit_code(code))
            }
            (Asked::Run, _) => {
                self.crashes
                    .retain(|at| ended.at.saturating_sub(*at) < CRASHES_WITHIN);
                self.crashes.push(ended.at);
                match self.crashes.len() {
                    CRASHES_MAX.. => Next::GiveUp,
                    crashes => Next::Boot(BACKOFF_MIN * (1 << (crashes - 1))),
                }
            }
        }
    }
}

/// The exit code that the keeper passes on; a signal is a failure.
fn exit_code(code: Option<i32>) -> u8 {
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(EXIT_REFUSED)
}

/// `host keeper`: standard output and error are the log already.
pub(crate) fn run(found: &Found, take_over: bool) -> Result<u8, Failure> {
    // Out of the terminal's session, so that closing it ends nothing. It fails only
    // for a group's leader, which a started process is not.
    let _ = rustix::process::setsid();
    let home = &found.home;
    let attempt = Attempt::inherited(home);
    home.make_folders().map_err(crate::launcher::home_failure)?;
    let _pid = PidFile::take(&home.keeper_pid_file()).map_err(|e| {
        Failure::refused(
            "running",
            format!("keep a host: {:#}", anyhow::Error::from(e)),
        )
    })?;
    attempt.hand_on();
    // One thread: children are started from it, and it has nothing else to do.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::refused("io", format!("start a runtime: {e}")))?
        .block_on(Keeper::new(found, take_over).keep())
}

/// A keeper at work.
struct Keeper<'a> {
    found: &'a Found,
    /// The log, if that is what this process prints to.
    log: Option<PathBuf>,
    history: History,
    began: Instant,
    /// The operator's word for the first boot: a later one that took over again would
    /// fight for the store with the host that has fenced this one.
    take_over: bool,
    has_booted: bool,
}

/// Where the keeper hears what reaches it.
struct Ears {
    notify: UnixDatagram,
    path: PathBuf,
    orders: Orders,
}

/// Signals from operators.
struct Orders {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user1: Signal,
}

impl<'a> Keeper<'a> {
    fn new(found: &'a Found, take_over: bool) -> Self {
        let log = found.home.log();
        Self {
            found,
            log: logfile::is_standard_output(&log).then_some(log),
            history: History::default(),
            began: Instant::now(),
            take_over,
            has_booted: false,
        }
    }

    /// Boots the host until it is done. Returns the exit code.
    async fn keep(mut self) -> Result<u8, Failure> {
        let mut ears = self.ears()?;
        loop {
            let ended = self.run_once(&mut ears).await?;
            let next = self.history.after(ended);
            match next {
                Next::Exit(code) => return Ok(code),
                Next::GiveUp => {
                    say(&format!(
                        "the host has crashed {CRASHES_MAX} times within {} s and is not booted again; \
                         read in log/host.log what it said before each end, mend it, then say `host start`",
                        CRASHES_WITHIN.as_secs()
                    ));
                    return Ok(EXIT_LOOK);
                }
                Next::Boot(pause) => {
                    say(&format!("the host boots again in {} ms", pause.as_millis()));
                    let heard = timeout(pause, ears.next()).await;
                    if heard == Ok(Heard::Asked(Asked::Stop)) {
                        return Ok(0);
                    }
                }
            }
        }
    }

    fn ears(&self) -> Result<Ears, Failure> {
        let path = self.found.home.keeper_socket();
        // The lock on the pid file says that whoever had it is gone.
        let _ = std::fs::remove_file(&path);
        let io = |e: std::io::Error| {
            Failure::refused("io", format!("listen on {}: {e}", path.display()))
        };
        Ok(Ears {
            notify: UnixDatagram::bind(&path).map_err(io)?,
            path: path.clone(),
            orders: Orders {
                terminate: signal(SignalKind::terminate()).map_err(io)?,
                interrupt: signal(SignalKind::interrupt()).map_err(io)?,
                hang_up: signal(SignalKind::hangup()).map_err(io)?,
                user1: signal(SignalKind::user_defined1()).map_err(io)?,
            },
        })
    }

    /// One life of a host, from its boot to its end.
    async fn run_once(&mut self, ears: &mut Ears) -> Result<Ended, Failure> {
        let is_first = !std::mem::replace(&mut self.has_booted, true);
        forget_words(&ears.notify)
            .map_err(|e| Failure::look("io", format!("listen to the host: {e}")))?;
        let mut child = match self.boot(is_first) {
            Ok(child) => child,
            Err(failure) => {
                say(&format!("the host could not be started: {failure}"));
                return Ok(self.not_started());
            }
        };
        let mut asked = Asked::Run;
        let mut was_ready = false;
        let mut reload_then = false;
        // Far away until someone asks for the end.
        let mut kill_at = Instant::now() + Duration::from_secs(365 * 24 * 60 * 60);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                heard = ears.next() => match heard {
                    Heard::Ready => {
                        was_ready = true;
                        if std::mem::take(&mut reload_then) {
                            signal_child(&child, ChildSignal::HUP);
                        }
                    }
                    Heard::Reload if was_ready => signal_child(&child, ChildSignal::HUP),
                    // It may have read its configuration already, and not hear it yet.
                    Heard::Reload => reload_then = true,
                    Heard::Moved => self.follow_log(),
                    Heard::Asked(wanted) => {
                        if asked == Asked::Run {
                            kill_at = Instant::now() + KILL_AFTER;
                        }
                        // Once it shall stop, it stays stopped.
                        if asked != Asked::Stop {
                            asked = wanted;
                        }
                        signal_child(&child, ChildSignal::TERM);
                    }
                },
                () = sleep_until(kill_at) => {
                    say(&format!("the host has not stopped within {} s and is killed", KILL_AFTER.as_secs()));
                    child.kill().await.map_err(|e| Failure::look("io", format!("kill the host: {e}")))?;
                }
            }
        };
        // What it said before it ended may be heard behind its end.
        while !was_ready && let Ok(word) = timeout(LAST_WORD, hear_word(&ears.notify)).await {
            was_ready = word == Heard::Ready;
        }
        let status = status.map_err(|e| Failure::look("io", format!("wait for the host: {e}")))?;
        self.follow_log();
        if asked == Asked::Run {
            say(&format!("the host has ended: {}", how(status)));
        }
        Ok(Ended {
            code: status.code(),
            was_ready,
            asked,
            at: self.began.elapsed(),
        })
    }

    /// A run that came to nothing counts as a crash: a release that is mended meanwhile
    /// boots, and one that is not is given up with the word for it.
    fn not_started(&self) -> Ended {
        Ended {
            code: None,
            was_ready: false,
            asked: Asked::Run,
            at: self.began.elapsed(),
        }
    }

    /// Has the next line, and the next host, go to the log of its name: it may have been
    /// moved since.
    fn follow_log(&self) {
        if let Some(Err(error)) = self.log.as_deref().map(logfile::follow) {
            say(&format!("the log cannot be opened anew: {error}"));
        }
    }

    /// Starts the host of the release that boots now.
    fn boot(&self, is_first: bool) -> Result<Child, Failure> {
        let home = &self.found.home;
        self.follow_log();
        // The first one may have been counted by who started this keeper.
        let counted = counted().filter(|_| is_first);
        let booting = home.booting(counted.as_ref());
        let (release, why) = booting.map_err(crate::launcher::home_failure)?;
        let (program, version) = (release.program(), release.manifest.version);
        if counted.as_ref() != Some(&version) {
            let noted = home.count_attempt(&version, &why);
            noted.map_err(crate::launcher::home_failure)?;
        }
        Command::new(&program)
            .args(self.found.arguments())
            .arg("serve")
            .args((self.take_over && !self.history.ever_ready).then_some("--take-over"))
            .env(NOTIFY_SOCKET, self.found.home.keeper_socket())
            .env(COUNTED, version.to_string())
            .envs(self.history.ever_ready.then_some((AGAIN, "yes")))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| Failure::refused("exec", format!("run {}: {e}", program.display())))
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Ears {
    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.orders.terminate.recv() => Heard::Asked(Asked::Stop),
            _ = self.orders.interrupt.recv() => Heard::Asked(Asked::Stop),
            _ = self.orders.hang_up.recv() => Heard::Reload,
            _ = self.orders.user1.recv() => Heard::Moved,
            word = hear_word(&self.notify) => word,
        }
    }
}

/// Waits for a word that the keeper knows. What the host says of itself beyond that is
/// systemd's to know.
async fn hear_word(notify: &UnixDatagram) -> Heard {
    loop {
        let mut word = [0; 64];
        match notify.recv(&mut word).await {
            Ok(n) if word[..n].starts_with(READY) => return Heard::Ready,
            Ok(n) if word[..n].starts_with(RESTART) => return Heard::Asked(Asked::Restart),
            Ok(_) => {}
            Err(error) => {
                say(&format!("the host is not heard any more: {error}"));
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Forgets what a host has said that has ended: of the next one it is not true.
fn forget_words(notify: &UnixDatagram) -> io::Result<()> {
    // The system is asked, and not tokio, which may not know yet that there is something.
    // It does not block, for it is the same socket.
    let socket = Socket::from(notify.as_fd().try_clone_to_owned()?);
    while socket.recv(&mut [0; 64]).is_ok() {}
    Ok(())
}

fn signal_child(child: &Child, signal: ChildSignal) {
    // Without an id it has ended, and the next turn sees that.
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
    {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, code) => format!("exit code {}", code.unwrap_or_default()),
    }
}

/// A line of the keeper's in the host's log.
fn say(message: &str) {
    // A full disk takes none, and is no reason to end.
    drop(writeln!(io::stderr(), "keeper: {message}"));
}

#[cfg(test)]
mod tests;
