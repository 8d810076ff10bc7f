//! What people read. Pure functions from answers to text.

use host_model::control::{
    ActorRow, ActorState, DeadLetterRow, HistoryRow, Outcome, PluginRow, QuarantineRow, Rehearsing,
    ReleaseRow, Status, UpgradeReport, UpgradeStatus, WayBack, WebhookRow,
};
use host_model::release::ReleaseStatus;
use serde_json::Value;

use crate::duration::{lasted, people};
use crate::instant::moment;
use crate::table::{Table, bytes, count};
use crate::verified;

/// Characters of a reason in a list: what tells it from others, beside the other columns.
const REASON_CHARS_MAX: usize = 100;

mod plan;
mod rehearsal;

pub(crate) use plan::plan;
pub(crate) use rehearsal::{rehearsal, rehearsal_line};

pub(crate) fn status(status: &Status) -> String {
    let mut table = Table::facts();
    table.fact(
        "release",
        if status.version == status.permanent {
            format!("{} (permanent)", status.version)
        } else {
            format!("{} (permanent: {})", status.version, status.permanent)
        },
    );
    let upgrade = status.upgrade.as_ref();
    table.fact("upgrade", upgrade.map_or("none".to_owned(), under_way));
    if let Some(upgrade) = upgrade {
        way_back(&mut table, &upgrade.way_back);
    }
    table.fact(
        "ready",
        if status.ready.ready {
            "yes".to_owned()
        } else {
            format!("no: {}", status.ready.reasons.join("; "))
        },
    );
    table.fact(
        "process",
        format!(
            "{}, up {}, {}",
            status.pid,
            people(status.uptime_s),
            bytes(status.rss_bytes)
        ),
    );
    table.fact("store", &status.store);
    table.fact(
        "clients",
        format!(
            "port {}, {}",
            status.port,
            count(status.connections, "connection")
        ),
    );
    table.fact(
        "actors",
        format!(
            "{} awake, {} known, {} in quarantine",
            status.actors.awake, status.actors.known, status.actors.quarantined
        ),
    );
    table.fact("plugins", plugins(&status.plugins));
    table.fact(
        "mapped",
        format!(
            "{}, {}",
            count(status.resident_versions, "plugin version"),
            bytes(status.resident_bytes)
        ),
    );
    for busy in upgrade.iter().flat_map(|upgrade| &upgrade.busy) {
        table.fact(
            "behind",
            format!(
                "{} is busy: it has run {} for {} ms",
                busy.actor, busy.event, busy.running_ms
            ),
        );
    }
    for slow in &status.slow {
        table.fact(
            "slow",
            format!(
                "{} has run {} for {} ms",
                slow.actor, slow.event, slow.running_ms
            ),
        );
    }
    table.text()
}

pub(crate) fn under_way(upgrade: &UpgradeStatus) -> String {
    let far = match upgrade.rehearsing {
        Some(Rehearsing { rehearsed, total }) => {
            format!("{rehearsed} of {} rehearsed", count(total, "actor"))
        }
        None => format!(
            "{} carried over, {} to go",
            count(upgrade.migrated, "actor"),
            upgrade.remaining
        ),
    };
    let mut text = format!(
        "{} to {}: {}, {far}",
        upgrade.from, upgrade.to, upgrade.state
    );
    if let Some(share) = upgrade.share {
        text.push_str(&format!(", {share} of the actors ahead"));
    }
    if upgrade.paused {
        text.push_str(", paused");
    }
    if let Some(left) = upgrade.probation_left_s {
        text.push_str(&format!(", {} of probation left", people(left)));
    }
    if let Some(remark) = &upgrade.remark {
        text.push_str(&format!("; {remark}"));
    }
    if let Some(reason) = &upgrade.reason {
        text.push_str(&format!(" ({reason})"));
    }
    text
}

/// What a way back took that is not the rule.
fn way_back(table: &mut Table, way_back: &WayBack) {
    if way_back.rebuilt > 0 {
        let rebuilt = count(way_back.rebuilt, "actor");
        table.fact("rebuilt", format!("{rebuilt}, by the commands since"));
    }
    if way_back.redelivered > 0 {
        let redelivered = count(way_back.redelivered, "message");
        table.fact("delivered", format!("{redelivered} once more"));
    }
    if way_back.set_aside > 0 {
        let set_aside = count(way_back.set_aside, "actor");
        table.fact("set aside", format!("{set_aside}; `host quarantine list`"));
    }
    for row in &way_back.named {
        table.fact("", format!("{}: {}", row.actor, row.reason));
    }
}

pub(crate) fn releases(rows: &[ReleaseRow]) -> String {
    let mut table = Table::new(&["release", "status", "plugins"]);
    for row in rows {
        let status = match row.status {
            ReleaseStatus::Unpacked => "unpacked",
            ReleaseStatus::Current => "current",
            ReleaseStatus::Permanent => "permanent",
            ReleaseStatus::Old => "old",
            ReleaseStatus::Failed => "failed",
        };
        let (status, plugins) = match &row.broken {
            None => (status.to_owned(), plugins(&row.plugins)),
            Some(why) => (format!("{status}, broken"), why.clone()),
        };
        table.row([row.version.to_string(), status, plugins]);
    }
    table.text()
}

