//! What must be there: a state machine that knows nothing of journals, threads or time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;
use ring::digest::{SHA256, digest};

/// Actors that are told something: few, so that they meet everything.
pub(super) const ACTORS: usize = 4;

/// The share of a canary, in percent. By their keys, 0, 1 and 2 are of it, and 3 is not.
pub(super) const SHARE: u64 = 50;

/// The transitions behind which a host can be told to die.
const DEATHS: [&str; 10] = [
    "planned",
    "verified",
    "rehearsed",
    "staged",
    "canary",
    "switching",
    "probation",
    "rolling_back",
    "rolled_back",
    "committed",
];

/// When a timer is due, in milliseconds: at once, soon, and after what follows has begun.
const DUE_MS: [u64; 3] = [0, 400, 5_000];

/// A release, and the version of the plugin in it, by the minor version.
pub(super) type Minor = u64;

/// What must be there.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) actors: [Actor; ACTORS],
    pub(super) permanent: Minor,
    pub(super) under_way: Option<UnderWay>,
    /// Where the last upgrade came from, if it led up and is committed.
    came_from: Option<Minor>,
    /// Notes and tags that were given out: each has another text.
    pub(super) texts: usize,
}

/// An upgrade that is watched.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWay {
    pub(super) to: Minor,
    pub(super) how: How,
    pub(super) is_paused: bool,
}

/// How an upgrade goes on once it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// To its end.
    Straight,
    /// Until all have come over; then it is watched for longer than any test lasts.
    Watched,
    /// As `Watched`, with a share.
    Canary,
    /// With a share, that is watched shortly: then it asks an operator, for too little was
    /// seen.
    Asking,
}

/// What an actor must know.
#[derive(Debug, Clone, Default)]
pub(super) struct Actor {
    pub(super) count: i64,
    /// Only from 0.2.0 on.
    pub(super) notes: BTreeSet<String>,
    /// Notes that were cast to it while it was too old for them.
    waiting: BTreeSet<String>,
    /// Those of them that came to nothing, because it has stayed so.
    lost: BTreeSet<String>,
    /// Only from 0.3.0 on.
    pub(super) tags: BTreeSet<String>,
    /// How many timers were set, by the first version that knows them.
    timers: [u64; 3],
    /// Whether 0.2.0 trips over it.
    is_marked: bool,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Add {
        actor: usize,
        by: i64,
    },
    /// The host dies meanwhile, and the client tries again with its key.
    AddThroughDeath {
        actor: usize,
        by: i64,
    },
    Note(usize),
    Tag(usize),
    /// Makes the actor one that 0.2.0 trips over, or no longer.
    Mark {
        actor: usize,
        is_marked: bool,
    },
    /// One actor has another one count.
    Cast {
        from: usize,
        to: usize,
        by: i64,
        /// Whether the host dies as soon as the command is answered.
        dies: bool,
    },
    /// One actor has another one keep a note, which may be too old for that.
    CastNote {
        from: usize,
        to: usize,
    },
    SetTimer {
        actor: usize,
        /// The first version that knows it.
        first: Minor,
        in_ms: u64,
    },
    /// Until all timers have fired that can.
    AwaitTimers,
    Upgrade {
        to: Minor,
        how: How,
    },
    /// A canary that asks goes on, to its end.
    Promote,
    Pause,
    Resume,
    Commit,
    Rollback,
    Kill,
    Restart,
    /// The host dies right behind a transition of an upgrade.
    KilledBehind {
        to: Minor,
        transition: &'static str,
    },
}

impl How {
    pub(super) fn is_canary(self) -> bool {
        matches!(self, Self::Canary | Self::Asking)
    }
}

impl Actor {
    /// At least and at most so many timers have fired by now, where all that can have, in
    /// `version`.
    pub(super) fn ticks(&self, version: Minor) -> (u64, u64) {
        let known = (1..=version).zip(self.timers).map(|(_, set)| set);
        (known.sum(), self.timers.iter().sum())
    }

    fn takes_what_waits(&mut self) {
        self.notes.append(&mut self.waiting);
    }
}

impl Model {
    /// The release that rules.
    pub(super) fn ruling(&self) -> Minor {
        let watched = self.under_way.filter(|it| !it.how.is_canary());
        watched.map_or(self.permanent, |it| it.to)
    }

    /// The version that an actor has, or has at its next message.
    pub(super) fn version_of(&self, actor: usize) -> Minor {
        let is_called = |it: &UnderWay| !it.how.is_canary() || is_ahead(actor);
        let called = self.under_way.filter(is_called);
        called.map_or(self.permanent, |it| it.to)
    }

    /// Whether the actor can come over.
    fn comes(&self, actor: usize, to: Minor) -> bool {
        !(self.actors[actor].is_marked && self.version_of(actor) == 1 && to > 1)
    }

