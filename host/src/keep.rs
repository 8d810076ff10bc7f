//! The audit trail and the store of this home: asked of the host that runs, or read
//! from the store where none does.

mod offline;
mod put_back;
mod releases;
mod replay;
mod store;

use std::ops::ControlFlow;

use host_cli::args::keep::Audit;
use host_cli::{Client, Failure, Output, Progress, keep};
use host_control::ExportError;
use host_journal::{Archive, OpenError, Options, postgres};
use host_model::keep::{ExportQuery, Verifying};

use crate::config::Store;
use crate::home::Home;
use crate::launcher::Found;
use crate::on_runtime;
use crate::pidfile::is_held;

pub(crate) use releases::{record_installed, releases, remove};
pub(crate) use store::store;

/// `host audit ...`
pub(crate) fn audit(command: Audit, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    if is_running(found) {
        let client = Client::new(&found.home.socket());
        return match command {
            Audit::Verify => on_runtime(keep::verify(&client, out)),
            Audit::Export(export) => on_runtime(keep::export(&export.into(), &client, out)),
        };
    }
    let archive = archive(found)?;
    match command {
        Audit::Verify => verify(&archive, found, out),
        Audit::Export(asked) => export(&archive, &asked.into(), out),
    }
}

fn verify(archive: &Archive, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let attempted = "verify the audit trail";
    let lost = archive.lost(&found.home.witness());
    if let Some(why) = lost.map_err(|e| failed(attempted, e))? {
        return Err(failed(attempted, anyhow::anyhow!("{why}")));
    }
    let progress = Progress::new(out.is_json());
    let ended = host_control::verify(
        archive.trail(),
        archive.store_id(),
        &found.home.anchor_key(),
        &mut |said| {
            if let Verifying::Progress { position, of } = *said {
                progress.tell(position, of);
            }
            ControlFlow::Continue(())
        },
    );
    progress.done();
    keep::verified(&ended.map_err(|e| failed(attempted, e))?, out)
}

fn export(archive: &Archive, asked: &ExportQuery, out: &mut Output<'_>) -> Result<u8, Failure> {
    let mut to = std::io::BufWriter::new(Raw(out));
    match host_control::export(archive.trail(), asked, &mut to) {
        Ok(_) => std::io::Write::flush(&mut to)?,
        // `host audit export | head` has read enough.
        Err(ExportError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(failed("export the audit trail", error)),
    }
    Ok(0)
}

/// Where the answer goes, as a writer.
struct Raw<'a, 'b>(&'a mut Output<'b>);

impl std::io::Write for Raw<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.raw(bytes)?;
        match self.0.is_closed() {
            true => Err(std::io::ErrorKind::BrokenPipe.into()),
            false => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether a host runs here, or is about to.
pub(crate) fn is_running(found: &Found) -> bool {
    [found.home.pid_file(), found.home.keeper_pid_file()]
        .iter()
        .any(|file| is_held(file))
}

/// The store of this home, for reading, whether a host has it or none.
fn archive(found: &Found) -> Result<Archive, Failure> {
    archive_of(&found.home, &found.config()?.store)
}

/// A store, for reading, whether a host has it or none.
pub(crate) fn archive_of(home: &Home, store: &Store) -> Result<Archive, Failure> {
    let opened = match store {
        Store::Sqlite { path, .. } => Archive::open(&Options { path: path.clone() }),
        Store::Postgres { address, .. } => postgres::archive(address),
    };
    let attempted = format!("open the store {}", store.shown());
    opened.map_err(|error| match error {
        // Nor is there anything that could be.
        OpenError::Missing { .. } | OpenError::MissingAt { .. } if !knows_a_store(home) => {
            Failure::refused(
                "no_store",
                format!("{attempted}: {error}; start the host first, or restore a backup"),
            )
        }
        // Nothing is known to be wrong with it.
        OpenError::Unreachable { .. } | OpenError::Unusable { .. } => {
            Failure::refused("store_unreachable", format!("{attempted}: {error}"))
        }
        error => failed(&attempted, error),
    })
}

/// Whether this home has had a store: then one that is not there is a loss.
fn knows_a_store(home: &Home) -> bool {
    host_journal::knows_a_store(&home.witness())
}

/// A failure with its causes; an operator must look at what is damaged.
fn failed(attempted: &str, error: impl Into<anyhow::Error>) -> Failure {
    Failure::look("store", format!("{attempted}: {:#}", error.into()))
}
