//! The release that rules: which code runs, and how a state comes over to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use host_loader::{Fault, Plugin, State};
use host_model::limits::{FAST_RUN_MAX, FAST_RUNS_MIN};
use host_model::plan::StateChange;
use host_model::release::Start;
use host_model::way::{Edge, no_way, too_slow, way};
use host_model::{ActorId, Version};

use crate::clock::{monotonic_ms, tick_ms};
use crate::counts::Detail;
use crate::door::ns;
use crate::live::Live;
use crate::message::CallError;

/// Stands for timers, and for names that are neither command nor query.
pub(crate) const OTHER: &str = "(other)";

/// What a thread is in that has a state written out: for a snapshot, or to be looked at.
const EXPORT: &str = "(export)";

/// An exact clock costs a query more than a tenth of its time.
const QUERIES_TIMED_ONE_IN: u64 = 32;

/// One plugin version as the actors run it: its code, and what is known of how it runs.
#[derive(Debug)]
pub struct Code {
    plugin: Arc<Plugin>,
    /// A handful, looked through in their order: quicker than a hash of the name.
    events: Box<[Arc<EventStats>]>,
    /// Of all that is neither command nor query.
    others: Arc<EventStats>,
    /// Of no event: it only says what runs.
    pub(crate) exporting: Arc<EventStats>,
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
    pub(crate) detail: Detail,
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
            exporting: stats(EXPORT, false),
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
    /// Of something of the host's own that is named like an event.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Whether it may run where blocking is not allowed.
    pub(crate) fn is_proven_fast(&self) -> bool {
        self.fast_runs.load(Ordering::Relaxed) >= FAST_RUNS_MIN
    }

    /// Now, if the run that begins is one that is timed: of commands all, of queries one
    /// in [`QUERIES_TIMED_ONE_IN`].
    #[inline]
    pub(crate) fn time(&self) -> Option<Instant> {
        let calls = self.calls.load(Ordering::Relaxed);
        let timed = !self.is_query || calls.is_multiple_of(QUERIES_TIMED_ONE_IN);
        timed.then(Instant::now)
    }

    /// Takes note of how long a run took that was timed.
    pub(crate) fn timed(&self, since: Instant) {
        self.detail.took_ns.record(ns(since), 1);
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
    /// The plugins' versions in each release that is installed, for actors that have stayed
    /// in another version for longer.
    pub installed: Vec<BTreeMap<String, Version>>,
}

/// A plugin of a release that rules.
#[derive(Debug)]
pub struct Ruling {
    /// The version that rules.
    pub code: Arc<Code>,
    /// What its failure means.
    pub start: Start,
    /// Ways to it from other versions, for states without carries.
    pub routes: Vec<Route>,
    /// All steps between versions that are installed: a state with carries may need
    /// others than its version's route has.
    pub edges: Vec<RouteEdge>,
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
#[derive(Debug, Clone)]
pub struct RouteHop {
    /// Where it leads.
    pub to: Arc<Code>,
    /// How the state crosses.
    pub change: StateChange,
    /// The longest that one actor may take for it, if that is bounded.
    pub timeout: Option<Duration>,
    /// Whether who has taken it leaves memory, and wakes in the version it leads to.
    pub restart: bool,
}

/// One step between two versions of a plugin.
#[derive(Debug, Clone)]
pub struct RouteEdge {
    /// Where it begins.
    pub from: Version,
    /// The step.
    pub hop: RouteHop,
    /// Whether there is a step back.
    pub reversible: bool,
}

/// How a state comes over.
#[derive(Debug)]
pub(crate) struct Way {
    /// The steps that it takes.
    pub(crate) hops: Vec<RouteHop>,
    /// Some: no appup has these steps, which are those that it came, the other way round. It
    /// goes back with its state as it is, where only the code changed, and otherwise by its
    /// commands since, which the older version decides again.
    pub(crate) no_steps: Option<String>,
}

impl Release {
    /// The plugin's code in `version`, if this release knows it.
    #[must_use]
    pub fn code(&self, plugin: &str, version: &Version) -> Option<&Arc<Code>> {
        let mut codes = self.plugins.get(plugin)?.codes();
        codes.find(|code| code.version() == version)
    }

    /// The version of the plugin `other` that goes with `version` of `plugin`, as the release
    /// before has them, or the first of those that are installed; if one has both, and that
    /// version of the other can be met.
    pub(crate) fn beside(&self, plugin: &str, version: &Version, other: &str) -> Option<&Version> {
        let releases = std::iter::once(&self.before).chain(&self.installed);
        let theirs = releases.filter(|release| release.get(plugin) == Some(version));
        let mut found = theirs.filter_map(|release| release.get(other));
        found.find(|version| self.code(other, version).is_some())
    }

    /// The error for whoever asks for a plugin that it does not have.
    #[must_use]
    pub fn unknown_plugin(&self, plugin: &str) -> CallError {
        let known: Vec<_> = self.plugins.keys().map(String::as_str).collect();
        CallError::UnknownPlugin {
            plugin: plugin.to_owned(),
            known: known.join(", "),
        }
    }

    /// Lets every step take as long as it does: on a way back nobody is to be set aside
    /// for being slow.
    #[must_use]
    pub fn without_timeouts(mut self) -> Self {
        for ruling in self.plugins.values_mut() {
            let hops = ruling.routes.iter_mut().flat_map(|route| &mut route.hops);
            let others = ruling.edges.iter_mut().map(|edge| &mut edge.hop);
            hops.chain(others).for_each(|hop| hop.timeout = None);
        }
        self
    }

