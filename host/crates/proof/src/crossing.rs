//! A state that crosses from version to version, with what lies beside it.
//!
//! By the same steps as the actors of a host, see [`cross`]: what is proved here is what
//! happens there.

use std::sync::Arc;

use bytes::Bytes;
use host_loader::{Crossed, Fault, Plugin, State, cross};
use host_model::carry::Carry;
use host_model::limits::STATE_BYTES_MAX;
use host_model::plan::StateChange;
use host_model::way::too_large;

/// One step to another version.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) to: Arc<Plugin>,
    pub(crate) change: StateChange,
}

/// A state, its bytes, and its carries.
#[derive(Debug)]
pub(crate) struct Crossing {
    pub(crate) state: State,
    /// What the state exports. Who moves the state brings them up to date: the next
    /// version reads these.
    pub(crate) bytes: Bytes,
    pub(crate) carries: Vec<Carry>,
}

/// Why a state did not come over: where, and what was said there.
#[derive(Debug)]
pub(crate) struct Stuck(pub(crate) String);

impl From<Box<Fault>> for Stuck {
    fn from(fault: Box<Fault>) -> Self {
        Self(fault.to_string())
    }
}

impl Crossing {
    pub(crate) fn of(state: State, carries: Vec<Carry>) -> Result<Self, Stuck> {
        Ok(Self {
            bytes: state.export()?,
            state,
            carries,
        })
    }

    /// The same, read from its bytes by this version, which may be another of the same
    /// schema.
    pub(crate) fn again(&self, plugin: &Arc<Plugin>) -> Result<Self, Stuck> {
        if plugin.version() != self.state.plugin().version() {
            let hop = Hop {
                to: Arc::clone(plugin),
                change: StateChange::Same,
            };
            return self.hop(self.carries.clone(), &hop);
        }
        Ok(Self {
            state: plugin.import(&self.bytes)?,
            bytes: self.bytes.clone(),
            carries: self.carries.clone(),
        })
    }

    /// Over all hops; `step` is told before each.
    pub(crate) fn over(&self, hops: &[Hop], step: &mut dyn FnMut(&Hop)) -> Result<Self, Stuck> {
        let mut over: Option<Self> = None;
        for hop in hops {
            step(hop);
            over = Some(match &over {
                None => self.hop(self.carries.clone(), hop)?,
                Some(over) => over.hop(over.carries.clone(), hop)?,
            });
        }
        over.ok_or_else(|| Stuck("the way has no steps".to_owned()))
    }

    /// Asks the invariants.
    pub(crate) fn check(&self) -> Result<(), Stuck> {
        self.state
            .check()?
            .map_err(|violation| Stuck(format!("the state breaks {violation}")))
    }

    /// Whether a host would store it, with what lies beside it.
    pub(crate) fn fits(&self) -> Result<(), Stuck> {
        let carries = self.carries.iter().map(Carry::weight);
        let bytes = self.bytes.len() + carries.sum::<usize>();
        match bytes <= STATE_BYTES_MAX {
            true => Ok(()),
            false => Err(Stuck(too_large(bytes))),
        }
    }

    fn hop(&self, mut carries: Vec<Carry>, hop: &Hop) -> Result<Self, Stuck> {
        let known = Some(self.bytes.clone());
        let crossed = cross(&self.state, known, &mut carries, &hop.to, hop.change);
        let Crossed { state, bytes } = crossed.map_err(|error| Stuck(error.to_string()))?;
        Ok(Self {
            bytes: bytes.map_or_else(|| state.export(), Ok)?,
            state,
            carries,
        })
    }
}
