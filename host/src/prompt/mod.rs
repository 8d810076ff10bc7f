//! `host remote`: a prompt at which every command works without `host` before it.
//!
//! A line becomes a process of this very program: what it does, and how it ends, is what a
//! shell would see, and no line takes the prompt or the host with it.

use std::env;
use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use host_cli::failure::{EXIT_REFUSED, EXIT_USAGE};
use host_cli::{Client, Failure, Output};
use host_model::control::Status;
use rustyline::config::{BellStyle, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::launcher::Found;

mod complete;
mod console;
mod watch;
mod words;

pub(crate) use complete::is_release;
pub(crate) use console::console;

use complete::Words;
use words::words;

/// What is waiting for a line.
const PROMPT: &str = "host> ";

/// Lines that are kept from one prompt to the next.
const HISTORY_LINES_MAX: usize = 1_000;

/// Commands that would be another prompt, or this process's own work.
const NOT_HERE: [&str; 4] = ["console", "remote", "remote_console", "start_iex"];

type Line = Editor<Words, FileHistory>;

/// What tells something above the line that is being typed.
type Teller = Box<dyn FnMut(String) + Send>;

/// A prompt: what its commands are run with.
pub(crate) struct Prompt<'a> {
    found: &'a Found,
    json: bool,
    /// It hears Ctrl-C for this process, which that would end otherwise; commands that
    /// run hear it too, and end.
    runtime: Runtime,
}

/// What becomes of the prompt behind a line.
enum Then {
    /// The next line, and how this one ended.
    Next(u8),
    /// Nobody wants one.
    Leave,
}

/// `host remote`
pub(crate) fn remote(found: &Found, out: &Output<'_>) -> Result<u8, Failure> {
    let prompt = Prompt::new(found, out.is_json())?;
    if !io::stdin().is_terminal() {
        // A script is for a host that runs, also where its first line would not ask it.
        prompt.status()?;
        return prompt.read_all(io::stdin().lock());
    }
    let mut line = prompt.line()?;
    let tell = teller(&mut line)?;
    let known = prompt.greet();
    let watching = watch::watch(found.home.socket(), known, tell);
    prompt.runtime.spawn(watching);
    prompt.talk(line)
}

impl<'a> Prompt<'a> {
    fn new(found: &'a Found, json: bool) -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::refused("io", format!("open a prompt: {e}"));
        let runtime = runtime().map_err(failed)?;
        let entered = runtime.enter();
        // From here on the signal ends a command, and not this process.
        drop(signal(SignalKind::interrupt()).map_err(failed)?);
        drop(entered);
        Ok(Self {
            found,
            json,
            runtime,
        })
    }

    fn client(&self) -> Client {
        Client::new(&self.found.home.socket())
    }

    fn status(&self) -> Result<Status, Failure> {
        self.runtime.block_on(self.client().get("/v1/status"))
    }

    /// Says with whom one speaks; that process.
    fn greet(&self) -> Option<u32> {
        match self.status() {
            Ok(status) => {
                let (release, pid) = (status.version, status.pid);
                eprintln!(
                    "release {release}, process {pid}. Tab completes, `help` lists the commands, Ctrl-D leaves."
                );
                Some(pid)
            }
            Err(failure) => {
                eprintln!("{failure}");
                None
            }
        }
    }

