//! Shapes: how a message crosses versions. One rule for what queues, for timers, and for
//! clients that stay for weeks: it is converted whenever the version of its shape is
//! another than that of the actor, one neighbouring version after the other.

use std::sync::Arc;

use bytes::Bytes;
use host_loader::{Shape, ShapeStep};
use host_model::Version;
use host_model::effect::Rejection;

use crate::Actors;
use crate::live::Live;
use crate::message::CallError;
use crate::release::{Code, Release, Ruling};

impl Actors {
    /// `event` of `version` in the shape of the state's version. None: as it is.
    pub(crate) fn convert(
        &self,
        live: &Live,
        version: &Version,
        event: &str,
        payload: &Bytes,
    ) -> Result<Option<Shape>, CallError> {
        if live.code().version() == version {
            return Ok(None);
        }
        // The newest that there is knows the ways between all of them.
        let reign = self.reign.load();
        convert(reign.newest(), live.code(), version, event, payload)
    }
}

/// `event` in the shape of the version `from`, in that of `own`. None: as it is.
pub(crate) fn convert(
    release: &Release,
    own: &Arc<Code>,
    from: &Version,
    event: &str,
    payload: &Bytes,
) -> Result<Option<Shape>, CallError> {
    if own.version() == from {
        return Ok(None);
    }
    let name = own.plugin().name();
    let ruling = release.plugins.get(name);
    let steps = ruling.and_then(|ruling| steps(ruling, from, own.version()));
    let steps = match steps {
        Some(steps) => steps,
        None => vec![straight(release, own, from).ok_or_else(|| unknown(name, from))?],
    };
    match host_loader::convert(steps.iter().map(Step::look), event, payload) {
        Ok(Ok(shape)) => Ok(shape),
        Ok(Err(rejection)) => Err(CallError::Rejected(rejection)),
        Err(fault) => Err(CallError::Crashed(fault.to_string())),
    }
}

/// From one version to a neighbour; the newer of the two knows both shapes.
struct Step {
    newer: Arc<Code>,
    older: Version,
    up: bool,
}

impl Step {
    fn between(a: &Arc<Code>, b: &Arc<Code>) -> Self {
        let up = a.version() < b.version();
        let (older, newer) = if up { (a, b) } else { (b, a) };
        Self {
            newer: Arc::clone(newer),
            older: older.version().clone(),
            up,
        }
    }

    fn look(&self) -> ShapeStep<'_> {
        ShapeStep {
            newer: self.newer.plugin(),
            older: &self.older,
            up: self.up,
        }
    }
}

/// The fewest steps from one version to another, over the ways of states: who can read
/// the state of a neighbour can read its messages, in either direction.
fn steps(ruling: &Ruling, from: &Version, to: &Version) -> Option<Vec<Step>> {
    let pairs: Vec<_> = ruling.neighbours().collect();
    // Each with the one that it was reached from; the first is where it begins.
    let mut reached: Vec<(&Arc<Code>, usize)> = Vec::new();
    let both = || pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
    let begin = both().find(|(a, _)| a.version() == from)?.0;
    reached.push((begin, 0));
    let mut at = 0;
    while let Some((here, _)) = reached.get(at).copied() {
        if here.version() == to {
            break;
        }
        for (a, b) in both() {
            let is_new = |version: &Version| reached.iter().all(|(it, _)| it.version() != version);
            if a.version() == here.version() && is_new(b.version()) {
                reached.push((b, at));
            }
        }
        at += 1;
    }
    let mut steps = Vec::new();
    let mut here = reached.get(at).map(|_| at)?;
    while here != 0 {
        let (code, before) = reached[here];
        steps.push(Step::between(reached[before].0, code));
        here = before;
    }
    steps.reverse();
    Some(steps)
}

/// Where no way of states is known: the newer of the two may know the other all the same.
fn straight(release: &Release, own: &Arc<Code>, from: &Version) -> Option<Step> {
    let other = release.code(own.plugin().name(), from);
    let step = match other {
        Some(other) => Step::between(other, own),
        // Its own code is all that is here.
        None if from < own.version() => Step {
            newer: Arc::clone(own),
            older: from.clone(),
            up: true,
        },
        None => return None,
    };
    let knows = step.newer.plugin().manifest().migrates_from.as_ref();
    let same_shape = other.is_some_and(|other| schema(other) == schema(own));
    let can = knows.is_some_and(|from| from.matches(&step.older)) || same_shape;
    can.then_some(step)
}

/// The number of a version's state shape.
pub(crate) fn schema(code: &Code) -> u32 {
    code.plugin().manifest().state_schema
}

fn unknown(plugin: &str, from: &Version) -> CallError {
    CallError::Rejected(Rejection {
        reason: "unknown_event".to_owned(),
        message: format!(
            "it is in the shape of {plugin} {from}, from which no way leads here; join again"
        ),
    })
}
