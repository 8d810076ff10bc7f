//! `host install FILE`: a package becomes a release of this home, or a home of its own.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use host_cli::args::Global;
use host_cli::{Client, Failure, Output, note_installed};
use host_journal::files;
use host_model::control::InstalledNote;
use host_model::error::chain;
use host_package::{Installed, Machine, Undo};
use host_upgrade::{Releases, TrustedKeys};
use serde_json::json;

use crate::keep::{self, is_running};
use crate::launcher::{Found, home_failure};
use crate::release::{absolute, host_version, target};
use crate::{heap, on_runtime, secret};

/// What may lie in a folder that is to be a home: parts of one, and how a disk begins.
const PARTS: [&str; 8] = [
    "bin",
    "data",
    "etc",
    "images",
    "log",
    "lost+found",
    "releases",
    "run",
];

/// What stands in a new `etc/host.toml`.
const HOST_TOML: &str = "\
# Settings of this home, by their names in the environment in lower case:
# port = 4000
# admin_port = 4001
";

pub(crate) fn run(file: &Path, global: &Global, out: &mut Output<'_>) -> Result<u8, Failure> {
    let file = absolute(file)?;
    let found = Found::place(global)?;
    let keys = trusted_keys(&found)?;
    let versions = found.home.releases().versions();
    let versions = versions.map_err(|e| home_failure(e.into()))?;
    let is_first = versions.is_empty();
    let installed = match is_first {
        true => first(&file, &found, keys)?,
        false => put(&file, found.home.releases().trusting(keys))?,
    };
    let Installed {
        manifest,
        dir,
        was_there,
        repaired,
    } = installed;
    let (name, version) = (&manifest.name, &manifest.version);
    let root = found.home.root.display();
    let has_changed = !was_there || !repaired.is_empty();
    if has_changed {
        let note = InstalledNote {
            version: version.clone(),
            file,
            repaired: repaired.clone(),
        };
        record(&note, &found, global).map_err(|failure| {
            let why = &failure.problem().message;
            let message =
                format!("{name} {version} is installed, and is not in the audit trail: {why}");
            Failure::new("not_recorded", failure.exit_code(), message)
        })?;
    }
    let document = json!({
        "name": name,
        "version": version,
        "dir": dir,
        "home": found.home.root,
        "permanent": is_first,
        "was_there": was_there,
        "repaired": repaired,
    });
    out.document(&document, |_| match (is_first, was_there) {
        (true, _) => format!(
            "{name} {version} is installed in {root}; look at {root}/etc/env, and start it with {root}/bin/host start"
        ),
        (false, true) if repaired.is_empty() => {
            format!("{name} {version} is installed already, the same")
        }
        (false, true) => {
            let files = repaired.iter().map(|file| file.display().to_string());
            let files: Vec<_> = files.collect();
            format!(
                "{name} {version} was installed already, and is repaired: {}",
                files.join(", ")
            )
        }
        (false, false) => {
            format!("{name} {version} is installed; go over to it with `host upgrade {version}`")
        }
    })?;
    Ok(0)
}

/// Has it in the audit trail, if there is one yet: by the host that runs here, or by this
/// process.
fn record(note: &InstalledNote, found: &Found, global: &Global) -> Result<(), Failure> {
    // As it is now, with the settings that a new home begins with. By its name: this program
    // may have been replaced, and then it lies nowhere.
    let found = found.anew(global)?;
    match is_running(&found) {
        true => {
            let client = Client::new(&found.home.socket());
            on_runtime(note_installed(note, &client)).map(drop)
        }
        false => keep::record_installed(note, &found),
    }
}

/// What packages are held against here.
pub(crate) fn machine() -> Machine {
    Machine {
        host: host_version(),
        target: target(),
        libc: heap::libc_version(),
    }
}

fn put(file: &Path, releases: Releases) -> Result<Installed, Failure> {
    releases.install(file, &machine()).map_err(|error| {
        let message = format!("install {}: {}", file.display(), chain(&error));
        Failure::refused(error.reason(), message)
    })
}

