//! Homes: made once, copied for each test, started, asked, killed, removed.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail, ensure};
use host_model::control::{ActorState, Status, UpgradeReport};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Ran, Running};
use crate::{http, wait};

/// Names a home that is made already, with what is built now.
pub const PREPARED: &str = "E2E_HOME";

/// A home of its own for one test. Dropped, it ends every process in it and is
/// removed; if the test has failed, its log is printed first.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    /// What [`Home::host`] adds to the environment of commands.
    environment: Vec<(String, String)>,
}

impl Home {
    /// A copy of the prepared home, on ports that nobody uses.
    ///
    /// # Errors
    ///
    /// That it cannot be made.
    pub fn new() -> Result<Self> {
        Self::copied_from(prepared()?)
    }

    /// A copy of the home `from`.
    ///
    /// # Errors
    ///
    /// As [`Home::new`].
    pub fn copied_from(from: &Path) -> Result<Self> {
        // Short, for a path to a socket has 107 bytes at most.
        let folder = std::env::temp_dir().canonicalize()?;
        let dir = tempfile::Builder::new().prefix("e2e-").tempdir_in(folder)?;
        copy(from, dir.path()).with_context(|| format!("copy the home {}", from.display()))?;
        let home = Self {
            dir,
            environment: Vec::new(),
        };
        home.configure(&format!("PORT={}", free_port()?))?;
        home.configure(&format!("ADMIN_PORT={}", free_port()?))?;
        Ok(home)
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves its folder where it is when it is dropped, for whoever looks into why
    /// something failed.
    pub fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.path().to_owned()
    }

    /// Where its data, its log and its processes' ids lie.
    #[must_use]
    pub fn data(&self) -> &Path {
        let set = self
            .environment
            .iter()
            .find(|(name, _)| name == "HOST_DATA");
        set.map_or(self.path(), |(_, path)| Path::new(path))
    }

    /// Adds a line to `etc/env`.
    ///
    /// # Errors
    ///
    /// That it cannot be written.
    pub fn configure(&self, line: &str) -> Result<()> {
        let file = self.path().join("etc/env");
        let mut file = fs::OpenOptions::new().append(true).open(file)?;
        Ok(writeln!(file, "{line}")?)
    }

    /// Gives every later command this variable; without a value, none.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.environment.retain(|(other, _)| other != name);
        let value = value.map(|value| (name.to_owned(), value.to_owned()));
        self.environment.extend(value);
    }

    /// `bin/host` with these arguments, not started yet. Its environment is this
    /// home's and nothing of the one who tests.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(self.path().join("bin/host"));
        command.args(arguments).env_clear();
        for name in ["PATH", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Runs `bin/host` to its end.
    ///
    /// # Errors
    ///
    /// That it cannot be run, or does not end. A failure of the command is none.
    pub fn host(&self, arguments: &[&str]) -> Result<Ran> {
        self.begin(arguments)?.end()
    }

    /// Runs `bin/host`, which must do what it is told.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn done(&self, arguments: &[&str]) -> Result<Ran> {
        self.host(arguments)?.ok()
    }

    /// As [`Home::done`]: what it printed, as JSON.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn answer<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        self.done(arguments)?.json()
    }

    /// Starts `bin/host` and leaves it to run.
    ///
    /// # Errors
    ///
    /// That it cannot be run.
    pub fn begin(&self, arguments: &[&str]) -> Result<Running> {
        Running::spawn(self.command(arguments))
    }

    /// `host start`: returns when clients may come.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn start(&self) -> Result<Status> {
        self.answer(&["start", "--json"])
    }

    /// `host stop`
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn stop(&self) -> Result<()> {
        self.done(&["stop"]).map(drop)
    }

    /// `host status`
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn status(&self) -> Result<Status> {
        self.answer(&["status", "--json"])
    }

    /// Waits until the host is ready and has no upgrade under way.
    ///
    /// # Errors
    ///
    /// That this does not happen.
    pub fn settled(&self) -> Result<Status> {
        wait::until("the host is ready and at rest", || {
            let status = self.status().ok()?;
            (status.ready.ready && status.upgrade.is_none()).then_some(status)
        })
    }

    /// `host upgrade V --probation 0s`
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn upgrade(&self, version: &str) -> Result<UpgradeReport> {
        let line = ["upgrade", version, "--probation", "0s", "--json"];
        self.answer(&line)
    }

    /// As [`Home::upgrade`], without a rehearsal: what is to go wrong behind the switch
    /// would be found by that.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn upgrade_unrehearsed(&self, version: &str) -> Result<UpgradeReport> {
        let line = ["upgrade", version, "--probation", "0s", "--no-rehearsal"];
        self.answer(&[&line[..], &["--json"]].concat())
    }

    /// As [`Home::upgrade`], to a release that was rolled back before.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn upgrade_again(&self, version: &str) -> Result<UpgradeReport> {
        let line = ["upgrade", version, "--probation", "0s", "--retry-failed"];
        self.answer(&[&line[..], &["--json"]].concat())
    }

    /// Upgrades, and returns in a probation that lasts longer than any test.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn detach(&self, version: &str) -> Result<Ran> {
        let line = ["upgrade", version, "--probation", "300s", "--detach"];
        self.done(&[&line[..], &["--json"]].concat())
    }

    /// `host rollback`
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn rollback(&self) -> Result<UpgradeReport> {
        self.answer(&["rollback", "--json"])
    }

    /// `host rpc`: the reply.
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn rpc(&self, actor: &str, event: &str, payload: &Value) -> Result<Value> {
        let line = ["rpc", actor, event, &payload.to_string(), "--json"];
        self.answer(&line)
    }

    /// `host rpc` that is refused: the reason.
    ///
    /// # Errors
    ///
    /// That it is not refused.
    pub fn refused(&self, actor: &str, event: &str, payload: &Value) -> Result<String> {
        let line = ["rpc", actor, event, &payload.to_string(), "--json"];
        self.host(&line)?.ends_with(1)?.reason()
    }

    /// `host state`
    ///
    /// # Errors
    ///
    /// What the command said.
    pub fn state(&self, actor: &str) -> Result<ActorState> {
        self.answer(&["state", actor, "--json"])
    }

    /// The process that serves, while one does.
    #[must_use]
    pub fn host_pid(&self) -> Option<u32> {
        self.pid("run/host.pid")
    }

    /// The process that keeps it, while one does.
    #[must_use]
    pub fn keeper_pid(&self) -> Option<u32> {
        self.pid("run/keeper.pid")
    }

    /// `kill -9` of the serving process; returns its id.
    ///
    /// # Errors
    ///
    /// That there is none.
    pub fn kill_host(&self) -> Result<u32> {
        let Some(pid) = self.host_pid() else {
            bail!("no host runs in {}", self.path().display());
        };
        ensure!(kill(pid), "process {pid} could not be killed");
        Ok(pid)
    }

    /// Waits until another process than `old` serves and is ready.
    ///
    /// # Errors
    ///
    /// That this does not happen.
    pub fn rebooted(&self, old: u32) -> Result<Status> {
        wait::until("the keeper has booted the host again", || {
            let status = self.status().ok()?;
            (status.pid != old && status.ready.ready).then_some(status)
        })
    }

    /// The host's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.data().join("log/host.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What `/metrics` of the host that runs says.
    ///
    /// # Errors
    ///
    /// That nobody answers.
    pub fn metrics(&self) -> Result<String> {
        let file = fs::read_to_string(self.path().join("etc/env"))?;
        let mut lines = file.lines().rev();
        let port = lines.find_map(|line| line.strip_prefix("ADMIN_PORT="));
        let port = port.context("a home has an ADMIN_PORT")?.parse()?;
        Ok(http::request(port, "GET", "/metrics", "")?.body)
    }

    /// One of them that has no labels, without its `host_`.
    ///
    /// # Errors
    ///
    /// That nobody answers, or there is none of this name.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let metrics = self.metrics()?;
        let of = |line: &str| {
            line.strip_prefix("host_")?
                .strip_prefix(name)?
                .strip_prefix(' ')?
                .parse()
                .ok()
        };
        let found = metrics.lines().find_map(of);
        found.with_context(|| format!("there is no host_{name} in {metrics}"))
    }

    /// The process in a pid file, while it lives and is of this home: ids are used
    /// again, and nothing of others is to be killed.
    fn pid(&self, file: &str) -> Option<u32> {
        let text = fs::read_to_string(self.data().join(file)).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        // One that is ending has no program any more, and may hold its files still.
        let is_ours = program.map_or(true, |program| program.starts_with(self.path()));
        (is_ours && lives(pid)).then_some(pid)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}---", self.path().display(), self.log());
        }
        // The keeper first, or it would boot the host again.
        for pid in [self.keeper_pid(), self.host_pid()].into_iter().flatten() {
            kill(pid);
            let _ = wait::until("a killed process is gone", || (!lives(pid)).then_some(()));
        }
    }
}

