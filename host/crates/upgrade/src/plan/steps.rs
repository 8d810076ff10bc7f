//! From what changes to what is done: the low-level plan.
//!
//! All hooks that stand before a change of state come before the switch, and after them
//! the gates close, so that they are closed for as short as can be. Behind the switch
//! the gates open at once; then, plugin by plugin with those that others depend on
//! first, actors come over and the hooks behind the change run. The way back is the same
//! from its other end.

use std::time::Duration;

use host_model::Version;
use host_model::appup::Instruction;
use host_model::limits::INSPECT_TIMEOUT;
use host_model::plan::{Action, Change, Hop, PluginPlan, Step, Undo};

use super::Appups;
use super::ways;

/// The hooks of a plugin's change, and of the change back, around the switch.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    there: Around,
    back: Around,
}

/// What runs before and behind a switch.
#[derive(Debug, Default)]
struct Around {
    before: Vec<Hook>,
    behind: Vec<Hook>,
    /// How long handlers inside are waited for, where a gate closes.
    patience_ms: Option<u64>,
}

#[derive(Debug)]
struct Hook {
    version: Version,
    name: String,
    timeout_ms: u64,
}

/// A plugin of a plan, with what runs for it.
#[derive(Debug)]
pub(super) struct Moved<'a> {
    pub(super) name: &'a str,
    pub(super) hooks: Hooks,
}

impl Around {
    /// Takes up the hooks of a way, which `version` has.
    fn add(&mut self, instructions: &[Instruction], version: &Version) {
        let changes = |it: &Instruction| {
            !matches!(
                it,
                Instruction::Run { .. } | Instruction::Restart | Instruction::RestartHost
            )
        };
        let restarts = |it: &Instruction| *it == Instruction::Restart;
        let position = |is: &dyn Fn(&Instruction) -> bool| instructions.iter().position(is);
        let change = position(&changes).or_else(|| position(&restarts));
        let gates = instructions.iter().filter_map(|it| match it {
            Instruction::Update {
                timeout_ms,
                suspend: true,
            } => Some(*timeout_ms),
            _ => None,
        });
        self.patience_ms = self.patience_ms.max(gates.max());
        for (at, instruction) in instructions.iter().enumerate() {
            let Instruction::Run { hook, timeout_ms } = instruction else {
                continue;
            };
            let side = match change {
                Some(change) if at > change => &mut self.behind,
                _ => &mut self.before,
            };
            side.push(Hook {
                version: version.clone(),
                name: hook.clone(),
                timeout_ms: *timeout_ms,
            });
        }
    }
}

