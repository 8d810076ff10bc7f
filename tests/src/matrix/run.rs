//! Carries out one way: a home of its own, clients at work, an upgrade that is struck, a
//! look at what is left, the next upgrade, and a look at what the store has.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Cell;
use super::after::{self, Files};
use super::clients::{ASLEEP, Clients};
use super::how::{Course, Ends, How, PLAIN, Whom};
use super::kept::Kept;
use crate::command::Running;
use crate::disk::Disk;
use crate::faulty;
use crate::home::Home;
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

/// How long a disk is full at least: an upgrade tries again each second, and so it is
/// refused more than once.
const FULL: Duration = Duration::from_millis(2_500);

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

fn carry_out(home: &mut Home, how: &How) -> Result<()> {
    let disk = match how.disk.is_empty() {
        true => None,
        false => Some(Disk::under(home)?),
    };
    home.set("HOST_ABORT_AFTER", how.abort_after);
    let clients = Clients::begin(home, how)?;
    let mut kept = Kept::begin(clients.port)?;
    let files = Files::of(home)?;
    spoil(home, how)?;
    strike(home, how, disk.as_ref(), &clients, &mut kept)?;

    let set_aside = u64::from(how.sets_aside);
    let version = how.ends.version();
    after::one_version(home, version, set_aside)?;
    ended(home, how)?;
    clients.are_served(how.sets_aside.then_some(0))?;
    mend(home, how, &clients)?;
    after::no_debris(home, &files, version)?;
    kept.holds(home, version)?;
    if version == "0.2.0" {
        kept.say()?;
    }

    // The next one works.
    let version = how.ends.other();
    match version {
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
    after::one_version(home, version, 0)?;
    clients.are_served(None)?;
    after::no_debris(home, &files, version)?;
    kept.holds(home, version)?;
    if version == "0.2.0" {
        kept.say()?;
    }

    // What was in memory may be right where the store is not.
    let told = clients.stop(how)?;
    home.stop()?;
    home.start()?;
    after::one_version(home, version, 0)?;
    told.holds(home)?;
    kept.holds(home, version)?;
    home.stop()?;
    after::replays(home)
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

/// Begins what is to be struck, strikes, and waits for its end. What the old release cannot
/// hold is said as soon as the new one rules for longer than a moment.
fn strike(
    home: &Home,
    how: &How,
    disk: Option<&Disk>,
    clients: &Clients,
    kept: &mut Kept,
) -> Result<()> {
    let mut up = vec!["upgrade", "0.2.0", "--json"];
    up.extend(&how.more);
    if !how.rehearsed {
        up.push("--no-rehearsal");
    }
    let line = match how.course {
        Course::Upgrade => [&up[..], &["--probation", how.probation]].concat(),
        Course::RollBack | Course::Commit => {
            home.done(&[&up[..], &["--probation", "300s", "--detach"]].concat())?;
            clients.give()?;
            kept.say()?;
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
        Course::Commit => {
            // Nothing is begun while nothing can be written down.
            let refused = home.host(&line)?.ends_with(1)?.reason()?;
            ensure!(refused == "not_recorded", "a commit is refused: {refused}");
            mend_disk(disk, how, pid)?;
            let upgrade = home.status()?.upgrade.context("it is still watched")?;
            ensure!(upgrade.state == "probation", "it is at {}", upgrade.state);
            home.begin(&line)?
        }
        _ => {
            let command = home.begin(&line)?;
            mend_disk(disk, how, pid)?;
            command
        }
    };
    if let Some(state) = how.kill_in {
        wait::until(&format!("the upgrade is at {state}"), || {
            let upgrade = home.status().ok()?.upgrade?;
            (upgrade.state == state).then_some(())
        })?;
        if how.is_watched() {
            kept.say()?;
        }
        home.kill_host()?;
    } else if how.is_watched() {
        // Until then the old one refuses it; and it may be over soon.
        wait::until("the new release has ruled", || {
            kept.try_to_say();
            let history: Vec<Value> = home.answer(&["history", "--json"]).ok()?;
            (kept.is_said() || !history.is_empty()).then_some(())
        })?;
    }
    end(home, how, command, pid)?;
    if let Some(busy) = busy {
        ensure!(busy.join().is_ok(), "who kept an actor busy has panicked");
    }
    Ok(())
}

/// Waits until the disk has failed, and has it work again: the next process would meet
/// the same.
fn mend_disk(disk: Option<&Disk>, how: &How, pid: u32) -> Result<()> {
    let Some(disk) = disk else {
        return Ok(());
    };
    disk.has_struck(pid)?;
    if how.fills_the_disk() {
        let full = Instant::now();
        wait::until("the disk is full for a while", || {
            (full.elapsed() > FULL).then_some(())
        })?;
    }
    disk.works()
}

/// Waits for the end of what was struck.
fn end(home: &Home, how: &How, command: Running, pid: u32) -> Result<()> {
    let ran = command.end()?;
    if how.is_fatal {
        // Who waited for its end heard of the host's, or of nothing.
        home.rebooted(pid)?;
        return Ok(());
    }
    let code = match (how.ends, how.course) {
        (Ends::Committed, _) | (Ends::RolledBack, Course::RollBack) => 0,
        (Ends::RolledBack, _) => 4,
        (Ends::NotBegun | Ends::Cancelled, _) => 1,
    };
    let ran = ran.ends_with(code)?;
    ensure!(
        ran.stdout.contains(how.why),
        "it should say {:?} of why it ended: {ran:?}",
        how.why
    );
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

/// What the history says of it: how it ended, on which way, and why; so it was struck where
/// it was to be.
fn ended(home: &Home, how: &How) -> Result<()> {
    let history: Vec<Value> = home.answer(&["history", "--json"])?;
    let Some(wanted) = how.ends.outcomes() else {
        ensure!(history.is_empty(), "nothing was begun: {history:?}");
        return Ok(());
    };
    ensure!(history.len() == 1, "there was one upgrade: {history:?}");
    let flight: Value = home.answer(&["history", "1", "--json"])?;
    let report = &flight["report"];
    ensure!(
        wanted.iter().any(|it| report["outcome"] == *it),
        "it should have ended as {wanted:?}: {report:#}"
    );
    let transitions = flight["transitions"].as_array().cloned();
    let mut states: Vec<_> = transitions.unwrap_or_default();
    // A way back that another process goes on with is begun twice.
    states.dedup_by(|next, state| next["state"] == state["state"]);
    let states: Vec<_> = states
        .iter()
        .filter_map(|it| it["state"].as_str())
        .collect();
    let ways = how.ways();
    ensure!(
        ways.contains(&states),
        "its way was {states:?} and should have been {ways:?}: {report:#}"
    );
    let reason = report["reason"].as_str().unwrap_or_default();
    ensure!(
        reason.contains(how.why) && reason.is_empty() == how.why.is_empty(),
        "it should say {:?} of why it ended, and says {reason:?}",
        how.why
    );
    let named = report["way_back"]["named"].as_array().into_iter().flatten();
    let named: Vec<_> = named.filter_map(|it| it["actor"].as_str()).collect();
    let marked: &[&str] = if how.sets_aside { &["faulty:0"] } else { &[] };
    ensure!(
        named == marked,
        "{named:?} were set aside, and {marked:?} should have been: {report:#}"
    );
    let rebuilt = report["way_back"]["rebuilt"].as_u64().unwrap_or(0);
    ensure!(
        rebuilt == u64::from(how.is_rebuilt),
        "{rebuilt} went back by their commands: {report:#}"
    );
    let rehearsal = &flight["rehearsal"]["outcome"];
    ensure!(
        !states.contains(&"rehearsed") || rehearsal == "passed",
        "the rehearsal has {rehearsal}"
    );
    Ok(())
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
            for actor in 0..clients.actors {
                faulty::mark(port, &actor.to_string(), "none", 0)?;
            }
        }
    }
    if how.appup != [PLAIN; 2] || how.damaged.is_some() || how.library.is_some() {
        lay_new(home, [PLAIN; 2])?;
    }
    let list = || -> Result<Vec<Value>> { home.answer(&["dead-letters", "list", "--json"]) };
    let mut letters = list()?;
    ensure!(
        how.leaves_letters != letters.is_empty(),
        "messages should have come to nothing: {}, and these did: {letters:?}",
        how.leaves_letters
    );
    if how.busy.is_some() && how.leaves_letters {
        // Whoever was inside had ended when it switched.
        let flight: Value = home.answer(&["history", "1", "--json"])?;
        let mut transitions = flight["transitions"].as_array().into_iter().flatten();
        let switched = transitions.find(|it| it["state"] == "switching");
        let switched = switched.and_then(|it| it["at_ms"].as_i64());
        ensure!(
            letters.iter().all(|it| it["time_ms"].as_i64() <= switched),
            "it had switched at {switched:?} before these ended: {letters:?}"
        );
    }
    // A page of them at a time.
    while !letters.is_empty() {
        let ids: Vec<_> = letters.iter().map(|it| it["id"].to_string()).collect();
        let ids = ids.iter().map(String::as_str);
        let drop: Vec<_> = ["dead-letters", "drop"].into_iter().chain(ids).collect();
        home.done(&drop)?;
        letters = list()?;
    }
    if how.abort_after.is_some() {
        home.set("HOST_ABORT_AFTER", None);
        home.stop()?;
        home.start()?;
    }
    Ok(())
}
