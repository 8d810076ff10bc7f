//! What a rehearsal has found, as people read it.

use host_model::control::{
    Confidence, FieldRow, LawRow, PauseRow, RehearsalOutcome, RehearsalReport,
};

use crate::duration::lasted;
use crate::table::{Table, count};

/// Rows of a kind that are shown; programs get all.
const SHOWN_MAX: usize = 12;

/// What is told of a law that was asked of nobody.
const UNKNOWN: &str = "not known: nobody to ask it of";

/// A rehearsal in one line of an upgrade's report.
pub(crate) fn rehearsal_line(report: &RehearsalReport) -> String {
    let reason = report.reason.as_deref().unwrap_or_default();
    match report.outcome {
        RehearsalOutcome::Skipped => format!("NONE: {reason}"),
        RehearsalOutcome::Passed => format!("passed: {}{}", extent(report), not_asked(report)),
        RehearsalOutcome::Failed => format!("failed: {}", extent(report)),
        RehearsalOutcome::Cancelled => format!("cancelled: {}", extent(report)),
    }
}

/// A rehearsal in full.
pub(crate) fn rehearsal(report: &RehearsalReport) -> String {
    let mut facts = Table::facts();
    facts.fact("release", format!("{} to {}", report.from, report.to));
    let outcome = match report.outcome {
        RehearsalOutcome::Passed => {
            &format!("passed: nothing speaks against it{}", not_asked(report))
        }
        RehearsalOutcome::Failed if report.to < report.from => {
            "failed: a rollback with --rehearse would be refused"
        }
        RehearsalOutcome::Failed => "failed: an upgrade would be refused",
        RehearsalOutcome::Cancelled => "cancelled",
        RehearsalOutcome::Skipped => "skipped",
    };
    facts.fact("outcome", outcome);
    if let Some(reason) = &report.reason {
        facts.fact("reason", reason);
    }
    facts.fact("rehearsed", extent(report));
    if report.quarantined > 0 {
        let left_out = count(report.quarantined, "actor");
        facts.fact("left out", format!("{left_out} in quarantine"));
    }
    if report.there_already > 0 {
        let there = count(report.there_already, "actor");
        let asked = format!("{there} in the version after, of whom nothing was asked");
        facts.fact("there already", asked);
    }
    facts.fact(
        "run",
        format!(
            "{} in both versions, {} of the new version's own",
            count(report.commands, "command"),
            count(report.samples, "sample")
        ),
    );
    facts.fact("took", lasted(report.duration_ms));
    let mut text = facts.text();
    let mut laws = Table::new(&["law", "asked", "failed"]);
    for row in &report.laws {
        let failed = match row.confidence {
            Some(confidence) => format!("0: {}", bound(confidence)),
            None if is_unknown(report, row) => UNKNOWN.to_owned(),
            None => row.failed.to_string(),
        };
        laws.row([meaning(&row.law).to_owned(), row.asked.to_string(), failed]);
    }
    section(&mut text, "", !report.laws.is_empty(), &laws);
    let mut ended = Table::new(&["actor", "in", "how it ended"]);
    for row in &report.ended {
        let step = row.step.clone().unwrap_or_else(|| "-".to_owned());
        ended.row([row.actor.to_string(), step, row.why.clone()]);
    }
    let title = "the rehearsal's process ended over";
    section(&mut text, title, !report.ended.is_empty(), &ended);
    fields(&mut text, "what does not hold", &report.problems);
    fields(&mut text, "what differs as declared", &report.declared);
    let mut pauses = Table::new(&[
        "plugin", "way", "actors", "p50", "p99", "longest", "allowed",
    ]);
    for row in &report.plugins {
        pause(&mut pauses, row);
    }
    let title = "what an actor's messages will wait at the switch";
    section(&mut text, title, !report.plugins.is_empty(), &pauses);
    text
}

/// Whether a law was asked of nobody, of those that there are: a way back that loses something
/// passes where nothing was there to be lost.
fn is_unknown(report: &RehearsalReport, row: &LawRow) -> bool {
    row.asked == 0 && report.rehearsed + report.there_already > 0
}

