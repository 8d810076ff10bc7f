//! The ways of one plugin: its appups as a graph, and the search in it.

use std::collections::{BTreeMap, BTreeSet};

use host_model::Version;
use host_model::appup::{Appup, Instruction, Path};
use host_model::plan::{CarriedWay, Change, Hop, Plan, StateChange};
use host_model::release::PluginShape;
use host_model::way::{self, Edge};

use super::{Appups, Lacks, Missing};

/// One step between two versions, as an appup has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    /// Of the newer version.
    pub(super) appup: &'a Appup,
    path: &'a Path,
    from: &'a Version,
    to: &'a Version,
    /// Whether there is a step back, and the host that runs may take it.
    reversible: bool,
}

/// Which of the steps that ask for another host (`restart_host`) are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Host<'a> {
    /// All of them: the host that runs is the own one of the release that it starts with.
    Starts,
    /// The host that runs goes on, while its plugin goes from one version to another: no
    /// `up` beyond the one that it had, for whose host it is, and no `down` below either.
    /// What leads that far brings over who was left behind at an earlier start.
    Stays {
        /// The version that rules.
        from: &'a Version,
        /// The version that shall rule.
        to: &'a Version,
    },
}

impl<'a> Host<'a> {
    /// As `plan` is carried out.
    pub(crate) fn of(plan: &'a Plan, plugin: &str) -> Self {
        let planned = plan.plugins.iter().find(|it| it.plugin == plugin);
        match planned.map(|it| &it.change) {
            Some(_) if plan.at_start => Self::Starts,
            Some(Change::Move { from, to, .. }) => Self::Stays { from, to },
            Some(
                Change::Keep { version } | Change::Add { version } | Change::Remove { version },
            ) => Self::Stays {
                from: version,
                to: version,
            },
            None => Self::Starts,
        }
    }

    /// Whether it takes the step to `end` with these instructions.
    fn takes(self, instructions: &[Instruction], end: &Version, is_up: bool) -> bool {
        match self {
            _ if !instructions.contains(&Instruction::RestartHost) => true,
            Self::Starts => true,
            Self::Stays { from, .. } if is_up => end <= from,
            Self::Stays { from, to } => end >= from.max(to),
        }
    }
}

/// Why there is no way.
#[derive(Debug)]
pub(super) enum NoWay {
    /// No appups lead there.
    None {
        plugin: String,
        from: Version,
        to: Version,
        missing: Missing,
        /// What there is.
        known: String,
    },
    /// All that do ask for another host.
    RestartHost {
        file: String,
        way: &'static str,
        other: Version,
    },
}

impl<'a> Step<'a> {
    fn is_up(&self) -> bool {
        *self.to == self.appup.version
    }

    /// What its appup says for it.
    pub(super) fn instructions(&self) -> &'a [Instruction] {
        match self.is_up() {
            true => &self.path.up,
            false => &self.path.down,
        }
    }

    /// What its appup says for the step back; nothing where there is none.
    pub(super) fn instructions_back(&self) -> &'a [Instruction] {
        match self.is_up() {
            true => &self.path.down,
            false => &self.path.up,
        }
    }

    fn needs_another_host(&self) -> bool {
        self.instructions().contains(&Instruction::RestartHost)
    }

    fn state(&self) -> StateChange {
        let updates = |it: &Instruction| matches!(it, Instruction::Update { .. });
        match self.instructions().iter().any(updates) {
            false => StateChange::Same,
            true if self.is_up() => StateChange::Up,
            true => StateChange::Down,
        }
    }

    fn edge(&self) -> Edge<'_> {
        Edge {
            from: self.from,
            to: self.to,
            state: self.state(),
            reversible: self.reversible,
        }
    }

    /// As the plan shows it.
    pub(crate) fn hop(&self) -> Hop {
        let mut hop = Hop {
            from: self.from.clone(),
            to: self.to.clone(),
            state: self.state(),
            reversible: self.reversible,
            timeout_ms: 0,
            suspend: false,
            restart: self.instructions().contains(&Instruction::Restart),
        };
        for instruction in self.instructions() {
            if let Instruction::Update {
                timeout_ms,
                suspend,
            } = instruction
            {
                (hop.timeout_ms, hop.suspend) = (*timeout_ms, *suspend);
            }
        }
        hop
    }
}

