//! Mounts of a test's own, in a namespace that ends with its processes. Needs root, or user
//! namespaces; a test that cannot have one fails, and does not pass for having been run.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::Running;
use crate::{Home, Ran};

/// Set for a test that is within.
const WITHIN: &str = "E2E_WITHIN";

/// Runs the `body` of the test `name`, such as `packages::a_disk_that_is_full`, in a
/// namespace: that test once more, in a process of its own.
///
/// # Errors
///
/// All that it printed, if it has failed; or that there can be no namespace.
pub fn within(name: &str, body: impl FnOnce()) -> Result<()> {
    if env::var_os(WITHIN).is_some() {
        body();
        return Ok(());
    }
    let mut command = unshare();
    command.arg(env::current_exe()?);
    command.args(["--exact", name, "--nocapture"]);
    command.env(WITHIN, "yes");
    let ran = command.output().context("run unshare")?;
    let [said, why] = [&ran.stdout, &ran.stderr].map(|it| String::from_utf8_lossy(it));
    // A name that no test has is run with success, too.
    ensure!(
        ran.status.success() && said.contains("test result: ok. 1 passed"),
        "{name} in a namespace of mounts, which takes root or user namespaces:\n{said}{why}"
    );
    Ok(())
}

/// `bin/host` with these words, behind what a shell does `before` it in a namespace; that
/// knows the home as `$TEST_HOME`.
///
/// # Errors
///
/// As [`Home::host`].
pub fn behind(before: &str, home: &Home, line: &[&str]) -> Result<Ran> {
    let inner = home.command(line);
    let set = inner.get_envs();
    let set = set.filter_map(|(name, value)| Some((name, value?)));
    let mut command = unshare();
    command
        .args(["sh", "-euc", &format!("{before}\nexec \"$@\""), "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(set)
        .env("TEST_HOME", home.path());
    Running::spawn(command)?.end()
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    let is_root = rustix::process::geteuid().is_root();
    command
        .args(["--mount", "--propagation", "private"])
        .args((!is_root).then_some("--map-root-user"));
    command
}