impl Hooks {
    pub(super) fn of_way(steps: &[ways::Step<'_>]) -> Self {
        let mut hooks = Self::default();
        for step in steps {
            hooks.there.add(step.instructions(), &step.appup.version);
        }
        for step in steps.iter().rev() {
            hooks
                .back
                .add(step.instructions_back(), &step.appup.version);
        }
        hooks
    }

    /// Of a plugin that comes.
    pub(super) fn of_addition(plugin: &str, version: &Version, appups: &Appups) -> Self {
        let mut hooks = Self::default();
        let appup = appups.get(&(plugin.to_owned(), version.clone()));
        if let Some(path) = appup.and_then(|appup| appup.addition()) {
            hooks.there.add(&path.up, version);
            hooks.back.add(&path.down, version);
        }
        hooks
    }

    pub(super) fn the_other_way(self) -> Self {
        Self {
            there: self.back,
            back: self.there,
        }
    }
}

fn step(action: Action, timeout_ms: Option<u64>, undo: Undo) -> Step {
    Step {
        action,
        timeout_ms,
        undo,
    }
}

fn run(plugin: &str, hook: &Hook, undo: Undo) -> Step {
    let action = Action::Run {
        plugin: plugin.to_owned(),
        version: hook.version.clone(),
        hook: hook.name.clone(),
    };
    step(action, Some(hook.timeout_ms), undo)
}

fn hops(plan: &PluginPlan) -> &[Hop] {
    match &plan.change {
        Change::Move { hops, .. } => hops,
        _ => &[],
    }
}

/// The switch, between the gates that close for it and those that open again.
fn switch(moved: &[Moved<'_>], side: fn(&Hooks) -> &Around, undo: [Undo; 2]) -> Vec<Step> {
    let gates = moved.iter().filter_map(|Moved { name, hooks }| {
        let patience_ms = side(hooks).patience_ms?;
        Some(((*name).to_owned(), patience_ms))
    });
    let [undo_gate, undo_switch] = undo;
    let close = |(plugin, patience_ms)| {
        let action = Action::Suspend { plugin };
        step(action, Some(patience_ms), undo_gate)
    };
    let open = |(plugin, _)| step(Action::Resume { plugin }, None, Undo::Nothing);
    let switch = [step(Action::Switch, None, undo_switch)];
    let closed = gates.clone().map(close);
    closed.chain(switch).chain(gates.map(open)).collect()
}

/// Bringing over the actors of a plugin, if it has another version.
fn sweep(plan: &PluginPlan, undo: Undo) -> Option<Step> {
    let hops = hops(plan);
    if hops.is_empty() {
        return None;
    }
    let timeout_ms: u64 = hops.iter().map(|hop| hop.timeout_ms).sum();
    let plugin = plan.plugin.clone();
    let timeout_ms = (timeout_ms > 0).then_some(timeout_ms);
    Some(step(Action::Sweep { plugin }, timeout_ms, undo))
}

pub(super) fn there(plugins: &[PluginPlan], moved: &[Moved<'_>], probation_s: u64) -> Vec<Step> {
    let undo_hook = |back: &[Hook]| match back.is_empty() {
        true => Undo::Nothing,
        false => Undo::Hooks,
    };
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut steps = vec![
        step(Action::Verify, None, Undo::Nothing),
        step(Action::Rehearse, None, Undo::Nothing),
        step(Action::Stage, Some(ms(INSPECT_TIMEOUT)), Undo::Nothing),
    ];
    for Moved { name, hooks } in moved {
        let undo = undo_hook(&hooks.back.behind);
        steps.extend(hooks.there.before.iter().map(|hook| run(name, hook, undo)));
    }
    let undo = [Undo::Resume, Undo::Switch];
    steps.extend(switch(moved, |hooks| &hooks.there, undo));
    for (plan, Moved { name, hooks }) in plugins.iter().zip(moved) {
        let stays = super::hops(plan).any(|(_, hop)| !hop.reversible);
        let undo = if stays { Undo::Impossible } else { Undo::Sweep };
        steps.extend(sweep(plan, undo));
        let undo = undo_hook(&hooks.back.before);
        steps.extend(hooks.there.behind.iter().map(|hook| run(name, hook, undo)));
    }
    let watched_ms = probation_s.saturating_mul(1_000);
    steps.push(step(Action::Watch, Some(watched_ms), Undo::Nothing));
    steps.push(step(Action::Commit, None, Undo::Rollback));
    steps
}

/// The way back from behind the switch. Nothing takes it back: who cannot go is set
/// aside, and a hook that fails or a gate that does not close is named.
pub(super) fn back(plugins: &[PluginPlan], moved: &[Moved<'_>]) -> Vec<Step> {
    let mut steps = Vec::new();
    for Moved { name, hooks } in moved.iter().rev() {
        let before = hooks.back.before.iter();
        steps.extend(before.map(|hook| run(name, hook, Undo::Nothing)));
    }
    let undo = [Undo::Nothing, Undo::Nothing];
    steps.extend(switch(moved, |hooks| &hooks.back, undo));
    for (plan, Moved { name, hooks }) in plugins.iter().zip(moved).rev() {
        let sweep = sweep(plan, Undo::Nothing);
        // Nobody is set aside on the way back for being slow.
        steps.extend(sweep.map(|sweep| Step {
            timeout_ms: None,
            ..sweep
        }));
        let behind = hooks.back.behind.iter();
        steps.extend(behind.map(|hook| run(name, hook, Undo::Nothing)));
    }
    steps
}
