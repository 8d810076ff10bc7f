//! Shapes: how a message crosses versions. One rule for what queues, for timers, and for
//! clients that stay for weeks: it is converted whenever the version of its shape is
//! another than that of the actor, one neighbouring version after the other.

use std::sync::Arc;

use bytes::Bytes;
use host_loader::{Fault, Shape, ShapeStep};
use host_model::Version;
use host_model::effect::Rejection;

use crate::Actors;
use crate::live::Live;
use crate::message::CallError;
use crate::release::{Code, Release};

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
    let way = way(release, own, from).ok_or_else(|| unknown(own.plugin().name(), from))?;
    match along(&way, event, payload) {
        Ok(Ok(shape)) => Ok(shape),
        Ok(Err(rejection)) => Err(CallError::Rejected(rejection)),
        Err(fault) => Err(CallError::Crashed(fault.to_string())),
    }
}

/// The steps from the shape of the version `from` to that of `own`, which is another.
pub(crate) fn way(release: &Release, own: &Arc<Code>, from: &Version) -> Option<Vec<Step>> {
    let ruling = release.plugins.get(own.plugin().name());
    let to = own.version();
    let on_the_ways = ruling.and_then(|it| steps(&it.neighbours().collect::<Vec<_>>(), from, to));
    let anywhere = || steps(&ruling?.neighbours_anywhere().collect::<Vec<_>>(), from, to);
    let straight = || Some(vec![straight(release, own, from)?]);
    on_the_ways.or_else(anywhere).or_else(straight)
}

/// `event` behind these steps. None: as it is.
pub(crate) fn along(
    steps: &[Step],
    event: &str,
    payload: &Bytes,
) -> Result<Result<Option<Shape>, Rejection>, Box<Fault>> {
    host_loader::convert(steps.iter().map(Step::look), event, payload)
}

/// From one version to a neighbour; the newer of the two knows both shapes.
pub(crate) struct Step {
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

    /// From a version that need not be here.
    fn up(newer: &Arc<Code>, older: &Version) -> Self {
        Self {
            newer: Arc::clone(newer),
            older: older.clone(),
            up: true,
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

/// Two versions between which a state goes over in one step, in either direction.
type Neighbours<'a> = (&'a Arc<Code>, &'a Arc<Code>);

/// The fewest steps from one version to another, over the ways of states: who can read
/// the state of a neighbour can read its messages, in either direction. Where the library
/// of the first is not installed any more, they begin at those that migrate from it.
fn steps(pairs: &[Neighbours<'_>], from: &Version, to: &Version) -> Option<Vec<Step>> {
    // Each with the one that it was reached from; the first ones are where it begins.
    let mut reached: Vec<(&Arc<Code>, Option<usize>)> = Vec::new();
    let both = || pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
    match both().find(|(a, _)| a.version() == from) {
        Some((begin, _)) => reached.push((begin, None)),
        None => {
            let newer = both().map(|(a, _)| a).filter(|a| migrates(a, from));
            reached.extend(newer.map(|newer| (newer, None)));
        }
    }
    let mut at = 0;
    while let Some((here, _)) = reached.get(at).copied() {
        if here.version() == to {
            break;
        }
        for (a, b) in both() {
            let is_new = |version: &Version| reached.iter().all(|(it, _)| it.version() != version);
            if a.version() == here.version() && is_new(b.version()) {
                reached.push((b, Some(at)));
            }
        }
        at += 1;
    }
    let mut steps = Vec::new();
    let (mut code, mut before) = reached.get(at).copied()?;
    while let Some(at) = before {
        let (other, behind) = reached[at];
        steps.push(Step::between(other, code));
        (code, before) = (other, behind);
    }
    if code.version() != from {
        steps.push(Step::up(code, from));
    }
    steps.reverse();
    Some(steps)
}

/// Whether a version knows the messages of an older one, for it reads its states.
fn migrates(newer: &Code, older: &Version) -> bool {
    let from = newer.plugin().manifest().migrates_from.as_ref();
    older < newer.version() && from.is_some_and(|from| from.matches(older))
}

/// Where no way of states is known: the newer of the two may know the other all the same.
fn straight(release: &Release, own: &Arc<Code>, from: &Version) -> Option<Step> {
    let other = release.code(own.plugin().name(), from);
    let step = match other {
        Some(other) => Step::between(other, own),
        // Its own code is all that is here.
        None => Step::up(own, from),
    };
    let same_shape = other.is_some_and(|other| schema(other) == schema(own));
    let can = migrates(&step.newer, &step.older) || same_shape;
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
