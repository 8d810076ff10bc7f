//! The full check of a library, in a process of its own.
//!
//! A library's initialisers and its `init` run native code: they may crash, exit
//! or hang. So the first to open a library is a child, `host inspect FILE`,
//! which also runs abi_stable's check, since that keeps references into it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use host_model::limits::{INSPECT_TIMEOUT, MANIFEST_BYTES_MAX};
use host_model::manifest::PluginManifest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::child::{Said, said};
use crate::plugin::Plugin;
use crate::{Digest, sys};

/// Bytes of what a plugin is to work with: no more than a pipe takes at once.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// How far the child lets others go first. Not to the end: where all processors are busy
/// it would not be done in its time.
const INSPECT_NICE: i32 = 10;

/// How the child is started: a program, and the arguments before the file's name.
/// For the host it is itself, with `inspect --in-process`.
#[derive(Debug, Clone)]
pub struct Inspector {
    /// The program.
    pub program: PathBuf,
    /// Its arguments before the file.
    pub args: Vec<String>,
}

/// Why the child refused a library, or did not survive it.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The child could not be started, or its answer not read.
    #[error("start {} to inspect {}", program.display(), path.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The library.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The child says no.
    #[error("{message}")]
    Refused {
        /// What is wrong, with what to do.
        message: String,
    },
    /// The child ended without a word.
    #[error("{} ended the process that inspected it ({how}) while it was opened or started: the plugin is broken, and the host has not opened it", path.display())]
    Crashed {
        /// The library.
        path: PathBuf,
        /// Exit code or signal.
        how: String,
    },
    /// The child did not end.
    #[error("{} had not started after {} s and the process that inspected it was killed: the plugin is broken, and the host has not opened it", path.display(), INSPECT_TIMEOUT.as_secs())]
    Hung {
        /// The library.
        path: PathBuf,
    },
}

/// What the child prints: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Plugin(Box<PluginManifest>),
    Refused { message: String },
}

impl Inspector {
    /// Inspects the copy `image` of the library that people know as `path`, and asks it
    /// whether it takes `config`.
    pub(crate) fn inspect(
        &self,
        image: &Path,
        path: &Path,
        config: Option<&[u8]>,
    ) -> Result<PluginManifest, InspectError> {
        let failed = |source| InspectError::Start {
            program: self.program.clone(),
            path: path.to_owned(),
            source,
        };
        if config.is_some_and(|config| config.len() as u64 > CONFIG_BYTES_MAX) {
            let message = format!(
                "what {} is configured by has over {CONFIG_BYTES_MAX} bytes: use shorter values",
                path.display()
            );
            return Err(InspectError::Refused { message });
        }
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .arg(image)
            .stdin(match config {
                Some(_) => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        if let (Some(mut stdin), Some(config)) = (child.stdin.take(), config) {
            // One that has ended before it has read it is told of below. Secrets may be in
            // it, so it is no argument.
            let _ = stdin.write_all(config);
        }
        // A manifest within its bound, and what stands around it; no more is read.
        let said = said(child, 2 * MANIFEST_BYTES_MAX, INSPECT_TIMEOUT).map_err(failed)?;
        let Some(Said { status, text }) = said else {
            return Err(InspectError::Hung {
                path: path.to_owned(),
            });
        };
        let text = String::from_utf8_lossy(&text);
        let report = text
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok());
        match report {
            Some(Report::Plugin(manifest)) if status.success() => Ok(*manifest),
            Some(Report::Refused { message }) => Err(InspectError::Refused {
                message: message.replace(&image.display().to_string(), &path.display().to_string()),
            }),
            _ => Err(InspectError::Crashed {
                path: path.to_owned(),
                how: how(status),
            }),
        }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "it is not known how".to_owned(),
    }
}

/// The child's part: opens the library, checks it in full, starts it, and prints
/// one line of JSON. Returns the exit code: 0 for a plugin, 1 for a refusal.
///
/// Standard output is the report's alone: what the plugin prints goes to standard
/// error, and a process that it starts does not hold the report open.
#[must_use]
pub fn inspect_main(path: &Path) -> i32 {
    // Whoever asks serves clients beside this. Where it may not, it does without.
    let _ = rustix::process::nice(INSPECT_NICE);
    let Ok(mut out) = take_stdout() else {
        return 1;
    };
    let checked = sys::open(path)
        .and_then(|table| sys::check_layouts(path, &table).map(|()| table))
        .map_err(|e| e.to_string())
        .and_then(|table| {
            let config = config().map_err(|e| format!("read what it is to work with: {e}"))?;
            let told = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
            let plugin = Plugin::start(table, Digest::of(&[]), 0).map_err(|e| told(&e))?;
            if !config.is_empty() {
                let taken = plugin.configure(&config).map_err(|e| told(&e))?;
                taken.map_err(|refused| {
                    let message = &refused.message;
                    told(&format!(
                        "it does not take what it is configured by: {message}"
                    ))
                })?;
            }
            Ok(plugin)
        });
    let (report, code) = match checked {
        Ok(plugin) => (Report::Plugin(Box::new(plugin.manifest().clone())), 0),
        Err(message) => (Report::Refused { message }, 1),
    };
    let line = serde_json::to_string(&report).expect("a report is JSON");
    // Without a reader there is nobody to tell.
    writeln!(out, "{line}").map_or(1, |()| code)
}

/// What the plugin is to work with, on standard input; empty where nobody says.
fn config() -> io::Result<Vec<u8>> {
    let mut config = Vec::new();
    io::stdin()
        .take(CONFIG_BYTES_MAX)
        .read_to_end(&mut config)?;
    Ok(config)
}

/// Standard output, closed to whatever this process starts; its place is taken by
/// standard error.
fn take_stdout() -> rustix::io::Result<File> {
    let out = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(out.into())
}
