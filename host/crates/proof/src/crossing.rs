//! A state that crosses from version to version, with what lies beside it.
//!
//! The same steps as those by which the actors of a host come over: what is proved here
//! is what happens there.

use std::sync::Arc;

use bytes::Bytes;
use host_loader::{Fault, Plugin, State};
use host_model::Version;
use host_model::plan::StateChange;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a `down` left over, as a snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The newer version, that wrote it and reads it.
    pub newer: Version,
    /// The older version, beside whose state it lies.
    pub older: Version,
    /// SHA-256 of the older state that it belongs to.
    pub digest: [u8; 32],
    /// MessagePack, as the newer version wrote it.
    pub bytes: Bytes,
}

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
    pub(crate) carries: Vec<Carried>,
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
    pub(crate) fn of(state: State, carries: Vec<Carried>) -> Result<Self, Stuck> {
        Ok(Self {
            bytes: state.export()?,
            state,
            carries,
        })
    }

    /// The same, read from its bytes.
    pub(crate) fn again(&self, plugin: &Arc<Plugin>) -> Result<Self, Stuck> {
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
            .map_err(|violation| Stuck(format!("the state breaks an invariant: {violation}")))
    }

    fn hop(&self, mut carries: Vec<Carried>, hop: &Hop) -> Result<Self, Stuck> {
        let (from, to) = (self.state.plugin().version(), &hop.to);
        let old = &self.bytes;
        match hop.change {
            StateChange::Same => {
                let next = Self::of(to.import(old)?, Vec::new())?;
                if let Some(carry) = carries.last_mut()
                    && carry.older == *from
                {
                    if carry.digest == digest(old) {
                        carry.digest = digest(&next.bytes);
                    }
                    carry.older = to.version().clone();
                }
                Ok(Self { carries, ..next })
            }
            StateChange::Up => {
                if let Some(carry) = carries.last()
                    && carry.older == *from
                    && carry.newer != *to.version()
                {
                    return Err(Stuck(format!(
                        "it holds what only {} {} can read, so it has to go up to that first",
                        to.name(),
                        carry.newer
                    )));
                }
                let carry = carries.pop_if(|carry| carry.older == *from);
                let changed = (carry.as_ref()).is_some_and(|carry| carry.digest != digest(old));
                let bytes = carry.as_ref().map(|carry| &*carry.bytes);
                Self::of(to.up(from, old, bytes, changed)?, carries)
            }
            StateChange::Down => {
                let down = self.state.down(to.version())?;
                let older = Self::of(to.import(&down.state)?, Vec::new())?;
                carries.push(Carried {
                    newer: from.clone(),
                    older: to.version().clone(),
                    digest: digest(&older.bytes),
                    bytes: down.carry,
                });
                Ok(Self { carries, ..older })
            }
        }
    }
}

fn digest(state: &[u8]) -> [u8; 32] {
    Sha256::digest(state).into()
}
