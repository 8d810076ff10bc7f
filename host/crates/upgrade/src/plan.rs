//! What an upgrade will do: a pure function over releases and appups.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use host_model::Version;
use host_model::appup::{Appup, Instruction, Path};
use host_model::plan::{Change, Hop, Plan, PluginPlan, StateChange};
use host_model::release::ReleaseManifest;
use thiserror::Error;

/// Why there is no plan. Nothing has been done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// It is what runs already.
    #[error("release {0} runs already; there is nothing to do")]
    SameVersion(Version),
    /// No appups lead from one version of a plugin to the other.
    #[error(
        "no appup leads from {plugin} {from} to {to}; known are: {known}; write upgrade-scripts/{plugin}-{newer}.toml with a path from {older}"
    )]
    NoPath {
        /// The plugin.
        plugin: String,
        /// The version that runs.
        from: Version,
        /// The version that shall run.
        to: Version,
        /// The higher of the two.
        newer: Version,
        /// The lower of the two.
        older: Version,
        /// Paths of that plugin.
        known: String,
    },
    /// An instruction that this host cannot carry out.
    #[error("{file} asks for {instruction}, which this host cannot do: {why}")]
    Unsupported {
        /// The appup.
        file: String,
        /// The instruction.
        instruction: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// A path whose instructions do not say how the state crosses.
    #[error("{file} says neither update nor load on its way {way} {other}; say one of them")]
    NoStateChange {
        /// The appup.
        file: String,
        /// `up` or `down`.
        way: &'static str,
        /// The version at the other end.
        other: Version,
    },
    /// Plugins that wait for one another.
    #[error("depends_on goes round in a circle: {}; take one of them out", .0.join(" -> "))]
    Circle(Vec<String>),
    /// A step that cannot be undone.
    #[error(
        "there is no way back from {plugin} {to} to {from}: its appup has no down; write one, or say --one-way"
    )]
    OneWay {
        /// The plugin.
        plugin: String,
        /// Before the step.
        from: Version,
        /// After the step.
        to: Version,
    },
}

/// Appups of all installed releases, by plugin and version.
pub(crate) type Appups = BTreeMap<(String, Version), Appup>;

/// What leads from the release `from` to the release `to`, dependencies first.
///
/// Of several ways between two versions of a plugin the one with the fewest steps
/// is taken.
///
/// # Errors
///
/// [`PlanError`]
pub fn plan(
    from: &ReleaseManifest,
    to: &ReleaseManifest,
    appups: &Appups,
    one_way: bool,
) -> Result<Plan, PlanError> {
    if from.version == to.version {
        return Err(PlanError::SameVersion(to.version.clone()));
    }
    let names: BTreeSet<&str> = from
        .plugins
        .iter()
        .chain(&to.plugins)
        .map(|plugin| plugin.name.as_str())
        .collect();
    let mut plugins = Vec::new();
    for name in in_order(&names, to, appups)? {
        let change = match (from.plugin(name), to.plugin(name)) {
            (Some(old), Some(new)) if old.version == new.version => Change::Keep {
                version: new.version.clone(),
            },
            (Some(old), Some(new)) => Change::Move {
                from: old.version.clone(),
                to: new.version.clone(),
                hops: way(name, &old.version, &new.version, appups)?,
            },
            (None, Some(new)) => Change::Add {
                version: new.version.clone(),
            },
            (Some(old), None) => Change::Remove {
                version: old.version.clone(),
            },
            (None, None) => continue,
        };
        let newer = match &change {
            Change::Move { from, to, .. } => from.max(to),
            Change::Keep { version } | Change::Add { version } | Change::Remove { version } => {
                version
            }
        };
        let appup = appups.get(&(name.to_owned(), newer.clone()));
        plugins.push(PluginPlan {
            plugin: name.to_owned(),
            probation: appup.map(|a| a.probation.clone()).unwrap_or_default(),
            change,
        });
    }
    if !one_way && let Some((plugin, hop)) = hops(&plugins).find(|(_, hop)| !hop.reversible) {
        return Err(PlanError::OneWay {
            plugin: plugin.to_owned(),
            from: hop.from.clone(),
            to: hop.to.clone(),
        });
    }
    let moved = plugins
        .iter()
        .filter(|plugin| matches!(plugin.change, Change::Move { .. }));
    let windows = moved.map(|plugin| plugin.probation.window_s);
    let probation_s = windows.max().unwrap_or_default();
    let reversible = hops(&plugins).all(|(_, hop)| hop.reversible);
    Ok(Plan {
        from: from.version.clone(),
        to: to.version.clone(),
        plugins,
        reversible,
        probation_s,
    })
}

fn hops(plugins: &[PluginPlan]) -> impl Iterator<Item = (&str, &Hop)> {
    plugins
        .iter()
        .filter_map(|plugin| match &plugin.change {
            Change::Move { hops, .. } => Some((plugin.plugin.as_str(), hops)),
            _ => None,
        })
        .flat_map(|(name, hops)| hops.iter().map(move |hop| (name, hop)))
}

