//! Which pages of other origins may read what the API answers (CORS, as the Fetch standard
//! has it). Nobody's, unless an operator says so; and what an operator says may change while
//! the host runs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use tower_http::cors::{AllowCredentials, AllowOrigin, CorsLayer};

use crate::api::{IDEMPOTENCY_KEY, REPLAYED};
use crate::request_id::X_REQUEST_ID;

/// How long a browser may remember what it was allowed: a change takes no longer to reach
/// it, and few calls have a second request before them.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What an operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsRules {
    /// Whose pages.
    pub origins: CorsOrigins,
    /// Whether browsers may send along what they know of this host: cookies of a proxy
    /// before it, and client certificates. A token in `Authorization` needs none of it.
    pub credentials: bool,
}

/// Origins whose pages may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Every page's.
    Any,
    /// Those of these origins, as browsers write them: `https://give.example.org`.
    Listed(Vec<String>),
}

impl Default for CorsOrigins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Cors(ArcSwap<CorsRules>);

impl Cors {
    /// With these rules at first.
    #[must_use]
    pub fn new(rules: CorsRules) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    /// Other rules from now on.
    pub fn set(&self, rules: CorsRules) {
        self.0.store(Arc::new(rules));
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.0.load().origins {
            CorsOrigins::Any => true,
            CorsOrigins::Listed(listed) => {
                listed.iter().any(|it| it.as_bytes() == origin.as_bytes())
            }
        }
    }

    /// Answers preflights, and says with each answer who may read it.
    pub(crate) fn layer(self: &Arc<Self>) -> CorsLayer {
        let (origins, credentials) = (Arc::clone(self), Arc::clone(self));
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| {
                origins.allows(origin)
            }))
            .allow_credentials(AllowCredentials::predicate(move |origin, _| {
                credentials.0.load().credentials && credentials.allows(origin)
            }))
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers([
                AUTHORIZATION,
                CONTENT_TYPE,
                IDEMPOTENCY_KEY,
                IF_NONE_MATCH,
                X_REQUEST_ID,
            ])
            .expose_headers([ETAG, REPLAYED, RETRY_AFTER, X_REQUEST_ID])
            .max_age(REMEMBERED)
    }
}
