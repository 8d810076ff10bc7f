//! What is done around a switch: hooks, gates, and bringing actors over, as the plan has
//! them. A failure before the switch takes back what was done and cancels; behind it the
//! upgrade goes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use host_model::Version;
use host_model::error::chain;
use host_model::limits::HOOK_BACK_TRIES_MAX;
use host_model::plan::{Action, Plan, Step};

use crate::run::{HostEnds, Run};
use crate::state::{BegunHook, Event, Reason, State};
use crate::steps::BY_HAND;
use crate::wishes::Asked;

impl Run {
    /// Carries out the steps between staging and the switch.
    pub(crate) async fn prepare(&mut self) -> Event {
        let steps = self.upgrade.plan.steps.clone();
        let (before, _) = Plan::around_switch(&steps);
        // Of these a hook has run, or may have.
        let mut begun = BTreeSet::new();
        for step in before {
            if let Action::Suspend { .. } = &step.action
                && !self.ramp.is_empty()
            {
                // While a share goes first the versions work side by side; the gates close
                // when all are to switch.
                self.gates_are_open = true;
                continue;
            }
            if let Action::Run { plugin, .. } = &step.action {
                begun.insert(plugin.clone());
            }
            if let Err(reason) = self.step_there(step).await {
                return self.cancel(reason, &begun).await;
            }
        }
        match self.heed() {
            Ok(()) => self.next_step(),
            Err(reason) => self.cancel(reason, &begun).await,
        }
    }

    /// Takes back what was done before the switch, of which hooks of `begun` may have run.
    async fn cancel(&mut self, mut reason: Reason, begun: &BTreeSet<String>) -> Event {
        self.open_gates();
        let troubles = self.take_back(begun).await;
        add(&mut reason, &troubles);
        Event::Failed { reason }
    }

    /// Carries out the steps between the switch and probation.
    pub(crate) async fn bring_over(&mut self) -> Result<(), Reason> {
        let steps = self.upgrade.plan.steps.clone();
        let (_, behind) = Plan::around_switch(&steps);
        // Whatever follows: no gate stays closed for it.
        self.open_gates();
        for step in behind {
            self.step_there(step).await?;
        }
        self.come_over(None).await.done()
    }

