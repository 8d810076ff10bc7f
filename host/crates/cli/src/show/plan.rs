//! A plan as people read it: what changes, what is done in which order, and what takes it
//! back.

use host_model::plan::{
    Action, CarriedWay, Change, Hop, Plan, PluginPlan, StateChange, Step, Undo,
};

use crate::duration::people;
use crate::table::Table;

pub(crate) fn plan(plan: &Plan) -> String {
    let back = if plan.reversible {
        "every step has a way back"
    } else {
        "NO WAY BACK: the upgrade needs --one-way"
    };
    format!(
        "release {} to {}\n\n{}\n{}\nwhere it goes back: {}\nprobation {}; {back}\n",
        plan.from,
        plan.to,
        changes(plan).text(),
        steps(plan).text(),
        way_back(plan),
        people(plan.probation_s)
    )
}

fn changes(plan: &Plan) -> Table {
    let mut table = Table::new(&["plugin", "change", "state", "back"]);
    for plugin in &plan.plugins {
        let name = plugin.plugin.clone();
        let none = || "-".to_owned();
        match &plugin.change {
            Change::Keep { version } => {
                table.row([name, format!("keep {version}"), none(), none()])
            }
            Change::Add { version } => table.row([name, format!("add {version}"), none(), none()]),
            Change::Remove { version } => {
                table.row([name, format!("remove {version}"), none(), none()]);
            }
            Change::Move { hops, carried, .. } => {
                way(&mut table, &name, hops);
                for CarriedWay { carries, hops } in carried {
                    let carries: Vec<_> = carries.iter().map(ToString::to_string).collect();
                    let whose = format!("{name} with carries of {}", carries.join(" and "));
                    match hops {
                        Some(hops) => way(&mut table, &whose, hops),
                        None => {
                            let none_may = "refused where an actor has them".to_owned();
                            table.row([whose, "no way".to_owned(), none_may, none()]);
                        }
                    }
                }
            }
        }
    }
    table
}

/// A row for each step of a state's way.
fn way(table: &mut Table, whose: &str, hops: &[Hop]) {
    for hop in hops {
        let back = if hop.reversible { "yes" } else { "no" };
        table.row([
            whose.to_owned(),
            format!("{} to {}", hop.from, hop.to),
            crossing(hop),
            back.to_owned(),
        ]);
    }
}

/// How a state crosses, in a word or two.
fn crossing(hop: &Hop) -> String {
    let state = match hop.state {
        StateChange::Up => "up",
        StateChange::Down => "down, leaves a carry",
        StateChange::Same => "as it is",
    };
    match hop.restart {
        true => format!("{state}, restart"),
        false => state.to_owned(),
    }
}

fn steps(plan: &Plan) -> Table {
    let mut table = Table::new(&["step", "does", "what", "at most", "undone by"]);
    for (n, step) in (1..).zip(&plan.steps) {
        table.row([
            n.to_string(),
            step.action.name().to_owned(),
            what(plan, &step.action),
            at_most(step),
            undo(plan, step),
        ]);
    }
    table
}

fn what(plan: &Plan, action: &Action) -> String {
    match action {
        Action::Verify => "all that it needs is there, and is what it should be".to_owned(),
        Action::Rehearse => "the change is tried on a copy of the actors".to_owned(),
        Action::Stage => "the new plugins are opened".to_owned(),
        Action::Run {
            plugin,
            version,
            hook,
        } => format!("the hook `{hook}` of {plugin} {version}"),
        Action::Suspend { plugin } => {
            format!("{plugin}: messages queue, handlers inside end")
        }
        Action::Switch => format!("release {} rules, for all plugins at once", plan.to),
        Action::Resume { plugin } => format!("{plugin}: what has queued runs, in the new version"),
        Action::Sweep { plugin } => {
            format!("{plugin}: every actor comes over{}", over(plan, plugin))
        }
        Action::Watch => format!("release {} is watched", plan.to),
        Action::Commit => format!("release {} becomes permanent", plan.to),
    }
}

fn hops<'a>(plan: &'a Plan, plugin: &str) -> &'a [Hop] {
    let is_it = |it: &&PluginPlan| it.plugin == plugin;
    match plan.plugins.iter().find(is_it).map(|it| &it.change) {
        Some(Change::Move { hops, .. }) => hops,
        _ => &[],
    }
}

/// The versions on the way of a plugin with more than one step.
fn over(plan: &Plan, plugin: &str) -> String {
    let hops = hops(plan, plugin);
    let between = hops.len().saturating_sub(1);
    let over: Vec<String> = hops
        .iter()
        .take(between)
        .map(|it| it.to.to_string())
        .collect();
    match over.is_empty() {
        true => String::new(),
        false => format!(", over {}", over.join(" and ")),
    }
}

fn at_most(step: &Step) -> String {
    let Some(ms) = step.timeout_ms else {
        return "-".to_owned();
    };
    let time = milliseconds(ms);
    match step.action {
        Action::Stage => format!("{time} a plugin"),
        Action::Sweep { .. } => format!("{time} an actor"),
        _ => time,
    }
}

fn undo(plan: &Plan, step: &Step) -> String {
    match step.undo {
        Undo::Nothing => "-".to_owned(),
        Undo::Hooks => "the hooks of the way back".to_owned(),
        Undo::Resume => "what has queued runs, in the old version".to_owned(),
        Undo::Switch => format!("release {} rules again", plan.from),
        Undo::Sweep => "every actor goes back".to_owned(),
        Undo::Impossible => match step.action.plugin().is_some_and(|it| leads_up(plan, it)) {
            true => "NOTHING BUT ITS COMMANDS".to_owned(),
            false => "NOTHING".to_owned(),
        },
        Undo::Rollback => "host rollback".to_owned(),
    }
}

/// The steps of the way back, in a sentence.
fn way_back(plan: &Plan) -> String {
    let step = |step: &Step| match &step.action {
        Action::Run {
            plugin,
            version,
            hook,
        } => format!("run `{hook}` of {plugin} {version}"),
        Action::Switch => format!("switch to release {}", plan.from),
        Action::Sweep { plugin } => format!("sweep {plugin}{}", by(plan, plugin)),
        action => match action.plugin() {
            Some(plugin) => format!("{} {plugin}", action.name()),
            None => action.name().to_owned(),
        },
    };
    plan.back.iter().map(step).collect::<Vec<_>>().join(", ")
}

/// How the states of a plugin go back; nothing where only its code does, or nothing can.
fn by(plan: &Plan, plugin: &str) -> &'static str {
    let hops = hops(plan, plugin);
    let has = |state| hops.iter().any(|hop| hop.state == state);
    if !hops.iter().all(|hop| hop.reversible) {
        return match leads_up(plan, plugin) {
            true => " by downcast of the commands since",
            false => "",
        };
    }
    match (has(StateChange::Up), has(StateChange::Down)) {
        (true, _) => " by down, or where that fails by downcast of the commands since",
        (false, true) => " by up, with the carries",
        (false, false) => "",
    }
}

/// Whether each step of a plugin leads to a newer version. Where one of them has none back,
/// the older version decides the commands since again.
fn leads_up(plan: &Plan, plugin: &str) -> bool {
    hops(plan, plugin).iter().all(|hop| hop.from < hop.to)
}

/// `250ms`, `5s`, `1m 30s`.
fn milliseconds(ms: u64) -> String {
    match ms % 1_000 {
        0 => people(ms / 1_000),
        _ => format!("{ms}ms"),
    }
}