/// Which laws are not known to hold although it has passed.
fn not_asked(report: &RehearsalReport) -> String {
    let unknown = report.laws.iter().filter(|row| is_unknown(report, row));
    let unknown: Vec<_> = unknown.map(|row| meaning(&row.law)).collect();
    match unknown.is_empty() {
        true => String::new(),
        false => format!("; not asked: {}", unknown.join("; ")),
    }
}

fn extent(report: &RehearsalReport) -> String {
    let rehearsed = count(report.rehearsed, "actor");
    match report.confidence {
        None if report.rehearsed == 0 && report.known > 0 => {
            format!("{rehearsed} of {}", report.known)
        }
        None => rehearsed,
        // Its laws that were asked of some have it beside them.
        Some(_) if report.rehearsed + report.quarantined + report.there_already >= report.known => {
            rehearsed
        }
        Some(confidence) => {
            let of = format!("{rehearsed} of {}", report.known);
            match report.outcome {
                RehearsalOutcome::Passed => format!("{of}: {}", bound(confidence)),
                _ => of,
            }
        }
    }
}

fn bound(confidence: Confidence) -> String {
    format!(
        "with {} % confidence fewer than {} % fail",
        confidence.percent,
        rounded_up(confidence.fewer_than_percent)
    )
}

/// To two digits that say something, upwards: it is a bound.
fn rounded_up(percent: f64) -> String {
    let mut digits = 1;
    while digits < 8 && percent < 0.1_f64.powi(digits - 1) {
        digits += 1;
    }
    let scale = 10_f64.powi(digits);
    // What a computation has added in its last digit does not count.
    let rounded = (percent * scale - 1e-3).ceil() / scale;
    format!("{rounded}")
}

fn meaning(law: &str) -> &str {
    match law {
        "crossing" => "comes over, and its invariants hold",
        "round_trip" => "there and back is the state before",
        "shadow" => "commands and queries get the same replies",
        "samples" => "back and there again keeps what is new",
        "carry" => "back, used, and there again keeps what is new",
        other => other,
    }
}

fn fields(text: &mut String, title: &str, rows: &[FieldRow]) {
    let mut table = Table::new(&["plugin", "field", "actors", "such as", "found"]);
    for row in rows.iter().take(SHOWN_MAX) {
        let field = match row.field.as_str() {
            "" => meaning(&row.law),
            field => field,
        };
        table.row([
            row.plugin.clone(),
            field.to_owned(),
            row.actors.to_string(),
            row.example.to_string(),
            row.found.clone(),
        ]);
    }
    section(text, title, !rows.is_empty(), &table);
    if rows.len() > SHOWN_MAX {
        let more = rows.len() - SHOWN_MAX;
        text.push_str(&format!("and {more} more; --json has all\n"));
    }
}

fn pause(table: &mut Table, row: &PauseRow) {
    let us = |us: u64| format!("{us} µs");
    table.row([
        row.plugin.clone(),
        format!("{} to {}", row.from, row.to),
        row.rehearsed.to_string(),
        us(row.pause_us.p50),
        us(row.pause_us.p99),
        us(row.pause_us.max),
        match row.budget_ms {
            0 => "-".to_owned(),
            ms => format!("{ms} ms"),
        },
    ]);
    for step in row.steps.iter().filter(|_| row.steps.len() > 1) {
        let time = step.time_us;
        table.row([
            String::new(),
            format!("  to {}", step.to),
            String::new(),
            us(time.p50),
            us(time.p99),
            us(time.max),
            String::new(),
        ]);
    }
}

fn section(text: &mut String, title: &str, is_there: bool, table: &Table) {
    if !is_there {
        return;
    }
    text.push('\n');
    if !title.is_empty() {
        text.push_str(title);
        text.push_str(":\n");
    }
    text.push_str(&table.text());
}

#[cfg(test)]
mod tests {
    use host_model::Version;
    use host_model::control::Quantiles;

    use super::*;

