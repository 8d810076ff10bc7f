//! Carries out one way: a home of its own, clients at work, an upgrade that is struck, a
//! look at what is left, and the next upgrade.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Cell;
use super::after::{self, Files};
use super::how::{Course, How, PLAIN, Whom};
use crate::command::Running;
use crate::disk::Disk;
use crate::faulty::{self, Counting};
use crate::home::Home;
use crate::load::Load;
use crate::{http, release, wait};

const OLD: [&str; 3] = [
    "plugins/donations/0.1.0",
    "plugins/zakat/0.1.0",
    "plugins/hostile/faulty/0.1.0",
];

const NEW: [&str; 3] = [
    "plugins/donations/0.2.0",
    "plugins/zakat/0.2.0",
    "plugins/hostile/faulty/0.2.0",
];

/// Of `faulty`, that clients count on. So many that none is called so often in a moment
/// that its faults set it aside.
const ACTORS: usize = 100;

/// Between an answer and the same client's next call.
const PACE: Duration = Duration::from_millis(20);

/// Gifts that are waited for where there should be some.
const SOME: u64 = 20;

/// The actor that nobody calls, and its count.
const ASLEEP: (&str, i64) = ("asleep", 7);

/// Of a way that failed, as much of the log as helps.
const LOG_LINES: usize = 60;

/// A home that each way gets a copy of.
#[derive(Debug)]
pub struct Matrix {
    base: Home,
}

impl Matrix {
    /// Lays it out: campaigns to give to, and `faulty`, in two releases.
    ///
    /// # Errors
    ///
    /// That it cannot be made.
    pub fn new() -> Result<Self> {
        let base = Home::new()?;
        let releases = base.path().join("releases");
        for version in ["0.1.0", "0.2.0", "0.3.0"] {
            fs::remove_dir_all(releases.join(version))?;
        }
        release::assemble(&base, "0.1.0", &OLD, &[])?;
        lay_new(&base, [PLAIN; 2])?;
        Ok(Self { base })
    }

    /// A home like that.
    ///
    /// # Errors
    ///
    /// That it cannot be made.
    pub fn home(&self) -> Result<Home> {
        Home::copied_from(self.base.path())
    }

    /// Carries out ways, so many at once: most of what they do is to wait. Says of each
    /// how it went. Gives those that failed.
    pub fn run_all(&self, cells: Vec<Cell>, at_once: usize) -> Vec<Cell> {
        let queue: Mutex<VecDeque<_>> = Mutex::new(cells.into());
        let next = || queue.lock().ok()?.pop_front();
        let work = || {
            let mut failed = Vec::new();
            while let Some(cell) = next() {
                let since = Instant::now();
                let ran = self.run(&cell);
                let took = since.elapsed().as_secs_f64();
                match ran {
                    Ok(()) => println!("{took:6.1} s  held    {cell}"),
                    Err(error) => {
                        println!("{took:6.1} s  FAILED  {cell}\n{error:#}\n---");
                        failed.push(cell);
                    }
                }
            }
            failed
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| {
                let ended = worker.join();
                ended.expect("who carries out a way gives an error, and does not panic")
            });
            joined.flatten().collect()
        })
    }

    /// Carries out a way.
    ///
    /// # Errors
    ///
    /// What did not hold, with the end of the host's log.
    pub fn run(&self, cell: &Cell) -> Result<()> {
        let mut home = self.home()?;
        carry_out(&mut home, &cell.how).map_err(|error| {
            let log = home.log();
            let lines: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
            let lines: Vec<_> = lines.into_iter().rev().collect();
            error.context(format!("{}\n--- {cell}", lines.join("\n")))
        })
    }
}

/// Lays out release 0.2.0 with these ways of `faulty`.
fn lay_new(home: &Home, [up, down]: [&str; 2]) -> Result<()> {
    let faulty = format!(
        "plugin = \"faulty\"\nversion = \"0.2.0\"\n\n[[path]]\nfrom = \"~0.1\"\n\
         up = [{up}]\ndown = [{down}]\n\
         declared = [\"summary.notes\", \"summary.version\"]\npause_budget_ms = 60000\n\n\
         [probation]\nmin_calls = 20\n"
    );
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../upgrade-scripts");
    let read = |name: &str| fs::read_to_string(scripts.join(name)).context("read an appup");
    let (donations, zakat) = (read("donations-0.2.0.toml")?, read("zakat-0.2.0.toml")?);
    let appups = [
        ("donations-0.2.0.toml", &*donations),
        ("zakat-0.2.0.toml", &zakat),
        ("faulty-0.2.0.toml", &faulty),
    ];
    release::assemble(home, "0.2.0", &NEW, &appups)
}

