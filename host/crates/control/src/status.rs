//! `host status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use host_model::control::{ActorCounts, PluginRow, SlowHandler, Status};
use host_model::limits::HANDLER_WARN;

use crate::Control;

pub(crate) async fn show(State(control): State<Arc<Control>>) -> Json<Status> {
    Json(status(&control))
}

/// What the host is, now. Waits for nothing.
pub(crate) fn status(control: &Control) -> Status {
    let actors = &control.actors;
    let release = actors.release();
    let resident = control.loader.resident();
    let gateway = (control.gateway)();
    let journal = actors.journal().stats();
    let webhooks = actors.webhook_attempts();
    let large = actors.large_snapshots();
    let counters = [
        ("actor_faults", actors.faults()),
        ("dead_letters", actors.buried()),
        ("webhooks_taken", webhooks.taken),
        ("webhooks_failed", webhooks.failed),
        ("journal_records", journal.records),
        ("journal_groups", journal.groups),
        ("journal_groups_failed", journal.groups_failed),
        ("journal_bytes", journal.bytes),
        ("journal_commit_us", journal.commit_us),
        (
            "journal_undurable_bytes",
            u64::try_from(journal.undurable_bytes).unwrap_or(u64::MAX),
        ),
        ("journal_tail_bytes", journal.tail_span_bytes),
        ("store_bytes", journal.store_bytes),
        ("large_snapshots", large.under_way),
        ("large_snapshots_waiting", large.waiting),
    ];
    Status {
        version: release.version.clone(),
        permanent: control.upgrader.permanent(),
        upgrade: control.upgrader.status(),
        pid: std::process::id(),
        uptime_s: control.started.elapsed().as_secs(),
        store: control.store.clone(),
        connections: gateway.connections,
        actors: ActorCounts {
            awake: u64::try_from(actors.awake()).unwrap_or(u64::MAX),
            known: actors.journal().known(),
            quarantined: u64::try_from(actors.quarantine_list().len()).unwrap_or(u64::MAX),
        },
        plugins: release
            .plugins
            .iter()
            .map(|(name, ruling)| PluginRow {
                name: name.clone(),
                version: ruling.code.version().clone(),
            })
            .collect(),
        resident_versions: u64::try_from(resident.len()).unwrap_or(u64::MAX),
        resident_bytes: resident
            .iter()
            .map(|plugin| u64::try_from(plugin.bytes()).unwrap_or(u64::MAX))
            .sum(),
        rss_bytes: actors.memory().resident_bytes(),
        port: gateway.port,
        ready: (control.readiness)(),
        slow: actors
            .running(HANDLER_WARN)
            .into_iter()
            .map(|running| SlowHandler {
                actor: running.actor,
                event: running.event,
                running_ms: u64::try_from(running.for_.as_millis()).unwrap_or(u64::MAX),
            })
            .collect(),
        counters: counters
            .into_iter()
            .chain(gateway.counters)
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<_, _>>(),
    }
}