    fn all_come(&self, to: Minor) -> bool {
        (0..ACTORS).all(|actor| self.comes(actor, to))
    }

    /// Whether an upgrade is refused by its rehearsal, which looks at all.
    pub(super) fn is_refused(&self, to: Minor) -> bool {
        is_rehearsed(self.ruling(), to) && !self.all_come(to)
    }

    fn becomes_permanent(&mut self, to: Minor) {
        self.came_from = (to > self.permanent).then_some(self.permanent);
        self.permanent = to;
        self.under_way = None;
        self.actors.iter_mut().for_each(Actor::takes_what_waits);
    }

    /// What is under way is taken back.
    fn goes_back(&mut self) {
        for actor in &mut self.actors {
            actor.lost.append(&mut actor.waiting);
        }
        if let Some(left) = self.under_way.take() {
            self.is_left(left.to);
        }
    }

    /// A release is left: what it could not handle is delivered again.
    fn is_left(&mut self, release: Minor) {
        let actors = self.actors.iter_mut().filter(|_| release == 1);
        actors.for_each(|actor| actor.notes.append(&mut actor.lost));
    }

    /// Messages that came to nothing.
    pub(super) fn letters(&self) -> usize {
        self.actors.iter().map(|actor| actor.lost.len()).sum()
    }

    /// What is under way takes all with it, and ends.
    fn goes_on(&mut self) {
        match self.under_way {
            Some(it) if self.all_come(it.to) => self.becomes_permanent(it.to),
            _ => self.goes_back(),
        }
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        text(self.texts)
    }
}

/// Whether the actor is of a canary's share, as docs/operate.md says that it is chosen.
fn is_ahead(actor: usize) -> bool {
    let key = digest(&SHA256, actor.to_string().as_bytes());
    let first = key.as_ref().first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first) % 1_000_000 < SHARE * 10_000
}

/// Whether a way is rehearsed: the one whose appup declares what answers differently.
pub(super) fn is_rehearsed(from: Minor, to: Minor) -> bool {
    (from, to) == (1, 2)
}

/// What `add` is called in a version.
pub(super) fn add(version: Minor) -> &'static str {
    if version == 3 { "count" } else { "add" }
}