pub(crate) fn report(report: &UpgradeReport) -> String {
    let outcome = match report.outcome {
        Outcome::Committed => "committed: the release is permanent",
        Outcome::Probation => "in probation: the release rules and is watched",
        Outcome::RolledBack if report.rollback => {
            "the rollback failed and was taken back: the newer release rules as before"
        }
        Outcome::RolledBack => "rolled back: the old release rules",
        Outcome::Refused => "refused: nothing was changed",
        Outcome::Failed => &format!("failed before the switch: {} rules as before", report.from),
        Outcome::Stuck => {
            "stuck: it could not go back; mend what the reason says, and `host rollback` tries again; docs/operate.md says more"
        }
    };
    let mut table = Table::facts();
    table.fact("release", format!("{} to {}", report.from, report.to));
    table.fact("outcome", outcome);
    if let Some(reason) = &report.reason {
        table.fact("reason", reason);
    }
    if let Some(report) = &report.rehearsal {
        table.fact("rehearsal", rehearsal_line(report));
    }
    if let Some(remark) = &report.remark {
        table.fact("remark", remark);
    }
    if report.paused_ms > 0 {
        table.fact("paused", lasted(report.paused_ms));
    }
    table.fact("carried over", count(report.actors_migrated, "actor"));
    way_back(&mut table, &report.way_back);
    let pause = report.pause_us;
    table.fact(
        "pause",
        format!(
            "{} µs median, {} µs p99, {} µs longest",
            pause.p50, pause.p99, pause.max
        ),
    );
    table.fact("took", lasted(report.duration_ms));
    table.text() + &verified::text(&[], &[], &report.config)
}

/// The first line of a reason, cut to what fits in a list; the report has all of it.
fn in_a_row(reason: &str) -> String {
    let mut lines = reason.lines();
    let first = lines.next().unwrap_or_default();
    let fits = first.chars().count() <= REASON_CHARS_MAX;
    match fits && lines.next().is_none() {
        true => first.to_owned(),
        false => {
            let cut: String = first.chars().take(REASON_CHARS_MAX).collect();
            format!("{} …", cut.trim_end_matches([' ', ':']))
        }
    }
}

/// How it ended, in a word of the list. A rollback that was taken back is no success: the
/// newer release rules still.
fn outcome(report: &UpgradeReport) -> &'static str {
    match report.outcome {
        Outcome::RolledBack if report.rollback => "rollback failed",
        other => other.name(),
    }
}

pub(crate) fn history(rows: &[HistoryRow]) -> String {
    let mut table = Table::new(&["id", "ended", "release", "outcome", "actors", "reason"]);
    for row in rows {
        let report = &row.report;
        table.row([
            row.id.to_string(),
            match report.ended_ms {
                0 => "-".to_owned(),
                ms => moment(ms),
            },
            format!("{} to {}", report.from, report.to),
            outcome(report).to_owned(),
            report.actors_migrated.to_string(),
            report.reason.as_deref().map(in_a_row).unwrap_or_default(),
        ]);
    }
    table.text()
}

pub(crate) fn actors(rows: &[ActorRow], limit: u32) -> String {
    let mut table = Table::new(&["actor", "seq", "version", "awake"]);
    for row in rows {
        let awake = if row.awake { "yes" } else { "no" };
        table.row([
            row.actor.to_string(),
            row.seq.to_string(),
            row.version.to_string(),
            awake.to_owned(),
        ]);
    }
    let last = rows.last().map(|row| row.actor.to_string());
    table.text() + &more(rows.len(), limit, last)
}

pub(crate) fn state(state: &ActorState) -> String {
    let mut table = Table::facts();
    table.fact("actor", state.actor.to_string());
    table.fact("seq", state.seq.to_string());
    table.fact("version", state.version.to_string());
    if !state.carries.is_empty() {
        let carries: Vec<_> = state.carries.iter().map(ToString::to_string).collect();
        table.fact("carries of", carries.join(", "));
    }
    if let Some(reason) = &state.quarantined {
        table.fact("quarantined", reason);
    }
    format!("{}\n{}", table.text(), pretty(&state.state))
}

pub(crate) fn quarantine(rows: &[QuarantineRow]) -> String {
    let mut table = Table::new(&["actor", "reason"]);
    for row in rows {
        table.row([row.actor.to_string(), row.reason.clone()]);
    }
    table.text()
}

pub(crate) fn dead_letters(rows: &[DeadLetterRow], limit: u32) -> String {
    let mut table = Table::new(&["id", "time", "kind", "actor", "event", "reason", "message"]);
    for row in rows {
        table.row([
            row.id.to_string(),
            moment(row.time_ms),
            row.kind.clone(),
            row.actor.to_string(),
            row.event.clone(),
            row.reason.clone(),
            row.message.clone(),
        ]);
    }
    let last = rows.last().map(|row| row.id.to_string());
    table.text() + &more(rows.len(), limit, last)
}

pub(crate) fn outbox(rows: &[WebhookRow], limit: u32) -> String {
    let mut table = Table::new(&["id", "next", "attempts", "actor", "name", "url", "error"]);
    for row in rows {
        table.row([
            row.id.clone(),
            moment(row.due_ms),
            row.attempts.to_string(),
            row.actor.to_string(),
            row.name.clone(),
            row.url.clone(),
            row.error.clone(),
        ]);
    }
    let last = rows.last().map(|row| row.id.clone());
    table.text() + &more(rows.len(), limit, last)
}

pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON")
}

fn plugins(rows: &[PluginRow]) -> String {
    let names: Vec<_> = rows
        .iter()
        .map(|row| format!("{} {}", row.name, row.version))
        .collect();
    names.join(", ")
}

/// What to ask for next, where a list was cut at `limit`.
fn more(rows: usize, limit: u32, last: Option<String>) -> String {
    match last {
        Some(last) if rows >= limit as usize => format!("\nthere may be more: --after {last}\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
