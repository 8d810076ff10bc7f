//! The release that rules: which code runs, and how a state comes over to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use host_loader::Plugin;
use host_model::Version;
use host_model::limits::{FAST_RUN_MAX, FAST_RUNS_MIN};
use host_model::plan::StateChange;
use host_model::release::Start;

/// One plugin version as the actors run it: its code, and what is known of how it runs.
#[derive(Debug)]
pub struct Code {
    plugin: Arc<Plugin>,
    events: HashMap<Box<str>, Arc<EventStats>, foldhash::fast::RandomState>,
    /// Of timers, and of names that are neither command nor query.
    others: Arc<EventStats>,
}

/// How an event of a plugin version has run so far.
#[derive(Debug, Default)]
pub struct EventStats {
    /// The event's name.
    pub name: Box<str>,
    /// Runs under [`FAST_RUN_MAX`] since the last slower one.
    fast_runs: AtomicU32,
    /// Runs.
    pub calls: AtomicU64,
    /// Runs that ended in a fault.
    pub faults: AtomicU64,
    /// Runs that ended in a rejection.
    pub rejections: AtomicU64,
}

impl Code {
    /// The code of an open plugin.
    #[must_use]
    pub fn new(plugin: Arc<Plugin>) -> Arc<Self> {
        let stats = |name: &str| {
            Arc::new(EventStats {
                name: name.into(),
                ..EventStats::default()
            })
        };
        let manifest = plugin.manifest();
        let names = manifest.commands.iter().chain(&manifest.queries);
        Arc::new(Self {
            events: names.map(|n| (n.as_str().into(), stats(n))).collect(),
            others: stats("(other)"),
            plugin,
        })
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &Version {
        self.plugin.version()
    }

    pub(crate) fn event(&self, name: &str) -> &Arc<EventStats> {
        self.events.get(name).unwrap_or(&self.others)
    }

    /// The counters of each event.
    pub fn stats(&self) -> impl Iterator<Item = &Arc<EventStats>> {
        self.events.values().chain([&self.others])
    }
}

impl EventStats {
    /// Whether it may run where blocking is not allowed.
    pub(crate) fn is_proven_fast(&self) -> bool {
        self.fast_runs.load(Ordering::Relaxed) >= FAST_RUNS_MIN
    }

    pub(crate) fn faulted(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self) {
        self.rejections.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs something of the host's own that is quick as a rule, and where it is not
    /// proven so, where blocking is allowed.
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = if self.is_proven_fast() {
            run()
        } else {
            tokio::task::block_in_place(run)
        };
        self.ran(began.elapsed());
        result
    }

    /// Takes note of a run.
    pub(crate) fn ran(&self, took: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if took >= FAST_RUN_MAX {
            self.fast_runs.store(0, Ordering::Relaxed);
        } else if !self.is_proven_fast() {
            self.fast_runs.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A release, ready to rule.
#[derive(Debug)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// Its plugins, by name.
    pub plugins: BTreeMap<String, Ruling>,
    /// The plugins' versions in the release before it: what goes with the
    /// messages of actors that have not come over.
    pub before: BTreeMap<String, Version>,
}

/// A plugin of a release that rules.
#[derive(Debug)]
pub struct Ruling {
    /// The version that rules.
    pub code: Arc<Code>,
    /// What its failure means.
    pub start: Start,
    /// Ways to it from other versions.
    pub routes: Vec<Route>,
    /// Other versions that are installed: the journal may hold states, records and
    /// messages of theirs, also where no way leads from them.
    pub readable: Vec<Arc<Code>>,
}

/// How the state of another version comes over.
#[derive(Debug)]
pub struct Route {
    /// The other version.
    pub from: Arc<Code>,
    /// The steps, at least one.
    pub hops: Vec<RouteHop>,
}

/// One step of a [`Route`].
#[derive(Debug)]
pub struct RouteHop {
    /// Where it leads.
    pub to: Arc<Code>,
    /// How the state crosses.
    pub change: StateChange,
}

impl Release {
    /// The plugin's code in `version`, if this release knows it.
    #[must_use]
    pub fn code(&self, plugin: &str, version: &Version) -> Option<&Arc<Code>> {
        let ruling = self.plugins.get(plugin)?;
        let others = ruling.routes.iter().flat_map(|route| {
            std::iter::once(&route.from).chain(route.hops.iter().map(|hop| &hop.to))
        });
        std::iter::once(&ruling.code)
            .chain(others)
            .chain(&ruling.readable)
            .find(|code| code.version() == version)
    }
}

impl Ruling {
    /// The way from `version` to the version that rules.
    #[must_use]
    pub fn route(&self, version: &Version) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.from.version() == version)
    }
}
