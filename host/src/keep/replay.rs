//! `host store check --replay`: every actor is replayed from what the store has, by the
//! versions that wrote it, and must come to the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use host_journal::{Archive, Life, Snapshot};
use host_loader::Loader;
use host_model::keep::{DamageRow, LackingRow, ReplayReport};
use host_model::{ActorId, Version};
use host_proof::{Base, Code, Course, Event, Law, OtherProcess};
use host_upgrade::Booked;

use host_cli::{Failure, Progress};

use super::failed;
use crate::inspect::inspector;
use crate::launcher::Found;

/// Actors that are told; a plugin that breaks the law breaks it for most.
const VIOLATIONS_MAX: usize = 100;

/// Actors between two looks at how far it is; nobody knows of how many before the end.
const TOLD_EVERY: u64 = 100;

/// Versions of one plugin between which only the code differs read each other's states.
type Schemas = BTreeMap<(String, Version), u32>;

/// Replays all. It takes several times as long as waking every actor, and a process for the
/// runs of events that no snapshot ends.
pub(super) fn replay(
    archive: &Archive,
    found: &Found,
    progress: &Progress,
) -> Result<ReplayReport, Failure> {
    let attempted = "replay the actors";
    // Where the host's own copies lie, so it allows exec.
    let images = found.home.images();
    let made = std::fs::create_dir_all(&images).and_then(|()| tempfile::tempdir_in(&images));
    let folder = made.map_err(|e| failed(attempted, e))?;
    let inspector = inspector().map_err(|e| failed(attempted, e))?;
    let other = OtherProcess::new(inspector.program.clone(), ["replay"])
        .with_images_in(folder.path().to_owned());
    let loader = Loader::new(&folder.path().join("here"), inspector);
    let loader = loader.map_err(|e| failed(attempted, e))?;
    let booked = Booked::read_archive(archive).map_err(|e| failed(attempted, e))?;
    let (code, schemas) = libraries(found, &booked, &loader)?;
    let law = Law::new(&code);
    let law_elsewhere = Law::new(&code).in_another_process(&other);
    let mut report = ReplayReport::default();
    let mut lacking = BTreeMap::new();
    let lived = archive.lives(|life| {
        if report.actors % TOLD_EVERY == 0 {
            progress.say(format!("replay, {} actors so far", report.actors));
        }
        report.actors += 1;
        for course in courses(&life, &schemas) {
            if let Some(version) = lacks(&course, &schemas) {
                *lacking.entry(version).or_insert(0) += 1;
                continue;
            }
            // What another process has stored is a replay in another process.
            let asked = match course.snapshots.is_empty() {
                true => &law_elsewhere,
                false => &law,
            };
            match asked.holds(&course) {
                Ok(replayed) => report.events += replayed.events as u64,
                Err(error) => return tell(&mut report, &life.actor, error.into()),
            }
        }
    });
    lived.map_err(|e| failed(attempted, e))?;
    let rows = lacking.into_iter();
    let rows = rows.map(|((plugin, version), runs)| LackingRow {
        plugin,
        version,
        runs,
    });
    report.lacking = rows.collect();
    Ok(report)
}

/// The first plugin version that a course needs, and whose library is not here.
fn lacks(course: &Course, schemas: &Schemas) -> Option<(String, Version)> {
    let start = course.start.iter().map(|start| &start.version);
    let versions = start.chain(course.events.iter().map(|event| &event.version));
    let mut names = versions.map(|it| (course.actor.plugin().to_owned(), it.clone()));
    names.find(|name| !schemas.contains_key(name))
}

fn tell(report: &mut ReplayReport, actor: &ActorId, error: anyhow::Error) {
    if report.violations.len() >= VIOLATIONS_MAX {
        report.more = true;
        return;
    }
    report.violations.push(DamageRow {
        what: actor.to_string(),
        problem: format!("{error:#}"),
    });
}

/// Every plugin version of every release that can be read, if it is the one that has run on
/// this store: no other has written anything in it, and none runs here for the first time.
fn libraries(found: &Found, booked: &Booked, loader: &Loader) -> Result<(Code, Schemas), Failure> {
    let mut schemas = Schemas::new();
    let mut opened = Vec::new();
    for release in found.home.releases().readable() {
        for named in &release.manifest.plugins {
            if booked.digest(&named.name, &named.version) != Some(&*named.sha256) {
                continue;
            }
            let path = release.dir.join(&named.file);
            let attempted = format!("open {}", path.display());
            let digest = named.sha256.parse();
            let digest = digest.map_err(|e: host_loader::InvalidDigest| failed(&attempted, e))?;
            let plugin = loader.load(&path, Some(digest));
            let plugin = plugin.map_err(|e| failed(&attempted, e))?;
            let name = (plugin.name().to_owned(), plugin.version().clone());
            schemas.insert(name, plugin.manifest().state_schema);
            opened.push((Arc::clone(&plugin), path));
        }
    }
    Ok((Code::of(opened), schemas))
}

/// The runs of events that a replay can go along: from the beginning, if the store has
/// it, and from each snapshot, up to where a migration wrote the state anew.
fn courses(life: &Life, schemas: &Schemas) -> Vec<Course> {
    let begins = life.records.first().is_some_and(|first| first.seq == 1);
    let begin = begins.then_some(None);
    let starts = begin.into_iter().chain(life.snapshots.iter().map(Some));
    let courses = starts.map(|start| course(life, start, schemas));
    courses
        .filter(|course| course.start.is_some() || !course.events.is_empty())
        .collect()
}

fn course(life: &Life, start: Option<&Snapshot>, schemas: &Schemas) -> Course {
    let schema = |version: &Version| {
        let name = (life.actor.plugin().to_owned(), version.clone());
        schemas.get(&name).copied()
    };
    let seq = start.map_or(0, |snapshot| snapshot.seq);
    let first = life.records.first().map(|first| first.version.clone());
    let shape = start.map(|it| it.version.clone()).or(first);
    let same = |version: &Version| {
        shape.as_ref().is_some_and(|shape| {
            shape == version || (schema(shape).is_some() && schema(shape) == schema(version))
        })
    };
    let behind = life.records.iter().filter(|record| record.seq > seq);
    let run = (seq + 1..)
        .zip(behind)
        .take_while(|(next, record)| record.seq == *next && same(&record.version));
    let events: Vec<_> = run
        .map(|(seq, record)| Event {
            seq,
            version: record.version.clone(),
            event: record.event.clone(),
        })
        .collect();
    let end = events.last().map_or(seq, |event| event.seq);
    // A snapshot of another version than the last event's was written by a migration.
    let written = |snapshot: &&Snapshot| {
        let of = events.iter().find(|event| event.seq == snapshot.seq);
        of.is_some_and(|event| event.version == snapshot.version) && snapshot.seq <= end
    };
    Course {
        actor: life.actor.clone(),
        start: start.map(base),
        snapshots: life.snapshots.iter().filter(written).map(base).collect(),
        events,
    }
}

fn base(snapshot: &Snapshot) -> Base {
    Base {
        seq: snapshot.seq,
        version: snapshot.version.clone(),
        state: snapshot.state.clone(),
    }
}
