//! `host top`: what a host does right now, once a moment.

use std::collections::HashMap;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

use host_model::control::{Activity, EventActivity};
use serde_json::{Value, json};

use crate::table::{Table, bytes};
use crate::{Client, Failure, Output};

/// Clears a terminal, and goes to its first line.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";

/// Shows it every so many seconds, `count` times or until Ctrl-C, which is success.
pub(crate) async fn top(
    every_s: u64,
    count: Option<u64>,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let clears = !out.is_json() && stdout().is_terminal();
    let mut before: Activity = client.get("/v1/activity").await?;
    let mut left = count;
    while !out.is_closed() && left != Some(0) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(every_s)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
        let now: Activity = client.get("/v1/activity").await?;
        if clears {
            out.raw(CLEAR)?;
        }
        let frame = frame(&before, &now);
        out.document(&frame, |_| text(&before, &now))?;
        before = now;
        left = left.map(|left| left - 1);
    }
    Ok(0)
}

/// An event's figures a second, since the frame before.
struct Rates<'a> {
    of: &'a EventActivity,
    calls: f64,
    faults: f64,
    rejections: f64,
}

/// Of all events, the busiest first.
fn rates<'a>(before: &Activity, now: &'a Activity) -> Vec<Rates<'a>> {
    let key = |it: &EventActivity| (it.plugin.clone(), it.version.clone(), it.event.clone());
    let known: HashMap<_, _> = before.events.iter().map(|it| (key(it), it)).collect();
    let rate = |of: &'a EventActivity| {
        let was = known.get(&key(of));
        // A version that was not there before has done all of it since.
        let moved = |pick: fn(&EventActivity) -> u64| {
            a_second(before, now, was.map_or(0, |was| pick(was)), pick(of))
        };
        Rates {
            of,
            calls: moved(|it| it.calls),
            faults: moved(|it| it.faults),
            rejections: moved(|it| it.rejections),
        }
    };
    let mut rates: Vec<_> = now.events.iter().map(rate).collect();
    rates.sort_by(|a, b| b.calls.total_cmp(&a.calls));
    rates
}

/// How much a figure has risen a second; one that has fallen began anew.
fn a_second(before: &Activity, now: &Activity, was: u64, is: u64) -> f64 {
    let seconds = (now.at_ms - before.at_ms).max(1) as f64 / 1_000.0;
    let risen = if is < was { is } else { is - was };
    risen as f64 / seconds
}

/// How much a counter of the status has risen a second.
fn counted(before: &Activity, now: &Activity, name: &str) -> f64 {
    let of = |activity: &Activity| activity.status.counters.get(name).copied().unwrap_or(0);
    a_second(before, now, of(before), of(now))
}

/// One frame, for programs: rates are a second.
fn frame(before: &Activity, now: &Activity) -> Value {
    let events = rates(before, now);
    let events: Vec<_> = events
        .iter()
        .map(|it| {
            json!({
                "plugin": it.of.plugin, "version": it.of.version, "event": it.of.event,
                "calls": it.calls, "faults": it.faults, "rejections": it.rejections,
            })
        })
        .collect();
    json!({
        "at_ms": now.at_ms,
        "status": now.status,
        "waits": now.waits,
        "records": counted(before, now, "journal_records"),
        "groups": counted(before, now, "journal_groups"),
        "events": events,
    })
}

fn text(before: &Activity, now: &Activity) -> String {
    let status = &now.status;
    let counters = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let mut facts = Table::facts();
    let upgrade = status.upgrade.as_ref();
    let upgrade = upgrade.map_or_else(String::new, |it| {
        format!(", upgrade {} to {}: {}", it.from, it.to, it.state)
    });
    facts.fact("release", format!("{}{upgrade}", status.version));
    facts.fact(
        "clients",
        format!(
            "{} connected, waits p50 {} µs, p99 {} µs, longest {} µs since the start",
            status.connections, now.waits.p50_us, now.waits.p99_us, now.waits.max_us
        ),
    );
    let actors = &status.actors;
    facts.fact(
        "actors",
        format!(
            "{} awake of {}, {} in quarantine",
            actors.awake, actors.known, actors.quarantined
        ),
    );
    facts.fact(
        "journal",
        format!(
            "{:.1} records a second in {:.1} commits, the last took {} µs, {} not yet durable",
            counted(before, now, "journal_records"),
            counted(before, now, "journal_groups"),
            counters("journal_commit_us"),
            bytes(counters("journal_undurable_bytes"))
        ),
    );
    facts.fact("memory", bytes(status.rss_bytes));
    for slow in &status.slow {
        facts.fact(
            "slow",
            format!("{} {} for {} ms", slow.actor, slow.event, slow.running_ms),
        );
    }
    let mut table = Table::new(&[
        "plugin",
        "event",
        "calls/s",
        "rejected/s",
        "faults/s",
        "calls",
    ]);
    for it in rates(before, now) {
        table.row([
            format!("{} {}", it.of.plugin, it.of.version),
            it.of.event.clone(),
            format!("{:.1}", it.calls),
            format!("{:.1}", it.rejections),
            format!("{:.1}", it.faults),
            it.of.calls.to_string(),
        ]);
    }
    format!("{}\n{}\n", facts.text(), table.text())
}
