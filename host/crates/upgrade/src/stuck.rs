//! Code that does not return while an upgrade waits for its actor.
//!
//! Native code cannot be interrupted. Code of the old release that is busy past the
//! deadline makes the upgrade go back, and then nobody has to wait for it: it runs in
//! the version that rules. Code of the new release is in the way of going back, too, and
//! only the end of the process is rid of it.

use std::sync::Arc;
use std::time::Duration;

use host_actors::{Running, Work};
use host_model::limits::{BUSY_DEADLINE, BUSY_DEADLINE_MAX};
use host_model::plan::{Change, Plan};
use host_model::{ActorId, Version};

use crate::run::Run;
use crate::state::Reason;

/// Whose code an actor is held up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Of a version that nobody leaves: of both releases, or of a plugin that the release
    /// which is gone to does not have. The actor need not come over.
    AtHome,
    /// Of the release that is left.
    Old,
    /// Of the release that is gone to, or of the way between the two.
    New,
}

/// What is to be done about code that is past the deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// None.
    GoOn,
    /// Nobody waits for some of it any more; look again who is left.
    LookAgain,
    /// Go back.
    GoBack(Reason),
    /// End the process: the first that does not return, in a sentence, and how many others
    /// do not.
    Contain { why: String, others: usize },
}

/// How long one actor may be busy: what the operator has said, or the longer of our own
/// time and what the appups of its plugin ask for.
pub(crate) fn deadline(plan: &Plan, plugin: &str, said: Option<Duration>) -> Duration {
    let of_plan = plan.plugins.iter().find(|it| it.plugin == plugin);
    let hops = match of_plan.map(|it| &it.change) {
        Some(Change::Move { hops, .. }) => hops.iter().map(|hop| hop.timeout_ms).sum(),
        _ => 0,
    };
    said.unwrap_or_else(|| BUSY_DEADLINE.max(Duration::from_millis(hops)))
        .min(BUSY_DEADLINE_MAX)
}

/// Whose code runs, as the versions of its plugin say: the one that is left and the one
/// that is gone to.
fn whose(work: &Work, left: Option<&Version>, gone_to: Option<&Version>) -> Whose {
    match work {
        _ if left.is_some() && (left == gone_to || gone_to.is_none()) => Whose::AtHome,
        Work::Handler(version) if Some(version) == left => Whose::Old,
        Work::Handler(_) | Work::Journey => Whose::New,
        // Of a plugin that only the other one has.
        Work::Unknown => Whose::Old,
    }
}

/// The versions of a plugin in the release that is left and in the one that is gone to.
pub(crate) fn versions<'a>(
    plan: &'a Plan,
    plugin: &str,
) -> (Option<&'a Version>, Option<&'a Version>) {
    let of_plan = plan.plugins.iter().find(|it| it.plugin == plugin);
    match of_plan.map(|it| &it.change) {
        Some(Change::Keep { version }) => (Some(version), Some(version)),
        Some(Change::Add { version }) => (None, Some(version)),
        Some(Change::Remove { version }) => (Some(version), None),
        Some(Change::Move { from, to, .. }) => (Some(from), Some(to)),
        None => (None, None),
    }
}

fn sentence(run: &Running) -> String {
    let version = match &run.work {
        Work::Handler(version) => format!(" of {} {version}", run.actor.plugin()),
        Work::Journey | Work::Unknown => String::new(),
    };
    format!(
        "{} has been in {}{version} for {} s and does not return",
        run.actor,
        run.event,
        run.for_.as_secs()
    )
}

/// What is to be done on the way back about code that is past the deadline.
#[derive(Debug, Default)]
struct Found {
    /// What runs in the version that rules, or need not come there: not waited for.
    home: Vec<(Running, String)>,
    /// Whose way back does not return: the next process would be stuck in the same place.
    lost: Vec<(ActorId, String)>,
    /// What else holds up the way back, in sentences: only the end of the process is rid of it.
    held_by: Vec<String>,
}

impl Found {
    /// Of all that is past the deadline at the same time. What is the reason for going back,
    /// if some code `hung`, is no way back; it comes first, and as it was said.
    fn of(past: Vec<(Running, Whose)>, hung: Option<&Running>) -> Self {
        let mut found = Self::default();
        for (run, whose) in past {
            let is_it = |it: &&Running| (&it.actor, &it.event) == (&run.actor, &run.event);
            let said = hung.filter(is_it);
            let why = sentence(said.unwrap_or(&run));
            match whose {
                Whose::AtHome | Whose::Old => found.home.push((run, why)),
                Whose::New if said.is_some() => found.held_by.insert(0, why),
                Whose::New if hung.is_none() && run.work == Work::Journey => {
                    found.lost.push((run.actor, why));
                }
                Whose::New => found.held_by.push(why),
            }
        }
        found
    }

