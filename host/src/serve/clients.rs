//! What a start has to do with clients: whom it lets in, and what it tells of them.

use std::sync::Arc;

use host_control::GatewayStatus;
use host_gateway::{Addresses, Gateway, Guard, KeysError, Tokens};

use crate::config::Config;

/// Who is let in, as it is configured.
///
/// # Errors
///
/// The file of keys is wrong by now.
pub(super) fn guard(config: &Config) -> Result<Guard, KeysError> {
    let clients = &config.clients;
    let source = clients.tokens(config.secret_key_base.as_ref());
    Ok(Guard {
        tokens: source.map(Tokens::open).transpose()?,
        origins: clients.origins.clone(),
        proxies: clients.proxies.clone(),
        addresses: Arc::new(Addresses::new(clients.limits)),
    })
}

/// How many clients there are, and what was counted of them.
pub(super) fn status(gateway: &Gateway) -> GatewayStatus {
    GatewayStatus {
        connections: gateway.connections() as u64,
        port: gateway.port(),
        counters: {
            let ends = gateway
                .tls()
                .map(|tls| tls.identity().not_after_ms() / 1_000);
            let ends = ends.and_then(|seconds| u64::try_from(seconds).ok());
            let ends = ("tls_certificate_ends_seconds", ends.unwrap_or(0));
            let mut counters = gateway.counters().all();
            counters.push(ends);
            counters
        },
    }
}

/// Of a host whose clients are not served yet.
pub(super) fn no_status(port: u16) -> GatewayStatus {
    GatewayStatus {
        connections: 0,
        port,
        counters: Default::default(),
    }
}
