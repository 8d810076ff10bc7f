//! What of the journal a way back needs, behind the commit as well.
//!
//! An actor whose `down` fails goes back by its commands: by the last snapshot of its old
//! version, which stays, and all its records behind that. At the beginning of an upgrade
//! those are its tail, and later ones follow; so what any actor may need begins where the
//! tails began. That one position is booked with the commit.

use host_journal::Position;
use host_model::Version;
use host_model::plan::{Change, Hop, Plan, StateChange};

use crate::book::Booked;
use crate::engine::Upgrader;
use crate::refused::RefusedUpgrade;
use crate::state::{Reason, State, Upgrade};

/// What stays in the journal, whatever its age, for a way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldForWayBack {
    /// The release that the way leads to. Once it is not installed any more, there is no
    /// such way, and nothing is held.
    pub release: Version,
    /// The first position that stays.
    pub from: Position,
}

/// Where a rollback leads once `plan` is committed, and from where on it needs the journal:
/// on the way of the plan from `tails_from`, where the tails began.
pub(crate) fn way_back(
    booked: &Booked,
    plan: &Plan,
    tails_from: Position,
) -> (Option<Version>, Option<Position>) {
    let before = booked.way_back(&plan.from, &plan.to);
    let needed = if may_need_the_journal(plan, before.as_ref()) {
        Some(tails_from)
    } else if before.as_ref() != Some(&plan.from) && before.as_ref() == booked.before.get(&plan.to)
    {
        // Back to where that way begins: what it has needed it needs still.
        booked.needed.get(&plan.to).copied()
    } else {
        None
    };
    (before, needed)
}

/// Whether a rollback that leads to `before`, once `plan` is committed, may have to take
/// actors back by their commands: where it goes the way of the plan, and some state with
/// it by `down`.
fn may_need_the_journal(plan: &Plan, before: Option<&Version>) -> bool {
    let comes_up = |hop: &Hop| hop.state == StateChange::Up;
    let changes = || plan.plugins.iter().map(|plugin| &plugin.change);
    before == Some(&plan.from)
        && plan.reversible
        && changes().any(|it| matches!(it, Change::Move { hops, .. } if hops.iter().any(comes_up)))
}

impl Upgrade {
    /// What became of it, where there is nothing of it left to undo.
    fn undone(&self) -> Option<String> {
        let Plan { from, to, .. } = &self.plan;
        match &self.state {
            State::Committed if self.rollback || to < from => {
                Some(format!("{from} was left for {to} already"))
            }
            // What an operator wanted to undo is there still.
            _ if self.rollback => None,
            State::RolledBack { reason } => Some(format!(
                "the upgrade to {to} has gone back already ({})",
                first_line(reason)
            )),
            State::Cancelled { reason } => Some(format!(
                "the upgrade to {to} has ended before it changed anything ({})",
                first_line(reason)
            )),
            _ => None,
        }
    }
}

fn first_line(reason: &Reason) -> &str {
    reason.text.lines().next().unwrap_or_default()
}

impl Upgrader {
    /// Where a rollback leads that names no release: back over the last upgrade, and over
    /// none before it. Whoever asks may not know that the last one has gone back by itself,
    /// or that somebody else has asked.
    pub(crate) fn undoes_the_last(&self, rules: Version) -> Result<Version, RefusedUpgrade> {
        let booked = self.booked.lock();
        let further = booked.before.get(&rules).cloned();
        match booked.last.as_ref().and_then(Upgrade::undone) {
            Some(undone) => Err(RefusedUpgrade::Undone {
                undone,
                rules,
                further,
            }),
            None => further.ok_or(RefusedUpgrade::NothingToRollBack(rules)),
        }
    }

    /// What is held for the way that `host rollback` leads from the permanent release.
    /// Blocking, for it looks which releases are installed.
    pub fn held_for_way_back(&self) -> Option<HeldForWayBack> {
        let (release, from) = {
            let booked = self.booked.lock();
            let permanent = booked.permanent.as_ref()?;
            let before = booked.before.get(permanent)?;
            (before.clone(), *booked.needed.get(permanent)?)
        };
        // Where the releases cannot be listed, it may be there.
        let versions = self.assembler.releases().versions();
        let installed = versions.map_or(true, |versions| versions.contains(&release));
        installed.then_some(HeldForWayBack { release, from })
    }
}

