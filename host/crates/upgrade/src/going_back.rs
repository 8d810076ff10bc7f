//! The way back: the old release rules again, and whoever can goes back.

use std::sync::Arc;

use host_actors::Redelivered;
use host_model::error::chain;
use host_model::plan::{Action, Plan, Step};

use crate::run::Run;
use crate::state::{Event, Reason, State};
use crate::steps::{Swept, TELL_EVERY};
use crate::stuck::Remedy;

impl Swept {
    /// How the way back goes on, unless all that were called are back.
    fn back(self) -> Result<(), Event> {
        match self {
            Self::All => Ok(()),
            Self::Failed(Reason { text: why, .. }) => Err(Event::GotStuck { why }),
            Self::Contained { why, others } => Err(Event::Contained { why, others }),
        }
    }
}

impl Run {
    /// Lets the old release rule again and brings everyone back. Who cannot go back is
    /// set aside whole, in the new version, and named: it holds up no one else.
    pub(crate) async fn go_back(&mut self) -> Event {
        let actors = Arc::clone(&self.upgrader.actors);
        self.flight.came_over(actors.migrations().migrated());
        let steps = self.upgrade.plan.back.clone();
        let (before, behind) = Plan::around_switch(&steps);
        self.run_hooks_back(before).await;
        self.close_gates_back(before).await;
        let assembled = self.assemble(false).await;
        // Before the old release rules again: from then on failures count.
        actors.migrations().turn_back();
        for actor in &self.upgrade.given_up {
            actors.stays_aside(actor);
        }
        let assembled = assembled.map(|release| self.install(release));
        // Whatever follows: no gate stays closed for it.
        self.open_gates();
        if let Err(why) = assembled {
            return Event::GotStuck { why };
        }
        match self.bring_all_back(behind).await {
            Ok(()) => Event::AllReturned,
            Err(event) => event,
        }
    }

    /// Carries out the steps behind the switch back.
    async fn bring_all_back(&mut self, behind: &[Step]) -> Result<(), Event> {
        for step in behind {
            if let Action::Sweep { plugin } = &step.action {
                self.bring_back(Some(plugin)).await.back()?;
            } else {
                self.run_hooks_back(std::slice::from_ref(step)).await;
            }
        }
        self.bring_back(None).await.back()
    }

    /// Brings back whoever can go back, and sets the others aside, until nobody is left.
    pub(crate) async fn bring_back(&mut self, plugin: Option<&str>) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        loop {
            match self.sweep_back(plugin).await {
                Swept::All => {}
                ended => return ended,
            }
            let failures = actors.migrations().take_failures();
            if failures.is_empty() {
                self.redeliver().await;
                return Swept::All;
            }
            self.flight.failed(failures.clone());
            let ruling = actors.release();
            for failure in failures {
                // On its way there when the others turned back, it has failed since: it is
                // at home.
                let own = ruling.plugins.get(failure.actor.plugin());
                if own.is_some_and(|own| *own.code.version() == failure.from) {
                    continue;
                }
                let reason = format!(
                    "it could not go back from {} to {}: {}",
                    failure.from, failure.to, failure.why
                );
                actors.set_aside(&failure.actor, &reason).await;
            }
        }
    }

    /// Has what the release that was left could not handle delivered again. What is not
    /// stays a dead letter, and holds up no way back.
    async fn redeliver(&self) {
        match self.upgrader.actors.redeliver().await {
            Ok(done) if done == Redelivered::default() => {}
            Ok(done) => tracing::info!(?done, "what had come to nothing was delivered again"),
            Err(error) => tracing::error!(
                error = chain(&error),
                "dead letters could not all be delivered again; `host dead-letters retry` does it"
            ),
        }
    }

    /// Brings back whoever can go back, and says meanwhile how far it is. No wish is heard:
    /// who goes back already has nothing else to wish for.
    async fn sweep_back(&mut self, plugin: Option<&str>) -> Swept {
        let actors = Arc::clone(&self.upgrader.actors);
        let is_back = matches!(self.upgrade.state, State::RollingBack { .. });
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            let sweep = actors.sweep_of(plugin, false);
            tokio::pin!(sweep);
            loop {
                tokio::select! {
                    swept = &mut sweep => return match swept {
                        Ok(_) => {
                            self.tell_all_migrated(plugin);
                            Swept::All
                        }
                        Err(error) => Swept::Failed(Reason::blameless(chain(&error))),
                    },
                    _ = tell.tick() => {
                        self.tell_migrated();
                        let remedy = match is_back {
                            true => self.look_for_stuck_going_back().await,
                            false => self.look_for_stuck().await,
                        };
                        match remedy {
                            Remedy::GoOn => {}
                            // A sweep that waits for someone waits on.
                            Remedy::LookAgain => break,
                            Remedy::GoBack(reason) => return Swept::Failed(reason),
                            Remedy::Contain { why, others } => {
                                return Swept::Contained { why, others };
                            }
                        }
                    }
                }
            }
        }
    }
}
