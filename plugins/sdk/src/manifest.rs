//! What a plugin says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::message;
use crate::plugin::Plugin;
use crate::schemas::Schemas;

/// Written as JSON when the host asks, before `init`. The host's side of this
/// shape is its own: fields may be added on either side without the other.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    name: &'static str,
    version: &'static str,
    sdk: &'static str,
    state_schema: u32,
    commands: &'static [&'static str],
    queries: &'static [&'static str],
    /// Command name to the payload field with its idempotency key.
    idempotency: BTreeMap<&'static str, &'static str>,
    /// Semver requirement on the version that `up` and `down` know, if any.
    migrates_from: Option<&'static str>,
    /// What commands and queries look like.
    schemas: Schemas,
}

impl Manifest {
    pub(crate) fn of<P: Plugin>(migrates_from: Option<&'static str>) -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            sdk: env!("CARGO_PKG_VERSION"),
            state_schema: P::STATE_SCHEMA,
            commands: message::names::<P::Command>(),
            queries: message::names::<P::Query>(),
            idempotency: P::IDEMPOTENCY.iter().copied().collect(),
            migrates_from,
            schemas: Schemas::of::<P>(),
        }
    }
}
