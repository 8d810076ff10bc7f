//! From what was found of each actor to a report, and to whether it passes.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use host_actors::Times;
use host_model::control::{
    Confidence, EndedRow, LawRow, PauseRow, RehearsalOutcome, RehearsalReport, StepRow,
};
use host_model::limits::REHEARSAL_SAMPLED_ACTORS;
use host_model::plan::Plan;
use host_model::{ActorId, Version};
use host_proof::rehearsal::{Answered, Law};

use self::rows::Rows;
use super::setup::Moved;

/// What has been found so far.
pub(super) struct Tally {
    report: RehearsalReport,
    /// Whether it is the way back of an operator's rollback.
    is_rollback: bool,
    /// Plugins of which only some were taken, by chance.
    takes_some: BTreeSet<String>,
    /// By plugin, how many were rehearsed.
    rehearsed: BTreeMap<String, u64>,
    /// Plugins of which only some were asked what commands lead to, by chance.
    runs_some: BTreeSet<String>,
    /// By law and plugin, of how many it was asked, and for how many it does not hold.
    laws: BTreeMap<(Law, String), (u64, u64)>,
    problems: Rows,
    declared: Rows,
    pauses: BTreeMap<String, Pauses>,
}

struct Pauses {
    moved: Moved,
    all: Times,
    /// By where the step leads.
    steps: Vec<(Version, Times)>,
    slowest: Option<(u64, ActorId)>,
}

impl Tally {
    pub(super) fn new(plan: &Plan, moved: &BTreeMap<String, Moved>, known: u64) -> Self {
        let pauses = moved.iter().map(|(plugin, moved)| {
            let steps = moved.steps.iter().map(|to| (to.clone(), Times::default()));
            let pauses = Pauses {
                steps: steps.collect(),
                moved: moved.clone(),
                all: Times::default(),
                slowest: None,
            };
            (plugin.clone(), pauses)
        });
        Self {
            report: RehearsalReport {
                known,
                reason: None,
                ..RehearsalReport::skipped(&plan.from, &plan.to, "")
            },
            is_rollback: false,
            takes_some: BTreeSet::new(),
            rehearsed: BTreeMap::new(),
            runs_some: BTreeSet::new(),
            laws: BTreeMap::new(),
            problems: Rows::default(),
            declared: Rows::default(),
            pauses: pauses.collect(),
        }
    }

    /// The same, where of these plugins only some are taken.
    pub(super) fn taking_some(self, takes_some: BTreeSet<String>) -> Self {
        Self { takes_some, ..self }
    }

    /// The same, of the way back of an operator's rollback.
    pub(super) fn rolling_back(self, is_rollback: bool) -> Self {
        Self {
            is_rollback,
            ..self
        }
    }

    /// The same, where of these plugins only some are asked what commands lead to.
    pub(super) fn running_some(self, runs_some: BTreeSet<String>) -> Self {
        Self { runs_some, ..self }
    }

    /// Actors that it is done with, but for those that were left out.
    pub(super) fn done(&self) -> u64 {
        self.report.rehearsed + self.report.there_already
    }

    pub(super) fn ends(&self) -> usize {
        self.report.ended.len()
    }

    /// An actor in quarantine.
    pub(super) fn left_out(&mut self) {
        self.report.quarantined += 1;
    }

    /// An actor over which the child has ended.
    pub(super) fn ended(&mut self, actor: ActorId, step: Option<String>, why: String) {
        self.report.ended.push(EndedRow { actor, step, why });
    }

    /// An actor that was rehearsed to its end, if it changes its version.
    pub(super) fn add(&mut self, answered: &Answered) {
        let Answered { actor, judged } = answered;
        let plugin = actor.plugin();
        if judged.is_there {
            self.report.there_already += 1;
            return;
        }
        self.report.rehearsed += 1;
        *self.rehearsed.entry(plugin.to_owned()).or_default() += 1;
        self.report.commands += u64::from(judged.commands);
        self.report.samples += u64::from(judged.samples);
        for law in &judged.asked {
            let failed = judged.problems.iter().any(|problem| problem.law == *law);
            let row = self.laws.entry((*law, plugin.to_owned())).or_default();
            row.0 += 1;
            row.1 += u64::from(failed);
        }
        let mut problems = self.problems.of(actor);
        for problem in &judged.problems {
            problems.add(problem.law, &problem.field, &problem.text);
        }
        let mut declared = self.declared.of(actor);
        for field in &judged.declared {
            declared.add(Law::Shadow, field, "");
        }
        if let Some(pauses) = self.pauses.get_mut(plugin)
            && judged.pause_ns > 0
        {
            pauses.add(actor, judged.pause_ns / 1_000, &judged.steps_ns);
        }
    }

