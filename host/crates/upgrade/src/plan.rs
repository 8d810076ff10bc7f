//! What an upgrade will do: a pure function over releases and appups.
//!
//! Appups say what is wished (high level: `update`, `run`, …). A plan says what is done,
//! in which order, with which bound and which way back: [`steps`] translates.

mod steps;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use host_model::Version;
use host_model::appup::Appup;
use host_model::plan::{Change, Hop, Plan, PluginPlan};
use host_model::release::ReleaseManifest;
use thiserror::Error;

pub(crate) use ways::{Host, Libraries, Step, is_understood, leads, steps_between};

use steps::{Hooks, Moved};
use ways::{NoWay, carried_ways, way};

/// Why there is no plan. Nothing has been done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// It is what runs already.
    #[error("release {0} runs already; there is nothing to do")]
    SameVersion(Version),
    /// No appups lead from one version of a plugin to the other.
    #[error(
        "no appup leads from {plugin} {from} to {to}: {}; paths that are known: {known}; {}",
        missing.found(plugin),
        missing.to_do(plugin)
    )]
    NoPath {
        /// The plugin.
        plugin: String,
        /// The version that runs.
        from: Version,
        /// The version that shall run.
        to: Version,
        /// The step that would be needed first.
        missing: Box<Missing>,
        /// Paths of that plugin.
        known: String,
    },
    /// The host's own binary would have to be replaced.
    #[error(
        "{file} asks for restart_host on the way {way} {other}: the host's own program has to be replaced, and this host cannot hand over to another while it runs; say `host stop`, write {release} into releases/own of the home, or start an image of {release} on its data, and say `host start`: that starts the host of {release}, and takes the store over"
    )]
    RestartHost {
        /// The appup.
        file: String,
        /// `up from` or `down to`.
        way: &'static str,
        /// The version at the other end.
        other: Version,
        /// The release that shall run.
        release: Version,
    },
    /// Plugins that wait for one another.
    #[error("depends_on goes round in a circle: {}; take one of them out", .0.join(" -> "))]
    Circle(Vec<String>),
    /// A step that cannot be undone.
    #[error("there is no way back from {plugin} {to} to {from}: {plugin}-{}.toml {why}", from.max(to))]
    OneWay {
        /// The plugin.
        plugin: String,
        /// Before the step.
        from: Version,
        /// After the step.
        to: Version,
        /// What the appup says for the way back, and what to do.
        why: &'static str,
    },
}

/// A step that no appup has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The version whose appup should have it.
    pub newer: Version,
    /// The version at the other end.
    pub older: Version,
    /// What is not there.
    pub what: Lacks,
}

/// What is not there of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacks {
    /// An appup of the newer version.
    Appup,
    /// A path between the two in that.
    Path {
        /// From where it has some, as it says.
        others: String,
    },
    /// The way down of that path.
    Down,
}

impl Missing {
    fn file(&self, plugin: &str) -> String {
        format!("{plugin}-{}.toml", self.newer)
    }

    fn found(&self, plugin: &str) -> String {
        let (file, older) = (self.file(plugin), &self.older);
        match &self.what {
            Lacks::Appup => format!("there is no {file}"),
            Lacks::Path { others } if others.is_empty() => {
                format!("{file} has no path from {older}")
            }
            Lacks::Path { others } => {
                format!("{file} has no path from {older}, but from {others}")
            }
            Lacks::Down => format!("{file} has a path from {older}, and no down in it"),
        }
    }

    fn to_do(&self, plugin: &str) -> String {
        let (file, older) = (self.file(plugin), &self.older);
        match &self.what {
            Lacks::Appup => format!("write upgrade-scripts/{file} with a path from {older}"),
            Lacks::Path { others } if others.is_empty() => {
                format!("write a path from {older} into upgrade-scripts/{file}")
            }
            Lacks::Path { .. } => format!(
                "install a release with a {plugin} between them, or write a path from {older} into upgrade-scripts/{file}"
            ),
            Lacks::Down => format!("write its down in upgrade-scripts/{file}"),
        }
    }
}

/// Appups of all installed releases, by plugin and version.
pub(crate) type Appups = BTreeMap<(String, Version), Appup>;

/// Whether a version of a plugin has run in a home: one that has not left no carries there.
pub type HasRun<'a> = dyn Fn(&str, &Version) -> bool + 'a;

/// Which steps are taken.
struct Asks<'a> {
    one_way: bool,
    at_start: bool,
    has_run: &'a HasRun<'a>,
}

/// What leads from the release `from` to the release `to`, dependencies first, in a host
/// that goes on running: by no step that asks for another one (`restart_host`).
///
/// Of several ways between two versions of a plugin one is taken by the rule of
/// [`host_model::way`], for a state without carries. An actor that has some takes the
/// way over the versions that wrote them; all that are known count as such here.
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
    plan_here(|_: &str, _: &Version| true, one_way)(from, to, appups)
}

/// As [`plan`], where carries may be there only of versions that `has_run` says so of.
pub(crate) fn plan_here(
    has_run: impl Fn(&str, &Version) -> bool,
    one_way: bool,
) -> impl Fn(&ReleaseManifest, &ReleaseManifest, &Appups) -> Result<Plan, PlanError> {
    move |from, to, appups| {
        let asks = Asks {
            one_way,
            at_start: false,
            has_run: &has_run,
        };
        planned(from, to, appups, &asks)
    }
}

/// As [`plan`], for a start that takes a store over before clients are served. The host that
/// runs is the own one of the release `to`, so what asks for another one has it. Carries may be
/// there of versions that `has_run` says so of.
///
/// # Errors
///
/// [`PlanError`]
pub fn plan_at_start(
    from: &ReleaseManifest,
    to: &ReleaseManifest,
    appups: &Appups,
    has_run: &HasRun<'_>,
) -> Result<Plan, PlanError> {
    let asks = Asks {
        one_way: false,
        at_start: true,
        has_run,
    };
    planned(from, to, appups, &asks)
}

