//! A state on its way to another version.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use host_loader::{State, beside, cross};
use host_model::carry::Carry;
use host_model::limits::STATE_BYTES_MAX;
use host_model::plan::StateChange;
use host_model::way::too_large;
use host_model::{ActorId, Version};

use crate::aside::Aside;
use crate::live::Live;
use crate::release::{Code, Release, RouteHop};

/// A state that has come over, not yet put in the old one's place: until all has
/// worked, the old one is untouched.
pub(crate) struct Over {
    pub(crate) state: State<Code>,
    pub(crate) carries: Vec<Carry>,
    /// Whether the state's shape changed on the way.
    stateful: bool,
    /// Its bytes, where a step knows them; at the end, if its shape changed: a state that
    /// cannot be written has not come over.
    pub(crate) exported: Option<Bytes>,
    pub(crate) timers: Aside,
}

impl Over {
    /// An actor that has accepted nothing.
    pub(crate) fn anew(id: &ActorId, code: &Arc<Code>) -> Result<Self, String> {
        let state = code.new_state(id);
        Ok(Self {
            state: state.map_err(|fault| fault.to_string())?,
            carries: Vec::new(),
            stateful: false,
            exported: None,
            timers: Aside::default(),
        })
    }

    /// The state of `live`, by all hops. Where no appup has them (`is_kept`), it is kept also if
    /// only the code changes: nobody comes over anew at a later start.
    pub(crate) fn come(
        release: &Release,
        live: &Live,
        hops: &[RouteHop],
        is_kept: bool,
        timers: Aside,
    ) -> Result<Self, String> {
        let (first, rest) = hops.split_first().ok_or("the way has no steps")?;
        let carries = live.carries().to_vec();
        let come = || hop(release, &live.state, None, carries, timers, first);
        let mut over = in_time(first, come)?;
        over.stateful |= is_kept;
        over.go_on(release, rest)
    }

    /// A state that was rebuilt in another version.
    pub(crate) fn rebuilt(state: State<Code>, carries: Vec<Carry>, timers: Aside) -> Self {
        Self {
            state,
            carries,
            stateful: true,
            exported: None,
            timers,
        }
    }

    /// Goes on by these hops, and ends.
    pub(crate) fn go_on(mut self, release: &Release, hops: &[RouteHop]) -> Result<Self, String> {
        for next in hops {
            let stateful = self.stateful;
            self = in_time(next, || {
                let Self {
                    state,
                    carries,
                    exported,
                    timers,
                    ..
                } = self;
                hop(release, &state, exported, carries, timers, next)
            })?;
            self.stateful |= stateful;
        }
        // Of a state that only has other code now nothing is kept.
        let exported = self.exported.take();
        if self.stateful {
            let exported = exported.map_or_else(|| self.state.export(), Ok);
            self.exported = Some(exported.map_err(|fault| fault.to_string())?);
            let bytes = self.bytes();
            if bytes > STATE_BYTES_MAX {
                return Err(too_large(bytes));
            }
        }
        match self.state.check() {
            Ok(Ok(())) => Ok(self),
            Ok(Err(violation)) => Err(format!("the migrated state breaks {violation}")),
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Of the snapshot that is to be written, if one is.
    pub(crate) fn bytes(&self) -> usize {
        let carries = self.carries.iter().map(Carry::weight);
        let state = self.exported.as_ref().map(Bytes::len);
        state.map_or(0, |state| state + carries.sum::<usize>())
    }

    /// Takes the old one's place. What is left are the timers.
    pub(crate) fn settle(self, live: &mut Live) -> Aside {
        live.state = self.state;
        live.set_carries(self.carries);
        self.timers
    }
}

fn in_time(hop: &RouteHop, step: impl FnOnce() -> Result<Over, String>) -> Result<Over, String> {
    let began = Instant::now();
    let over = step()?;
    hop.in_time(began.elapsed())?;
    Ok(over)
}

fn hop(
    release: &Release,
    state: &State<Code>,
    bytes: Option<Bytes>,
    mut carries: Vec<Carry>,
    mut timers: Aside,
    hop: &RouteHop,
) -> Result<Over, String> {
    let (from, to) = (state.owner(), &hop.to);
    if hop.change == StateChange::Up {
        timers.up(beside(&mut carries, from.version()));
    }
    let crossed = cross(state, bytes, &mut carries, to.plugin(), hop.change);
    let crossed = crossed.map_err(|error| error.to_string())?;
    if hop.change == StateChange::Down
        && let Some(carry) = carries.last_mut()
    {
        carry.timers = timers.down(release, from, to.version());
    }
    Ok(Over {
        state: crossed.state.owned_by(Arc::clone(to)),
        carries,
        stateful: hop.change != StateChange::Same,
        exported: crossed.bytes,
        timers,
    })
}

/// Where the carry between two versions stands in a stack, made where there is none.
pub(crate) fn carry_between<'a>(
    carries: &'a mut Vec<Carry>,
    newer: &Version,
    older: &Version,
) -> &'a mut Carry {
    let known = carries
        .iter()
        .position(|carry| carry.newer == *newer && carry.older == *older);
    let at = known.unwrap_or_else(|| {
        // The latest last: what lies between older versions was written later.
        let later = carries.iter().position(|carry| carry.newer <= *older);
        let at = later.unwrap_or(carries.len());
        carries.insert(
            at,
            Carry {
                newer: newer.clone(),
                older: older.clone(),
                digest: [0; 32],
                bytes: Bytes::new(),
                timers: Vec::new(),
            },
        );
        at
    });
    &mut carries[at]
}