/// Plugins with those that they depend on before them, otherwise by name.
fn in_order<'a>(
    names: &BTreeSet<&'a str>,
    to: &ReleaseManifest,
    appups: &Appups,
) -> Result<Vec<&'a str>, PlanError> {
    let dependencies = |name: &str| -> BTreeSet<&'a str> {
        to.plugin(name)
            .and_then(|plugin| appups.get(&(name.to_owned(), plugin.version.clone())))
            .map(|appup| {
                names
                    .iter()
                    .copied()
                    .filter(|other| appup.depends_on.iter().any(|on| on == other))
                    .collect()
            })
            .unwrap_or_default()
    };
    let mut ordered: Vec<&str> = Vec::new();
    while ordered.len() < names.len() {
        let next = names.iter().copied().find(|name| {
            !ordered.contains(name) && dependencies(name).iter().all(|on| ordered.contains(on))
        });
        match next {
            Some(name) => ordered.push(name),
            None => {
                let waiting = names.iter().copied().find(|name| !ordered.contains(name));
                return Err(PlanError::Circle(circle(
                    waiting.unwrap_or_default(),
                    |name| {
                        dependencies(name)
                            .into_iter()
                            .find(|on| !ordered.contains(on))
                    },
                )));
            }
        }
    }
    Ok(ordered)
}

/// Follows what waits for what from `start` until a name comes again.
fn circle<'a>(start: &'a str, waits_for: impl Fn(&str) -> Option<&'a str>) -> Vec<String> {
    let mut seen = vec![start];
    while let Some(next) = seen.last().and_then(|name| waits_for(name)) {
        if let Some(begin) = seen.iter().position(|name| *name == next) {
            seen.drain(..begin);
            seen.push(next);
            break;
        }
        seen.push(next);
    }
    seen.into_iter().map(str::to_owned).collect()
}

/// The shortest way between two versions of a plugin, by its appups.
pub(crate) fn way(
    plugin: &str,
    from: &Version,
    to: &Version,
    appups: &Appups,
) -> Result<Vec<Hop>, PlanError> {
    let own: Vec<&Appup> = appups.values().filter(|a| a.plugin == plugin).collect();
    let versions: BTreeSet<&Version> = own
        .iter()
        .map(|appup| &appup.version)
        .chain([from, to])
        .collect();
    let mut came_from: BTreeMap<&Version, &Version> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(here) = queue.pop_front() {
        if here == to {
            break;
        }
        for next in &versions {
            let known = *next == from || came_from.contains_key(next);
            if !known && edge(&own, here, next).is_some() {
                came_from.insert(next, here);
                queue.push_back(next);
            }
        }
    }
    let mut steps = Vec::new();
    let mut here = to;
    while here != from {
        let Some(before) = came_from.get(here) else {
            return Err(PlanError::NoPath {
                plugin: plugin.to_owned(),
                from: from.clone(),
                to: to.clone(),
                newer: from.max(to).clone(),
                older: from.min(to).clone(),
                known: known_paths(&own),
            });
        };
        steps.push((*before, here));
        here = before;
    }
    steps
        .into_iter()
        .rev()
        .map(|(from, to)| hop(&own, from, to))
        .collect()
}

/// The appup and path that say how to get from `from` to `to`, and the instructions.
fn edge<'a>(
    own: &[&'a Appup],
    from: &Version,
    to: &Version,
) -> Option<(&'a Appup, &'a Path, &'a [Instruction])> {
    let (newer, older) = (from.max(to), from.min(to));
    let appup = own.iter().find(|appup| appup.version == *newer)?;
    let path = appup.path(older)?;
    let instructions = if to == newer { &path.up } else { &path.down };
    (!instructions.is_empty()).then_some((appup, path, instructions.as_slice()))
}

fn hop(own: &[&Appup], from: &Version, to: &Version) -> Result<Hop, PlanError> {
    let (appup, path, instructions) =
        edge(own, from, to).expect("the way was found over this edge");
    let file = format!("{}-{}.toml", appup.plugin, appup.version);
    let up = *to == appup.version;
    let mut found = None;
    for instruction in instructions {
        let unsupported = |instruction, why| PlanError::Unsupported {
            file: file.clone(),
            instruction,
            why,
        };
        match instruction {
            Instruction::Update {
                timeout_ms,
                suspend: false,
                ..
            } => {
                let change = if up {
                    StateChange::Up
                } else {
                    StateChange::Down
                };
                found = Some((change, *timeout_ms));
            }
            Instruction::Load { .. } => found = Some((StateChange::Same, 0)),
            Instruction::Update { suspend: true, .. } => {
                return Err(unsupported("suspend", "it has no gates yet"));
            }
            Instruction::Run { .. } => return Err(unsupported("run", "it has no hooks yet")),
            Instruction::Add { .. } | Instruction::Remove { .. } => {
                return Err(unsupported(
                    "add or remove",
                    "a plugin comes and goes with the release's manifest",
                ));
            }
            Instruction::Restart { .. } => {
                return Err(unsupported(
                    "restart",
                    "an update or load does it actor by actor",
                ));
            }
            Instruction::RestartHost { .. } => {
                return Err(unsupported(
                    "restart_host",
                    "replacing the host's own binary needs a handover; stop it and start the new release",
                ));
            }
        }
    }
    let (state, timeout_ms) = found.ok_or_else(|| PlanError::NoStateChange {
        file: file.clone(),
        way: if up { "up from" } else { "down to" },
        other: if up { from.clone() } else { to.clone() },
    })?;
    let back = if up { &path.down } else { &path.up };
    Ok(Hop {
        from: from.clone(),
        to: to.clone(),
        state,
        reversible: !back.is_empty(),
        timeout_ms,
    })
}

fn known_paths(own: &[&Appup]) -> String {
    let paths: Vec<String> = own
        .iter()
        .flat_map(|appup| {
            appup
                .paths
                .iter()
                .map(|path| format!("{} <-> {}", path.from, appup.version))
        })
        .collect();
    if paths.is_empty() {
        "none".to_owned()
    } else {
        paths.join(", ")
    }
}

#[cfg(test)]
mod tests;
