//! Where PostgreSQL's programs lie, and who may run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where Debian puts what is not in `PATH`, one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder with `initdb` and `postgres`: of `PATH`, else the newest of Debian's.
pub(crate) fn folder() -> Result<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path()).collect();
    let number = |path: &Path| -> u32 {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().parse().unwrap_or(0)
    };
    versions.sort_by_key(|path| std::cmp::Reverse(number(path)));
    folders.extend(versions.into_iter().map(|version| version.join("bin")));
    let complete = |folder: &PathBuf| {
        let programs = ["initdb", "postgres", "pg_basebackup"];
        programs.iter().all(|name| folder.join(name).is_file())
    };
    folders.into_iter().find(complete).with_context(|| {
        format!("find PostgreSQL's initdb, postgres and pg_basebackup: neither PATH nor {DEBIAN}/*/bin has them; install the package postgresql")
    })
}

/// Whether there are PostgreSQL's programs on this machine, for who can do without.
#[must_use]
pub fn is_installed() -> bool {
    folder().is_ok()
}

/// The user that a server runs as, if this process may not run one itself.
pub(crate) fn user() -> Result<Option<&'static str>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    for user in ["postgres", "nobody"] {
        if users
            .lines()
            .any(|line| line.split(':').next() == Some(user))
        {
            return Ok(Some(user));
        }
    }
    bail!(
        "find a user for PostgreSQL, which does not run as root: there is neither postgres nor nobody"
    )
}

/// A command that runs `program` as the server's user.
pub(crate) fn command(program: &Path) -> Result<Command> {
    Ok(match user()? {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={user}"));
            command.args(["--clear-groups", "--"]).arg(program);
            command
        }
    })
}

/// Gives a folder to the server's user.
pub(crate) fn give(folder: &Path) -> Result<()> {
    let Some(user) = user()? else { return Ok(()) };
    let given = Command::new("chown").arg(user).arg(folder).status();
    match given.context("run chown")?.success() {
        true => Ok(()),
        false => bail!("give {} to {user}", folder.display()),
    }
}
