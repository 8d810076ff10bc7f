//! `/metrics`, in Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use host_journal::unix_ms;
use host_model::control::{Activity, CallWaits, EventActivity, Status};

use crate::Control;
use crate::status::status;

/// How a metric moves.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// It only rises, from the start of the process on.
    Counter,
    /// It rises and falls.
    Gauge,
}
use Kind::{Counter, Gauge};

/// The metrics without labels, `host_` before each: how it moves, and what it says.
const METRICS: [(&str, Kind, &str); 46] = [
    ("ready", Gauge, "1 if clients are served"),
    ("uptime_seconds", Gauge, "Since the host became ready"),
    ("rss_bytes", Gauge, "Resident memory"),
    (
        "connections",
        Gauge,
        "Open WebSockets and sessions of long polls",
    ),
    ("websockets_opened", Counter, "WebSockets opened"),
    ("longpolls_opened", Counter, "Sessions of long polls opened"),
    (
        "websockets_slow",
        Counter,
        "Clients sent away because they read too slowly",
    ),
    (
        "websockets_idle",
        Counter,
        "WebSockets closed because nothing was heard of their client",
    ),
    (
        "websockets_malformed",
        Counter,
        "Clients sent away because of what they sent",
    ),
    (
        "websockets_flooded",
        Counter,
        "WebSockets closed because their client did not heed rate_limited",
    ),
    ("tokens_refused", Counter, "Tokens that were not taken"),
    (
        "origins_refused",
        Counter,
        "WebSockets that a page of another origin wanted to open",
    ),
    (
        "limited_connections",
        Counter,
        "Connections refused for the limit of their address",
    ),
    ("limited_joins", Counter, "Joins refused for a rate"),
    (
        "limited_messages",
        Counter,
        "Messages and requests refused for a rate",
    ),
    (
        "limited_bytes",
        Counter,
        "Messages and requests refused for the rate of their bytes",
    ),
    (
        "connections_refused",
        Counter,
        "Connections turned away for want of room",
    ),
    (
        "connections_slow",
        Counter,
        "Connections given up: no first request came, or an answer was not taken",
    ),
    (
        "requests_over_limit",
        Counter,
        "Requests and calls refused for a bound of their connection",
    ),
    (
        "tls_handshakes",
        Counter,
        "Handshakes of TLS that were done",
    ),
    (
        "tls_handshakes_failed",
        Counter,
        "Handshakes of TLS that failed by what the client sent or refused",
    ),
    (
        "tls_handshakes_slow",
        Counter,
        "Handshakes of TLS given up for their time or their number",
    ),
    (
        "tls_certificate_ends_seconds",
        Gauge,
        "When the certificate for clients ends, in Unix time; 0 without one",
    ),
    ("actors_awake", Gauge, "Actors in memory"),
    ("actors_known", Gauge, "Actors in the journal"),
    (
        "actors_quarantined",
        Gauge,
        "Actors set aside after too many faults",
    ),
    ("actor_faults", Counter, "Faults of actors"),
    (
        "upgrade_paused",
        Gauge,
        "1 if the upgrade under way is paused",
    ),
    (
        "upgrade_share_millionths",
        Gauge,
        "The share of the actors that a canary has let go first",
    ),
    (
        "upgrade_busy_actors",
        Gauge,
        "Actors that are behind in an upgrade because they are busy",
    ),
    (
        "handlers_slow",
        Gauge,
        "Handlers that run for too long right now",
    ),
    (
        "dead_letters",
        Counter,
        "Messages that came to nothing and were kept",
    ),
    (
        "webhooks_taken",
        Counter,
        "Attempts to send a webhook that its receiver took",
    ),
    (
        "webhooks_failed",
        Counter,
        "Attempts to send a webhook that failed",
    ),
    ("journal_records", Counter, "Records committed"),
    ("journal_groups", Counter, "Groups committed"),
    ("journal_groups_failed", Counter, "Commits that failed"),
    ("journal_bytes", Counter, "Bytes committed"),
    ("journal_commit_us", Gauge, "How long the last commit took"),
    (
        "journal_undurable_bytes",
        Gauge,
        "Bytes executed and not yet durable",
    ),
    (
        "journal_tail_bytes",
        Gauge,
        "Bytes that the next start reads",
    ),
    ("store_bytes", Gauge, "Size of the store"),
    (
        "large_snapshots",
        Gauge,
        "Snapshots that are being written in pieces",
    ),
    (
        "large_snapshots_waiting",
        Gauge,
        "Those that wait for their turn",
    ),
    (
        "plugin_versions_resident",
        Gauge,
        "Plugin versions mapped into the process",
    ),
    (
        "plugin_bytes_resident",
        Gauge,
        "Bytes of the libraries that are mapped",
    ),
];

