//! The states of an upgrade, and what leads from one to the next.

use host_model::control::Outcome;
use host_model::plan::Plan;
use host_model::{ActorId, Share, Version};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An upgrade: what it does, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// Its number in the history.
    pub id: u64,
    /// What it does.
    pub plan: Plan,
    /// How far it has come.
    pub state: State,
    /// Whether an operator goes back with it from a release that is permanent: then
    /// who cannot come is set aside, and its end says nothing against the release.
    #[serde(default)]
    pub rollback: bool,
    /// Actors whose way back did not return: the host was restarted out of it. They are
    /// set aside, whole, and no sweep tries them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<ActorId>,
    /// The actor that was on its way back when the process died last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<ActorId>,
    /// Hooks of the way back that were begun and have not ended: the host ended in them,
    /// or is about to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<BegunHook>,
}

/// See [`Upgrade::begun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunHook {
    /// Whose it is.
    pub plugin: String,
    /// Of which version.
    pub version: Version,
    /// Its name.
    pub hook: String,
    /// How often it was begun.
    pub times: u32,
}

/// Why an upgrade did not commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// In a sentence.
    pub text: String,
    /// Whether it speaks against the new release: that is then not tried again by
    /// accident. An operator's wish and a host's death do not.
    pub blames_release: bool,
}

impl Upgrade {
    /// One that is about to begin.
    pub(crate) fn planned(id: u64, plan: Plan, rollback: bool) -> Self {
        Self {
            id,
            plan,
            state: State::Planned,
            rollback,
            given_up: Vec::new(),
            suspect: None,
            begun: Vec::new(),
        }
    }
}

/// How far an upgrade has come.
///
/// ```text
/// Planned ─► Verified ─► Rehearsed ─► Staged ─► Canary ─► Switching ─► Probation ─► Committed
///    │          │            │           ├──────────│───────►│             │
///    └──────────┴────────────┴───────────┴─► Cancelled       │             │
///                                                   └────────┴─► RollingBack ─► RolledBack
///                                                                    └─► Stuck ─┘
/// ```
///
/// Without a rehearsal, what is verified is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The plan is made; nothing is done.
    Planned,
    /// What the plan needs is there, and is what it should be.
    Verified,
    /// Its effect on the actors that there are is known, and nothing speaks against it.
    Rehearsed,
    /// The new plugins are open.
    Staged,
    /// A share of the actors is ahead in the new release, and is watched; the old one
    /// rules.
    Canary {
        /// Which share.
        share: Share,
    },
    /// The new release rules; actors come over.
    Switching,
    /// All have come over; the new release is watched.
    Probation,
    /// The new release is permanent.
    Committed,
    /// Nothing had been switched when it ended.
    Cancelled {
        /// Why.
        reason: Reason,
    },
    /// The old release rules again; actors go back.
    RollingBack {
        /// Why.
        reason: Reason,
    },
    /// All have gone back.
    RolledBack {
        /// Why.
        reason: Reason,
    },
    /// An operator must look.
    Stuck {
        /// Why.
        reason: Reason,
    },
}

/// What happens to an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Everything that it needs is there.
    Verified,
    /// The rehearsal was passed.
    Rehearsed,
    /// The new plugins are open.
    Staged,
    /// A share of the actors is about to be ahead: the first one, or a larger one.
    ShareGrew {
        /// Which.
        share: Share,
    },
    /// The new release is about to rule.
    SwitchBegan,
    /// Everyone has come over.
    AllSwitched,
    /// Probation is over and everyone has come over.
    Committed,
    /// Something stands in the way, or an operator says so.
    Failed {
        /// What.
        reason: Reason,
    },
    /// Everyone has gone back.
    AllReturned,
    /// Going back does not work either.
    GotStuck {
        /// Why.
        why: String,
    },
    /// Code does not return on the way back; the host ends, and the next one goes on.
    Contained {
        /// What does not return: the first of it, in a sentence.
        why: String,
        /// How many others there are.
        others: usize,
    },
    /// The process that carried it out is gone.
    HostDied,
    /// An operator has looked, and wants it to go back.
    TriedAgain,
}

