//! `host store ...`

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use host_cli::args::keep::Store as Command;
use host_cli::{Client, Failure, Output, Progress, keep};
use host_journal::store::Opened;
use host_journal::{Archive, OpenError, Options, Outcome, postgres};
use host_model::keep::{BackupManifest, BackupReport, DamageRow};
use host_upgrade::{BACKUP, missing, not_understood, read_backup};
use serde_json::json;

use super::offline::Offline;
use super::put_back::{Place, PutBack};
use super::{archive, failed, is_running, replay};
use crate::launcher::{Found, home_failure};
use crate::pidfile::{PidFile, holder};
use crate::release::{absolute, host_version};
use crate::{config, on_runtime};

/// A process that was killed has its locks until it has ended, which may take it a moment.
const DYING_FOR_MAX: Duration = Duration::from_secs(2);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn store(command: Command, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let client = Client::new(&found.home.socket());
    match command {
        Command::Backup { file } => {
            let file = absolute(&file)?;
            match is_running(found) {
                true => on_runtime(keep::backup(file, &client, out)),
                false => backup(file, found, out),
            }
        }
        Command::Check { replay: false } if is_running(found) => {
            on_runtime(keep::check(&client, out))
        }
        // A replay reads the store itself, beside its host.
        Command::Check { replay } => check(&archive(found)?, replay, found, out),
        Command::Restore { file } => restore(&absolute(&file)?, found, out),
        Command::Migrate => migrate(found, out),
        Command::Pin { name, position } => on_runtime(keep::pin(name, position, &client, out)),
        Command::Unpin { name } => on_runtime(keep::unpin(name, &client, out)),
        Command::Pins => on_runtime(keep::pins(&client, out)),
    }
}

fn backup(file: PathBuf, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let _alone = alone(found, "back the store up")?;
    // Before it is owned: what is not there is not made.
    drop(archive(found)?);
    let attempted = format!("back the store up to {}", file.display());
    let release = found.booting()?.manifest.version;
    let arguments = json!({ "file": file });
    let opened = opened(found, &attempted)?;
    let action = Offline::begin(opened, "store/backup", arguments, &release);
    let action = action.map_err(|e| failed(&attempted, e))?;
    let mut described: Option<BackupManifest> = None;
    let copied = action.journal().backup(&file, |copy| {
        let releases = found.home.releases();
        let (manifest, value) = host_control::manifest_of(copy, &releases, &host_version())?;
        described = Some(manifest);
        Ok((BACKUP.to_owned(), value))
    });
    let outcome = match &copied {
        Ok(_) => Outcome::done(),
        Err(error) => Outcome {
            outcome: "failed".to_owned(),
            message: error.to_string(),
        },
    };
    action.end(&outcome).map_err(|e| failed(&attempted, e))?;
    let copied = copied.map_err(|e| refused(&attempted, e))?;
    let manifest = described.expect("a copy that has a name was described");
    let bytes = copied.bytes;
    keep::backed_up(
        &BackupReport {
            file,
            bytes,
            manifest,
        },
        out,
    )
}

fn check(
    archive: &Archive,
    replays: bool,
    found: &Found,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let progress = Progress::new(out.is_json());
    let checked = archive.check(|position, of| progress.tell(position.0, of.0));
    progress.done();
    let attempted = format!("check the store {}", found.config()?.store.shown());
    let checked = checked.map_err(|e| failed(&attempted, e))?;
    let (key, id) = (found.home.anchor_key(), archive.store_id());
    // What cannot be read of it was found above.
    let anchor = host_control::anchor_problem(archive.trail(), id, &key);
    let mut report = host_control::report(checked, anchor.ok().flatten());
    let lost = archive.lost(&found.home.witness());
    if let Some(problem) = lost.map_err(|e| failed(&attempted, e))? {
        report.ok = false;
        report.damages.push(DamageRow {
            what: "the end of the store".to_owned(),
            problem,
        });
    }
    if replays && report.ok {
        let progress = Progress::new(out.is_json());
        let replayed = replay::replay(archive, found, &progress);
        progress.done();
        let replayed = replayed?;
        report.ok = replayed.violations.is_empty();
        report.replay = Some(replayed);
    }
    keep::checked(&report, out)
}