    /// What was found until an operator broke it off.
    pub(super) fn cancelled(self) -> RehearsalReport {
        RehearsalReport {
            outcome: RehearsalOutcome::Cancelled,
            reason: Some("it was cancelled".to_owned()),
            ..self.rows()
        }
    }

    /// The end. `one_way`: it passes without a proven way back.
    pub(super) fn report(self, one_way: bool) -> RehearsalReport {
        let sure = self.sure();
        let nobody = self.nobody().cloned();
        let failed = self.failed(one_way);
        let fails_down = self.report.ended.is_empty() && self.fails_down(&failed);
        let mut report = self.rows();
        report.reason = why_not(&report, &failed);
        if let (true, Some(reason)) = (fails_down, &mut report.reason) {
            reason.push_str(BY_COMMANDS);
        }
        if let (None, Some(plugin)) = (&report.reason, nobody) {
            report.reason = Some(format!(
                "nobody of {plugin} was rehearsed, for those that were taken by chance are in quarantine, in the version after already, or gone; take more with --sample, or everyone with --all"
            ));
        }
        report.outcome = match report.reason {
            Some(_) => RehearsalOutcome::Failed,
            None => RehearsalOutcome::Passed,
        };
        // What was broken off has gone by no chance.
        if report.outcome == RehearsalOutcome::Passed {
            for row in &mut report.laws {
                let sure = sure.get(&*row.law).copied();
                row.confidence = sure.filter(|_| row.failed == 0);
                // Of the whole the weakest is said.
                let weakest = report.confidence.into_iter().chain(row.confidence);
                report.confidence =
                    weakest.max_by(|a, b| a.fewer_than_percent.total_cmp(&b.fewer_than_percent));
            }
        }
        report
    }

    /// What refuses the change, in the order of the laws: each law that does not hold and is
    /// not excused, for how many, and of which plugins.
    fn failed(&self, one_way: bool) -> Vec<Broken> {
        // An older version is known not to say what a newer one does: that is told, no more.
        let asked = Law::ALL.into_iter();
        let laws = asked.filter(|law| !(one_way && law.proves_way_back()));
        let broken = laws.filter_map(|law| {
            let of_it = self.laws.iter().filter(|((of, plugin), (_, failed))| {
                *of == law && *failed > 0 && !(law == Law::Shadow && self.goes_down(plugin))
            });
            let broken = of_it.map(|((_, plugin), (_, failed))| (plugin.clone(), *failed));
            let (plugins, failed): (BTreeSet<_>, Vec<u64>) = broken.unzip();
            (!plugins.is_empty()).then(|| Broken {
                law,
                plugins,
                actors: failed.iter().sum(),
            })
        });
        broken.collect()
    }

    /// Whether what is told first is that actors do not come down, where an operator's rollback
    /// takes them back all the same.
    fn fails_down(&self, failed: &[Broken]) -> bool {
        let first = failed.first().filter(|it| it.law == Law::Crossing);
        self.is_rollback && first.is_some_and(|it| it.plugins.iter().all(|it| self.goes_down(it)))
    }

    fn goes_down(&self, plugin: &String) -> bool {
        let pauses = self.pauses.get(plugin);
        pauses.is_some_and(|it| it.moved.to < it.moved.from)
    }

