//! One step of a state to another version of its plugin, and what becomes of the carries
//! beside it. Whoever moves a state moves it by this: what a rehearsal proves is what
//! happens to the actors.

use std::sync::Arc;

use bytes::Bytes;
use host_model::Version;
use host_model::carry::Carry;
use host_model::plan::StateChange;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{Fault, Plugin, State};

/// A state in its new version.
#[derive(Debug)]
pub struct Crossed {
    /// The state.
    pub state: State,
    /// What it exports, where that was needed on the way.
    pub bytes: Option<Bytes>,
}

/// Why a state did not come over. It is as it was; the carries may not be.
#[derive(Debug, Error)]
pub enum CrossError {
    /// The plugin's fault.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
    /// The carry beside it is another version's.
    #[error("it holds what only {plugin} {newer} can read, so it has to go up to that first")]
    Stranded {
        /// The plugin.
        plugin: String,
        /// Who wrote the carry.
        newer: Version,
    },
    /// The carry is for this version, and does not lie beside the state: taken without
    /// it, what it holds would be lost.
    #[error("what {plugin} {newer} left lies beside {older}, and the state is of {from}")]
    Misplaced {
        /// The plugin.
        plugin: String,
        /// Who wrote the carry, and would read it.
        newer: Version,
        /// Beside whose state it lies.
        older: Version,
        /// Whose state it is.
        from: Version,
    },
}

/// Makes of `state` one of the version `to`, by `change`. `bytes` is what the state
/// exports, where that is known. The timers of a carry that is used up are the caller's
/// to take first, and those of a new one to put in afterwards.
///
/// # Errors
///
/// [`CrossError`]
pub fn cross<O: AsRef<Plugin>>(
    state: &State<O>,
    bytes: Option<Bytes>,
    carries: &mut Vec<Carry>,
    to: &Arc<Plugin>,
    change: StateChange,
) -> Result<Crossed, CrossError> {
    let from = state.plugin().version();
    let old = || match bytes {
        Some(bytes) => Ok(bytes),
        None => state.export(),
    };
    match change {
        StateChange::Same => {
            let old = old()?;
            let state = to.import(&old)?;
            let mut bytes = None;
            if let Some(carry) = beside(carries, from) {
                // What lies beside the one version's state lies beside the other's.
                if carry.digest == digest(&old) {
                    let new = state.export()?;
                    carry.digest = digest(&new);
                    bytes = Some(new);
                }
                carry.older = to.version().clone();
            }
            Ok(Crossed { state, bytes })
        }
        StateChange::Up => {
            match carries.last() {
                Some(carry) if carry.older == *from && carry.newer != *to.version() => {
                    return Err(CrossError::Stranded {
                        plugin: to.name().to_owned(),
                        newer: carry.newer.clone(),
                    });
                }
                Some(carry) if carry.older != *from && carry.newer == *to.version() => {
                    return Err(CrossError::Misplaced {
                        plugin: to.name().to_owned(),
                        newer: carry.newer.clone(),
                        older: carry.older.clone(),
                        from: from.clone(),
                    });
                }
                _ => {}
            }
            let old = old()?;
            let carry = carries.pop_if(|carry| carry.older == *from);
            // Without bytes only timers waited in it.
            let carry = carry.filter(|carry| !carry.bytes.is_empty());
            let changed = (carry.as_ref()).is_some_and(|carry| carry.digest != digest(&old));
            let carry = carry.as_ref().map(|carry| &*carry.bytes);
            let state = to.up(from, &old, carry, changed)?;
            Ok(Crossed { state, bytes: None })
        }
        StateChange::Down => {
            let down = state.down(to.version())?;
            let older = to.import(&down.state)?;
            // The digest is of the bytes that the older version itself writes:
            // those are compared when it goes up again.
            let canonical = older.export()?;
            carries.push(Carry {
                newer: from.clone(),
                older: to.version().clone(),
                digest: digest(&canonical),
                bytes: down.carry,
                timers: Vec::new(),
            });
            Ok(Crossed {
                state: older,
                bytes: Some(canonical),
            })
        }
    }
}

/// The carry that lies beside a state of this version, if one does.
pub fn beside<'a>(carries: &'a mut [Carry], version: &Version) -> Option<&'a mut Carry> {
    carries.last_mut().filter(|carry| carry.older == *version)
}

fn digest(state: &[u8]) -> [u8; 32] {
    Sha256::digest(state).into()
}
