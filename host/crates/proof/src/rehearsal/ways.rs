//! Ways with their code, there and back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use host_loader::Plugin;
use host_model::Version;
use host_model::plan::StateChange;

use super::Route;
use crate::crossing::Hop;

/// The versions that are open, by name and number.
pub(super) type Opened = BTreeMap<(String, Version), Arc<Plugin>>;

/// A [`Route`] with its code.
pub(super) struct Way {
    pub(super) from: Arc<Plugin>,
    pub(super) to: Arc<Plugin>,
    pub(super) forth: Vec<Hop>,
    /// None: a step has no way back.
    pub(super) back: Option<Vec<Hop>>,
    pub(super) declared: Vec<String>,
}

impl Way {
    /// With the code that is open; says which is not.
    pub(super) fn of(route: &Route, opened: &Opened) -> Result<Self, String> {
        let open = |version: &Version| {
            let plugin = opened.get(&(route.plugin.clone(), version.clone()));
            let plugin = plugin.cloned();
            plugin.ok_or_else(|| format!("{} {version} was not opened", route.plugin))
        };
        let from = open(&route.from)?;
        let mut forth = Vec::new();
        let mut back = Vec::new();
        let mut before = Arc::clone(&from);
        for step in &route.steps {
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
            before = to;
        }
        back.reverse();
        let is_back = route.steps.iter().all(|step| step.reversible);
        Ok(Self {
            from,
            to: before,
            forth,
            back: is_back.then_some(back),
            declared: route.declared.clone(),
        })
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