    /// Whether the host is to be restarted: for the first of what does not return, and so
    /// many others.
    fn contain(&self) -> Option<Remedy> {
        let lost = self.lost.iter().map(|(_, why)| why);
        let mut hang = self.held_by.iter().chain(lost);
        let why = hang.next()?.clone();
        Some(Remedy::Contain {
            why,
            others: hang.count(),
        })
    }
}

impl Run {
    /// What has run for longer than the upgrade waits, since it was begun or for as long as
    /// the upgrade has `waited` for such code, whichever is less: what was long before has
    /// its time, too. Of what gives signs that it goes on, the last one counts; of who stays
    /// where it is, nothing does.
    fn past_the_deadline(&self, waited: impl Fn(Whose) -> Duration) -> Vec<(Running, Whose)> {
        let plan = &self.upgrade.plan;
        let least = plan.plugins.iter();
        let least = least.map(|it| deadline(plan, &it.plugin, self.asks.deadline));
        let least = least.min().unwrap_or(BUSY_DEADLINE);
        let running = self.upgrader.actors.running(least).into_iter();
        let running = running.map(|run| {
            let (left, gone_to) = versions(plan, run.actor.plugin());
            let whose = whose(&run.work, left, gone_to);
            (run, whose)
        });
        let migrations = self.upgrader.actors.migrations();
        // Who was left behind is as busy there as it likes, until it sets out after all.
        let is_tried = |run: &Running| match run.work {
            Work::Journey => migrations.is_out_of_the_way(&run.actor),
            Work::Handler(_) | Work::Unknown => migrations.has_been_tried(&run.actor),
        };
        running
            .filter(|(run, _)| !is_tried(run))
            .filter(|(run, whose)| {
                let most = deadline(plan, run.actor.plugin(), self.asks.deadline);
                run.still_for.min(waited(*whose)) >= most
            })
            .collect()
    }

    /// For how long code has been waited for on the way to the new release. While that is
    /// paused nobody waits for who is busy, and then the time begins anew; new code is
    /// watched all the same.
    fn waited(&self, whose: Whose) -> Duration {
        let of_step = self.step_began.elapsed();
        match whose {
            Whose::New => of_step,
            Whose::AtHome | Whose::Old => {
                let goes_on = self.running.goes_on_for();
                of_step.min(goes_on.unwrap_or_default())
            }
        }
    }

    /// On the way to the new release, and while that is watched.
    pub(crate) async fn look_for_stuck(&mut self) -> Remedy {
        let actors = Arc::clone(&self.upgrader.actors);
        let mut remedy = Remedy::GoOn;
        for (run, whose) in self.past_the_deadline(|whose| self.waited(whose)) {
            let why = sentence(&run);
            // During a canary who is not of the share stays where it is, and is as busy as
            // it was without an upgrade.
            if actors.release_of(&run.actor).version != self.upgrade.plan.to {
                continue;
            }
            match whose {
                Whose::AtHome if self.give_up(&run, &why) => remedy = Remedy::LookAgain,
                Whose::AtHome => {}
                // A handler of the release that is gone to runs: it has come.
                _ if self.upgrade.rollback && self.is_of_the_next(&run) => {
                    if self.give_up(&run, &why) {
                        remedy = Remedy::LookAgain;
                    }
                }
                // Who cannot come on an operator's way back is set aside. Its way is to blame
                // where that is what it is in; who is busy has not begun it.
                _ if self.upgrade.rollback => {
                    let waited = match run.work {
                        Work::Journey => actors.strand(&run.actor),
                        _ => actors.give_up(&run.actor),
                    };
                    if waited {
                        actors.set_aside(&run.actor, &why).await;
                        remedy = Remedy::LookAgain;
                    }
                }
                Whose::Old => {
                    let reason = format!("{why}, so it could not come over");
                    return Remedy::GoBack(Reason::blameless(reason));
                }
                Whose::New => {
                    self.hung = Some(run);
                    return Remedy::GoBack(Reason::release(why));
                }
            }
        }
        remedy
    }

    /// On the way back. The host is restarted for all that does not return at the same time;
    /// whose own way does not is set aside before.
    pub(crate) async fn look_for_stuck_going_back(&mut self) -> Remedy {
        let actors = Arc::clone(&self.upgrader.actors);
        // What is the reason for going back has had its time.
        let waited = match self.hung {
            Some(_) => Duration::MAX,
            None => self.step_began.elapsed(),
        };
        let found = Found::of(self.past_the_deadline(|_| waited), self.hung.as_ref());
        let mut remedy = Remedy::GoOn;
        for (run, why) in &found.home {
            if self.give_up(run, why) {
                remedy = Remedy::LookAgain;
            }
        }
        for (actor, why) in &found.lost {
            let reason = format!("its way back does not return: {why}");
            actors.strand(actor);
            actors.set_aside(actor, &reason).await;
            self.upgrade.given_up.push(actor.clone());
        }
        found.contain().unwrap_or(remedy)
    }