/// An event that cannot happen in a state: a defect of the host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an upgrade that is {state} cannot take the event {event:?}")]
pub struct IllegalEvent {
    /// The state.
    pub state: &'static str,
    /// The event.
    pub event: Event,
}

impl Reason {
    /// Something that the new release is to blame for.
    pub fn release(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            blames_release: true,
        }
    }

    /// Something that it is not to blame for.
    pub fn blameless(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            blames_release: false,
        }
    }

    /// What else has happened on the way back, once: who is to blame stays so.
    fn and(mut self, what: &str) -> Self {
        if !self.text.ends_with(what) {
            self.text = format!("{}; {what}", self.text);
        }
        self
    }

    /// The host is restarted out of code that does not return. Where that is said already, as
    /// the reason for going back, the restart is said with it.
    fn contained(mut self, why: &str, others: usize) -> Self {
        let more = match others {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        let restarted = format!("{why}{more}, so the host was restarted");
        let is_whole = |rest: &str| rest.is_empty() || rest.starts_with("; ");
        let mut said = self.text.match_indices(why);
        let said = said.find(|(at, why)| is_whole(&self.text[at + why.len()..]));
        match said.map(|(at, _)| at..at + why.len()) {
            Some(said) => self.text.replace_range(said, &restarted),
            None => return self.and(&restarted),
        }
        self
    }
}

impl State {
    /// The state that follows. The one place that says so, for live code and for
    /// recovery after a crash.
    ///
    /// # Errors
    ///
    /// [`IllegalEvent`] for an event that has no place here.
    pub fn apply(self, event: Event) -> Result<Self, IllegalEvent> {
        use Event as E;
        Ok(match (self, event) {
            (Self::Planned, E::Verified) => Self::Verified,
            (Self::Verified, E::Rehearsed) => Self::Rehearsed,
            (Self::Verified | Self::Rehearsed, E::Staged) => Self::Staged,
            (Self::Staged, E::ShareGrew { share }) => Self::Canary { share },
            // Who is ahead stays so.
            (Self::Canary { share: narrower }, E::ShareGrew { share }) if narrower < share => {
                Self::Canary { share }
            }
            (Self::Staged | Self::Canary { .. }, E::SwitchBegan) => Self::Switching,
            (Self::Switching, E::AllSwitched) => Self::Probation,
            (Self::Probation, E::Committed) => Self::Committed,

            // Nothing has been switched: there is nothing to go back from.
            (
                Self::Planned | Self::Verified | Self::Rehearsed | Self::Staged,
                E::Failed { reason },
            ) => Self::Cancelled { reason },
            (Self::Planned | Self::Verified | Self::Rehearsed | Self::Staged, E::HostDied) => {
                Self::Cancelled {
                    reason: Reason::blameless(DIED),
                }
            }
            (Self::Canary { .. } | Self::Switching | Self::Probation, E::Failed { reason }) => {
                Self::RollingBack { reason }
            }
            // The permanent release boots, and it is the old one.
            (Self::Canary { .. } | Self::Switching | Self::Probation, E::HostDied) => {
                Self::RollingBack {
                    reason: Reason::blameless(DIED),
                }
            }
            (Self::RollingBack { reason }, E::AllReturned) => Self::RolledBack { reason },
            (Self::RollingBack { reason }, E::GotStuck { why }) => Self::Stuck {
                reason: reason.and(&why),
            },
            (Self::RollingBack { reason }, E::Contained { why, others }) => Self::RollingBack {
                reason: reason.contained(&why, others),
            },
            (Self::Stuck { reason }, E::TriedAgain) => Self::RollingBack { reason },
            // A start goes on where the process before it ended.
            (state @ (Self::RollingBack { .. } | Self::Stuck { .. }), E::HostDied) => state,
            (state, E::HostDied) if state.is_over() => state,

            (state, event) => {
                return Err(IllegalEvent {
                    state: state.name(),
                    event,
                });
            }
        })
    }