    /// Lines of a terminal, with what was typed before.
    fn line(&self) -> Result<Line, Failure> {
        let failed = |e: &dyn std::fmt::Display| {
            Failure::refused(
                "no_terminal",
                format!("open a prompt on this terminal: {e}"),
            )
        };
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|e| failed(&e))?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .bell_style(BellStyle::None)
            .build();
        let mut line = Line::with_config(config).map_err(|e| failed(&e))?;
        let runtime = runtime().map_err(|e| failed(&e))?;
        line.set_helper(Some(Words::new(self.client(), runtime)));
        let file = self.found.home.history();
        match line.load_history(&file) {
            Err(ReadlineError::Io(e)) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => eprintln!(
                "warning: what was typed before is not known: {}: {e}",
                file.display()
            ),
            Ok(()) => {}
        }
        Ok(line)
    }

    /// Reads lines of a terminal until somebody leaves.
    fn talk(&self, mut line: Line) -> Result<u8, Failure> {
        let mut keeps = true;
        loop {
            let text = match line.readline(PROMPT) {
                Ok(text) => text,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(0),
                Err(ReadlineError::Io(e)) if e.kind() == io::ErrorKind::InvalidData => {
                    self.refuse("read a line: it is no text in UTF-8");
                    continue;
                }
                // The terminal has gone.
                Err(e) => return Err(Failure::refused("no_terminal", format!("read a line: {e}"))),
            };
            if !text.trim().is_empty()
                && line.add_history_entry(text.as_str()).is_ok_and(|it| it)
                && keeps
            {
                keeps = self.keep(&mut line);
            }
            match self.run(&text) {
                Then::Next(_) => {}
                Then::Leave => return Ok(0),
            }
        }
    }

    /// Writes down what was typed. Not where that cannot be, which is told once.
    fn keep(&self, line: &mut Line) -> bool {
        let file = self.found.home.history();
        let kept = file
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(ReadlineError::from)
            .and_then(|()| line.append_history(&file));
        if let Err(e) = &kept {
            eprintln!(
                "warning: what is typed is not kept: {}: {e}",
                file.display()
            );
        }
        kept.is_ok()
    }

    /// Reads one command a line, to the end of what is read; the exit code of the last
    /// that failed.
    fn read_all(&self, lines: impl BufRead) -> Result<u8, Failure> {
        let mut failed = 0;
        for line in lines.split(b'\n') {
            let line = line.map_err(|e| Failure::refused("io", format!("read a line: {e}")))?;
            let then = match String::from_utf8(line) {
                Ok(line) => self.run(&line),
                Err(_) => self.refuse("read a line: it is no text in UTF-8"),
            };
            match then {
                Then::Next(0) => {}
                Then::Next(code) => failed = code,
                Then::Leave => break,
            }
        }
        Ok(failed)
    }

    /// Runs a line to its end.
    fn run(&self, line: &str) -> Then {
        let mut words = match words(line) {
            Ok(words) => words,
            Err(error) => return self.refuse(&error.to_string()),
        };
        if words.first().is_some_and(|first| first == "host") {
            words.remove(0);
        }
        match words.first().map(String::as_str) {
            None => return Then::Next(0),
            Some("exit" | "quit") => return Then::Leave,
            Some("help") if words.len() == 1 => {
                eprintln!(
                    "Commands, without `host` before them. Tab completes; Ctrl-C cancels; Ctrl-D or `exit` leaves.\n"
                );
            }
            Some(first) if NOT_HERE.contains(&first) => {
                return self.refuse(&format!("{first}: this is a prompt already"));
            }
            Some(_) => {}
        }
        match self.command(&words).status() {
            Ok(status) => {
                let by_signal = || status.signal().and_then(|it| u8::try_from(128 + it).ok());
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                Then::Next(code.or_else(by_signal).unwrap_or(EXIT_REFUSED))
            }
            Err(e) => self.refuse(&format!("run this program: {e}")),
        }
    }

    /// This program with these words, on the home of this prompt.
    fn command(&self, words: &[String]) -> Command {
        let program = env::current_exe().unwrap_or_else(|_| "host".into());
        let mut command = Command::new(program);
        command
            .args(self.found.arguments())
            .args(self.json.then_some("--json"))
            .args(words);
        // What this reads is its own.
        if !io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
        command
    }

    fn refuse(&self, message: &str) -> Then {
        let failure = Failure::new("usage", EXIT_USAGE, message);
        Then::Next(Output::new(self.json, &mut io::stdout()).failure(&failure))
    }
}

fn runtime() -> io::Result<Runtime> {
    // Its one thread hears signals while this one waits for a command.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

/// Prints above the line that is being typed, and where none is, as it comes.
fn teller(line: &mut Line) -> Result<Teller, Failure> {
    let printer = line.create_external_printer().map_err(|e| {
        Failure::refused(
            "no_terminal",
            format!("open a prompt on this terminal: {e}"),
        )
    })?;
    let mut printer: Box<dyn ExternalPrinter + Send> = Box::new(printer);
    Ok(Box::new(move |text| {
        // A terminal that has gone is found by who reads from it.
        drop(printer.print(format!("{text}\n")));
    }))
}
