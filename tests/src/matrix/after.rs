//! What is looked at when an upgrade is over, however it ended: one version, nothing left
//! lying about, and a store that is whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use host_model::control::{ActorRow, Status};
use serde_json::Value;

use crate::{Home, wait};

/// More than any home here has.
const ACTORS: &str = "5000";

/// The pin that stays behind a commit, as long as there is a way back. That of a rehearsal
/// does not.
const WAY_BACK: &str = "host:way-back-to-0.1.0";

/// The files of a home, but for what is written all the time and what is looked at apart.
#[derive(Debug)]
pub struct Files(BTreeSet<PathBuf>);

impl Files {
    /// Those that are there now.
    ///
    /// # Errors
    ///
    /// That a folder cannot be read.
    pub fn of(home: &Home) -> Result<Self> {
        let mut found = BTreeSet::new();
        for folder in ["bin", "data", "etc", "images", "releases"] {
            walk(&home.path().join(folder), &mut found)?;
        }
        // Copies of plugins are held against what is mapped.
        let is_image = |it: &Path| {
            it.parent() == Some(&home.data().join("images")) && it.extension().is_some()
        };
        found.retain(|it| !is_image(it));
        Ok(Self(found))
    }
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        found.insert(entry.path());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// One release rules, is permanent, and has every actor, but for `set_aside` ones that are
/// whole in another version. Gives what the host says of itself.
///
/// # Errors
///
/// What is not so.
pub fn one_version(home: &Home, version: &str, set_aside: u64) -> Result<Status> {
    let status = home.settled()?;
    let (rules, permanent) = (status.version.to_string(), status.permanent.to_string());
    ensure!(
        (rules.as_str(), permanent.as_str()) == (version, version),
        "{rules} rules and {permanent} is permanent, and it should be {version}"
    );
    ensure!(
        status.actors.quarantined == set_aside,
        "{} actors are set aside, and it should be {set_aside}",
        status.actors.quarantined
    );
    let rows: Vec<ActorRow> = home.answer(&["actors", "--limit", ACTORS, "--json"])?;
    ensure!(!rows.is_empty(), "there are no actors");
    let own = |row: &&ActorRow| {
        let plugin = status
            .plugins
            .iter()
            .find(|it| it.name == row.actor.plugin());
        plugin.is_some_and(|it| it.version == row.version)
    };
    let others: Vec<_> = rows.iter().filter(|row| !own(row)).collect();
    ensure!(
        others.len() as u64 == set_aside,
        "these are in another version than {:?}: {others:?}",
        status.plugins
    );
    Ok(status)
}

/// Nothing is left that was not there `before`, where `version` is permanent: no file, no
/// copy of a plugin that is not mapped, no pin but that of the way back from 0.2.0, no
/// process, no dead letter.
///
/// # Errors
///
/// What is left.
pub fn no_debris(home: &Home, before: &Files, version: &str) -> Result<()> {
    // A host that runs writes files anew, beside their places.
    let more = || -> Result<Vec<PathBuf>> {
        let now = Files::of(home)?;
        Ok(now.0.difference(&before.0).cloned().collect())
    };
    let none = wait::until("no file is left", || more().ok().filter(Vec::is_empty));
    if none.is_err() {
        bail!("these files are left: {:?}", more()?);
    }
    let now = Files::of(home)?;
    let less: Vec<_> = before.0.difference(&now.0).collect();
    ensure!(less.is_empty(), "these files are gone: {less:?}");
    let none: &[&str] = &[];
    let pinned: &[&str] = match version {
        "0.2.0" => &[WAY_BACK],
        _ => none,
    };
    for ([what, list], wanted) in [
        (["store", "pins"], pinned),
        (["dead-letters", "list"], none),
    ] {
        let rows = || -> Result<Vec<Value>> { home.answer(&[what, list, "--json"]) };
        let names =
            |rows: &[Value]| -> Vec<Value> { rows.iter().map(|row| row["name"].clone()).collect() };
        // A start takes away the pin of a rehearsal that was cut off, beside what it does.
        let as_wanted = wait::until("nothing is left", || {
            rows().ok().filter(|rows| names(rows) == wanted)
        });
        if as_wanted.is_err() {
            bail!("{what} {list}, where {wanted:?} should be: {:?}", rows()?);
        }
    }
    let pid = home.host_pid().context("a host runs")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    for image in fs::read_dir(home.data().join("images"))? {
        let path = image?.path();
        let is_mapped = maps.contains(&path.display().to_string());
        ensure!(is_mapped, "{} is left, and not mapped", path.display());
    }
    // A command that has just been answered may still be about to end.
    wait::until_is("the processes of the home", &own(home), || processes(home))
}

/// The store of a home whose host is stopped is whole, and so is the chain of the trail.
///
/// # Errors
///
/// What is wrong with it.
pub fn whole(home: &Home) -> Result<()> {
    home.done(&["store", "check"])?;
    home.done(&["audit", "verify"]).map(drop)
}

/// As [`whole`], and every actor comes to the same again from its records. That takes
/// processes of their own for each.
///
/// # Errors
///
/// As [`whole`].
pub fn replays(home: &Home) -> Result<()> {
    home.done(&["store", "check", "--replay"])?;
    home.done(&["audit", "verify"]).map(drop)
}

/// The processes that a home should have.
fn own(home: &Home) -> BTreeSet<u32> {
    [home.host_pid(), home.keeper_pid()]
        .into_iter()
        .flatten()
        .collect()
}

/// Those whose program lies in the home.
fn processes(home: &Home) -> BTreeSet<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_of_home = |pid: &u32| {
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|program| program.starts_with(home.path()))
    };
    pids.filter(is_of_home).collect()
}