    /// Name of the event whose counters live at this address, and the version that
    /// handles it.
    pub(crate) fn event_at(&self, addr: usize) -> Option<(String, Version)> {
        let codes = self.plugins.values().flat_map(Ruling::codes);
        let mut events = codes.flat_map(|code| {
            let all = code.stats().chain([&code.exporting]);
            all.map(move |stats| (code, stats))
        });
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

    fn code(&self, version: &Version) -> Option<&Arc<Code>> {
        self.codes().find(|code| code.version() == version)
    }

    /// Versions between which a state goes over in one step, on the ways to this one.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = (&Arc<Code>, &Arc<Code>)> {
        self.routes.iter().flat_map(|route| {
            let ends = route.hops.iter().map(|hop| &hop.to);
            std::iter::once(&route.from).chain(ends.clone()).zip(ends)
        })
    }

    /// Versions between which a state can go over in one step, on whatever way.
    pub(crate) fn neighbours_anywhere(&self) -> impl Iterator<Item = (&Arc<Code>, &Arc<Code>)> {
        let ends = |edge| RouteEdge::ends(edge, self);
        self.edges.iter().filter_map(ends)
    }

    /// The way from `version` to the version that rules, for a state without carries.
    #[must_use]
    pub fn route(&self, version: &Version) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.from.version() == version)
    }

    /// How a state in memory comes over; or why it cannot. Where no appup leads back from the
    /// version that was just left, it goes the way that it came.
    pub(crate) fn way_of(&self, live: &Live, left: Option<&Version>) -> Result<Way, String> {
        let from = live.code().version();
        let carried: Vec<&Version> = live.carries().iter().map(|carry| &carry.newer).collect();
        if let Some(hops) = self.way(from, &carried) {
            let no_steps = None;
            return Ok(Way { hops, no_steps });
        }
        let newer = carried.last().copied();
        let no_steps = no_way(self.code.plugin().name(), from, self.code.version(), newer);
        match self.way_it_came(from).filter(|_| left == Some(from)) {
            Some(hops) => Ok(Way {
                hops,
                no_steps: Some(no_steps),
            }),
            None => Err(no_steps),
        }
    }

    /// The way that leads to the newer `version`, the other way round.
    fn way_it_came(&self, version: &Version) -> Option<Vec<RouteHop>> {
        if version <= self.code.version() {
            return None;
        }
        let reversed = |edge: &RouteEdge| {
            let (from, to) = edge.ends(self)?;
            let change = match edge.hop.change {
                StateChange::Same => StateChange::Same,
                StateChange::Up | StateChange::Down => StateChange::Down,
            };
            let back = from.version() < to.version();
            back.then(|| RouteEdge {
                from: to.version().clone(),
                hop: RouteHop {
                    to: Arc::clone(from),
                    change,
                    timeout: None,
                    restart: edge.hop.restart,
                },
                reversible: true,
            })
        };
        let back: Vec<RouteEdge> = self.edges.iter().filter_map(reversed).collect();
        let way = way(&back, RouteEdge::look, version, self.code.version(), &[])?;
        Some(way.into_iter().map(|edge| edge.hop.clone()).collect())
    }

    /// The way from `version` for a state beside which `carried` has left something, the
    /// last one last: over those versions, where it leads up. See [`host_model::way`].
    fn way(&self, version: &Version, carried: &[&Version]) -> Option<Vec<RouteHop>> {
        if let Some(route) = self.route(version)
            && takes_up(&route.hops, carried)
        {
            return Some(route.hops.clone());
        }
        let to = self.code.version();
        let way = way(&self.edges, RouteEdge::look, version, to, carried)?;
        Some(way.into_iter().map(|edge| edge.hop.clone()).collect())
    }
}

impl RouteHop {
    /// Whether a step that took so long was quick enough.
    pub(crate) fn in_time(&self, took: Duration) -> Result<(), String> {
        too_slow(self.to.version(), took, self.timeout).map_or(Ok(()), Err)
    }
}

impl Way {
    /// Whether it leads back, where who cannot go may have to be set aside.
    pub(crate) fn goes_back(&self) -> bool {
        self.no_steps.is_some() || leads_down(&self.hops)
    }
}

impl RouteEdge {
    fn ends<'a>(&'a self, ruling: &'a Ruling) -> Option<(&'a Arc<Code>, &'a Arc<Code>)> {
        Some((ruling.code(&self.from)?, &self.hop.to))
    }

    /// As a search for a way sees it.
    #[must_use]
    pub fn look(&self) -> Edge<'_> {
        Edge {
            from: &self.from,
            to: self.hop.to.version(),
            state: self.hop.change,
            reversible: self.reversible,
        }
    }
}

/// Whether some step of a way leads down.
pub(crate) fn leads_down(hops: &[RouteHop]) -> bool {
    hops.iter().any(|hop| hop.change == StateChange::Down)
}

/// Whether each `up` of the way takes up the carry that is then the last, if any is left.
fn takes_up(hops: &[RouteHop], mut carried: &[&Version]) -> bool {
    for hop in hops.iter().filter(|hop| hop.change == StateChange::Up) {
        match carried.split_last() {
            None => return true,
            Some((last, rest)) if *last == hop.to.version() => carried = rest,
            Some(_) => return false,
        }
    }
    true
}
