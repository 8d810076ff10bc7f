//! How a host ends: when it has to, and in which order its layers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use host_actors::Ticket;
use host_cli::failure::EXIT_LOOK;
use host_journal::Journal;
use host_model::limits::STOP_TIMEOUT;
use tokio::sync::Notify;

use super::Layers;
use crate::config::{Config, Environment};
use crate::{exit, notify};

/// Between two looks at whether the host has to end by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often whoever started this process hears that the start goes on, and how long that
/// holds: its actors may have a long way to another release.
const EXTEND_EVERY: Duration = Duration::from_secs(10);
const EXTEND_BY: Duration = Duration::from_secs(120);

/// Waits until the host is told to end, or has to. The exit code.
pub(super) async fn until_told(layers: &Layers, config: &Config) -> Result<u8> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = layers.stop.notified() => return Ok(0),
            _ = look.tick() => {
                if let Some(code) = past_help(&layers.restart, &layers.journal) {
                    return Ok(code);
                }
                layers.ready.probe();
                // An upgrade that brought the version takes it back, and no connection closes.
                if let Some(failed) = layers.upgrader.failed_for_good().first()
                    && config.environment == Environment::Prod
                {
                    tracing::error!(plugin = failed.plugin, "a permanent plugin is past its limit of faults: the host ends");
                    return Ok(exit::PLUGIN);
                }
            }
        }
    }
}

/// Waits until a host that does not serve yet is told to end, or has to. The exit code.
pub(super) async fn before_serving(
    stop: &Notify,
    restart: &AtomicBool,
    journal: &Journal<Ticket>,
) -> u8 {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut extend = tokio::time::interval(EXTEND_EVERY);
    loop {
        tokio::select! {
            () = stop.notified() => return 0,
            _ = extend.tick() => notify::extend(EXTEND_BY),
            _ = look.tick() => {
                if let Some(code) = past_help(restart, journal) {
                    return code;
                }
            }
        }
    }
}

/// The exit code, where only another process goes on.
fn past_help(restart: &AtomicBool, journal: &Journal<Ticket>) -> Option<u8> {
    if restart.load(Ordering::SeqCst) {
        tracing::error!(
            "code of a plugin does not return: the host ends, and the next one is rid of it"
        );
        return Some(exit::AGAIN);
    }
    let why = journal.poisoned()?;
    if journal.must_look() {
        tracing::error!(%why, "the store is not this host's any more: the host ends, and boots when an operator has looked");
        return Some(EXIT_LOOK);
    }
    tracing::error!(%why, "the store failed in a commit: the host ends, and the next start finds out what it holds");
    Some(exit::STORE)
}

/// Closes the layers from the top: no new work, what has begun ends, the journal
/// has it all.
pub(super) async fn close(layers: Layers, patience: Duration) {
    tracing::info!("the host is stopping");
    layers.ready.stop();
    layers.upgrader.stop().await;
    if let Some(left) = layers.gateway.stop(patience).await {
        tracing::warn!(?left, "not all that clients had begun has ended in time");
    }
    layers.actors.stop();
    let journal = Arc::clone(&layers.journal);
    let closed = tokio::task::spawn_blocking(move || journal.close());
    match tokio::time::timeout(STOP_TIMEOUT, closed).await {
        Ok(_) => tracing::info!("the host has stopped"),
        Err(_) => {
            tracing::error!("the journal could not be closed in time; the next start checks it")
        }
    }
}