    fn report() -> RehearsalReport {
        let (from, to) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        let row = |field: &str, found: &str| FieldRow {
            plugin: "donations".to_owned(),
            law: "shadow".to_owned(),
            field: field.to_owned(),
            actors: 7,
            example: "donations:a".parse().unwrap(),
            found: found.to_owned(),
        };
        RehearsalReport {
            outcome: RehearsalOutcome::Failed,
            reason: Some("it differs".to_owned()),
            rehearsed: 4_603,
            known: 1_200_000,
            confidence: Confidence::of(4_603),
            laws: [("shadow", 4_603, 7), ("carry", 0, 0)]
                .map(|(law, asked, failed)| LawRow {
                    law: law.to_owned(),
                    asked,
                    failed,
                    confidence: None,
                })
                .to_vec(),
            problems: vec![row(
                "summary.total",
                "1 in the old version, 2 in the new one",
            )],
            declared: vec![row("summary.funds", "")],
            plugins: vec![PauseRow {
                plugin: "donations".to_owned(),
                from: from.clone(),
                to: to.clone(),
                rehearsed: 4_603,
                pause_us: Quantiles {
                    p50: 5,
                    p99: 9,
                    max: 12,
                },
                steps: Vec::new(),
                budget_ms: 100,
                slowest: None,
            }],
            commands: 9_000,
            samples: 23_015,
            duration_ms: 160,
            ..RehearsalReport::skipped(&from, &to, "")
        }
    }

    #[test]
    fn a_rehearsal_for_people() {
        assert_eq!(
            rehearsal(&report()),
            "\
release    0.1.0 to 0.2.0
outcome    failed: an upgrade would be refused
reason     it differs
rehearsed  4603 actors of 1200000
run        9000 commands in both versions, 23015 samples of the new version's own
took       160 ms

LAW                                            ASKED  FAILED
commands and queries get the same replies      4603   7
back, used, and there again keeps what is new  0      not known: nobody to ask it of

what does not hold:
PLUGIN     FIELD          ACTORS  SUCH AS      FOUND
donations  summary.total  7       donations:a  1 in the old version, 2 in the new one

what differs as declared:
PLUGIN     FIELD          ACTORS  SUCH AS      FOUND
donations  summary.funds  7       donations:a

what an actor's messages will wait at the switch:
PLUGIN     WAY             ACTORS  P50   P99   LONGEST  ALLOWED
donations  0.1.0 to 0.2.0  4603    5 µs  9 µs  12 µs    100 ms
"
        );
    }

    #[test]
    fn a_way_back_says_who_is_there_already_and_holds_no_budget_against_the_others() {
        let mut back = report();
        std::mem::swap(&mut back.from, &mut back.to);
        back.there_already = 3;
        back.plugins[0].budget_ms = 0;
        let text = rehearsal(&back);
        for line in [
            "outcome        failed: a rollback with --rehearse would be refused",
            "there already  3 actors in the version after, of whom nothing was asked",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
        let last = text.trim_end().lines().last();
        assert!(last.is_some_and(|it| it.ends_with(" -")), "{text}");
    }

    #[test]
    fn what_passes_names_the_laws_that_were_asked_of_nobody() {
        let mut passed = RehearsalReport {
            outcome: RehearsalOutcome::Passed,
            confidence: None,
            ..report()
        };
        let line = "passed: 4603 actors; not asked: back, used, and there again keeps what is new";
        assert_eq!(rehearsal_line(&passed), line);
        passed.laws[0].asked = 0;
        let both = "passed: nothing speaks against it; not asked: commands and queries get the same replies; back, used, and there again keeps what is new";
        let text = rehearsal(&passed);
        assert!(text.contains(&format!("outcome    {both}\n")), "{text}");
        // Of no actors at all there is nothing to know.
        passed.rehearsed = 0;
        passed.known = 0;
        assert_eq!(rehearsal_line(&passed), "passed: 0 actors");
    }

    #[test]
    fn a_sample_that_passes_says_how_sure_it_is() {
        let mut passed = RehearsalReport {
            outcome: RehearsalOutcome::Passed,
            ..report()
        };
        passed.laws.truncate(1);
        assert_eq!(
            rehearsal_line(&passed),
            "passed: 4603 actors of 1200000: with 99 % confidence fewer than 0.1 % fail"
        );
        // Of all, only some laws are a matter of chance.
        let all = RehearsalReport {
            known: 4_603,
            ..passed.clone()
        };
        assert_eq!(rehearsal_line(&all), "passed: 4603 actors");
        let skipped = RehearsalReport::skipped(&passed.from, &passed.to, "--no-rehearsal");
        assert_eq!(rehearsal_line(&skipped), "NONE: --no-rehearsal");
    }
}
