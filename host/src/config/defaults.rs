//! What a setting is where nobody sets it, as `host config show` has it.

use std::thread::available_parallelism;

use host_actors::Limits;
use host_actors::Memory as _;
use host_gateway::ClientLimits;

use super::{Environment, LogBounds, LogFormat};
use crate::heap::Heap;
use crate::home::Home;

/// Port of the clients' listener.
pub(super) const PORT: u16 = 4000;

/// Port of the operators' listener.
pub(super) const ADMIN_PORT: u16 = 4001;

/// Sessions with a database.
pub(super) const POOL_SIZE: usize = 10;

/// Which log lines there are.
pub(super) const RUST_LOG: &str = "info";

/// The public name; in production there is none by itself.
pub(super) const HOST: &str = "localhost";

/// Bytes of a handler's stack: tokio's own, which are those of `std`.
const STACK_BYTES: usize = 2 << 20;

/// How log lines look.
pub(super) fn log_format(environment: Environment) -> LogFormat {
    match environment {
        Environment::Prod => LogFormat::Json,
        Environment::Dev => LogFormat::Pretty,
    }
}

/// Whether plugins are asked what a client may do.
pub(super) fn auth(environment: Environment) -> bool {
    environment == Environment::Prod
}

/// The value of the setting `key`; none where there is none, or it is no text: a secret,
/// the system's certificates, for ever.
pub(super) fn default(key: &str, environment: Environment, home: &Home) -> Option<String> {
    let limits = Limits::default();
    let clients = ClientLimits::default();
    Some(match key {
        "ADMIN_PORT" => ADMIN_PORT.to_string(),
        "AUTH" if auth(environment) => "on".to_owned(),
        "AUTH" => "off".to_owned(),
        "DATABASE_URL" => "sqlite:data/host.db".to_owned(),
        "CORS_CREDENTIALS" | "HOST_ALLOW_DEBUG" | "HOST_ALLOW_ROOT" => "no".to_owned(),
        "HOST" if environment == Environment::Dev => HOST.to_owned(),
        "HOST_DATA" | "HOST_HOME" => home.root.display().to_string(),
        "HOST_ENV" => "prod".to_owned(),
        "LIMITS_ADDRESS_BYTES" => clients.address.bytes.to_string(),
        "LIMITS_ADDRESS_CONNECTIONS" => clients.connections.to_string(),
        "LIMITS_ADDRESS_JOINS" => clients.address.joins.to_string(),
        "LIMITS_ADDRESS_MESSAGES" => clients.address.messages.to_string(),
        "LIMITS_CONNECTION_BYTES" => clients.connection.bytes.to_string(),
        "LIMITS_CONNECTION_JOINS" => clients.connection.joins.to_string(),
        "LIMITS_CONNECTION_MESSAGES" => clients.connection.messages.to_string(),
        "LOG_FILES" => LogBounds::default().files.to_string(),
        "LOG_MAX_BYTES" => LogBounds::default().bytes_max.to_string(),
        "LOG_FORMAT" => match log_format(environment) {
            LogFormat::Json => "json".to_owned(),
            LogFormat::Pretty => "pretty".to_owned(),
        },
        "POOL_SIZE" => POOL_SIZE.to_string(),
        "PORT" => PORT.to_string(),
        "PROXY_HEADER" => "x-forwarded-for".to_owned(),
        "RUNTIME_LIMITS_AWAKE_ACTORS" => limits.awake_max.to_string(),
        "RUNTIME_LIMITS_CALLS_UNDER_WAY" => limits.calls_max.to_string(),
        "RUNTIME_LIMITS_IDLE_S" => limits.idle.as_secs().to_string(),
        "RUNTIME_LIMITS_MAILBOX_MESSAGES" => limits.mailbox_max.to_string(),
        "RUNTIME_LIMITS_MEMORY_BYTES" => Heap::new(None).most_bytes().to_string(),
        "RUNTIME_STACK_BYTES" => STACK_BYTES.to_string(),
        "RUNTIME_THREADS" => available_parallelism().map_or(2, usize::from).to_string(),
        "RUST_LOG" => RUST_LOG.to_owned(),
        _ => return None,
    })
}