/// Whether a process has not ended. One that has, and that its parent has not asked
/// after, has closed all its files; but only with its last thread, which may be in the
/// middle of a sync when the process is killed.
fn lives(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    if threads > 1 {
        return true;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in brackets.
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// `kill -9` of a process. False if there was none.
pub fn kill(pid: u32) -> bool {
    signal(pid, Signal::KILL)
}

/// Sends a process a signal. False if there was none.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// A port that is free now, and that no client's side of a connection is given: a
/// host that is killed must get it again.
///
/// # Errors
///
/// That all are taken.
pub fn free_port() -> Result<u16> {
    /// Below the range that the kernel gives to clients.
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Far apart for processes that start one after another.
    let next = NEXT.get_or_init(|| AtomicU16::new((id().wrapping_mul(7_919) % 20_000) as u16));
    for _ in PORTS {
        let step = next.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + step % (PORTS.end - PORTS.start);
        if TcpListener::bind(("::", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            return Ok(port);
        }
    }
    bail!("find a free port in {PORTS:?}: all are taken")
}

/// The home that all are copies of: the one that [`PREPARED`] names, or one made
/// now from what is built in the profile `dev`.
fn prepared() -> Result<&'static Path> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| match std::env::var_os(PREPARED) {
        Some(home) => Ok(PathBuf::from(home)),
        None => make().map_err(|e| format!("{e:#}")),
    });
    match made {
        Ok(path) => Ok(path),
        Err(why) => bail!("make the home that tests copy: {why}"),
    }
}

fn make() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let dir = root.join("target/e2e/home");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    make_home(&root, &dir, "dev")?;
    Ok(dir)
}

/// `make home` of the repository in `root`, with its output shown only if it fails.
///
/// # Errors
///
/// What it said.
pub fn make_home(root: &Path, dir: &Path, profile: &str) -> Result<()> {
    let made = Command::new("make")
        .current_dir(root)
        .args(["--silent", "home", &format!("PROFILE={profile}")])
        .arg(format!("DIR={}", dir.display()))
        .stdin(Stdio::null())
        .output()
        .context("run make")?;
    ensure!(
        made.status.success(),
        "make home failed:\n{}{}",
        String::from_utf8_lossy(&made.stdout),
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(())
}

/// Copies a home. Programs and libraries are large and never written to in place:
/// they are linked where that can be.
///
/// # Errors
///
/// The system's.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let is_code = target.extension() == Some("so".as_ref()) || to.ends_with("bin");
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else if !is_code || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
