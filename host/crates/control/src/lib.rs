//! The control API: what an operator asks over the host's own socket.
//!
//! HTTP and JSON as [`host_model::control`] describes them, on a Unix socket that
//! its owner alone may open. It is served by the control runtime, so that it
//! answers while every thread of the data runtime is stuck in a plugin; whatever
//! runs a handler is spawned over there.
//!
//! # Invariants
//!
//! - No handler of a plugin runs on the control runtime.
//! - What changes something is a `POST`, and its intent is durable in the audit trail
//!   before it is begun.
//! - An answer with an error says what was attempted, what was found, and what to
//!   do next, and which exit code a command line should end with.
//!
//! This crate must not know how a command line is spelled, nor the gateway: what
//! it shows of connections it is told by a function.

mod actions;
mod actors;
mod audit;
mod export;
mod extract;
mod metrics;
mod pins;
mod problem;
mod repair;
mod server;
mod shown;
mod status;
mod store;
mod stream;
mod trace;
mod upgrades;
mod who;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use host_actors::Actors;
use host_loader::Loader;
use host_model::control::{Readiness, Reloaded};
use host_upgrade::Upgrader;
use tokio::runtime::Handle;
use tokio::sync::Notify;

pub use audit::{anchor_problem, verify_with as verify};
pub use export::{ExportError, export};
pub use metrics::render as metrics;
pub use server::{ControlServer, ListenError, admin};
pub use store::{manifest_of, report};
pub use who::Peer;

/// What the control API shows and asks.
pub struct Control {
    /// The actors.
    pub actors: Arc<Actors>,
    /// Upgrades.
    pub upgrader: Arc<Upgrader>,
    /// The plugins that are mapped.
    pub loader: Arc<Loader>,
    /// Where handlers run.
    pub data: Handle,
    /// What is known of the clients' side.
    pub gateway: Box<dyn Fn() -> GatewayStatus + Send + Sync>,
    /// Whether clients are served.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// Which store is written to, without secrets.
    pub store: String,
    /// The file of the key that signs anchors of the audit trail.
    pub anchor_key: PathBuf,
    /// Since when.
    pub started: Instant,
    /// Rung when an operator wants the host to end.
    pub stop: Arc<Notify>,
    /// Whether there is a keeper that can boot this host anew, and finds what a start wants;
    /// or the reason why not, for programs and for people. Blocking.
    pub may_restart: Box<dyn Fn() -> Result<(), (&'static str, String)> + Send + Sync>,
    /// Reads the configuration anew, and says what became of it; or everything that is
    /// wrong, and then the old one stays in force. Waits for files and a child.
    pub reload: Box<dyn Fn() -> Result<Reloaded, Vec<String>> + Send + Sync>,
    /// Has the keeper end this host and boot it anew.
    pub restart: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// See [`Control::gateway`].
#[derive(Debug, Clone, Default)]
pub struct GatewayStatus {
    /// Open WebSocket connections.
    pub connections: u64,
    /// The listener's port.
    pub port: u16,
    /// What it has counted, by name.
    pub counters: Vec<(&'static str, u64)>,
}