/// All that the host counts and measures.
#[must_use]
pub fn render(control: &Control) -> String {
    let status = status(control);
    let mut text = String::new();
    for (name, kind, help) in METRICS {
        family(&mut text, name, kind, help);
        line(&mut text, name, &[], value(&status, name));
    }
    let (version, permanent) = (status.version.to_string(), status.permanent.to_string());
    family(&mut text, "release_info", Gauge, "The release that rules");
    let labels = [("version", version.as_str()), ("permanent", &permanent)];
    line(&mut text, "release_info", &labels, 1);
    family(&mut text, "upgrade_info", Gauge, "The upgrade under way");
    if let Some(upgrade) = &status.upgrade {
        let (from, to) = (upgrade.from.to_string(), upgrade.to.to_string());
        let labels = [
            ("from", from.as_str()),
            ("to", &to),
            ("state", &upgrade.state),
        ];
        line(&mut text, "upgrade_info", &labels, 1);
    }
    let waits = control.actors.waits();
    let help = "How long callers waited for an answer since the start";
    family(&mut text, "call_wait_us", Gauge, help);
    for (quantile, part) in [("0.5", 0.5), ("0.99", 0.99), ("1", 1.0)] {
        let us = waits.quantile(part).div_ceil(1_000);
        line(&mut text, "call_wait_us", &[("quantile", quantile)], us);
    }
    let help = "Calls of clients that are under way";
    family(&mut text, "calls_under_way", Gauge, help);
    let calls = control.actors.calls_under_way() as u64;
    line(&mut text, "calls_under_way", &[], calls);
    let help = "Messages that the host itself refused";
    family(&mut text, "refusals_total", Counter, help);
    for (reason, count) in control.actors.refusals().all() {
        line(&mut text, "refusals_total", &[("reason", &reason)], count);
    }
    events(control, &mut text);
    text
}

/// What the status says under a metric's name.
fn value(status: &Status, name: &str) -> u64 {
    match name {
        "ready" => u64::from(status.ready.ready),
        "uptime_seconds" => status.uptime_s,
        "rss_bytes" => status.rss_bytes,
        "connections" => status.connections,
        "upgrade_paused" => u64::from(status.upgrade.as_ref().is_some_and(|it| it.paused)),
        "upgrade_share_millionths" => {
            let share = status.upgrade.as_ref().and_then(|it| it.share);
            share.map_or(0, |share| u64::from(share.millionths()))
        }
        "upgrade_busy_actors" => {
            let busy = status.upgrade.as_ref().map_or(0, |it| it.busy.len());
            u64::try_from(busy).unwrap_or(u64::MAX)
        }
        "actors_awake" => status.actors.awake,
        "actors_known" => status.actors.known,
        "actors_quarantined" => status.actors.quarantined,
        "handlers_slow" => u64::try_from(status.slow.len()).unwrap_or(u64::MAX),
        "plugin_versions_resident" => status.resident_versions,
        "plugin_bytes_resident" => status.resident_bytes,
        counted => status.counters.get(counted).copied().unwrap_or(0),
    }
}

/// What a family takes of an event's counters.
type Pick = fn(&EventActivity) -> u64;

/// What the host does, for `host top`.
pub(crate) async fn activity(State(control): State<Arc<Control>>) -> Json<Activity> {
    let waits = control.actors.waits();
    let us = |part| waits.quantile(part).div_ceil(1_000);
    Json(Activity {
        at_ms: unix_ms(),
        status: status(&control),
        waits: CallWaits {
            p50_us: us(0.5),
            p99_us: us(0.99),
            max_us: us(1.0),
        },
        events: counted(&control),
    })
}

/// Calls, faults and rejections of each event of the plugins that rule, and in a canary
/// of those that are ahead.
fn counted(control: &Control) -> Vec<EventActivity> {
    let release = control.actors.release();
    let canary = control.actors.canary();
    let ahead = canary.iter().flat_map(|canary| &canary.release.plugins);
    // A plugin that both releases have in one version is counted once.
    let ahead = ahead.filter(|(plugin, ruling)| {
        let same = release.plugins.get(*plugin);
        same.is_none_or(|same| !Arc::ptr_eq(&same.code, &ruling.code))
    });
    let plugins = release.plugins.iter().chain(ahead);
    let events = plugins.flat_map(|(plugin, ruling)| {
        ruling.code.stats().map(|stats| EventActivity {
            plugin: plugin.clone(),
            version: ruling.code.version().clone(),
            event: stats.name.to_string(),
            calls: stats.calls.load(Ordering::Relaxed),
            faults: stats.faults.load(Ordering::Relaxed),
            rejections: stats.rejections.load(Ordering::Relaxed),
        })
    });
    events.collect()
}

fn events(control: &Control, text: &mut String) {
    let counted = counted(control);
    let families: [(&str, &str, Pick); 3] = [
        ("event_calls_total", "Runs of a handler", |it| it.calls),
        ("event_faults_total", "Runs that ended in a fault", |it| {
            it.faults
        }),
        (
            "event_rejections_total",
            "Runs that ended in a rejection",
            |it| it.rejections,
        ),
    ];
    for (name, help, pick) in families {
        family(text, name, Counter, help);
        for it in &counted {
            let version = it.version.to_string();
            let labels = [
                ("plugin", it.plugin.as_str()),
                ("version", &version),
                ("event", &it.event),
            ];
            line(text, name, &labels, pick(it));
        }
    }
}

fn family(text: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Counter => "counter",
        Gauge => "gauge",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP host_{name} {help}\n# TYPE host_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, of)| format!("{label}=\"{}\"", escaped(of)))
        .collect();
    let labels = match labels.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", labels.join(",")),
    };
    let _ = writeln!(text, "host_{name}{labels} {value}");
}

/// A label's value: a plugin may call an event what it likes.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"");
    text.replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_whatever_its_labels_hold() {
        let mut text = String::new();
        family(&mut text, "x", Counter, "Of x");
        line(&mut text, "x", &[], 1);
        line(&mut text, "x", &[("a", "b"), ("c", "\"\\\n")], 2);
        assert_eq!(
            text,
            "# HELP host_x Of x\n# TYPE host_x counter\nhost_x 1\nhost_x{a=\"b\",c=\"\\\"\\\\\\n\"} 2\n"
        );
    }
}