#[cfg(test)]
mod tests {
    use host_model::appup::Probation;
    use host_model::plan::PluginPlan;

    use super::*;
    use crate::samples;

    fn v(minor: u64) -> Version {
        Version::new(0, minor, 0)
    }

    fn plan(states: &[StateChange], reversible: bool) -> Plan {
        let hop = |state: &StateChange| Hop {
            from: v(1),
            to: v(2),
            state: *state,
            reversible,
            timeout_ms: 0,
            suspend: false,
            restart: false,
        };
        let moved = Change::Move {
            from: v(1),
            to: v(2),
            hops: states.iter().map(hop).collect(),
            carried: Vec::new(),
        };
        let plugin = |change| PluginPlan {
            plugin: "counter".to_owned(),
            change,
            probation: Probation::default(),
        };
        Plan {
            plugins: vec![plugin(Change::Keep { version: v(7) }), plugin(moved)],
            reversible,
            ..samples::plan()
        }
    }

    #[test]
    fn the_journal_is_needed_where_a_state_would_go_down_the_way_it_came() {
        use StateChange::{Same, Up};
        let needs = |states, reversible, before: Option<u64>| {
            may_need_the_journal(&plan(states, reversible), before.map(v).as_ref())
        };
        assert!(needs(&[Same, Up], true, Some(1)));
        assert!(!needs(&[Same], true, Some(1)), "only the code changes");
        assert!(!needs(&[Up], false, Some(1)), "there is no way back");
        assert!(!needs(&[Up], true, None), "there is nothing before it");
        assert!(!needs(&[Up], true, Some(0)), "it leads elsewhere");
    }

    #[test]
    fn only_a_way_up_that_is_committed_is_there_to_undo() {
        let undone = |state: State, (from, to), rollback| {
            let plan = Plan {
                from: v(from),
                to: v(to),
                ..samples::plan()
            };
            let upgrade = Upgrade {
                rollback,
                plan,
                ..samples::upgrade(state)
            };
            upgrade.undone()
        };
        let reason = || Reason::blameless("why");
        let back = || State::RolledBack { reason: reason() };
        let cancelled = || State::Cancelled { reason: reason() };
        assert_eq!(undone(State::Committed, (1, 2), false), None);
        let left = Some("0.2.0 was left for 0.1.0 already".to_owned());
        for rollback in [false, true] {
            assert_eq!(undone(State::Committed, (2, 1), rollback), left);
        }
        for ended in [back(), cancelled()] {
            let text = undone(ended.clone(), (1, 2), false).unwrap();
            assert!(text.ends_with("(why)"), "{text}");
            assert_eq!(undone(ended, (2, 1), true), None, "it may be said again");
        }
    }

    #[test]
    fn a_rollback_keeps_what_the_way_further_back_needs() {
        let mut booked = Booked::default();
        let mut go = |from, to, states: &[StateChange], tails_from| {
            let plan = Plan {
                from: v(from),
                to: v(to),
                ..plan(states, true)
            };
            let (before, needed) = way_back(&booked, &plan, Position(tails_from));
            booked.set_way_back(&plan.to, before.clone(), needed);
            (before.map(|it| it.minor), needed.map(|it| it.0))
        };
        use StateChange::{Down, Up};
        assert_eq!(go(1, 2, &[Up], 10), (Some(1), Some(10)));
        assert_eq!(go(2, 3, &[Up], 20), (Some(2), Some(20)));
        assert_eq!(go(3, 2, &[Down], 30), (Some(1), Some(10)));
        assert_eq!(go(2, 1, &[Down], 40), (None, None));
        // Come to anew, the new way is what counts.
        assert_eq!(go(1, 2, &[Up], 50), (Some(1), Some(50)));
    }
}
