//! Whether the appups on the way and the libraries say the same of their states' shapes. A
//! state that is read as it is where its shape has changed loses what the one does not know,
//! and nobody hears of it.

use std::collections::{BTreeMap, BTreeSet};

use host_model::Version;
use host_model::appup::{Appup, Instruction, Path};
use host_model::manifest::PluginManifest;
use host_model::plan::{Change, Plan};
use host_model::release::{PluginShape, ReleasePlugin};

use crate::releases::Unpacked;

/// What libraries say of themselves, by plugin and version.
pub(super) type Manifests = BTreeMap<(String, Version), PluginManifest>;

/// The steps of a plan, also those of states with carries: the plugin, the older of the two
/// versions and the newer one.
pub(super) fn steps(plan: &Plan) -> BTreeSet<(&str, &Version, &Version)> {
    let mut steps = BTreeSet::new();
    for plugin in &plan.plugins {
        let Change::Move { hops, carried, .. } = &plugin.change else {
            continue;
        };
        let carried = carried.iter().filter_map(|way| way.hops.as_ref()).flatten();
        for hop in hops.iter().chain(carried) {
            let (older, newer) = ((&hop.from).min(&hop.to), (&hop.from).max(&hop.to));
            steps.insert((plugin.plugin.as_str(), older, newer));
        }
    }
    steps
}

/// Where the appups that `plan` takes contradict the libraries, on its way or on the way back.
/// A step of which not both libraries are known is not asked about.
pub(super) fn problems(
    plan: &Plan,
    appups: &[(Unpacked, Appup)],
    manifests: &Manifests,
) -> Vec<String> {
    let manifest =
        |plugin: &str, version: &Version| manifests.get(&(plugin.to_owned(), version.clone()));
    let appup = |plugin: &str, version: &Version| {
        let mut appups = appups.iter().map(|(_, appup)| appup);
        appups.find(|it| it.plugin == plugin && it.version == *version)
    };
    let mut problems = Vec::new();
    for (plugin, older, newer) in steps(plan) {
        let path = appup(plugin, newer).and_then(|it| it.path(older));
        let libraries = manifest(plugin, older).zip(manifest(plugin, newer));
        if let Some((path, (old, new))) = path.zip(libraries) {
            problems.extend(of_path(path, old, new));
        }
    }
    problems
}

/// What the manifest of a release says otherwise of a library than that does itself.
pub(super) fn misstated(said: &ReleasePlugin, found: &PluginManifest) -> Option<&'static str> {
    let shape = said.shape.as_ref();
    if said.settings != found.settings {
        return Some("other settings");
    }
    let is_other = shape.is_some_and(|it| *it != PluginShape::from(found));
    is_other.then_some("another STATE_SCHEMA or FROM")
}

/// What a path says otherwise than the manifests of the two versions that it leads between.
fn of_path(path: &Path, old: &PluginManifest, new: &PluginManifest) -> Vec<String> {
    let ways = [("up from", "up", &path.up), ("down to", "down", &path.down)];
    let ways = ways.into_iter().filter(|(.., it)| !it.is_empty());
    ways.filter_map(|(way, function, instructions)| {
        let updates = |it: &Instruction| matches!(it, Instruction::Update { .. });
        let way = format!("{way} {}", old.version);
        match instructions.iter().any(updates) {
            true => of_update(&way, old, new),
            false => of_load(&way, function, old, new),
        }
    })
    .collect()
}

/// Only the code changes: then each version reads the other's states.
fn of_load(
    way: &str,
    function: &str,
    old: &PluginManifest,
    new: &PluginManifest,
) -> Option<String> {
    let (plugin, newer) = (&new.name, &new.version);
    (old.state_schema != new.state_schema).then(|| {
        format!(
            "{plugin}-{newer}.toml changes only the code {way}, and the states have another shape (STATE_SCHEMA is {} in {plugin} {} and {} in {plugin} {newer}); write {{ update = \"state\" }}, by which each state goes through `{function}` of {newer}",
            old.state_schema, old.version, new.state_schema
        )
    })
}

/// The state goes through `up` or `down` of the newer version: then that knows the older one.
fn of_update(way: &str, old: &PluginManifest, new: &PluginManifest) -> Option<String> {
    let (plugin, newer, older) = (&new.name, &new.version, &old.version);
    let from = new.migrates_from.as_ref();
    if from.is_some_and(|from| from.matches(older)) {
        return None;
    }
    let known = match from {
        Some(from) => format!("{plugin} {newer} migrates from \"{from}\" only (FROM)"),
        None => format!("{plugin} {newer} has neither `up` nor `down`"),
    };
    let instead = match (old.state_schema == new.state_schema, from) {
        (true, _) => "write { load = \"code\" }, as STATE_SCHEMA is the same in both".to_owned(),
        (false, Some(_)) => format!("lead over a version that it knows, or have it know {older}"),
        (false, None) => format!("have it implement Migrate from {older}"),
    };
    Some(format!(
        "{plugin}-{newer}.toml has {{ update = \"state\" }} {way}, and {known}; {instead}"
    ))
}