    /// Whether nothing follows any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Committed | Self::Cancelled { .. } | Self::RolledBack { .. }
        )
    }

    /// Whether actors have been called over, all or a share.
    #[must_use]
    pub fn has_switched(&self) -> bool {
        !matches!(
            self,
            Self::Planned
                | Self::Verified
                | Self::Rehearsed
                | Self::Staged
                | Self::Cancelled { .. }
        )
    }

    /// So many of those that were counted have come over with this upgrade: before its switch
    /// whoever comes over still does with the one before.
    pub(crate) fn came_over(&self, counted: u64) -> u64 {
        match self.has_switched() {
            true => counted,
            false => 0,
        }
    }

    /// How it ends from here, as far as is known.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Committed => Outcome::Committed,
            Self::Cancelled { .. } => Outcome::Failed,
            Self::RollingBack { .. } | Self::RolledBack { .. } => Outcome::RolledBack,
            Self::Stuck { .. } => Outcome::Stuck,
            _ => Outcome::Probation,
        }
    }

    /// Its name, as in the status and the journal.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Verified => "verified",
            Self::Rehearsed => "rehearsed",
            Self::Staged => "staged",
            Self::Canary { .. } => "canary",
            Self::Switching => "switching",
            Self::Probation => "probation",
            Self::Committed => "committed",
            Self::Cancelled { .. } => "cancelled",
            Self::RollingBack { .. } => "rolling_back",
            Self::RolledBack { .. } => "rolled_back",
            Self::Stuck { .. } => "stuck",
        }
    }

    /// Why it did not commit, where that is so.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Cancelled { reason }
            | Self::RollingBack { reason }
            | Self::RolledBack { reason }
            | Self::Stuck { reason } => Some(reason),
            _ => None,
        }
    }
}

/// Why an upgrade ended when its process did.
const DIED: &str = "the host ended in the middle of it";

#[cfg(test)]
mod tests {
    use super::*;

    fn reason() -> Reason {
        Reason::release("why")
    }

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    fn grew(text: &str) -> Event {
        Event::ShareGrew { share: share(text) }
    }

    fn states() -> Vec<State> {
        vec![
            State::Planned,
            State::Verified,
            State::Rehearsed,
            State::Staged,
            State::Canary { share: share("5%") },
            State::Switching,
            State::Probation,
            State::Committed,
            State::Cancelled { reason: reason() },
            State::RollingBack { reason: reason() },
            State::RolledBack { reason: reason() },
            State::Stuck { reason: reason() },
        ]
    }

