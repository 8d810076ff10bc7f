//! Running `bin/host`, and what came of it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{terminal, wait};

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its arguments, as one would type them.
    pub line: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that runs. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts `command`, with nothing to read and its output kept.
    ///
    /// # Errors
    ///
    /// That it cannot be run.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let line = line(&command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command)?;
        let out = child.stdout.take().map(drain);
        let err = child.stderr.take().map(drain);
        Ok(Self {
            line,
            child,
            out,
            err,
        })
    }

    /// Starts `command` on a terminal of its own: what that shows is its standard output.
    ///
    /// # Errors
    ///
    /// That it cannot be run.
    pub fn on_a_terminal(mut command: Command) -> Result<Self> {
        let line = line(&command);
        let screen = terminal::attach(&mut command)?;
        let child = spawn(&mut command)?;
        Ok(Self {
            line,
            child,
            out: Some(drain(screen)),
            err: None,
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// That it has not ended within [`wait::DEADLINE`] and some more.
    pub fn end(mut self) -> Result<Ran> {
        let what = format!("`{}` ends", self.line);
        let status = wait::within(wait::DEADLINE * 3, &what, || self.child.try_wait().ok()?)?;
        let read = |thread: Option<JoinHandle<String>>| {
            thread.and_then(|t| t.join().ok()).unwrap_or_default()
        };
        Ok(Ran {
            line: self.line.clone(),
            code: status.code(),
            stdout: read(self.out.take()),
            stderr: read(self.err.take()),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended as a rule, and then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = command.get_args().map(|a| a.to_string_lossy().into_owned());
    format!("host {}", words.collect::<Vec<_>>().join(" "))
}

fn spawn(command: &mut Command) -> Result<Child> {
    let program = command.get_program().display().to_string();
    command.spawn().with_context(|| format!("run {program}"))
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is what there is to show.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Ran {
    /// Itself, if it ended with 0.
    ///
    /// # Errors
    ///
    /// All that it printed.
    pub fn ok(self) -> Result<Self> {
        self.ends_with(0)
    }

    /// Itself, if it ended with `code`.
    ///
    /// # Errors
    ///
    /// All that it printed.
    pub fn ends_with(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == Some(code),
            "`{}` ended with {:?} and not with {code}\n--- standard output\n{}--- standard error\n{}",
            self.line,
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// The last line of its output, which is one JSON document.
    ///
    /// # Errors
    ///
    /// That it is none, or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let Some(last) = self.stdout.lines().last() else {
            bail!("`{}` printed nothing; it said: {}", self.line, self.stderr);
        };
        serde_json::from_str(last).with_context(|| format!("`{}` printed {last}", self.line))
    }

    /// The `reason` of a problem that it ended with, under `--json`.
    ///
    /// # Errors
    ///
    /// That there is none.
    pub fn reason(&self) -> Result<String> {
        let problem: Value = self.json()?;
        match &problem["reason"] {
            Value::String(reason) => Ok(reason.clone()),
            _ => bail!("`{}` gave no reason: {problem}", self.line),
        }
    }
}