    /// Closes the gates that are open: a share went first, or the store was not there.
    pub(crate) async fn close_gates(&mut self) -> Result<(), Reason> {
        let steps = self.upgrade.plan.steps.clone();
        let gates = steps
            .iter()
            .filter(|step| matches!(step.action, Action::Suspend { .. }));
        if !self.gates_are_open {
            return Ok(());
        }
        for step in gates {
            if let Err(reason) = self.step_there(step).await {
                self.open_gates();
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Closes the gates of the way back. None may hold it up: one that does not close in its
    /// time is open again, and is said with the reason why it goes back. Nobody comes out of
    /// code that does not return.
    pub(crate) async fn close_gates_back(&mut self, steps: &[Step]) {
        let mut troubles = Vec::new();
        for step in steps {
            if let Action::Suspend { .. } = step.action
                && self.hung.is_none()
                && let Err(reason) = self.step(step).await
            {
                troubles.push(format!("a gate did not close: {}", reason.text));
            }
        }
        if let State::RollingBack { reason } = &mut self.upgrade.state {
            add(reason, &troubles);
        }
    }

    /// Opens every gate that the plan closes.
    pub(crate) fn open_gates(&self) {
        let plan = &self.upgrade.plan;
        for step in plan.steps.iter().chain(&plan.back) {
            if let Action::Suspend { plugin } = &step.action {
                self.upgrader.actors.resume(plugin);
            }
        }
    }

    /// Runs hooks of the way back, of which none may hold it up: those that fail are
    /// said with the reason why it goes back. One that the host ended in is not run for ever:
    /// no process would come further.
    pub(crate) async fn run_hooks_back(&mut self, steps: &[Step]) {
        let mut troubles = Vec::new();
        for step in steps {
            let Action::Run {
                plugin,
                version,
                hook,
            } = &step.action
            else {
                continue;
            };
            let is_it =
                |it: &BegunHook| (&it.plugin, &it.version, &it.hook) == (plugin, version, hook);
            let Ok(may_run) = self.begin_hook_back(is_it, plugin, version, hook).await else {
                return;
            };
            if !may_run {
                troubles.push(format!(
                    "the hook `{hook}` of {plugin} {version} was left out, for the host ended in it {HOOK_BACK_TRIES_MAX} times"
                ));
                continue;
            }
            troubles.extend(self.run_hooks(std::slice::from_ref(step), |_| true).await);
            self.upgrade.begun.retain(|it| !is_it(it));
            // A host that ends now goes on at its next start, and runs it once more.
            let _ = self.write(self.book()).await;
        }
        if let State::RollingBack { reason } = &mut self.upgrade.state {
            add(reason, &troubles);
        }
    }

    /// Writes down that a hook is begun, before it is. False: that has been so often enough.
    /// Where that cannot be written the host ends, and it is not begun.
    async fn begin_hook_back(
        &mut self,
        is_it: impl Fn(&BegunHook) -> bool,
        plugin: &str,
        version: &Version,
        hook: &str,
    ) -> Result<bool, HostEnds> {
        match self.upgrade.begun.iter_mut().find(|it| is_it(it)) {
            Some(begun) if begun.times >= HOOK_BACK_TRIES_MAX => return Ok(false),
            Some(begun) => begun.times += 1,
            None => self.upgrade.begun.push(BegunHook {
                plugin: plugin.to_owned(),
                version: version.clone(),
                hook: hook.to_owned(),
                times: 1,
            }),
        }
        self.write(self.book()).await?;
        Ok(true)
    }

    /// The other way of what ran before a switch that did not come.
    async fn take_back(&mut self, begun: &BTreeSet<String>) -> Vec<String> {
        let steps = self.upgrade.plan.back.clone();
        let (_, behind) = Plan::around_switch(&steps);
        self.run_hooks(behind, |plugin| begun.contains(plugin))
            .await
    }

    async fn run_hooks(&mut self, steps: &[Step], of: impl Fn(&str) -> bool) -> Vec<String> {
        let mut troubles = Vec::new();
        for step in steps {
            if let Action::Run { plugin, .. } = &step.action
                && of(plugin)
                && let Err(reason) = self.step(step).await
            {
                tracing::error!(
                    upgrade = self.upgrade.id,
                    plugin,
                    why = reason.text,
                    "a hook of the way back failed; the way back goes on"
                );
                troubles.push(reason.text);
            }
        }
        troubles
    }

    /// Carries out a step of the way there. An operator is heard meanwhile, who is not to
    /// wait for a hook or for handlers: what runs of them runs on, as behind a timeout.
    async fn step_there(&mut self, step: &Step) -> Result<(), Reason> {
        self.heed()?;
        if let Action::Sweep { .. } = &step.action {
            // It hears by itself.
            return self.step(step).await;
        }
        let running = Arc::clone(&self.running);
        let mut in_a_hurry = false;
        let done = {
            let doing = self.step(step);
            tokio::pin!(doing);
            loop {
                tokio::select! {
                    done = &mut doing => break done,
                    asked = running.wishes.heard() => match asked {
                        Asked::RollBack => break Err(Reason::blameless(BY_HAND)),
                        Asked::Commit => in_a_hurry = true,
                        Asked::Look => {}
                    }
                }
            }
        };
        if in_a_hurry {
            self.hurry();
        }
        done.and_then(|()| self.heed())
    }

    async fn step(&mut self, step: &Step) -> Result<(), Reason> {
        let timeout = Duration::from_millis(step.timeout_ms.unwrap_or(u64::MAX));
        match &step.action {
            Action::Run {
                plugin,
                version,
                hook,
            } => self.run_hook(plugin, version, hook, timeout).await,
            Action::Suspend { plugin } => {
                let suspended = self.upgrader.actors.suspend(plugin, timeout).await;
                // The code that is stuck is the old one.
                suspended.map_err(|still| Reason::blameless(still.to_string()))
            }
            Action::Resume { plugin } => {
                self.upgrader.actors.resume(plugin);
                Ok(())
            }
            Action::Sweep { plugin } => self.come_over(Some(plugin)).await.done(),
            // These are states of an upgrade.
            Action::Verify
            | Action::Rehearse
            | Action::Stage
            | Action::Switch
            | Action::Watch
            | Action::Commit => Ok(()),
        }
    }

    async fn run_hook(
        &mut self,
        plugin: &str,
        version: &Version,
        hook: &str,
        timeout: Duration,
    ) -> Result<(), Reason> {
        let upgrader = Arc::clone(&self.upgrader);
        let (name, of) = (plugin.to_owned(), version.clone());
        let plan = self.upgrade.plan.clone();
        let code = tokio::task::spawn_blocking(move || upgrader.assembler.code(&name, &of, &plan));
        let code = match code.await {
            Ok(Ok(code)) => code,
            Ok(Err(error)) => return Err(Reason::release(chain(&error))),
            Err(error) => return Err(Reason::blameless(error.to_string())),
        };
        tracing::info!(upgrade = self.upgrade.id, plugin, %version, hook, "a hook runs");
        let ran = self.upgrader.actors.run_hook(&code, hook, timeout).await;
        ran.map_err(|error| Reason::release(chain(&error)))
    }

    /// Hears what an operator has asked for meanwhile.
    pub(crate) fn heed(&mut self) -> Result<(), Reason> {
        while let Some(asked) = self.running.wishes.take() {
            if let Some(reason) = self.take(asked) {
                return Err(reason);
            }
        }
        Ok(())
    }
}

/// Says what else went wrong on the way back.
fn add(reason: &mut Reason, troubles: &[String]) {
    for trouble in troubles {
        reason.text.push_str("; on the way back ");
        reason.text.push_str(trouble);
    }
}