    fn after(state: &State, event: Event) -> Option<&'static str> {
        state.clone().apply(event).ok().map(|state| state.name())
    }

    #[test]
    fn the_straight_way_leads_to_committed() {
        let events = [
            Event::Verified,
            Event::Rehearsed,
            Event::Staged,
            Event::SwitchBegan,
            Event::AllSwitched,
            Event::Committed,
        ];
        let way = |without: Option<&Event>| {
            let events = events.iter().filter(|event| Some(*event) != without);
            events.cloned().try_fold(State::Planned, State::apply)
        };
        assert_eq!(way(None).unwrap(), State::Committed);
        // The rehearsal is the one step that may be left out.
        assert_eq!(way(Some(&Event::Rehearsed)).unwrap(), State::Committed);
        for event in events.iter().filter(|event| **event != Event::Rehearsed) {
            assert!(
                !matches!(way(Some(event)), Ok(State::Committed)),
                "{event:?}"
            );
        }
    }

    #[test]
    fn a_canary_grows_and_then_all_switch() {
        let events = [
            Event::Verified,
            Event::Staged,
            grew("5%"),
            grew("25%"),
            Event::SwitchBegan,
        ];
        let state = events.into_iter().try_fold(State::Planned, State::apply);
        assert_eq!(state.unwrap(), State::Switching);
        // Nobody is called back by a share that shrinks.
        let canary = State::Staged.apply(grew("25%")).unwrap();
        for share in ["25%", "5%"] {
            assert_eq!(after(&canary, grew(share)), None, "{share}");
        }
        for state in states() {
            let grows = after(&state, grew("100%")).is_some();
            let may = matches!(state, State::Staged | State::Canary { .. });
            assert_eq!(grows, may, "{state:?}");
        }
    }

    #[test]
    fn a_death_cancels_before_the_switch_and_rolls_back_after_it() {
        let after: Vec<_> = states()
            .iter()
            .map(|state| after(state, Event::HostDied).unwrap())
            .collect();
        assert_eq!(
            after,
            [
                "cancelled",
                "cancelled",
                "cancelled",
                "cancelled",
                "rolling_back",
                "rolling_back",
                "rolling_back",
                "committed",
                "cancelled",
                "rolling_back",
                "rolled_back",
                "stuck",
            ]
        );
    }

    #[test]
    fn nobody_has_come_over_with_what_has_nobody_to_bring_back() {
        for state in states().into_iter().filter(|it| !it.is_over()) {
            let cancelled = after(&state, Event::HostDied) == Some("cancelled");
            assert_eq!(state.has_switched(), !cancelled, "{state:?}");
        }
        assert_eq!(State::Staged.came_over(7), 0);
        assert_eq!(State::Cancelled { reason: reason() }.came_over(7), 0);
        assert_eq!(State::Switching.came_over(7), 7);
        assert_eq!(State::Committed.came_over(7), 7);
        assert_eq!(State::RolledBack { reason: reason() }.came_over(7), 7);
    }

    #[test]
    fn a_failure_is_possible_until_it_is_over() {
        let failed: Vec<_> = states()
            .iter()
            .map(|state| after(state, Event::Failed { reason: reason() }))
            .collect();
        let (cancelled, back) = (Some("cancelled"), Some("rolling_back"));
        assert_eq!(
            failed,
            [
                cancelled, cancelled, cancelled, cancelled, back, back, back, None, None, None,
                None, None
            ]
        );
    }

    #[test]
    fn nothing_is_committed_but_from_probation() {
        let committed = |state: &State| after(state, Event::Committed).is_some();
        let from: Vec<_> = states().into_iter().filter(committed).collect();
        assert_eq!(from, [State::Probation]);
    }

    #[test]
    fn what_does_not_return_is_contained_on_the_way_back_only() {
        for state in states() {
            let why = "faulty:7 does not return".to_owned();
            let rolling = matches!(state, State::RollingBack { .. });
            match state.clone().apply(Event::Contained { why, others: 0 }) {
                Ok(State::RollingBack { reason }) => {
                    assert!(rolling, "{state:?}");
                    let said = "why; faulty:7 does not return, so the host was restarted";
                    assert_eq!(reason.text, said);
                    assert!(reason.blames_release);
                }
                Ok(other) => panic!("{state:?} became {other:?}"),
                Err(_) => assert!(!rolling, "{state:?}"),
            }
        }
    }

    #[test]
    fn code_that_does_not_return_is_said_once_with_the_restart() {
        let why = "faulty:7 does not return";
        let contained = |before: &str, others| {
            let why = why.to_owned();
            let state = State::RollingBack {
                reason: Reason::release(before),
            };
            let state = state.apply(Event::Contained { why, others }).unwrap();
            state.reason().unwrap().text.clone()
        };
        let restarted = "faulty:7 does not return, so the host was restarted";
        assert_eq!(contained(why, 0), restarted);
        assert_eq!(contained(restarted, 0), restarted);
        let more = "faulty:7 does not return (and 2 more), so the host was restarted";
        assert_eq!(contained(why, 2), more);
        let trouble = "on the way back a hook broke";
        assert_eq!(
            contained(&format!("{why}; {trouble}"), 0),
            format!("{restarted}; {trouble}")
        );
        assert_eq!(contained("why", 2), format!("why; {more}"));
    }

    #[test]
    fn what_is_stuck_goes_back_for_its_first_reason_and_says_the_other() {
        let why = "the file is gone".to_owned();
        let stuck = Event::GotStuck { why };
        let events = [stuck.clone(), Event::TriedAgain, stuck, Event::TriedAgain];
        let state = State::RollingBack { reason: reason() };
        let state = events.into_iter().try_fold(state, State::apply).unwrap();
        let reason = Reason::release("why; the file is gone");
        assert_eq!(state, State::RollingBack { reason });
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        for state in states() {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(
                serde_json::from_str::<State>(&text).unwrap(),
                state,
                "{text}"
            );
        }
    }
}
