//! What a start does with what the process before it left.

use std::collections::BTreeMap;

use host_actors::Release;
use host_model::plan::{Change, Plan};
use host_model::{ActorId, Version};

use crate::book::Booked;
use crate::state::{Event, IllegalEvent, State, Upgrade};

/// Which release boots, and whether an upgrade is to be brought to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The release that boots.
    pub boot: Version,
    /// The upgrade in the state that it now has, if that is to be written and gone on with.
    pub upgrade: Option<Upgrade>,
}

/// Decides on a start with what is booked. `first` boots where nothing is.
///
/// Before the switch an upgrade is cancelled; after it, and before the commit, it
/// rolls back, for the permanent release boots, and that is the old one.
///
/// # Errors
///
/// [`IllegalEvent`] if the booked state makes no sense.
pub fn recover(booked: &Booked, first: &Version) -> Result<Recovery, IllegalEvent> {
    let boot = booked.permanent.as_ref().unwrap_or(first).clone();
    let upgrade = match booked.last.clone() {
        Some(upgrade) if !upgrade.state.is_over() => Some(Upgrade {
            state: upgrade.state.apply(Event::HostDied)?,
            ..upgrade
        }),
        _ => None,
    };
    Ok(Recovery { boot, upgrade })
}

impl Recovery {
    /// The `release` that boots, as it is to rule. Where an upgrade goes back, actors get
    /// messages before that way is taken up, or while it is stuck: they go it already.
    #[must_use]
    pub fn going_back(&self, release: Release) -> Release {
        match &self.upgrade {
            Some(upgrade) if upgrade.goes_back() => Release {
                before: versions_there(&upgrade.plan),
                ..release.without_timeouts()
            },
            _ => release,
        }
    }
}

/// The plugins' versions in the release that the plan leads to.
fn versions_there(plan: &Plan) -> BTreeMap<String, Version> {
    let there = plan.plugins.iter().filter_map(|planned| {
        let version = match &planned.change {
            Change::Keep { version } | Change::Add { version } => version,
            Change::Move { to, .. } => to,
            Change::Remove { .. } => return None,
        };
        Some((planned.plugin.clone(), version.clone()))
    });
    there.collect()
}

impl Upgrade {
    /// Whether processes may have died of a `down` on its way back.
    #[must_use]
    pub fn goes_back(&self) -> bool {
        matches!(self.state, State::RollingBack { .. } | State::Stuck { .. })
    }

    /// Whether an operator goes back with it the same way as with the `last` one, which did
    /// not come to its end, perhaps because the process died of a `down`. Then whoever was
    /// noted is noted still.
    #[must_use]
    pub(crate) fn takes_up(&mut self, last: Option<&Self>) -> bool {
        let is_same = |it: &&Self| {
            let (own, its) = (&self.plan, &it.plan);
            it.rollback && (&own.from, &own.to) == (&its.from, &its.to)
        };
        let was_cut_off =
            |it: &&Self| matches!(it.state, State::RolledBack { .. } | State::Cancelled { .. });
        let cut_off = last.filter(|_| self.rollback);
        let cut_off = cut_off.filter(was_cut_off).filter(is_same);
        self.suspect = cut_off.and_then(|it| it.suspect.clone());
        cut_off.is_some()
    }