/// All steps of `plugin` that its appups know and the host takes, between the versions that
/// have one and `others`.
pub(crate) fn steps_between<'a>(
    plugin: &str,
    others: impl IntoIterator<Item = &'a Version>,
    appups: &'a Appups,
    host: Host<'_>,
) -> Vec<Step<'a>> {
    let own: Vec<&Appup> = appups.values().filter(|a| a.plugin == plugin).collect();
    let versions: BTreeSet<&Version> = own
        .iter()
        .map(|appup| &appup.version)
        .chain(others)
        .collect();
    let mut steps = Vec::new();
    for appup in own {
        // What leads between two versions stands in the appup of the newer one.
        for older in versions.iter().filter(|it| ***it < appup.version) {
            let Some(path) = appup.path(older) else {
                continue;
            };
            let (newer, older) = (&appup.version, *older);
            let up = !path.up.is_empty() && host.takes(&path.up, newer, true);
            let down = !path.down.is_empty() && host.takes(&path.down, older, false);
            for (from, to, is_taken, reversible) in
                [(older, newer, up, down), (newer, older, down, up)]
            {
                if !is_taken {
                    continue;
                }
                steps.push(Step {
                    appup,
                    path,
                    from,
                    to,
                    reversible,
                });
            }
        }
    }
    steps
}

/// The way from one version of a plugin to another, for a state without carries.
pub(super) fn way<'a>(
    plugin: &str,
    from: &'a Version,
    to: &'a Version,
    appups: &'a Appups,
    host: Host<'_>,
) -> Result<Vec<Step<'a>>, NoWay> {
    let find = |steps: &[Step<'a>]| -> Option<Vec<Step<'a>>> {
        let found = way::way(steps, Step::edge, from, to, &[])?;
        Some(found.into_iter().copied().collect())
    };
    if let Some(steps) = find(&steps_between(plugin, [from, to], appups, host)) {
        return Ok(steps);
    }
    let all = steps_between(plugin, [from, to], appups, Host::Starts);
    let with_another_host = find(&all).unwrap_or_default();
    match with_another_host.iter().find(|it| it.needs_another_host()) {
        Some(step) => Err(NoWay::RestartHost {
            file: format!("{plugin}-{}.toml", step.appup.version),
            way: if step.is_up() { "up from" } else { "down to" },
            other: step.from.min(step.to).clone(),
        }),
        None => Err(NoWay::None {
            plugin: plugin.to_owned(),
            from: from.clone(),
            to: to.clone(),
            missing: missing(plugin, from, to, &all, appups),
            known: known(&all),
        }),
    }
}