    fn is_of_the_next(&self, run: &Running) -> bool {
        let (_, next) = versions(&self.upgrade.plan, run.actor.plugin());
        matches!(&run.work, Work::Handler(version) if Some(version) == next)
    }

    /// Waits for an actor no longer; false if nobody did.
    fn give_up(&self, run: &Running, why: &str) -> bool {
        let waited = self.upgrader.actors.give_up(&run.actor);
        if waited {
            tracing::warn!(
                why,
                "an actor is not waited for: it is in the version that rules"
            );
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use host_model::appup::Probation;
    use host_model::plan::{Hop, PluginPlan, StateChange};

    use super::*;

    fn v(minor: u64) -> Version {
        Version::new(0, minor, 0)
    }

    fn plan(timeout_ms: u64) -> Plan {
        let hop = Hop {
            from: v(1),
            to: v(2),
            state: StateChange::Up,
            reversible: true,
            timeout_ms,
            suspend: false,
            restart: false,
        };
        let plugin = |plugin: &str, change| PluginPlan {
            plugin: plugin.to_owned(),
            change,
            probation: Probation::default(),
        };
        let moved = Change::Move {
            from: v(1),
            to: v(2),
            hops: vec![hop],
            carried: Vec::new(),
        };
        Plan {
            from: v(1),
            to: v(2),
            plugins: vec![
                plugin("moved", moved),
                plugin("kept", Change::Keep { version: v(7) }),
                plugin("removed", Change::Remove { version: v(3) }),
            ],
            steps: Vec::new(),
            back: Vec::new(),
            reversible: true,
            probation_s: 60,
            at_start: false,
        }
    }

    fn run(key: &str, work: Work) -> Running {
        Running {
            actor: format!("moved:{key}").parse().unwrap(),
            event: "(migration)".to_owned(),
            work,
            for_: Duration::from_secs(31),
            still_for: Duration::from_secs(30),
        }
    }

    #[test]
    fn an_appup_may_ask_for_more_time_and_an_operator_says_it_exactly() {
        let s = Duration::from_secs;
        assert_eq!(deadline(&plan(5_000), "moved", None), BUSY_DEADLINE);
        assert_eq!(deadline(&plan(90_000), "moved", None), s(90));
        assert_eq!(deadline(&plan(90_000), "kept", None), BUSY_DEADLINE);
        assert_eq!(deadline(&plan(90_000), "moved", Some(s(2))), s(2));
        let most = deadline(&plan(0), "moved", Some(s(u64::MAX / 2)));
        assert_eq!(most, BUSY_DEADLINE_MAX);
    }

    #[test]
    fn whose_code_it_is() {
        let plan = plan(0);
        let ask = |plugin: &str, work: &Work| {
            let (left, gone_to) = versions(&plan, plugin);
            whose(work, left, gone_to)
        };
        assert_eq!(ask("moved", &Work::Handler(v(1))), Whose::Old);
        assert_eq!(ask("moved", &Work::Handler(v(2))), Whose::New);
        assert_eq!(ask("moved", &Work::Journey), Whose::New);
        assert_eq!(ask("kept", &Work::Handler(v(7))), Whose::AtHome);
        for work in [Work::Handler(v(3)), Work::Unknown, Work::Journey] {
            assert_eq!(ask("removed", &work), Whose::AtHome, "{work:?}");
        }
    }

    #[test]
    fn all_whose_way_back_does_not_return_are_set_aside_before_one_restart() {
        let journey = |key| (run(key, Work::Journey), Whose::New);
        let past = || {
            vec![
                journey("a"),
                (run("b", Work::Handler(v(1))), Whose::Old),
                (run("c", Work::Handler(v(2))), Whose::New),
                journey("d"),
            ]
        };
        let found = Found::of(past(), None);
        let lost: Vec<_> = found.lost.iter().map(|(actor, _)| actor.key()).collect();
        assert_eq!(lost, ["a", "d"]);
        assert_eq!(found.home.len(), 1);
        assert_eq!(found.held_by.len(), 1, "c, which a new process brings back");
        let Some(Remedy::Contain { why, others }) = found.contain() else {
            panic!("the host is restarted");
        };
        assert!(
            why.starts_with("moved:c has been in (migration) of moved 0.2.0"),
            "{why}"
        );
        assert_eq!(others, 2);
        let home = vec![past().swap_remove(1)];
        assert_eq!(Found::of(home, None).contain(), None);
    }

    #[test]
    fn what_hung_on_the_way_there_is_said_as_it_was_and_first() {
        let journey = |key, s| {
            let run = Running {
                for_: Duration::from_secs(s),
                ..run(key, Work::Journey)
            };
            (run, Whose::New)
        };
        let (hung, _) = journey("b", 30);
        let found = Found::of(vec![journey("a", 33), journey("b", 32)], Some(&hung));
        assert_eq!(found.lost, [], "it is the way there");
        let why = sentence(&hung);
        assert_eq!(found.contain(), Some(Remedy::Contain { why, others: 1 }));
    }
}