fn restore(file: &Path, found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let _alone = alone(found, "restore the store")?;
    let store = found.config()?.store;
    let place = Place::of(&store, &found.home);
    let attempted = format!("restore the store from {}", file.display());
    let refuse = |why: String| Failure::refused("refused", format!("{attempted}: {why}"));
    place.must_be_free().map_err(|e| refused(&attempted, e))?;
    if let Err(error) = fs::metadata(file) {
        return Err(refuse(format!(
            "{error}; name a file of `host store backup`"
        )));
    }
    let options = Options {
        path: file.to_owned(),
    };
    let backup = Archive::open(&options).map_err(|e| refused(&attempted, e))?;
    let manifest = read_backup(&backup).map_err(|e| refused(&attempted, e))?;
    let releases = found.home.releases();
    let lacking = missing(&manifest, &releases);
    if !lacking.is_empty() {
        return Err(refuse(format!(
            "this home lacks what the backup cannot be woken without: {}; install the releases that have them",
            lacking.join(", ")
        )));
    }
    let to = releases.read(&manifest.release);
    let to = to.map_err(|e| refused(&attempted, e))?.manifest;
    let waiting = backup.waiting().map_err(|e| refused(&attempted, e))?;
    let lost = not_understood(&waiting, &to, &releases);
    if !lost.is_empty() {
        return Err(refuse(format!(
            "timers or casts in the backup wait in the shape of {}, which no release of this home knows; install the releases that have them",
            lost.join(", ")
        )));
    }
    let progress = Progress::new(out.is_json());
    let put = PutBack {
        file,
        place: &place,
        manifest: &manifest,
        home: &found.home,
    };
    let put = put.run(&backup, |position, of| progress.tell(position.0, of.0));
    progress.done();
    let bytes = put.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => failed(&attempted, error),
    })?;
    drop(backup);
    let home = &found.home;
    home.set_permanent(&manifest.release)
        .map_err(home_failure)?;
    let report = BackupReport {
        file: file.to_owned(),
        bytes,
        manifest,
    };
    keep::restored(&report, out)
}

fn migrate(found: &Found, out: &mut Output<'_>) -> Result<u8, Failure> {
    let _alone = alone(found, "migrate the store")?;
    let store = found.config()?.store;
    let attempted = format!("migrate the store {}", store.shown());
    let migrated = match &store {
        config::Store::Sqlite { path, .. } => {
            host_journal::migrate(&Options { path: path.clone() }, Some(&found.home.witness()))
        }
        config::Store::Postgres { address, .. } => postgres::migrate(address),
    };
    let migrated = migrated.map_err(|e| unopened(&attempted, e))?;
    let (from, to) = (migrated.from, migrated.to);
    if from != to {
        let arguments = json!({"from": from, "to": to});
        let release = found.booting()?.manifest.version;
        let opened = opened(found, &attempted)?;
        Offline::begin(opened, "store/migrate", arguments, &release)
            .and_then(|action| action.end(&Outcome::done()))
            .map_err(|e| failed(&attempted, e))?;
    }
    out.document(&json!({"from": from, "to": to}), |_| match from == to {
        true => format!("the store has schema {to} already: nothing was to be done"),
        false => format!("the store had schema {from} and has schema {to} now"),
    })?;
    Ok(0)
}

/// The store of this home, which this process owns from now on.
pub(super) fn opened(found: &Found, attempted: &str) -> Result<Opened, Failure> {
    let opened = found.config()?.store.open(&found.home, false);
    opened.map_err(|e| unopened(attempted, e))
}

/// An operator must look where it says something of what is stored.
fn unopened(attempted: &str, error: OpenError) -> Failure {
    match error.must_look() {
        true => failed(attempted, error),
        false => refused(attempted, error),
    }
}

/// Keeps a host from starting meanwhile; refuses where one runs, or another such command.
pub(super) fn alone(found: &Found, attempted: &str) -> Result<PidFile, Failure> {
    let home = &found.home;
    let refuse = |why: String| Failure::refused("running", format!("{attempted}: {why}"));
    let is_listening = || UnixStream::connect(home.socket()).is_ok();
    let deadline = Instant::now() + DYING_FOR_MAX;
    while is_running(found) {
        if is_listening() {
            let why = "a host runs here; stop it first with `host stop`";
            return Err(refuse(why.to_owned()));
        }
        if Instant::now() > deadline {
            let pid = holder(&home.pid_file()).or_else(|| holder(&home.keeper_pid_file()));
            return Err(refuse(format!(
                "process {} has this home, and listens to nobody: another command on its store, or a host that begins or ends; wait for it",
                pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
            )));
        }
        sleep(LOOK_EVERY);
    }
    home.make_folders().map_err(home_failure)?;
    PidFile::take(&home.pid_file()).map_err(|e| refuse(e.to_string()))
}

/// Refused or failed; nothing has changed.
fn refused(attempted: &str, error: impl Into<anyhow::Error>) -> Failure {
    Failure::refused("refused", format!("{attempted}: {:#}", error.into()))
}
