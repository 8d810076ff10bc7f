//! The peer of benches of the gateway: a bare server of axum, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// `tests/examples/bare_echo.rs`, which runs until this is dropped.
#[derive(Debug)]
pub struct BareEcho {
    child: Child,
    /// It ends with this.
    _input: Option<ChildStdin>,
    port: u16,
}

impl BareEcho {
    /// Starts the program that was built beside this one, and waits until it listens.
    ///
    /// # Errors
    ///
    /// That it is not there, or says no port.
    pub fn start() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("examples/bare_echo");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut line = String::new();
        let output = child.stdout.take().context("it is piped")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self {
            _input: child.stdin.take(),
            port: line.trim().parse().context("the peer says its port")?,
            child,
        })
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for BareEcho {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
