//! A server: made, started, killed, stopped for a while, copied, gone.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::programs;
use crate::tls::Authority;

/// Far above what a start or an end takes, on a machine that is busy with others.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server that has no pid file after this has ended, and does not begin any more.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The name that its first role has.
const ROLE: &str = "host";

/// Runs a server, and ends it when its standard input ends. What is left is removed,
/// unless a word says that it is wanted.
const SUPERVISE: &str = r#"
"$1/postgres" -D "$2" -c port="$3" >> "$2/../server.log" 2>&1 &
pid=$!
read -r word
kill -INT $pid 2> /dev/null
wait $pid 2> /dev/null
[ "$word" = keep ] && exit
folder=$(dirname "$2")
rm -rf "$folder"/*
# Where the folder around it belongs to another user, that user takes this one away.
rmdir "$folder" 2> /dev/null || :
"#;

/// A server with a folder of its own. Dropped, it ends, and its folder with it.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    port: u16,
    supervisor: Option<Child>,
    keep: bool,
}

/// The server that the tests of one program share: each makes a database of its own.
///
/// # Panics
///
/// If there is none to be had, with the reason.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start().expect("a PostgreSQL server for the tests"))
}

impl Server {
    /// A new server with nothing in it.
    ///
    /// # Errors
    ///
    /// That PostgreSQL is not there, or what it said.
    pub fn start() -> Result<Self> {
        let mut server = Self::unstarted()?;
        let mut initdb = programs::command(&programs::folder()?.join("initdb"))?;
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.arg(format!("--username={ROLE}"));
        said(initdb.arg("-D").arg(server.data()), "initdb")?;
        server.configure(&[
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            "max_connections = 300",
            "shared_buffers = '32MB'",
        ])?;
        server.boot()?;
        Ok(server)
    }

    /// A standby of this server, which follows it asynchronously and answers reads.
    ///
    /// # Errors
    ///
    /// What PostgreSQL said.
    pub fn standby(&self) -> Result<Self> {
        let mut standby = Self::unstarted()?;
        let mut copy = programs::command(&programs::folder()?.join("pg_basebackup"))?;
        copy.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]);
        copy.arg(format!("--dbname={}", self.url("postgres")));
        said(copy.arg("-D").arg(standby.data()), "pg_basebackup")?;
        standby.boot()?;
        Ok(standby)
    }

    fn unstarted() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir()?.keep();
        programs::give(&folder)?;
        Ok(Self {
            folder,
            port: free_port()?,
            supervisor: None,
            keep: false,
        })
    }

    /// Leaves its folder where it is when it is dropped, for whoever looks into why
    /// something failed.
    pub fn keep(&mut self) -> PathBuf {
        self.keep = true;
        self.folder.clone()
    }

    /// Adds lines to `postgresql.conf`; they hold from the next start.
    ///
    /// # Errors
    ///
    /// That the file cannot be written.
    pub fn configure(&self, lines: &[&str]) -> Result<()> {
        let path = self.data().join("postgresql.conf");
        let mut file = fs::OpenOptions::new().append(true).open(path)?;
        Ok(writeln!(file, "{}", lines.join("\n"))?)
    }

    /// From now on it speaks TLS too, as the server of this name.
    ///
    /// # Errors
    ///
    /// What it said.
    pub fn speak_tls(&mut self, authority: &Authority, name: &str) -> Result<()> {
        authority.issue(name, &self.data())?;
        let key = self.data().join("server.key");
        programs::give(&key)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        self.configure(&["ssl = on"])?;
        self.shut_down()?;
        self.boot()
    }

    /// Starts it, when it has been ended; returns when it answers.
    ///
    /// # Errors
    ///
    /// What it said.
    pub fn boot(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            self.supervise()?;
            let tried = Instant::now();
            while self.supervisor_lives() && self.pid().is_none_or(lives) {
                if self.answers() {
                    return Ok(());
                }
                // One that has given up has taken its file along.
                let is_gone = self.pid().is_none() && tried.elapsed() > GONE_AFTER;
                if is_gone || began.elapsed() > DEADLINE {
                    break;
                }
                std::thread::sleep(LOOK_EVERY);
            }
            // What is left of a killed one may hold its memory for a moment.
            self.dismiss("keep")?;
            ensure!(
                began.elapsed() < DEADLINE,
                "the server does not start:\n{}",
                self.log()
            );
        }
    }

    fn supervise(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let mut shell = programs::command(Path::new("sh"))?;
        shell.args(["-c", SUPERVISE, "sh"]);
        shell.arg(programs::folder()?).arg(self.data());
        shell.arg(self.port.to_string()).current_dir("/");
        shell.stdin(Stdio::piped()).stdout(Stdio::null());
        self.supervisor = Some(shell.spawn().context("run a shell")?);
        let began = Instant::now();
        while self.pid().is_none() && began.elapsed() < DEADLINE {
            if !self.supervisor_lives() || self.log().contains("FATAL") && self.pid().is_none() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn supervisor_lives(&mut self) -> bool {
        let supervisor = self.supervisor.as_mut();
        supervisor.is_some_and(|it| matches!(it.try_wait(), Ok(None)))
    }

    /// Ends the server in order, and its shell with it.
    fn dismiss(&mut self, word: &str) -> Result<()> {
        let Some(mut supervisor) = self.supervisor.take() else {
            return Ok(());
        };
        if let Some(mut stdin) = supervisor.stdin.take() {
            // It may have ended by itself.
            let _ = writeln!(stdin, "{word}");
        }
        supervisor.wait().context("wait for the server")?;
        Ok(())
    }

    /// Ends it in order: what runs is broken off.
    ///
    /// # Errors
    ///
    /// That it does not end.
    pub fn shut_down(&mut self) -> Result<()> {
        self.dismiss("keep")
    }

    /// `kill -9` of the server and of every process of it.
    ///
    /// # Errors
    ///
    /// That it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.dismiss("keep")
    }

    /// Stops all its processes until [`Server::resume`]: it answers no one.
    ///
    /// # Errors
    ///
    /// That it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Server::pause`].
    ///
    /// # Errors
    ///
    /// That it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the server does not run")?;
        // The first one first: it would take the end of another for a crash.
        for pid in std::iter::once(pid).chain(children(pid)) {
            let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // One that has just ended is as good.
            let _ = raw.map(|pid| kill_process(pid, signal));
        }
        Ok(())
    }

    /// Makes a standby a server of its own; returns when it takes writes.
    ///
    /// # Errors
    ///
    /// What it said.
    pub fn promote(&self) -> Result<()> {
        self.sql("postgres", "SELECT pg_promote(true, 60)")
            .map(drop)
    }

    /// A new database, for one test; its address.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub fn database(&self) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// The address of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        at_port(self.port, database)
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What SQL gives in one of its databases: a line for each row, columns apart by `|`.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        run_sql(&self.url(database), sql)
    }

    fn answers(&self) -> bool {
        self.sql("postgres", "SELECT 1").is_ok()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// The process that the others are children of, as it says itself.
    fn pid(&self) -> Option<u32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is stopped hears of nothing.
        let _ = self.resume();
        let word = if self.keep { "keep" } else { "remove" };
        if let Err(error) = self.dismiss(word) {
            eprintln!("the server in {} is left: {error:#}", self.folder.display());
        }
        if !self.keep {
            // It may have been dismissed before.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// An address of a database behind a port on loopback.
pub(crate) fn at_port(port: u16, database: &str) -> String {
    format!("postgresql://{ROLE}@127.0.0.1:{port}/{database}?sslmode=disable")
}

/// What SQL gives at an address.
pub(crate) fn run_sql(url: &str, sql: &str) -> Result<String> {
    let mut psql = Command::new(programs::folder()?.join("psql"));
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]);
    psql.args(["-v", "ON_ERROR_STOP=1", "-c", sql, url]);
    said(&mut psql, "psql")
}

/// Runs a command to its end: what it printed.
fn said(command: &mut Command, name: &str) -> Result<String> {
    let ran = command.current_dir("/").stdin(Stdio::null()).output();
    let ran = ran.with_context(|| format!("run {name}"))?;
    let shown = String::from_utf8_lossy(&ran.stdout).trim_end().to_owned();
    if !ran.status.success() {
        bail!("{name}: {}{shown}", String::from_utf8_lossy(&ran.stderr));
    }
    Ok(shown)
}

/// The processes that have this one for a parent.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether a process has not ended.
fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // They stand behind the name, which is in brackets.
    let mut rest = stat.rsplit(')').next()?.split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

/// A port that is free now, and that no client's side of a connection is given: a
/// server that is killed must get it again.
fn free_port() -> Result<u16> {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let seed = std::process::id().wrapping_mul(6_151) % 20_000;
    let next = NEXT.get_or_init(|| AtomicU16::new(u16::try_from(seed).unwrap_or(0)));
    for _ in PORTS {
        let step = next.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + step % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("find a free port in {PORTS:?}: all are taken")
}
