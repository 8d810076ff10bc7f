//! Events applied one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use host_loader::{Fault, Plugin, State};
use host_model::Version;
use thiserror::Error;

use crate::course::{Base, Course};

/// The versions of plugins that a replay may need, each with the library that it was
/// opened from.
#[derive(Debug, Clone, Default)]
pub struct Code(BTreeMap<(String, Version), (Arc<Plugin>, PathBuf)>);

/// Why events could not be applied. Says nothing about the law.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A version is needed that is not there.
    #[error("{plugin} {version} is needed, and is not among the plugins that were given")]
    Missing {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
    },
    /// The plugin broke.
    #[error("the plugin broke at event {seq}")]
    Fault {
        /// Sequence of the event; that of the start where it could not be read.
        seq: u64,
        /// What it said.
        #[source]
        fault: Box<Fault>,
    },
    /// The events are not one behind the other.
    #[error("event {found} follows event {after}")]
    Gap {
        /// The one before.
        after: u64,
        /// The one that follows.
        found: u64,
    },
}

impl Code {
    /// These plugins, each with the library that it was opened from.
    pub fn of(plugins: impl IntoIterator<Item = (Arc<Plugin>, PathBuf)>) -> Self {
        let named = plugins.into_iter().map(|(plugin, path)| {
            let name = (plugin.name().to_owned(), plugin.version().clone());
            (name, (plugin, path))
        });
        Self(named.collect())
    }

    pub(crate) fn get(&self, plugin: &str, version: &Version) -> Result<&Arc<Plugin>, ReplayError> {
        let key = (plugin.to_owned(), version.clone());
        let found = self.0.get(&key).map(|(plugin, _)| plugin);
        found.ok_or_else(|| ReplayError::Missing {
            plugin: key.0,
            version: key.1,
        })
    }

    /// The libraries of one plugin, with their digests.
    pub(crate) fn libraries(&self, plugin: &str) -> impl Iterator<Item = (&Path, String)> {
        let own = self.0.iter().filter(move |((name, _), _)| name == plugin);
        own.map(|(_, (plugin, path))| (path.as_path(), plugin.digest().to_string()))
    }
}

/// A replay that is under way.
pub(crate) struct Replay<'a> {
    code: &'a Code,
    course: &'a Course,
    state: Option<State>,
    seq: u64,
    /// Of the next event.
    next: usize,
}

impl<'a> Replay<'a> {
    /// At the start of a course.
    pub(crate) fn begin(code: &'a Code, course: &'a Course) -> Result<Self, ReplayError> {
        let plugin = course.actor.plugin();
        let seq = course.start.as_ref().map_or(0, |base| base.seq);
        let failed = |fault| ReplayError::Fault { seq, fault };
        let state = match (&course.start, course.events.first()) {
            (Some(base), _) => {
                let code = code.get(plugin, &base.version)?;
                Some(code.import(&base.state).map_err(failed)?)
            }
            (None, Some(first)) => {
                let code = code.get(plugin, &first.version)?;
                Some(code.new_state(course.actor.key()).map_err(failed)?)
            }
            (None, None) => None,
        };
        Ok(Self {
            code,
            course,
            state,
            seq,
            next: 0,
        })
    }

    /// Applies the next event. False: there is none left.
    pub(crate) fn step(&mut self) -> Result<bool, ReplayError> {
        let Some(event) = self.course.events.get(self.next) else {
            return Ok(false);
        };
        if event.seq != self.seq + 1 {
            return Err(ReplayError::Gap {
                after: self.seq,
                found: event.seq,
            });
        }
        let failed = |fault| ReplayError::Fault {
            seq: event.seq,
            fault,
        };
        let mut state = self.state.take().expect("a course with events has a state");
        if *state.plugin().version() != event.version {
            // Only the code changed in between: the state is read as it is.
            let code = self.code.get(self.course.actor.plugin(), &event.version)?;
            let bytes = state.export().map_err(failed)?;
            state = code.import(&bytes).map_err(failed)?;
        }
        state.apply(&event.event).map_err(failed)?;
        self.state = Some(state);
        self.seq = event.seq;
        self.next += 1;
        Ok(true)
    }

    /// Applies events up to this sequence, and gives the state there.
    pub(crate) fn to(&mut self, seq: u64) -> Result<Base, ReplayError> {
        while self.seq < seq && self.step()? {}
        self.here()
    }

    /// The sequence that it has come to.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The state as it is now.
    pub(crate) fn here(&self) -> Result<Base, ReplayError> {
        let failed = |fault| ReplayError::Fault {
            seq: self.seq,
            fault,
        };
        Ok(match &self.state {
            Some(state) => Base {
                seq: self.seq,
                version: state.plugin().version().clone(),
                state: state.export().map_err(failed)?,
            },
            None => Base {
                seq: self.seq,
                version: Version::new(0, 0, 0),
                state: Bytes::new(),
            },
        })
    }
}