/// What keeps `steps` from leading from one version to the other: the first step that nobody
/// has, between the last version that is come to and the next one from which it goes on.
fn missing(
    plugin: &str,
    from: &Version,
    to: &Version,
    steps: &[Step<'_>],
    appups: &Appups,
) -> Missing {
    let is_up = from < to;
    let onward: Vec<Step<'_>> = steps
        .iter()
        .filter(|step| (step.from < step.to) == is_up)
        .copied()
        .collect();
    let leads =
        |from: &Version, to: &Version| way::way(&onward, Step::edge, from, to, &[]).is_some();
    let (low, high) = (from.min(to), from.max(to));
    let between = steps.iter().map(|step| step.from).chain([from, to]);
    let mut between: Vec<&Version> = between.filter(|it| (low..=high).contains(it)).collect();
    between.sort();
    if !is_up {
        between.reverse();
    }
    let here = between.iter().rfind(|it| leads(from, it));
    let here = here.copied().unwrap_or(from);
    let mut ahead = between.iter().skip_while(|it| **it != here);
    let there = ahead.find(|it| **it != here && leads(it, to));
    let there = there.copied().unwrap_or(to);
    let (older, newer) = (here.min(there), here.max(there));
    let appup = appups.get(&(plugin.to_owned(), newer.clone()));
    Missing {
        what: match appup.map(|it| (it.path(older), sources(it))) {
            None => Lacks::Appup,
            Some((None, others)) => Lacks::Path { others },
            Some((Some(_), _)) => Lacks::Down,
        },
        newer: newer.clone(),
        older: older.clone(),
    }
}

/// The ways of states that came down to `from` from the newer versions that the appups know
/// and that have run, where the carries beside them lead another way than `plain`.
pub(super) fn carried_ways(
    plugin: &str,
    (from, to): (&Version, &Version),
    plain: &[Step<'_>],
    appups: &Appups,
    host: Host<'_>,
    has_run: impl Fn(&Version) -> bool,
) -> Vec<CarriedWay> {
    let steps = steps_between(plugin, [from, to], appups, host);
    let stacks: BTreeSet<Vec<&Version>> = steps
        .iter()
        .map(|step| step.from)
        .filter(|newer| *newer > from && has_run(newer))
        .filter_map(|newer| way::way(&steps, Step::edge, newer, from, &[]))
        .map(|down| {
            let leaves = down.iter().filter(|step| step.state() == StateChange::Down);
            leaves.map(|step| step.from).collect()
        })
        .collect();
    let with = |carries: Vec<&Version>| {
        let found = way::way(&steps, Step::edge, from, to, &carries);
        let hops = found.map(|way| way.iter().map(|step| step.hop()).collect::<Vec<_>>());
        CarriedWay {
            carries: carries.into_iter().cloned().collect(),
            hops,
        }
    };
    let plain: Vec<Hop> = plain.iter().map(Step::hop).collect();
    let ways = stacks.into_iter().map(with);
    ways.filter(|it| it.hops.as_ref() != Some(&plain)).collect()
}

/// The versions of a plugin whose libraries are installed, with their shapes where a release
/// says them.
pub(crate) type Libraries<'a> = BTreeMap<&'a Version, Option<&'a PluginShape>>;

/// Whether a state in `from`, beside which `carried` has left something, comes over to `to`
/// where only these `libraries` of the plugin are installed. Also by steps that ask for
/// another host, as a start takes them.
pub(crate) fn leads<'a>(
    plugin: &str,
    (from, carried): (&Version, &[Version]),
    to: &Version,
    libraries: &Libraries<'a>,
    appups: &'a Appups,
) -> bool {
    let installed = libraries.keys().copied();
    let mut steps = steps_between(plugin, installed, appups, Host::Starts);
    let is_here = |version: &Version| libraries.contains_key(version);
    steps.retain(|step| is_here(step.from) && is_here(step.to));
    let carried: Vec<&Version> = carried.iter().collect();
    way::way(&steps, Step::edge, from, to, &carried).is_some()
}

/// Whether a message in the shape of `from` is understood in `to` where only these
/// `libraries` of the plugin are installed. The rule is that of the actors: over the ways of
/// states, in either direction, which begin where none leads on from its version at those that
/// migrate from it; or at once, where both are here and the newer of the two knows the other.
pub(crate) fn is_understood<'a>(
    plugin: &str,
    from: &Version,
    to: &Version,
    libraries: &Libraries<'a>,
    appups: &'a Appups,
) -> bool {
    let joined = joined(plugin, to, libraries, appups);
    let reaches = |here: &Version| joined.contains(here);
    let schema = |version: &Version| libraries.get(version)?.map(|it| it.state_schema);
    let migrates = |newer: &Version, older: &Version| match libraries.get(newer) {
        _ if older >= newer => false,
        Some(Some(shape)) => {
            let from = shape.migrates_from.as_ref();
            from.is_some_and(|from| from.matches(older))
        }
        // Its release does not say it: what its appup has it do, it does.
        Some(None) => {
            let appup = appups.get(&(plugin.to_owned(), newer.clone()));
            let path = appup.and_then(|it| it.path(older));
            let updates = |it: &Instruction| matches!(it, Instruction::Update { .. });
            path.is_some_and(|path| path.up.iter().any(updates))
        }
        None => false,
    };
    let is_known_at_once = || {
        let is_same = schema(from).is_some_and(|it| schema(to) == Some(it));
        is_same || migrates(from.max(to), from.min(to))
    };
    reaches(from)
        || libraries.keys().any(|it| migrates(it, from) && reaches(it))
        || libraries.contains_key(from) && is_known_at_once()
}

/// The versions of which these `libraries` are installed and that steps join with `to`, in
/// either direction.
fn joined<'a>(
    plugin: &str,
    to: &'a Version,
    libraries: &Libraries<'a>,
    appups: &'a Appups,
) -> BTreeSet<&'a Version> {
    let installed = libraries.keys().copied();
    let mut steps = steps_between(plugin, installed, appups, Host::Starts);
    let is_here = |version: &Version| libraries.contains_key(version);
    steps.retain(|step| is_here(step.from) && is_here(step.to));
    let mut joined = BTreeSet::from([to]);
    let mut before = 0;
    while joined.len() > before {
        before = joined.len();
        for step in &steps {
            if joined.contains(step.from) || joined.contains(step.to) {
                joined.extend([step.from, step.to]);
            }
        }
    }
    joined
}

/// From where an appup leads, as it says.
fn sources(appup: &Appup) -> String {
    let paths = appup.paths.iter().filter(|it| it.is_between_versions());
    let from: Vec<String> = paths.map(|it| it.from.to_string()).collect();
    from.join(" and ")
}

fn known(steps: &[Step<'_>]) -> String {
    let shown: BTreeSet<String> = steps
        .iter()
        .map(|step| format!("{} to {}", step.from, step.to))
        .collect();
    match shown.is_empty() {
        true => "none".to_owned(),
        false => shown.into_iter().collect::<Vec<_>>().join(", "),
    }
}
