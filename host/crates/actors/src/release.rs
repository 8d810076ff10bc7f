//! The release that rules: which code runs, and how a state comes over to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use host_loader::{Fault, Plugin, State};
use host_model::limits::{FAST_RUN_MAX, FAST_RUNS_MIN};
use host_model::plan::StateChange;
use host_model::release::Start;
use host_model::{ActorId, Version};

use crate::clock::{monotonic_ms, tick_ms};

/// Stands for timers, and for names that are neither command nor query.
pub(crate) const OTHER: &str = "(other)";

/// One plugin version as the actors run it: its code, and what is known of how it runs.
#[derive(Debug)]
pub struct Code {
    plugin: Arc<Plugin>,
    /// A handful, looked through in their order: quicker than a hash of the name.
    events: Box<[Arc<EventStats>]>,
    /// Of all that is neither command nor query.
    others: Arc<EventStats>,
}

/// How an event of a plugin version has run so far.
#[derive(Debug, Default)]
pub struct EventStats {
    /// The event's name.
    pub name: Box<str>,
    /// Whether it is a query.
    pub(crate) is_query: bool,
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
        let stats = |name: &str, is_query| {
            Arc::new(EventStats {
                name: name.into(),
                is_query,
                ..EventStats::default()
            })
        };
        let manifest = plugin.manifest();
        // A name that is both is a query.
        let queries = manifest.queries.iter().map(|name| (name, true));
        let events = queries.chain(manifest.commands.iter().map(|name| (name, false)));
        Arc::new(Self {
            events: events
                .map(|(name, is_query)| stats(name, is_query))
                .collect(),
            others: stats(OTHER, false),
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

    /// The state of an actor that has accepted nothing yet.
    pub(crate) fn new_state(self: &Arc<Self>, id: &ActorId) -> Result<State<Self>, Box<Fault>> {
        let state = self.plugin.new_state(id.key())?;
        Ok(state.owned_by(Arc::clone(self)))
    }

    /// A state from what another of the same schema has exported.
    pub(crate) fn import(self: &Arc<Self>, state: &[u8]) -> Result<State<Self>, Box<Fault>> {
        Ok(self.plugin.import(state)?.owned_by(Arc::clone(self)))
    }

    pub(crate) fn event(&self, name: &str) -> &Arc<EventStats> {
        self.known(name).unwrap_or(&self.others)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&Arc<EventStats>> {
        self.known(name).filter(|stats| stats.is_query)
    }

    fn known(&self, name: &str) -> Option<&Arc<EventStats>> {
        self.events.iter().find(|stats| *stats.name == *name)
    }

    /// The counters of each event.
    pub fn stats(&self) -> impl Iterator<Item = &Arc<EventStats>> {
        self.events.iter().chain([&self.others])
    }
}

impl AsRef<Plugin> for Code {
    fn as_ref(&self) -> &Plugin {
        &self.plugin
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
        let began_ms = monotonic_ms();
        let result = if self.is_proven_fast() {
            run()
        } else {
            tokio::task::block_in_place(run)
        };
        self.ran(began_ms, monotonic_ms());
        result
    }

    /// Takes note of a run, by the monotonic clock.
    pub(crate) fn ran(&self, began_ms: u64, ended_ms: u64) {
        let took = Duration::from_millis(ended_ms.saturating_sub(began_ms));
        self.calls.fetch_add(1, Ordering::Relaxed);
        // On a kernel with a slow tick any run may seem to take as long as one.
        if took >= FAST_RUN_MAX && took >= FAST_RUN_MAX + Duration::from_millis(tick_ms()) {
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
        let mut codes = self.plugins.get(plugin)?.codes();
        codes.find(|code| code.version() == version)
    }

    /// Name of the event whose counters live at this address, and the version that
    /// handles it.
    pub(crate) fn event_at(&self, addr: usize) -> Option<(String, Version)> {
        let codes = self.plugins.values().flat_map(Ruling::codes);
        let mut events = codes.flat_map(|code| code.stats().map(move |stats| (code, stats)));
        let (code, stats) = events.find(|(_, stats)| Arc::as_ptr(stats).addr() == addr)?;
        Some((stats.name.to_string(), code.version().clone()))
    }
}

impl Ruling {
    /// All versions of the plugin that can be met.
    fn codes(&self) -> impl Iterator<Item = &Arc<Code>> {
        let others = self.routes.iter().flat_map(|route| {
            std::iter::once(&route.from).chain(route.hops.iter().map(|hop| &hop.to))
        });
        std::iter::once(&self.code)
            .chain(others)
            .chain(&self.readable)
    }

    /// The way from `version` to the version that rules.
    #[must_use]
    pub fn route(&self, version: &Version) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.from.version() == version)
    }
}
