//! A flight record, as people read it.

use std::collections::BTreeMap;
use std::fmt::Write;

use host_model::control::{RehearsalOutcome, RehearsalReport};
use host_model::flight::{FlightRecord, Seen, WaitsAround, Watched};
use host_model::histogram::Waits;

use crate::duration::lasted;
use crate::instant::moment;
use crate::show::{plan, rehearsal, rehearsal_line, report};
use crate::table::{Table, count};

pub(crate) fn flight(flight: &FlightRecord) -> String {
    let mut parts = vec![match &flight.report {
        Some(known) => report(known),
        None => {
            let mut table = Table::facts();
            let plan = &flight.plan;
            table.fact("release", format!("{} to {}", plan.from, plan.to));
            table.fact("outcome", "none yet: it goes on");
            table.text()
        }
    }];
    let mut asked = Table::new(&["time", "asked", "by"]);
    for wish in &flight.asked {
        asked.row([moment(wish.at_ms), wish.what.clone(), wish.asker.by.clone()]);
    }
    parts.push(asked.text());
    parts.push(plan(&flight.plan));
    parts.extend(flight.rehearsal.as_deref().map(rehearsed));
    parts.push(transitions(flight));
    let mut waits = Table::new(&["callers waited", "calls", "median", "p99", "longest"]);
    for (when, of) in [
        ("before", &flight.waits.before),
        ("during", &flight.waits.during),
        ("after", &flight.waits.after),
    ] {
        waits.row(waited(when, of));
    }
    parts.push(waits.text());
    parts.extend(histogram(&flight.waits));
    if !flight.watched.is_empty() {
        parts.push(watched(&flight.watched));
    }
    if !flight.failures.is_empty() {
        parts.push(failures(flight));
    }
    parts.join("\n")
}

/// What its rehearsal found, in full, or why there was none.
fn rehearsed(found: &RehearsalReport) -> String {
    match found.outcome {
        RehearsalOutcome::Skipped => format!("rehearsal {}\n", rehearsal_line(found)),
        _ => format!("what its rehearsal found:\n{}", rehearsal(found)),
    }
}

