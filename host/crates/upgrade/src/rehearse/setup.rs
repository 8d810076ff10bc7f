//! The ways that are rehearsed, and the libraries that they need.

use std::collections::{BTreeMap, BTreeSet};

use host_model::Version;
use host_model::limits::REHEARSAL_SAMPLES;
use host_model::plan::{Change, Hop, Plan};
use host_proof::rehearsal::{Route, Setup, Step};

use crate::plan::{self, Appups};
use crate::releases::{Releases, Unpacked};

/// A plugin that changes its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) from: Version,
    pub(super) to: Version,
    /// Milliseconds that one actor may take to come over.
    pub(super) budget_ms: u64,
    /// Where the steps of the plan lead.
    pub(super) steps: Vec<Version>,
}

/// The plugins that move, and what a child needs to rehearse it. Of each plugin the ways
/// from all versions that are installed: an actor may have stayed in one of them.
///
/// # Errors
///
/// In a sentence, that a library on a way is not installed.
pub(super) fn setup(
    plan: &Plan,
    releases: &Releases,
) -> Result<(BTreeMap<String, Moved>, Setup), String> {
    let appups = releases.appups();
    let installed = releases.readable();
    let mut moved = BTreeMap::new();
    let mut routes = Vec::new();
    for plugin in &plan.plugins {
        let Change::Move { from, to, hops } = &plugin.change else {
            continue;
        };
        let name = &plugin.plugin;
        let (_, budget_ms) = said(name, hops, &appups);
        moved.insert(
            name.clone(),
            Moved {
                from: from.clone(),
                to: to.clone(),
                budget_ms,
                steps: hops.iter().map(|hop| hop.to.clone()).collect(),
            },
        );
        routes.push(route(name, from, hops, &appups));
        for other in versions(name, &installed) {
            if other != *from
                && other != *to
                && let Some(hops) = plan::hops_between(name, &other, to, &appups)
            {
                routes.push(route(name, &other, &hops, &appups));
            }
        }
    }
    let needed: BTreeSet<(&str, &Version)> = routes
        .iter()
        .flat_map(|route| {
            let steps = route.steps.iter().map(|step| &step.to);
            let versions = [&route.from].into_iter().chain(steps);
            versions.map(|version| (route.plugin.as_str(), version))
        })
        .collect();
    let library = |(name, version): (&str, &Version)| {
        let found = installed.iter().find_map(|release| {
            let plugin = release.manifest.plugin(name)?;
            (plugin.version == *version).then(|| {
                let path = release.dir.join(&plugin.file);
                (path, plugin.sha256.clone())
            })
        });
        found.ok_or_else(|| {
            format!("{name} {version} is needed for the rehearsal, and no installed release has it")
        })
    };
    let libraries = needed.into_iter().map(library).collect::<Result<_, _>>()?;
    let setup = Setup {
        libraries,
        routes,
        samples: REHEARSAL_SAMPLES,
    };
    Ok((moved, setup))
}

fn route(plugin: &str, from: &Version, hops: &[Hop], appups: &Appups) -> Route {
    let step = |hop: &Hop| Step {
        to: hop.to.clone(),
        change: hop.state,
        reversible: hop.reversible,
    };
    Route {
        plugin: plugin.to_owned(),
        from: from.clone(),
        steps: hops.iter().map(step).collect(),
        declared: said(plugin, hops, appups).0,
    }
}

/// What the appups on a way declare, and allow in all.
fn said(plugin: &str, hops: &[Hop], appups: &Appups) -> (Vec<String>, u64) {
    let mut declared = BTreeSet::new();
    let mut budget_ms = 0;
    for hop in hops {
        let (newer, older) = ((&hop.from).max(&hop.to), (&hop.from).min(&hop.to));
        let appup = appups.get(&(plugin.to_owned(), newer.clone()));
        if let Some(path) = appup.and_then(|appup| appup.path(older)) {
            declared.extend(path.declared.iter().cloned());
            budget_ms += path.pause_budget_ms;
        }
    }
    (declared.into_iter().collect(), budget_ms)
}

fn versions(plugin: &str, installed: &[Unpacked]) -> BTreeSet<Version> {
    let plugins = installed.iter().filter_map(|it| it.manifest.plugin(plugin));
    plugins.map(|plugin| plugin.version.clone()).collect()
}
