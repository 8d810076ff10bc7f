//! `/metrics`, in Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::Control;
use crate::status::status;

/// All that the host counts and measures.
#[must_use]
pub fn render(control: &Control) -> String {
    let status = status(control);
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "# HELP host_{name} {help}\n# TYPE host_{name} gauge\nhost_{name} {value}"
        );
    };
    gauge(
        "connections",
        "Open WebSocket connections",
        status.connections,
    );
    gauge("actors_awake", "Actors in memory", status.actors.awake);
    gauge("actors_known", "Actors in the journal", status.actors.known);
    gauge(
        "actors_quarantined",
        "Actors set aside after too many faults",
        status.actors.quarantined,
    );
    gauge(
        "plugin_versions_resident",
        "Plugin versions mapped into the process",
        status.resident_versions,
    );
    gauge("rss_bytes", "Resident memory", status.rss_bytes);
    gauge(
        "uptime_seconds",
        "Since the host became ready",
        status.uptime_s,
    );
    gauge(
        "ready",
        "Whether clients are served",
        u64::from(status.ready.ready),
    );
    for (name, value) in &status.counters {
        gauge(name, "See docs/operations.md", *value);
    }
    let _ = writeln!(
        text,
        "# HELP host_release_info The release that rules\n# TYPE host_release_info gauge\nhost_release_info{{version=\"{}\",permanent=\"{}\"}} 1",
        status.version, status.permanent
    );
    let _ = writeln!(
        text,
        "# HELP host_refusals_total Messages that the host itself refused\n# TYPE host_refusals_total counter"
    );
    for (reason, count) in control.actors.refusals().all() {
        let _ = writeln!(text, "host_refusals_total{{reason=\"{reason}\"}} {count}");
    }
    events(control, &mut text);
    text
}

/// Calls, faults and rejections of each event of the plugins that rule.
fn events(control: &Control, text: &mut String) {
    let release = control.actors.release();
    let mut family = |name: &str, help: &str, pick: fn(&host_actors::EventStats) -> u64| {
        let _ = writeln!(
            text,
            "# HELP host_event_{name} {help}\n# TYPE host_event_{name} counter"
        );
        for (plugin, ruling) in &release.plugins {
            for stats in ruling.code.stats() {
                let _ = writeln!(
                    text,
                    "host_event_{name}{{plugin=\"{plugin}\",version=\"{}\",event=\"{}\"}} {}",
                    ruling.code.version(),
                    stats.name,
                    pick(stats)
                );
            }
        }
    };
    family("calls_total", "Runs of a handler", |s| {
        s.calls.load(Ordering::Relaxed)
    });
    family("faults_total", "Runs that ended in a fault", |s| {
        s.faults.load(Ordering::Relaxed)
    });
    family("rejections_total", "Runs that ended in a rejection", |s| {
        s.rejections.load(Ordering::Relaxed)
    });
}