fn transitions(flight: &FlightRecord) -> String {
    let mut table = Table::new(&["time", "state", "lasted", "reason"]);
    for transition in &flight.transitions {
        let share = transition.share.map(|share| format!(" {share}"));
        table.row([
            moment(transition.at_ms),
            format!("{}{}", transition.state, share.unwrap_or_default()),
            transition.lasted_ms.map_or_else(|| "-".to_owned(), lasted),
            transition.reason.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}

fn waited(when: &str, waits: &Waits) -> [String; 5] {
    [
        when.to_owned(),
        waits.count.to_string(),
        format!("{} µs", waits.p50_us),
        format!("{} µs", waits.p99_us),
        format!("{} µs", waits.max_us),
    ]
}

/// How many waited so long, side by side; where nobody did, nothing.
fn histogram(waits: &WaitsAround) -> Option<String> {
    let mut rows: BTreeMap<u64, [u64; 3]> = BTreeMap::new();
    for (column, of) in [&waits.before, &waits.during, &waits.after]
        .iter()
        .enumerate()
    {
        for bucket in &of.buckets {
            rows.entry(bucket.to_us).or_default()[column] += bucket.count;
        }
    }
    let mut table = Table::new(&["waited up to", "before", "during", "after"]);
    let is_empty = rows.is_empty();
    for (to_us, counts) in rows {
        let [before, during, after] = counts.map(|count| count.to_string());
        table.row([format!("{to_us} µs"), before, during, after]);
    }
    (!is_empty).then(|| table.text())
}

fn watched(steps: &[Watched]) -> String {
    let mut table = Table::new(&[
        "watched",
        "plugin",
        "calls",
        "faults",
        "rejections",
        "letters",
        "slowest",
        "verdict",
    ]);
    let mut said = String::new();
    for step in steps {
        let share = step.share.map(|share| format!(" {share}"));
        let name = format!("{}{}", step.state, share.unwrap_or_default());
        if let Some(text) = &step.text {
            let _infallible = writeln!(said, "{name}: {text}");
        }
        for plugin in &step.plugins {
            let seen = [Some(&plugin.new), plugin.old.as_ref()];
            for (seen, verdict) in seen.into_iter().zip([step.verdict.as_str(), ""]) {
                let Some(seen) = seen else { continue };
                table.row(counted(&name, &plugin.plugin, seen, verdict));
            }
        }
    }
    table.text() + &said
}

fn counted(step: &str, plugin: &str, seen: &Seen, verdict: &str) -> [String; 8] {
    let slowest = seen.slowest.as_ref();
    [
        step.to_owned(),
        format!("{plugin} {}", seen.version),
        seen.calls.to_string(),
        seen.faults.to_string(),
        seen.rejections.to_string(),
        seen.dead_letters.to_string(),
        slowest.map_or_else(|| "-".to_owned(), |(event, us)| format!("{event} {us} µs")),
        verdict.to_owned(),
    ]
}

fn failures(flight: &FlightRecord) -> String {
    let mut table = Table::new(&["could not come", "from", "to", "why"]);
    for failed in &flight.failures {
        table.row([
            failed.actor.to_string(),
            failed.from.to_string(),
            failed.to.to_string(),
            failed.why.clone(),
        ]);
    }
    match flight.failures_more {
        0 => table.text(),
        more => format!("{}and {} more\n", table.text(), count(more, "actor")),
    }
}

#[cfg(test)]
mod tests {
    use host_model::control::{Confidence, LawRow, Outcome, UpgradeReport};
    use host_model::flight::{Asked, Asker, FailedActor, Transition, WaitsAround, WatchedPlugin};
    use host_model::histogram::Bucket;
    use host_model::plan::Plan;
    use host_model::{ActorId, Version};

    use super::*;

    fn v(minor: u64) -> Version {
        Version::new(0, minor, 0)
    }

    fn seen(minor: u64, faults: u64) -> Seen {
        Seen {
            version: v(minor),
            calls: 480,
            faults,
            rejections: 3,
            dead_letters: 0,
            slowest: Some(("donate".to_owned(), 70)),
        }
    }

    fn transition(state: &str, share: Option<&str>, lasted_ms: Option<u64>) -> Transition {
        Transition {
            state: state.to_owned(),
            share: share.map(|share| share.parse().unwrap()),
            at_ms: 1_700_000_000_000,
            lasted_ms,
            reason: None,
        }
    }

    fn waits(buckets: [(u64, u64); 2]) -> Waits {
        let buckets = buckets.map(|(to_us, count)| Bucket { to_us, count });
        Waits {
            buckets: buckets.to_vec(),
            ..Waits::default()
        }
    }

    fn record() -> FlightRecord {
        FlightRecord {
            id: 7,
            asked: vec![Asked {
                what: "upgrade".to_owned(),
                arguments: serde_json::Value::Null,
                asker: Asker {
                    by: "operator:ali".to_owned(),
                    peer: serde_json::Value::Null,
                },
                at_ms: 1_700_000_000_000,
            }],
            plan: Plan {
                from: v(1),
                to: v(2),
                plugins: Vec::new(),
                steps: Vec::new(),
                back: Vec::new(),
                reversible: true,
                probation_s: 60,
                at_start: false,
            },
            rehearsal: None,
            transitions: vec![
                transition("canary", Some("5%"), Some(1_200)),
                transition("rolled_back", None, None),
            ],
            waits: WaitsAround {
                before: waits([(16, 3), (32, 1)]),
                during: waits([(32, 2), (4_096, 1)]),
                after: Waits::default(),
            },
            actors_migrated: 1,
            failures: vec![FailedActor {
                actor: ActorId::new("donations", "a").unwrap(),
                from: v(1),
                to: v(2),
                why: "up panicked".to_owned(),
            }],
            failures_more: 2,
            watched: vec![Watched {
                state: "canary".to_owned(),
                share: Some("5%".parse().unwrap()),
                verdict: "breached".to_owned(),
                text: Some("too many faults".to_owned()),
                plugins: vec![WatchedPlugin {
                    plugin: "donations".to_owned(),
                    new: seen(2, 12),
                    old: Some(seen(1, 0)),
                }],
            }],
            paused_ms: 0,
            report: Some(UpgradeReport {
                from: v(1),
                to: v(2),
                outcome: Outcome::RolledBack,
                rollback: false,
                actors_migrated: 1,
                pause_us: Default::default(),
                rehearsal: None,
                config: Vec::new(),
                duration_ms: 1_234,
                ended_ms: 1_700_000_000_000,
                paused_ms: 0,
                remark: None,
                reason: Some("too many faults".to_owned()),
                way_back: Box::default(),
            }),
        }
    }

    #[test]
    fn a_flight_that_was_taken_back() {
        let record = record();
        let shown = flight(&record);
        assert!(shown.starts_with(&report(record.report.as_ref().unwrap())));
        let rest = shown.split_once("\n\n").unwrap().1;
        assert_eq!(
            rest,
            "\
TIME                      ASKED    BY
2023-11-14T22:13:20.000Z  upgrade  operator:ali

release 0.1.0 to 0.2.0

PLUGIN  CHANGE  STATE  BACK

STEP\x20\x20DOES\x20\x20WHAT\x20\x20AT\x20MOST\x20\x20UNDONE\x20BY

where\x20it\x20goes\x20back:\x20
probation\x201m\x200s; every step has a way back

TIME                      STATE        LASTED   REASON
2023-11-14T22:13:20.000Z  canary 5%    1200 ms
2023-11-14T22:13:20.000Z  rolled_back  -

CALLERS WAITED  CALLS  MEDIAN  P99   LONGEST
before          0      0 µs    0 µs  0 µs
during          0      0 µs    0 µs  0 µs
after           0      0 µs    0 µs  0 µs

WAITED UP TO  BEFORE  DURING  AFTER
16 µs         3       0       0
32 µs         1       2       0
4096 µs       0       1       0

WATCHED    PLUGIN           CALLS  FAULTS  REJECTIONS  LETTERS  SLOWEST       VERDICT
canary 5%  donations 0.2.0  480    12      3           0        donate 70 µs  breached
canary 5%  donations 0.1.0  480    0       3           0        donate 70 µs
canary 5%: too many faults

COULD NOT COME  FROM   TO     WHY
donations:a     0.1.0  0.2.0  up panicked
and 2 actors more
"
        );
    }

    #[test]
    fn what_its_rehearsal_found_is_in_it_or_why_there_was_none() {
        let shown = |rehearsal| {
            flight(&FlightRecord {
                rehearsal: Some(Box::new(rehearsal)),
                ..record()
            })
        };
        let why = "it was asked to go without one (--no-rehearsal)";
        let skipped = RehearsalReport::skipped(&v(1), &v(2), why);
        let text = shown(skipped.clone());
        let line = format!("rehearsal NONE: {why}");
        assert!(text.lines().any(|it| it == line), "{text}");
        let law = |law: &str, asked, failed| LawRow {
            law: law.to_owned(),
            asked,
            failed,
            confidence: None,
        };
        let text = shown(RehearsalReport {
            outcome: RehearsalOutcome::Failed,
            reason: Some("it differs".to_owned()),
            rehearsed: 40,
            known: 90,
            confidence: Confidence::of(40),
            laws: vec![law("crossing", 40, 0), law("shadow", 40, 7)],
            ..skipped
        });
        let (_, found) = text.split_once("\nwhat its rehearsal found:\n").unwrap();
        assert!(
            found.starts_with(
                "\
release    0.1.0 to 0.2.0
outcome    failed: an upgrade would be refused
reason     it differs
rehearsed  40 actors of 90
run        0 commands in both versions, 0 samples of the new version's own
took       0 ms

LAW                                        ASKED  FAILED
comes over, and its invariants hold        40     0
commands and queries get the same replies  40     7

TIME                      STATE "
            ),
            "{found}"
        );
    }
}