    /// Takes note of the actor that was on its way back when the process died. True: it
    /// was the second time, so that its `down` ends the process, and was not killed in it
    /// by chance. It is given up from now on, and is to be set aside.
    #[must_use]
    pub fn died_with(&mut self, actor: &ActorId) -> bool {
        if self.suspect.as_ref() != Some(actor) {
            self.suspect = Some(actor.clone());
            return false;
        }
        if !self.given_up.contains(actor) {
            self.given_up.push(actor.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use host_model::appup::Probation;
    use host_model::plan::PluginPlan;

    use super::*;
    use crate::samples::upgrade;
    use crate::state::Reason;

    fn booked(state: State) -> Booked {
        let (old, new) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        let committed = state == State::Committed;
        Booked {
            permanent: Some(if committed { new.clone() } else { old.clone() }),
            last: Some(upgrade(state)),
            ..Booked::default()
        }
    }

    #[test]
    fn the_table_of_what_a_start_does() {
        let reason = || Reason::release("why");
        let canary = State::Canary {
            share: "5%".parse().unwrap(),
        };
        for (state, boot, then) in [
            (State::Planned, "0.1.0", Some("cancelled")),
            (State::Verified, "0.1.0", Some("cancelled")),
            (State::Rehearsed, "0.1.0", Some("cancelled")),
            (State::Staged, "0.1.0", Some("cancelled")),
            (canary, "0.1.0", Some("rolling_back")),
            (State::Switching, "0.1.0", Some("rolling_back")),
            (State::Probation, "0.1.0", Some("rolling_back")),
            (
                State::RollingBack { reason: reason() },
                "0.1.0",
                Some("rolling_back"),
            ),
            (State::Stuck { reason: reason() }, "0.1.0", Some("stuck")),
            (State::RolledBack { reason: reason() }, "0.1.0", None),
            (State::Cancelled { reason: reason() }, "0.1.0", None),
            (State::Committed, "0.2.0", None),
        ] {
            let name = state.name();
            let recovery = recover(&booked(state), &Version::new(9, 9, 9)).unwrap();
            assert_eq!(recovery.boot.to_string(), boot, "{name}");
            let found = recovery.upgrade.map(|upgrade| upgrade.state.name());
            assert_eq!(found, then, "{name}");
        }
    }

    #[test]
    fn what_boots_knows_which_versions_an_upgrade_that_goes_back_leaves() {
        let v = |minor| Version::new(0, minor, 0);
        let moved = Change::Move {
            from: v(1),
            to: v(2),
            hops: Vec::new(),
            carried: Vec::new(),
        };
        let changes = [
            ("moved", moved),
            ("kept", Change::Keep { version: v(7) }),
            ("added", Change::Add { version: v(8) }),
            ("removed", Change::Remove { version: v(9) }),
        ];
        let planned = changes.map(|(plugin, change)| PluginPlan {
            plugin: plugin.to_owned(),
            change,
            probation: Probation::default(),
        });
        let left = |state| {
            let mut booked = booked(state);
            if let Some(last) = &mut booked.last {
                last.plan.plugins = planned.to_vec();
            }
            let boots = Release {
                version: v(1),
                plugins: BTreeMap::new(),
                before: BTreeMap::new(),
                installed: Vec::new(),
            };
            let recovery = recover(&booked, &v(1)).unwrap();
            recovery.going_back(boots).before
        };
        let there = [("added", 8), ("kept", 7), ("moved", 2)];
        let there = there.map(|(plugin, minor)| (plugin.to_owned(), v(minor)));
        let there = BTreeMap::from(there);
        let reason = || Reason::blameless("why");
        for goes_back in [State::Probation, State::Stuck { reason: reason() }] {
            assert_eq!(left(goes_back), there);
        }
        for is_over in [State::Staged, State::RolledBack { reason: reason() }] {
            assert_eq!(left(is_over), BTreeMap::new());
        }
    }

    #[test]
    fn an_actor_is_given_up_when_two_processes_died_with_it() {
        let state = State::RollingBack {
            reason: Reason::release("why"),
        };
        let mut upgrade = booked(state).last.unwrap();
        let (ali, sara): (ActorId, ActorId) = (
            "faulty:ali".parse().unwrap(),
            "faulty:sara".parse().unwrap(),
        );
        assert!(!upgrade.died_with(&ali));
        assert!(!upgrade.died_with(&sara), "another one: it was by chance");
        assert!(!upgrade.died_with(&ali));
        assert_eq!(upgrade.given_up, []);
        assert!(upgrade.died_with(&ali));
        assert_eq!(upgrade.given_up, [ali]);
    }

    #[test]
    fn a_rollback_knows_of_whom_the_last_one_died_on_the_same_way() {
        let cut_off = || Upgrade {
            rollback: true,
            suspect: Some("faulty:ali".parse().unwrap()),
            ..upgrade(State::RolledBack {
                reason: Reason::blameless("the host ended in the middle of it"),
            })
        };
        let again = |last: &Upgrade, rollback| {
            let mut next = Upgrade::planned(2, last.plan.clone(), rollback);
            (next.takes_up(Some(last)), next.suspect)
        };
        assert_eq!(again(&cut_off(), true), (true, cut_off().suspect));
        assert_eq!(again(&cut_off(), false), (false, None), "not an upgrade");
        let mut committed = cut_off();
        committed.state = State::Committed;
        assert_eq!(again(&committed, true), (false, None));
        let mut other = Upgrade::planned(2, cut_off().plan, true);
        other.plan.to = Version::new(0, 0, 1);
        assert!(!other.takes_up(Some(&cut_off())), "another way");
        assert!(!other.takes_up(None));
    }

    #[test]
    fn an_empty_store_boots_the_first_release() {
        let recovery = recover(&Booked::default(), &Version::new(0, 1, 0)).unwrap();
        assert_eq!(recovery.boot, Version::new(0, 1, 0));
        assert_eq!(recovery.upgrade, None);
    }
}
