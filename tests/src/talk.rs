//! A command that is talked to while it runs: what it shows is waited for, what it is to
//! read is typed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{terminal, wait};

/// A command that runs. Killed when dropped.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    keyboard: Keyboard,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Bytes that were waited for already.
    seen: usize,
}

#[derive(Debug)]
enum Keyboard {
    Terminal(File),
    Pipe(Option<ChildStdin>),
}

impl Talk {
    /// Starts `command` with pipes; its standard output and error are shown as they come.
    ///
    /// # Errors
    ///
    /// That it cannot be run.
    pub fn piped(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("run it")?;
        let shown = Arc::default();
        if let Some(out) = child.stdout.take() {
            show(out, &shown);
        }
        if let Some(err) = child.stderr.take() {
            show(err, &shown);
        }
        let keyboard = Keyboard::Pipe(child.stdin.take());
        Ok(Self {
            child,
            keyboard,
            shown,
            seen: 0,
        })
    }

    /// Starts `command` on a terminal of its own, which is the one that it is controlled by.
    ///
    /// # Errors
    ///
    /// That it cannot be run.
    pub fn on_a_terminal(command: &Command) -> Result<Self> {
        // A session of its own, in which Ctrl-C is a signal to the command.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program());
        session.args(command.get_args()).env_clear();
        session.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let screen = terminal::attach(&mut session)?;
        let child = session.spawn().context("run it on a terminal")?;
        let shown = Arc::default();
        show(screen.try_clone()?, &shown);
        Ok(Self {
            child,
            keyboard: Keyboard::Terminal(screen),
            shown,
            seen: 0,
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types `text`, with whatever keys are in it.
    ///
    /// # Errors
    ///
    /// That nobody reads any more.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        self.type_bytes(text.as_bytes())
    }

    /// The same, of what need not be text.
    ///
    /// # Errors
    ///
    /// It reads no more.
    pub fn type_bytes(&mut self, text: &[u8]) -> Result<()> {
        match &mut self.keyboard {
            Keyboard::Terminal(file) => file.write_all(text)?,
            Keyboard::Pipe(pipe) => {
                let pipe = pipe.as_mut().context("its standard input is closed")?;
                pipe.write_all(text)?;
            }
        }
        Ok(())
    }

    /// Closes its standard input, where that is a pipe.
    pub fn end_of_input(&mut self) {
        if let Keyboard::Pipe(pipe) = &mut self.keyboard {
            drop(pipe.take());
        }
    }

    /// Waits until it has shown `text` behind what was waited for before; all that came
    /// with it since.
    ///
    /// # Errors
    ///
    /// That it has not, and what it has shown instead.
    pub fn shows(&mut self, text: &str) -> Result<String> {
        let from = self.seen;
        let found = wait::until(&format!("{text:?} is shown"), || {
            let shown = held(&self.shown);
            let rest = &shown[from..];
            let mut windows = rest.windows(text.len());
            windows
                .position(|window| window == text.as_bytes())
                .map(|at| at + text.len())
        });
        let found = found.with_context(|| {
            let shown = held(&self.shown);
            format!("it has shown {:?}", String::from_utf8_lossy(&shown[from..]))
        })?;
        self.seen = from + found;
        let shown = held(&self.shown);
        Ok(String::from_utf8_lossy(&shown[from..self.seen]).into_owned())
    }

    /// All that it has shown so far.
    #[must_use]
    pub fn all(&self) -> String {
        String::from_utf8_lossy(&held(&self.shown)).into_owned()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// That it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.context("it has no id")?, signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// That it has not ended within [`wait::DEADLINE`].
    pub fn end(&mut self) -> Result<ExitStatus> {
        wait::until("the command ends", || self.child.try_wait().ok()?)
            .with_context(|| format!("it has shown {:?}", self.all()))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It has ended as a rule, and then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was shown before a panic elsewhere is whole.
fn held(shown: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(mut from: impl Read + Send + 'static, shown: &Arc<Mutex<Vec<u8>>>) {
    let shown = Arc::clone(shown);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // A terminal ends in an error when the last who has it open has gone.
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            held(&shown).extend_from_slice(&bytes[..read]);
        }
    });
}
