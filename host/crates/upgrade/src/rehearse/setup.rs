//! The ways that are rehearsed, and the libraries that they need.

use std::collections::{BTreeMap, BTreeSet};

use host_model::Version;
use host_model::plan::{Change, Hop};
use host_proof::rehearsal::{self, Setup, Step};

use super::Rehearsal;
use crate::assemble::{ends, versions_on_the_way};
use crate::plan::{Appups, Host, steps_between};
use crate::releases::Unpacked;
use crate::stuck::deadline;

/// A plugin that changes its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: Version,
    pub(super) to: Version,
    /// Milliseconds that one actor may take to come over; 0: as long as it does.
    pub(super) budget_ms: u64,
    /// Where the steps of the plan lead.
    pub(super) steps: Vec<Version>,
}

/// The plugins that move, and what a child needs to rehearse it. Of each plugin all steps
/// that lead to its new version, between versions that are installed: an actor may have
/// stayed in another one than most, and what lies beside its state leads it another way.
///
/// # Errors
///
/// In a sentence, that a library on the plan's way is not installed.
pub(super) fn setup(rehearsal: &Rehearsal) -> Result<(BTreeMap<String, Moved>, Setup), String> {
    let plan = &rehearsal.plan;
    let assembler = &rehearsal.assembler;
    // Of the same releases as the upgrade takes them.
    let appups = assembler.releases().appups(&ends(plan));
    let installed = assembler.usable(&ends(plan));
    let mut moved = BTreeMap::new();
    let mut plugins = Vec::new();
    let mut needed: BTreeSet<(&str, Version)> = BTreeSet::new();
    // What is wrong with the others is found out of who goes over them, if anybody does.
    let on_the_way = versions_on_the_way(plan);
    for plugin in &plan.plugins {
        let Change::Move { from, to, hops, .. } = &plugin.change else {
            continue;
        };
        let name = plugin.plugin.as_str();
        moved.insert(
            name.to_owned(),
            Moved {
                from: from.clone(),
                to: to.clone(),
                budget_ms: match rehearsal.timed {
                    true => hops.iter().map(|hop| said(name, hop, &appups).1).sum(),
                    false => 0,
                },
                steps: hops.iter().map(|hop| hop.to.clone()).collect(),
            },
        );
        let mut steps = steps_to(name, to, &installed, &appups, Host::of(plan, name));
        if !rehearsal.timed {
            steps.iter_mut().for_each(|step| step.timeout_ms = 0);
        }
        let ends = steps.iter().flat_map(|step| [&step.from, &step.to]);
        let ends = ends.chain(hops.iter().flat_map(|hop| [&hop.from, &hop.to]));
        needed.extend(ends.map(|version| (name, version.clone())));
        let deadline = deadline(plan, name, rehearsal.deadline);
        plugins.push(rehearsal::Moved {
            plugin: name.to_owned(),
            to: to.clone(),
            steps,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        });
    }
    let mut configs = BTreeMap::new();
    let mut spare = BTreeSet::new();
    let mut library = |(name, version): (&str, Version)| {
        let found = assembler.library(name, &version, &installed);
        let found = found.map(|(release, plugin)| {
            // Without one it may still tell its way; where it decides, it says so.
            if let Some(Ok(config)) = assembler.config_of(release, plugin) {
                let config = String::from_utf8_lossy(&config).into_owned();
                configs.insert(plugin.sha256.clone(), config);
            }
            if !on_the_way.contains(&(name, &version)) {
                spare.insert(plugin.sha256.clone());
            }
            let path = release.dir.join(&plugin.file);
            (path, plugin.sha256.clone())
        });
        found.ok_or_else(|| {
            format!("{name} {version} is needed for the rehearsal, and no installed release has it")
        })
    };
    let libraries = needed
        .into_iter()
        .map(&mut library)
        .collect::<Result<_, _>>()?;
    let setup = Setup {
        libraries,
        spare,
        configs,
        plugins,
    };
    Ok((moved, setup))
}

/// The steps between installed versions of a plugin from which a way leads on to `to`, and
/// which the host takes.
fn steps_to(
    plugin: &str,
    to: &Version,
    installed: &[Unpacked],
    appups: &Appups,
    host: Host<'_>,
) -> Vec<Step> {
    let versions = versions(plugin, installed);
    let all = steps_between(plugin, &versions, appups, host);
    let mut hops: Vec<Hop> = all.iter().map(|step| step.hop()).collect();
    hops.retain(|hop| versions.contains(&hop.from) && versions.contains(&hop.to));
    let mut leads = BTreeSet::from([to]);
    loop {
        let before = leads.len();
        let on = hops.iter().filter(|hop| leads.contains(&hop.to));
        let on: Vec<&Version> = on.map(|hop| &hop.from).collect();
        leads.extend(on);
        if leads.len() == before {
            break;
        }
    }
    let steps = hops.iter().filter(|hop| leads.contains(&hop.to));
    steps
        .map(|hop| Step {
            from: hop.from.clone(),
            to: hop.to.clone(),
            change: hop.state,
            reversible: hop.reversible,
            timeout_ms: hop.timeout_ms,
            declared: said(plugin, hop, appups).0,
        })
        .collect()
}

/// What the appup of a step declares, and how many milliseconds it allows.
fn said(plugin: &str, hop: &Hop, appups: &Appups) -> (Vec<String>, u64) {
    let (newer, older) = ((&hop.from).max(&hop.to), (&hop.from).min(&hop.to));
    let appup = appups.get(&(plugin.to_owned(), newer.clone()));
    let path = appup.and_then(|appup| appup.path(older));
    path.map_or_else(Default::default, |path| {
        (path.declared.clone(), path.pause_budget_ms)
    })
}

fn versions(plugin: &str, installed: &[Unpacked]) -> BTreeSet<Version> {
    let plugins = installed.iter().filter_map(|it| it.manifest.plugin(plugin));
    plugins.map(|plugin| plugin.version.clone()).collect()
}