/// The text that is given out as the nth.
pub(super) fn text(nth: usize) -> String {
    format!("text {nth}")
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            permanent: 1,
            ..Self::default()
        })
        .boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Step> {
        let actor = || 0..ACTORS;
        let by = || 1_i64..100;
        let mut steps = vec![
            (
                4,
                (actor(), by())
                    .prop_map(|(actor, by)| Step::Add { actor, by })
                    .boxed(),
            ),
            (
                1,
                (actor(), by())
                    .prop_map(|(actor, by)| Step::AddThroughDeath { actor, by })
                    .boxed(),
            ),
            (3, actor().prop_map(Step::Note).boxed()),
            (2, actor().prop_map(Step::Tag).boxed()),
            (
                3,
                (actor(), actor())
                    .prop_map(|(from, to)| Step::CastNote { from, to })
                    .boxed(),
            ),
            (1, Just(Step::AwaitTimers).boxed()),
            (1, Just(Step::Kill).boxed()),
            (1, Just(Step::Restart).boxed()),
        ];
        let cast = (actor(), actor(), by(), prop::bool::weighted(0.2));
        let cast = cast.prop_map(|(from, to, by, dies)| Step::Cast { from, to, by, dies });
        steps.push((4, cast.boxed()));
        let timer = (actor(), 1..=3_u64, select(&DUE_MS[..]));
        let timer = timer.prop_map(|(actor, first, in_ms)| Step::SetTimer {
            actor,
            first,
            in_ms,
        });
        steps.push((4, timer.boxed()));
        if let Some(it) = model.under_way {
            let pace = if it.is_paused {
                Step::Resume
            } else {
                Step::Pause
            };
            let ends = match it.how {
                How::Asking => vec![Step::Promote, Step::Commit, Step::Rollback],
                _ => vec![pace, Step::Commit, Step::Rollback],
            };
            steps.push((8, select(ends).boxed()));
        } else {
            let others: Vec<Minor> = (1..=3).filter(|it| *it != model.permanent).collect();
            let hows = [How::Straight, How::Watched, How::Canary, How::Asking].to_vec();
            let upgrade = (select(others.clone()), select(hows));
            steps.push((
                8,
                upgrade
                    .prop_map(|(to, how)| Step::Upgrade { to, how })
                    .boxed(),
            ));
            let killed = (select(others), select(&DEATHS[..]));
            let killed = killed.prop_map(|(to, transition)| Step::KilledBehind { to, transition });
            steps.push((3, killed.boxed()));
            let mark = (actor(), any::<bool>());
            let mark = mark.prop_map(|(actor, is_marked)| Step::Mark { actor, is_marked });
            steps.push((1, mark.boxed()));
            steps.push((2, Just(Step::Rollback).boxed()));
        }
        Union::new_weighted(steps).boxed()
    }

    fn preconditions(model: &Self, step: &Step) -> bool {
        let how = model.under_way.map(|it| it.how);
        match step {
            Step::Add { .. } | Step::Kill | Step::Restart | Step::AwaitTimers => true,
            // A key is known under the name of its command, which 0.3.0 has changed.
            Step::AddThroughDeath { actor, .. } => {
                add(model.version_of(*actor)) == add(model.permanent)
            }
            Step::Note(actor) => model.version_of(*actor) >= 2,
            Step::Tag(actor) => model.version_of(*actor) == 3,
            Step::Cast { from, to, .. } => from != to,
            // Who is too old for it comes over later, or never does.
            Step::CastNote { from, to } => {
                let is_later = model.under_way.is_some_and(|it| it.to > model.permanent);
                from != to
                    && model.version_of(*from) >= 2
                    && (model.version_of(*to) >= 2 || is_later)
            }
            Step::SetTimer { actor, first, .. } => *first <= model.version_of(*actor),
            Step::Mark { .. } => model.under_way.is_none() && model.permanent == 1,
            Step::Upgrade { to, .. } => model.under_way.is_none() && *to != model.permanent,
            Step::KilledBehind { to, transition } => {
                // Only what cannot come over rolls back.
                let rolls_back = matches!(*transition, "rolling_back" | "rolled_back");
                let goes_on = matches!(*transition, "rehearsed" | "probation" | "committed");
                let fits = match model.all_come(*to) {
                    true => !rolls_back,
                    false => !goes_on,
                };
                let is_rehearsed = is_rehearsed(model.permanent, *to);
                let fits = fits && (*transition != "rehearsed" || is_rehearsed);
                model.under_way.is_none() && *to != model.permanent && fits
            }
            Step::Promote => how == Some(How::Asking),
            // One that asks pauses itself, some time.
            Step::Pause | Step::Resume => {
                let is_paused = matches!(step, Step::Resume);
                let fits = |it: UnderWay| it.how != How::Asking && it.is_paused == is_paused;
                model.under_way.is_some_and(fits)
            }
            Step::Commit => how.is_some(),
            Step::Rollback => how.is_some() || model.came_from.is_some(),
        }
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        if let Step::Upgrade { .. } | Step::KilledBehind { .. } = step {
            model.came_from = None;
        }
        match step {
            Step::Add { actor, by } => model.actors[*actor].count += by,
            Step::AddThroughDeath { actor, by } => {
                model.actors[*actor].count += by;
                model.goes_back();
            }
            Step::Note(actor) => {
                let text = model.text();
                model.actors[*actor].notes.insert(text);
            }
            Step::Tag(actor) => {
                let text = model.text();
                model.actors[*actor].tags.insert(text);
            }
            Step::Mark { actor, is_marked } => model.actors[*actor].is_marked = *is_marked,
            Step::Cast { to, by, dies, .. } => {
                model.actors[*to].count += by;
                if *dies {
                    model.goes_back();
                }
            }
            Step::CastNote { to, .. } => {
                let text = model.text();
                model.actors[*to].waiting.insert(text);
                if model.version_of(*to) >= 2 {
                    model.actors[*to].takes_what_waits();
                }
            }
            Step::SetTimer { actor, first, .. } => {
                let of = usize::try_from(first - 1).expect("there are three versions");
                model.actors[*actor].timers[of] += 1;
            }
            Step::AwaitTimers => {}
            Step::Upgrade { to, .. } if model.is_refused(*to) => {}
            Step::Upgrade { to, how } => {
                let is_called = |actor: &usize| !how.is_canary() || is_ahead(*actor);
                let all_come = (0..ACTORS)
                    .filter(is_called)
                    .all(|actor| model.comes(actor, *to));
                match how {
                    _ if !all_come => {}
                    How::Straight => model.becomes_permanent(*to),
                    _ => {
                        model.under_way = Some(UnderWay {
                            to: *to,
                            how: *how,
                            is_paused: false,
                        });
                    }
                }
            }
            Step::Promote => model.goes_on(),
            Step::Pause | Step::Resume => {
                if let Some(under_way) = &mut model.under_way {
                    under_way.is_paused = matches!(step, Step::Pause);
                }
            }
            Step::Commit => model.goes_on(),
            Step::Rollback => match (model.under_way, model.came_from) {
                (None, Some(from)) => model.becomes_permanent(from),
                _ => model.goes_back(),
            },
            Step::Kill | Step::Restart => model.goes_back(),
            Step::KilledBehind {
                to,
                transition: "committed",
            } => model.becomes_permanent(*to),
            Step::KilledBehind { to, transition } => {
                if matches!(*transition, "canary" | "switching" | "probation") {
                    model.is_left(*to);
                }
            }
        }
        model
    }
}