fn planned(
    from: &ReleaseManifest,
    to: &ReleaseManifest,
    appups: &Appups,
    asks: &Asks<'_>,
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
    let mut moved = Vec::new();
    for name in in_order(&names, from, to, appups)? {
        let mut hooks = Hooks::default();
        let change = match (from.plugin(name), to.plugin(name)) {
            (Some(old), Some(new)) if old.version == new.version => Change::Keep {
                version: new.version.clone(),
            },
            (Some(old), Some(new)) => {
                let (old, new) = (&old.version, &new.version);
                let host = match asks.at_start {
                    true => Host::Starts,
                    false => Host::Stays { from: old, to: new },
                };
                let steps =
                    way(name, old, new, appups, host).map_err(|e| refused(e, &to.version))?;
                hooks = Hooks::of_way(&steps);
                let has_run = |version: &Version| (asks.has_run)(name, version);
                Change::Move {
                    from: old.clone(),
                    to: new.clone(),
                    hops: steps.iter().map(Step::hop).collect(),
                    carried: carried_ways(name, (old, new), &steps, appups, host, has_run),
                }
            }
            (None, Some(new)) => {
                hooks = Hooks::of_addition(name, &new.version, appups);
                Change::Add {
                    version: new.version.clone(),
                }
            }
            (Some(old), None) => {
                hooks = Hooks::of_addition(name, &old.version, appups).the_other_way();
                Change::Remove {
                    version: old.version.clone(),
                }
            }
            (None, None) => continue,
        };
        let newer = match &change {
            Change::Move { from, to, .. } => from.max(to),
            Change::Keep { version } | Change::Add { version } | Change::Remove { version } => {
                version
            }
        };
        let appup = appups.get(&(name.to_owned(), newer.clone()));
        moved.push(Moved { name, hooks });
        plugins.push(PluginPlan {
            plugin: name.to_owned(),
            probation: appup.map(|a| a.probation.clone()).unwrap_or_default(),
            change,
        });
    }
    let is_for_ever = |(_, hop): &(&str, &Hop)| !hop.reversible;
    let for_ever = plugins.iter().flat_map(hops).find(is_for_ever);
    let reversible = for_ever.is_none();
    if !asks.one_way
        && let Some((plugin, hop)) = for_ever
    {
        return Err(PlanError::OneWay {
            plugin: plugin.to_owned(),
            from: hop.from.clone(),
            to: hop.to.clone(),
            why: why_one_way(plugin, hop, appups, asks.at_start),
        });
    }
    let watched = plugins
        .iter()
        .filter(|plugin| matches!(plugin.change, Change::Move { .. } | Change::Add { .. }));
    let windows = watched.map(|plugin| plugin.probation.window_s);
    let probation_s = windows.max().unwrap_or_default();
    Ok(Plan {
        from: from.version.clone(),
        to: to.version.clone(),
        steps: steps::there(&plugins, &moved, probation_s),
        back: steps::back(&plugins, &moved),
        plugins,
        reversible,
        probation_s,
        at_start: asks.at_start,
    })
}

/// What is said of a step without a way back.
fn why_one_way(plugin: &str, hop: &Hop, appups: &Appups, at_start: bool) -> &'static str {
    let (newer, older) = ((&hop.from).max(&hop.to), (&hop.from).min(&hop.to));
    let appup = appups.get(&(plugin.to_owned(), newer.clone()));
    let path = appup.and_then(|appup| appup.path(older));
    let back = path.map(|path| match hop.from < hop.to {
        true => &path.down,
        false => &path.up,
    });
    match back.is_some_and(|back| !back.is_empty()) {
        true => {
            "asks for restart_host there, and a running host cannot hand over to another; take that out of it, or say --one-way"
        }
        false if at_start => "has no down, and a start takes no step without; write one",
        false => "has no down; write one, or say --one-way",
    }
}

fn refused(error: NoWay, release: &Version) -> PlanError {
    match error {
        NoWay::None {
            plugin,
            from,
            to,
            missing,
            known,
        } => PlanError::NoPath {
            plugin,
            from,
            to,
            missing: Box::new(missing),
            known,
        },
        NoWay::RestartHost { file, way, other } => PlanError::RestartHost {
            file,
            way,
            other,
            release: release.clone(),
        },
    }
}

/// The steps that actors may take, each with the plugin, also by the ways of those with
/// carries.
fn hops(plugin: &PluginPlan) -> impl Iterator<Item = (&str, &Hop)> {
    let (plain, carried) = match &plugin.change {
        Change::Move { hops, carried, .. } => (hops.as_slice(), carried.as_slice()),
        _ => Default::default(),
    };
    let carried = carried.iter().filter_map(|way| way.hops.as_ref()).flatten();
    let all = plain.iter().chain(carried);
    all.map(|hop| (plugin.plugin.as_str(), hop))
}

/// Plugins with those that they depend on before them, otherwise by name; to an older
/// release in the opposite order. What depends on what says the newer one.
fn in_order<'a>(
    names: &BTreeSet<&'a str>,
    from: &ReleaseManifest,
    to: &ReleaseManifest,
    appups: &Appups,
) -> Result<Vec<&'a str>, PlanError> {
    let goes_down = to.version < from.version;
    let newer = if goes_down { from } else { to };
    let dependencies = |name: &str| -> BTreeSet<&'a str> {
        newer
            .plugin(name)
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
    if goes_down {
        ordered.reverse();
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

#[cfg(test)]
mod tests;