/// Who is at work all the while.
struct Clients {
    port: u16,
    donors: Load,
    counting: Counting,
}

fn carry_out(home: &mut Home, how: &How) -> Result<()> {
    let disk = match how.disk.is_empty() {
        true => None,
        false => Some(Disk::under(home)?),
    };
    home.set("HOST_ABORT_AFTER", how.abort_after);
    let clients = Clients::begin(home, how)?;
    let files = Files::of(home)?;
    spoil(home, how)?;
    strike(home, how, disk.as_ref(), &clients)?;

    let set_aside = u64::from(how.sets_aside);
    after::one_version(home, how.ends.version(), set_aside)?;
    ended(home, how)?;
    clients.donors.more(SOME)?;
    mend(home, how, &clients)?;
    after::no_debris(home, &files)?;

    // The next one works.
    match how.ends.other() {
        "0.1.0" => drop(home.rollback()?),
        other => {
            let up = ["upgrade", other, "--probation", "0s", "--no-rehearsal"];
            home.done(&[&up[..], &["--retry-failed", "--json"]].concat())?;
        }
    }
    if how.sets_aside {
        home.done(&["quarantine", "release", "faulty:0"])?;
        faulty::mark(clients.port, "0", "none", 0)?;
    }
    after::one_version(home, how.ends.other(), 0)?;
    clients.donors.more(SOME)?;
    after::no_debris(home, &files)?;
    clients.end(home, how)?;
    home.stop()
}

impl Clients {
    /// The new release comes when the host runs: what lies there at a start is opened then.
    fn begin(home: &Home, how: &How) -> Result<Self> {
        let [lies, comes] = ["next", "releases/0.2.0"].map(|it| home.path().join(it));
        fs::rename(&comes, &lies)?;
        let mut port = home.start()?.port;
        let (key, count) = ASLEEP;
        faulty::told(port, key, "add", &json!({ "by": count }))?;
        match (how.mark, how.whom) {
            (Some((what, ms)), Whom::Called) => faulty::mark(port, "0", what, ms)?,
            (Some((what, ms)), Whom::Asleep) => faulty::mark(port, key, what, ms)?,
            _ => {}
        }
        if how.whom == Whom::Asleep {
            home.stop()?;
            port = home.start()?.port;
        }
        fs::rename(&lies, &comes)?;
        let counting = Counting::start(faulty::Shape {
            port,
            actors: ACTORS,
            pace: PACE,
            mark: how.mark.filter(|_| how.whom == Whom::All),
        })?;
        let donors = Load::few(port, PACE)?;
        donors.more(SOME)?;
        Ok(Self {
            port,
            donors,
            counting,
        })
    }

    /// Every acknowledged command is there exactly once, and who gave has heard of
    /// nothing that was not to be heard.
    fn end(self, home: &Home, how: &How) -> Result<()> {
        let seen = self.donors.stop()?;
        ensure!(
            how.is_heard || (seen.closed == 0 && seen.errors.is_empty()),
            "{} connections closed, and these errors came: {:?}",
            seen.closed,
            seen.errors
        );
        seen.tally.audit(home)?.exact()?;
        self.counting.end(self.port)?;
        let (key, count) = ASLEEP;
        let found = faulty::summary(self.port, key)?;
        ensure!(found["count"] == count, "faulty:{key}: {found}");
        Ok(())
    }
}

/// Does to the new release what is to be wrong with it.
fn spoil(home: &Home, how: &How) -> Result<()> {
    let release = home.path().join("releases/0.2.0");
    if how.appup != [PLAIN; 2] {
        lay_new(home, how.appup)?;
    }
    if let Some(file) = how.damaged {
        let file = release.join(file);
        // A new file in its place: the old one may be shared.
        fs::remove_file(&file)?;
        fs::write(&file, "nothing that makes sense")?;
    }
    if let Some(behaviour) = how.library {
        release::add_raw(&release, behaviour)?;
    }
    Ok(())
}