/// Makes a home of a folder, with this release in it, which is permanent. All of it, or
/// nothing.
fn first(file: &Path, found: &Found, keys: TrustedKeys) -> Result<Installed, Failure> {
    let home = &found.home;
    let attempted = format!("install {} into {}", file.display(), home.root.display());
    let failed = |path: &Path, error: io::Error| {
        let message = format!(
            "{attempted}: write {}: {error}; nothing of it is left there",
            path.display()
        );
        Failure::refused("not_written", message)
    };
    if let Some(other) = other_than_a_home(&home.root) {
        return Err(Failure::refused(
            "not_empty",
            format!(
                "{attempted}: {other} is there, so this is no home and no empty folder; name one with --home DIR"
            ),
        ));
    }
    let mut undo = Undo::default();
    let releases = home.root.join("releases");
    undo.make_folder(&home.root)
        .map_err(|e| failed(&home.root, e))?;
    // In the home itself, also where all else is written to HOST_DATA.
    let installed = put(file, Releases::new(vec![releases]).trusting(keys))?;
    if !installed.was_there {
        undo.made_release(&installed.dir);
    }
    for folder in ["bin", "etc"].map(|name| home.root.join(name)) {
        undo.make_folder(&folder).map_err(|e| failed(&folder, e))?;
    }
    let data = home.data_dir();
    undo.make_folder(&data).map_err(|e| failed(&data, e))?;
    let program = home.root.join("bin/host");
    // What lies there, a link that leads nowhere too, is not ours to take away.
    if program.symlink_metadata().is_err() {
        undo.made(&program);
    }
    put_program(&installed.dir.join("bin/host"), &program).map_err(|e| failed(&program, e))?;
    let (host_toml, env) = (home.root.join("etc/host.toml"), home.root.join("etc/env"));
    for (path, text) in [(&host_toml, HOST_TOML.to_owned()), (&env, env_text()?)] {
        // What an operator has laid there stays.
        match secretly(path, &text) {
            Ok(()) => undo.made(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(path, error)),
        }
    }
    // Data of a home that was here before knows better.
    if home.booked_permanent().map_err(home_failure)?.is_none() {
        undo.made(&data.join("permanent"));
        home.set_permanent(&installed.manifest.version)
            .map_err(home_failure)?;
    }
    undo.keep();
    Ok(installed)
}

/// Makes `program` the same file as that of the release: no program is ever written to in
/// place, so one file can have both names. Durable when it returns.
fn put_program(of_release: &Path, program: &Path) -> io::Result<()> {
    let partial = files::beside(program, ".new");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::hard_link(of_release, &partial) {
        Ok(()) => files::rename(&partial, program).inspect_err(|_| {
            let _gone = fs::remove_file(&partial);
        }),
        Err(_) => files::replace(program, &fs::read(of_release)?, 0o755),
    }
}

/// What lies in a folder and belongs to no home.
fn other_than_a_home(root: &Path) -> Option<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_part =
        |name: &String| PARTS.contains(&name.as_str()) || host_package::is_package(Path::new(name));
    names.filter(|name| !is_part(name)).min()
}

/// What stands in a new `etc/env`, with a secret of its own.
fn env_text() -> Result<String, Failure> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    Ok(format!(
        "# The grammar is that of systemd's EnvironmentFile; the environment wins.\n\
         # The name by which clients know this host:\n\
         HOST={name}\n\
         SECRET_KEY_BASE={}\n",
        secret::new()?
    ))
}

/// Writes a file that only its owner may read, and that is not there yet.
fn secretly(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| files::sync_folder_of(path));
    written.inspect_err(|_| {
        // It is ours, and is not whole.
        let _gone = fs::remove_file(path);
    })
}

/// Whom this home trusts. What cannot be read might say it.
fn trusted_keys(found: &Found) -> Result<TrustedKeys, Failure> {
    let refused = |why: String| {
        let message = format!("find out whom this home trusts: {why}");
        Failure::refused("bad_config", message)
    };
    if let Some(fault) = found.settings.faults().first() {
        return Err(refused(fault.clone()));
    }
    match found.settings.get("TRUSTED_KEYS") {
        Some(path) => TrustedKeys::read(&found.home.root.join(path.value))
            .map_err(|e| refused(format!("TRUSTED_KEYS: {e}"))),
        None => Ok(TrustedKeys::default()),
    }
}
