//! Ways with their code, there and back.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use host_loader::{Plugin, ShapeStep};
use host_model::Version;
use host_model::plan::StateChange;
use host_model::way::{no_way, too_slow, way};

use super::{Moved, Step, Subject};
use crate::crossing::Hop;

/// The versions that are open, by name and number.
pub(super) type Opened = BTreeMap<(String, Version), Arc<Plugin>>;

/// Where a way begins: with a plugin's actors in one version, beside whose states these have
/// left something.
type Begin = (String, Version, Vec<Version>);

/// The ways of all plugins that move.
pub(super) struct Ways {
    moved: HashMap<String, Moved>,
    /// Those that were gone before, or why there is none.
    known: RefCell<HashMap<Begin, Result<Arc<Way>, String>>>,
}

impl Ways {
    /// Over those steps of `moved` whose versions are open.
    pub(super) fn over(moved: &[Moved], opened: &Opened) -> Self {
        let is_open = |plugin: &str, version: &Version| {
            opened.contains_key(&(plugin.to_owned(), version.clone()))
        };
        let moved = moved.iter().cloned().map(|mut moved| {
            let plugin = moved.plugin.clone();
            let are_open = |step: &Step| is_open(&plugin, &step.from) && is_open(&plugin, &step.to);
            moved.steps.retain(are_open);
            (plugin, moved)
        });
        Self {
            moved: moved.collect(),
            known: RefCell::default(),
        }
    }

    /// The way of an actor in `version`; none where it is there already.
    pub(super) fn of(
        &self,
        subject: &Subject,
        version: &Version,
        opened: &Opened,
    ) -> Result<Option<Arc<Way>>, String> {
        let plugin = subject.actor.plugin();
        let moved = self.moved.get(plugin);
        let moved = moved.ok_or_else(|| format!("{plugin} does not move"))?;
        if *version == moved.to {
            return Ok(None);
        }
        let carries = subject.start.iter().flat_map(|start| &start.carries);
        let carried: Vec<&Version> = carries.map(|carry| &carry.newer).collect();
        let begin = (
            plugin.to_owned(),
            version.clone(),
            carried.iter().map(|&it| it.clone()).collect(),
        );
        let mut known = self.known.borrow_mut();
        let way = known.entry(begin).or_insert_with(|| {
            let way = Way::of(moved, version, &carried, opened);
            way.map(Arc::new)
        });
        way.clone().map(Some)
    }
}

/// The way of some actors of a plugin, with its code.
pub(super) struct Way {
    pub(super) from: Arc<Plugin>,
    pub(super) to: Arc<Plugin>,
    pub(super) forth: Vec<Hop>,
    /// How long each step of `forth` may take, where that is bounded.
    timeouts: Vec<Option<Duration>>,
    /// None: a step has no way back.
    pub(super) back: Option<Vec<Hop>>,
    pub(super) declared: Vec<String>,
}

impl Way {
    /// The way that an actor of the version `from` takes beside whose state the versions
    /// `carried` have left something, the last one last: the same as at a switch.
    ///
    /// # Errors
    ///
    /// In a sentence, that there is none, or that a version on it was not opened.
    pub(super) fn of(
        moved: &Moved,
        from: &Version,
        carried: &[&Version],
        opened: &Opened,
    ) -> Result<Self, String> {
        let steps = way(&moved.steps, Step::look, from, &moved.to, carried);
        let steps =
            steps.ok_or_else(|| no_way(&moved.plugin, from, &moved.to, carried.last().copied()))?;
        let open = |version: &Version| {
            let plugin = opened.get(&(moved.plugin.clone(), version.clone()));
            let plugin = plugin.cloned();
            plugin.ok_or_else(|| format!("{} {version} was not opened", moved.plugin))
        };
        let from = open(from)?;
        let mut forth = Vec::new();
        let mut back = Vec::new();
        let mut declared = Vec::new();
        let mut before = Arc::clone(&from);
        for step in &steps {
            let to = open(&step.to)?;
            let other = match step.change {
                StateChange::Up => StateChange::Down,
                StateChange::Down => StateChange::Up,
                StateChange::Same => StateChange::Same,
            };
            back.push(Hop {
                to: before,
                change: other,
            });
            forth.push(Hop {
                to: Arc::clone(&to),
                change: step.change,
            });
            declared.extend(step.declared.iter().cloned());
            before = to;
        }
        back.reverse();
        let is_back = steps.iter().all(|step| step.reversible);
        let bound = |step: &&Step| {
            let bounded = step.timeout_ms > 0;
            bounded.then(|| Duration::from_millis(step.timeout_ms))
        };
        Ok(Self {
            from,
            to: before,
            forth,
            timeouts: steps.iter().map(bound).collect(),
            back: is_back.then_some(back),
            declared,
        })
    }

    /// As its messages are converted.
    pub(super) fn shapes(&self) -> impl Iterator<Item = ShapeStep<'_>> {
        let ends = self.forth.iter().map(|hop| &hop.to);
        let befores = std::iter::once(&self.from).chain(ends.clone());
        befores
            .zip(ends)
            .map(|(from, to)| ShapeStep::between(from, to))
    }

    /// As what it tells is converted, for who has stayed with the version before.
    pub(super) fn shapes_back(&self) -> impl Iterator<Item = ShapeStep<'_>> {
        (0..self.forth.len()).rev().map(|at| {
            let before = at
                .checked_sub(1)
                .map_or(&self.from, |at| &self.forth[at].to);
            ShapeStep::between(&self.forth[at].to, before)
        })
    }

    /// What is to be said of the first step that took too long, if one did.
    pub(super) fn too_slow(&self, steps_ns: &[u64]) -> Option<String> {
        let steps = self.forth.iter().zip(&self.timeouts).zip(steps_ns);
        let mut slow = steps.filter_map(|((hop, timeout), ns)| {
            too_slow(hop.to.version(), Duration::from_nanos(*ns), *timeout)
        });
        slow.next()
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.change {
            StateChange::Up => "up",
            StateChange::Down => "down",
            StateChange::Same => "import",
        };
        write!(f, "{how} to {}", self.to.version())
    }
}