/// Begins what is to be struck, strikes, and waits for its end.
fn strike(home: &Home, how: &How, disk: Option<&Disk>, clients: &Clients) -> Result<()> {
    let mut up = vec!["upgrade", "0.2.0", "--json"];
    up.extend(&how.more);
    if !how.rehearsed {
        up.push("--no-rehearsal");
    }
    let line = match how.course {
        Course::Upgrade => [&up[..], &["--probation", how.probation]].concat(),
        Course::RollBack | Course::Commit => {
            home.done(&[&up[..], &["--probation", "300s", "--detach"]].concat())?;
            clients.donors.more(SOME)?;
            match how.course {
                Course::Commit => vec!["commit", "--json"],
                _ => vec!["rollback", "--json"],
            }
        }
    };
    let busy = how
        .busy
        .map(|(event, ms)| busy(home, clients.port, event, ms));
    let busy = busy.transpose()?;
    let pid = home.host_pid().context("a host runs")?;
    if let Some(disk) = disk {
        let rules: Vec<_> = how.disk.iter().map(String::as_str).collect();
        disk.fails(&rules)?;
    }
    let command = match how.course {
        // Nothing of it is begun while nothing can be written down.
        Course::Commit => {
            mend_disk(disk, pid)?;
            home.begin(&line)?
        }
        _ => {
            let command = home.begin(&line)?;
            mend_disk(disk, pid)?;
            command
        }
    };
    if let Some(state) = how.kill_in {
        wait::until(&format!("the upgrade is at {state}"), || {
            let upgrade = home.status().ok()?.upgrade?;
            (upgrade.state == state).then_some(())
        })?;
        home.kill_host()?;
    }
    end(home, how, command, pid)?;
    if let Some(busy) = busy {
        ensure!(busy.join().is_ok(), "who kept an actor busy has panicked");
    }
    Ok(())
}

/// Waits until the disk has failed, and has it work again: the next process would meet
/// the same.
fn mend_disk(disk: Option<&Disk>, pid: u32) -> Result<()> {
    if let Some(disk) = disk {
        disk.has_struck(pid)?;
        disk.works()?;
    }
    Ok(())
}

/// Waits for the end of what was struck.
fn end(home: &Home, how: &How, command: Running, pid: u32) -> Result<()> {
    let ran = command.end()?;
    if how.is_fatal {
        // Who waited for its end heard of the host's, or of nothing.
        home.rebooted(pid)?;
        return Ok(());
    }
    let code = match (how.ends.outcomes(), how.course) {
        (["committed"], _) | (["rolled_back"], Course::RollBack) => 0,
        (["rolled_back"], _) => 4,
        _ => 1,
    };
    ran.ends_with(code)?;
    let still = home.host_pid();
    ensure!(
        still == Some(pid),
        "process {pid} has served, and now {still:?} does"
    );
    Ok(())
}

/// Keeps an actor busy that has not been heard of; returns when it is.
fn busy(home: &Home, port: u16, event: &'static str, ms: u64) -> Result<JoinHandle<()>> {
    let awake = home.status()?.actors.awake;
    let busy = thread::spawn(move || {
        let path = format!("/api/v1/faulty/busy/{event}");
        // The host may end before it answers.
        let _ = http::request(port, "POST", &path, &json!({ "ms": ms }).to_string());
    });
    wait::until("the actor is busy", || {
        (home.status().ok()?.actors.awake > awake).then_some(())
    })?;
    Ok(busy)
}

/// What the history says of it.
fn ended(home: &Home, how: &How) -> Result<()> {
    let history: Vec<Value> = home.answer(&["history", "--json"])?;
    let wanted = how.ends.outcomes();
    match (&history[..], wanted) {
        ([], []) => Ok(()),
        ([row], wanted) if wanted.iter().any(|it| row["outcome"] == **it) => Ok(()),
        (history, wanted) => bail!("it should have ended as {wanted:?}: {history:?}"),
    }
}

/// Takes away what has struck.
fn mend(home: &mut Home, how: &How, clients: &Clients) -> Result<()> {
    let port = clients.port;
    match (how.mark, how.whom) {
        (None, _) => {}
        // It answers when it is released.
        (Some(_), Whom::Called) if how.sets_aside => {}
        (Some(_), Whom::Called) => faulty::mark(port, "0", "none", 0)?,
        (Some(_), Whom::Asleep) => faulty::mark(port, ASLEEP.0, "none", 0)?,
        (Some(_), Whom::All) => {
            for actor in 0..ACTORS {
                faulty::mark(port, &actor.to_string(), "none", 0)?;
            }
        }
    }
    if how.appup != [PLAIN; 2] || how.damaged.is_some() || how.library.is_some() {
        lay_new(home, [PLAIN; 2])?;
    }
    let letters: Vec<Value> = home.answer(&["dead-letters", "list", "--json"])?;
    ensure!(
        how.leaves_letters || letters.is_empty(),
        "there are dead letters: {letters:?}"
    );
    for letter in letters {
        home.done(&["dead-letters", "drop", &letter["id"].to_string()])?;
    }
    if how.abort_after.is_some() {
        home.set("HOST_ABORT_AFTER", None);
        home.stop()?;
        home.start()?;
    }
    Ok(())
}
