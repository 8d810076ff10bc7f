//! `host console`: a host that belongs to a prompt, and ends with it.

use std::env;
use std::io::{self, BufRead, BufReader, IsTerminal, PipeReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use host_cli::failure::{EXIT_INTERRUPTED, EXIT_REFUSED};
use host_cli::{Failure, Output};
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::{Prompt, Teller, teller};
use crate::launcher::{Found, home_failure};
use crate::life::{self, CONSOLE, START_TIMEOUT};
use crate::{checks, notify};

/// A host, and who waits for its end.
struct Hosted {
    pid: u32,
    /// Whether its end was asked for by this prompt.
    is_leaving: Arc<AtomicBool>,
    waiter: JoinHandle<u8>,
}

/// `host console`
pub(crate) fn console(found: &Found, out: &Output<'_>) -> Result<u8, Failure> {
    for warning in checks::checked(found)?.warnings {
        out.warn(&warning);
    }
    life::refuse_second(&found.home)?;
    found.home.make_folders().map_err(home_failure)?;
    let prompt = Prompt::new(found, out.is_json())?;
    let is_terminal = io::stdin().is_terminal();
    let mut line = is_terminal.then(|| prompt.line()).transpose()?;
    let mut tell: Teller = match &mut line {
        Some(line) => teller(line)?,
        // Standard output is the commands'.
        None => Box::new(|text| drop(writeln!(io::stderr(), "{text}"))),
    };
    let (mut child, log) = boot(found)?;
    let logged = thread::spawn(move || {
        for text in BufReader::new(log).lines().map_while(Result::ok) {
            tell(text);
        }
    });
    let pid = child.id();
    prompt.end_with_the_terminal(pid)?;
    if let Err(failure) = prompt.until_ready(&mut child) {
        life::signal(pid, Signal::TERM)?;
        // It says why above.
        drop(child.wait());
        drop(logged.join());
        return Err(failure);
    }
    let hosted = Hosted::new(child, logged, is_terminal);
    let ended = match line {
        Some(line) => {
            let _pid = prompt.greet();
            prompt.talk(line)
        }
        None => prompt.read_all(io::stdin().lock()),
    };
    let code = hosted.stop()?;
    ended.map(|failed| if failed == 0 { code } else { failed })
}

/// The host as a process in a group of its own, which Ctrl-C does not reach; and what it
/// prints.
fn boot(found: &Found) -> Result<(Child, PipeReader), Failure> {
    let failed = |e: io::Error| Failure::refused("exec", format!("start the host: {e}"));
    let (log, printed) = io::pipe().map_err(failed)?;
    let program = env::current_exe().map_err(failed)?;
    let child = Command::new(program)
        .args(found.arguments())
        .arg("serve")
        .env(CONSOLE, "yes")
        .envs(found.allow.root.then_some(("HOST_ALLOW_ROOT", "yes")))
        .envs(found.allow.debug.then_some(("HOST_ALLOW_DEBUG", "yes")))
        .env_remove(notify::NOTIFY_SOCKET)
        .stdin(Stdio::null())
        .stdout(printed.try_clone().map_err(failed)?)
        .stderr(printed)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok((child, log))
}

impl Prompt<'_> {
    /// Waits until clients are served; Ctrl-C ends it.
    fn until_ready(&self, child: &mut Child) -> Result<(), Failure> {
        let alive = || match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure::new(
                "start_failed",
                code(status).max(EXIT_REFUSED),
                format!(
                    "start the host: it has ended before it was ready ({status}); it says above why"
                ),
            )),
            Err(e) => Err(Failure::refused("io", format!("wait for the host: {e}"))),
        };
        let ready = life::ready(&self.found.home, START_TIMEOUT, |_| true, alive);
        self.runtime.block_on(async {
            tokio::select! {
                ready = ready => ready.map(drop),
                _ = tokio::signal::ctrl_c() => Err(Failure::new(
                    "interrupted",
                    EXIT_INTERRUPTED,
                    "start the host: interrupted; it is stopped",
                )),
            }
        })
    }

    /// Has the host stop where its terminal is closed, or somebody ends this process.
    fn end_with_the_terminal(&self, host: u32) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::refused("io", format!("listen for signals: {e}"));
        let _entered = self.runtime.enter();
        let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        self.runtime.spawn(async move {
            tokio::select! {
                _ = hang_up.recv() => {}
                _ = terminate.recv() => {}
            }
            // One that has gone has ended this process already, or is about to.
            drop(life::signal(host, Signal::TERM));
        });
        Ok(())
    }
}

impl Hosted {
    /// When the host ends by itself, so does this process, whatever it waits for.
    fn new(mut child: Child, logged: JoinHandle<()>, is_terminal: bool) -> Self {
        let pid = child.id();
        let is_leaving = Arc::new(AtomicBool::new(false));
        // The line that is typed has changed it.
        let terminal = is_terminal.then(|| tcgetattr(io::stdin()).ok()).flatten();
        let waiter = thread::spawn({
            let is_leaving = Arc::clone(&is_leaving);
            move || {
                let ended = child.wait();
                drop(logged.join());
                let code = ended.as_ref().map_or(EXIT_REFUSED, |status| code(*status));
                if !is_leaving.load(Ordering::SeqCst) {
                    leave(terminal.as_ref(), code);
                }
                code
            }
        });
        Self {
            pid,
            is_leaving,
            waiter,
        }
    }

    /// Stops the host in order; how it ended.
    fn stop(self) -> Result<u8, Failure> {
        self.is_leaving.store(true, Ordering::SeqCst);
        life::signal(self.pid, Signal::TERM)?;
        let ended = self.waiter.join();
        Ok(ended.unwrap_or(EXIT_REFUSED))
    }
}

/// Ends this process with its host.
fn leave(terminal: Option<&Termios>, code: u8) -> ! {
    if let Some(terminal) = terminal {
        // One that has gone needs none of it.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
    }
    drop(writeln!(
        io::stderr(),
        "\nthe host has ended, and this console with it"
    ));
    std::process::exit(code.into())
}

fn code(status: ExitStatus) -> u8 {
    let by_signal = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(by_signal);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(EXIT_REFUSED)
}