    /// How sure the laws are that were asked of some of a plugin, by their names: by the plugin
    /// of which the fewest were asked, and not where that is none. Where all were asked, it is
    /// no matter of chance.
    fn sure(&self) -> BTreeMap<&'static str, Confidence> {
        let laws = Law::ALL.into_iter().filter(|law| law.runs_commands());
        let sure = laws.filter_map(|law| {
            let plugins = self.runs_some.iter();
            let counted = plugins.map(|plugin| self.laws.get(&(law, plugin.clone())));
            let least = counted.map(|it| it.map(|(asked, _)| *asked)).min()??;
            let sure = Confidence::of(least.min(REHEARSAL_SAMPLED_ACTORS))?;
            Some((law.name(), sure))
        });
        sure.collect()
    }

    /// How many were rehearsed of each plugin of which only some were taken.
    fn taken(&self) -> impl Iterator<Item = (&String, u64)> {
        let plugins = self.takes_some.iter();
        plugins.map(|plugin| (plugin, self.rehearsed.get(plugin).copied().unwrap_or(0)))
    }

    /// A plugin that has actors, and nothing is known of any.
    fn nobody(&self) -> Option<&String> {
        let mut nobody = self.taken().filter(|(_, rehearsed)| *rehearsed == 0);
        nobody.next().map(|(plugin, _)| plugin)
    }

    fn rows(self) -> RehearsalReport {
        let is_sample = !self.takes_some.is_empty();
        // By the plugin of which the fewest were rehearsed.
        let least = self.taken().map(|(_, rehearsed)| rehearsed).min();
        let laws = Law::ALL.into_iter().map(|law| {
            let counted = self.laws.iter().filter(|((of, _), _)| *of == law);
            let counted = counted.map(|(_, counted)| counted);
            let (asked, failed) = counted.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
            LawRow {
                law: law.name().to_owned(),
                asked,
                failed,
                confidence: None,
            }
        });
        let pauses = self.pauses.into_iter().map(|(plugin, pauses)| PauseRow {
            plugin,
            from: pauses.moved.from,
            to: pauses.moved.to,
            rehearsed: pauses.all.count(),
            // Exact, for the budget is held against it.
            pause_us: pauses
                .all
                .quantiles()
                .with_max(pauses.slowest.as_ref().map_or(0, |(us, _)| *us)),
            steps: pauses
                .steps
                .into_iter()
                .map(|(to, times)| StepRow {
                    to,
                    time_us: times.quantiles(),
                })
                .collect(),
            budget_ms: pauses.moved.budget_ms,
            slowest: pauses.slowest.map(|(_, actor)| actor),
        });
        RehearsalReport {
            laws: laws.collect(),
            plugins: pauses.collect(),
            problems: self.problems.into_rows(),
            declared: self.declared.into_rows(),
            confidence: least.and_then(Confidence::of),
            known: match is_sample {
                true => self.report.known,
                // As it was counted: others may have come meanwhile.
                false => {
                    let left_out = self.report.quarantined + self.report.there_already;
                    self.report.rehearsed + left_out + self.report.ended.len() as u64
                }
            },
            ..self.report
        }
    }
}

impl Pauses {
    fn add(&mut self, actor: &ActorId, us: u64, steps_ns: &[u64]) {
        self.all.record(us, 1);
        if self.slowest.as_ref().is_none_or(|(most, _)| us > *most) {
            self.slowest = Some((us, actor.clone()));
        }
        // One that has stayed in another version goes another way.
        if steps_ns.len() == self.steps.len() {
            for ((_, times), ns) in self.steps.iter_mut().zip(steps_ns) {
                times.record(ns / 1_000, 1);
            }
        }
    }
}

/// A law that does not hold.
struct Broken {
    law: Law,
    plugins: BTreeSet<String>,
    actors: u64,
}

/// Why a change is refused, in a sentence: the worst first.
fn why_not(report: &RehearsalReport, failed: &[Broken]) -> Option<String> {
    if let Some(ended) = report.ended.first() {
        let step = ended.step.as_ref();
        let step = step.map_or_else(String::new, |step| format!(" in {step}"));
        return Some(format!(
            "the rehearsal's process ended over {}{step}: {}",
            ended.actor, ended.why
        ));
    }
    if let Some(Broken {
        law,
        plugins,
        actors,
    }) = failed.first()
    {
        let mut rows = report.problems.iter();
        let row = rows.find(|row| row.law == law.name() && plugins.contains(&row.plugin));
        let what = row.map_or_else(String::new, |row| {
            let field = match row.field.as_str() {
                "" => String::new(),
                field => format!(" {field}:"),
            };
            format!(", such as {}:{field} {}", row.example, row.found)
        });
        let whom = if *actors == 1 { "actor" } else { "actors" };
        return Some(format!("{} {actors} {whom}{what}", blame(*law)));
    }
    let slow = report.plugins.iter();
    let mut slow = slow
        .filter(|row| row.budget_ms > 0 && row.pause_us.max > row.budget_ms.saturating_mul(1_000));
    slow.next().map(|row| {
        let slowest = row.slowest.as_ref().map_or_else(String::new, ToString::to_string);
        format!(
            "{slowest} takes {} ms to come over, and the appup of {} allows {} ms; make it quicker, or raise pause_budget_ms",
            row.pause_us.max.div_ceil(1_000),
            row.plugin,
            row.budget_ms
        )
    })
}

/// What becomes of those that do not come down on an operator's rollback, which a rehearsal
/// does not try.
const BY_COMMANDS: &str = "; `host rollback` itself, where `down` fails, has the older version decide the commands since again, and sets an actor aside of which it does not take every one";

/// What it means that a law does not hold.
fn blame(law: Law) -> &'static str {
    match law {
        Law::Crossing => "the way there fails for",
        Law::RoundTrip => "the way back does not give the old state again for",
        Law::Shadow => "the new version says something else than the old one, undeclared, for",
        Law::Samples => "the way back and there again loses what only the new version knows for",
        Law::Carry => "the way back and there again loses what nobody has touched for",
    }
}

#[cfg(test)]
mod tests;
