//! Who is at the other end, and whether they may come in: what is looked at before anything
//! is done for a client.
//!
//! A connection is counted against its address when it is accepted, and against the address
//! that a trusted proxy names when it becomes a WebSocket. Its origin and its token are looked
//! at when it opens, the token again when it is to do something after its end. What it may do
//! of what there is, its plugin decides.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use host_model::limits::PAYLOAD_BYTES_MAX;

use crate::connection::Shared;
use crate::counters::count;
use crate::problem::Problem;
use crate::server::Admitted;
use crate::tokens::{TokenError, Tokens};

mod addresses;
mod origins;
mod proxies;
mod rates;

pub use addresses::Addresses;
pub(crate) use addresses::Place;
pub use origins::{OriginError, OriginPattern, Origins, is_host};
pub use proxies::{Proxies, ProxyHeader};
#[cfg(test)]
pub(crate) use rates::limiter;
pub use rates::{ClientLimits, Rates};
pub(crate) use rates::{Limited, Limiter};

/// How soon one may try again whose address has too many connections: somebody else's end
/// is waited for.
const PLACE_RETRY: Duration = Duration::from_secs(5);

/// What clients have to be, to be let in.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Verifies tokens; without one, authentication is off and nobody is asked for any.
    pub tokens: Option<Arc<Tokens>>,
    /// Whose pages may open a WebSocket; without it, everybody's.
    pub origins: Option<Origins>,
    /// Who may say for whom they ask.
    pub proxies: Proxies,
    /// Who is connected from where, and what they may do.
    pub addresses: Arc<Addresses>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Verified; `{}` of one without a token, empty where authentication is off.
    pub(crate) claims: Bytes,
    /// Whom records name, and whose keys are theirs alone; empty where nobody knows.
    pub(crate) principal: String,
    /// Where from, as far as it is known.
    pub(crate) address: IpAddr,
    /// When the claims are none any more.
    expires: Option<Instant>,
}

impl Caller {
    /// Whether a token has ended that this one came with.
    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// One whom nobody asks who they are.
    #[cfg(test)]
    pub(crate) fn unasked() -> Self {
        Self {
            claims: Bytes::new(),
            principal: String::new(),
            address: IpAddr::from([127, 0, 0, 1]),
            expires: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn of(principal: &str, claims: &'static str, expires: Option<Instant>) -> Self {
        Self {
            claims: Bytes::from_static(claims.as_bytes()),
            principal: principal.to_owned(),
            expires,
            ..Self::unasked()
        }
    }
}

/// A client that is let in to speak over a connection.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) caller: Caller,
    /// What it may do; none where that is as it likes.
    pub(crate) limiter: Option<Limiter>,
}

impl Guard {
    /// A place for a connection from `peer`; none where that is not counted, as of a proxy,
    /// whose clients are.
    ///
    /// # Errors
    ///
    /// There are as many from there as may be: how many.
    pub(crate) fn accept(&self, peer: IpAddr) -> Result<Option<Place>, u64> {
        match self.proxies.trusts(peer) {
            true => Ok(None),
            false => self.addresses.enter(peer),
        }
    }

    /// Who bears `token`; without one, somebody whom nobody knows.
    ///
    /// # Errors
    ///
    /// What is wrong with the token.
    pub(crate) fn identify(
        &self,
        token: Option<&str>,
        address: IpAddr,
    ) -> Result<Caller, TokenError> {
        let unknown = |claims| Caller {
            claims,
            principal: String::new(),
            address,
            expires: None,
        };
        match (&self.tokens, token) {
            (None, _) => Ok(unknown(Bytes::new())),
            (Some(_), None) => Ok(unknown(Bytes::from_static(b"{}"))),
            (Some(tokens), Some(token)) => {
                let verified = tokens.verify(token)?;
                Ok(Caller {
                    claims: verified.claims,
                    principal: verified.subject,
                    address,
                    expires: Some(verified.expires),
                })
            }
        }
    }

    /// Who asks over HTTP, with a body of so many bytes, and whether they may ask right now.
    pub(crate) fn ask(
        shared: &Shared,
        headers: &HeaderMap,
        admitted: &Admitted,
        body_bytes: u64,
    ) -> Result<Caller, Problem> {
        let guard = &shared.guard;
        let address = guard.proxies.client(admitted.peer, headers);
        let place = guard.addresses.look_up(address);
        if let Some(place) = place {
            let bytes = body_bytes.min(PAYLOAD_BYTES_MAX as u64);
            place
                .take(Instant::now(), false, bytes)
                .map_err(|limited| limited_problem(shared, &limited))?;
        }
        let token = bearer(headers);
        guard.identify(token, address).map_err(|error| {
            count(&shared.counters.tokens_refused);
            Problem::new(StatusCode::UNAUTHORIZED, error.reason(), error.to_string())
        })
    }

    /// Whether a client may speak over a connection that it is about to open, for which it
    /// has offered `token`, if it has.
    pub(crate) fn enter(
        shared: &Shared,
        headers: &HeaderMap,
        admitted: &mut Admitted,
        token: Option<&str>,
    ) -> Result<Entered, Problem> {
        let guard = &shared.guard;
        if let Some(origins) = &guard.origins {
            origins.check(headers).map_err(|error| {
                count(&shared.counters.origins_refused);
                Problem::new(StatusCode::FORBIDDEN, "bad_origin", error)
            })?;
        }
        let address = guard.proxies.client(admitted.peer, headers);
        let token = token.or_else(|| bearer(headers));
        let caller = guard.identify(token, address).map_err(|error| {
            count(&shared.counters.tokens_refused);
            Problem::new(StatusCode::FORBIDDEN, error.reason(), error.to_string())
        })?;
        if admitted.place.is_none() {
            let place = guard.addresses.enter(address);
            admitted.place = place.map_err(|most| {
                count(&shared.counters.limited_connections);
                let detail = format!(
                    "{most} connections are open from this address, and no more are taken; \
                     close one first"
                );
                let status = StatusCode::TOO_MANY_REQUESTS;
                Problem::new(status, "too_many_connections", detail).retry_after(PLACE_RETRY)
            })?;
        }
        let limiter = admitted.place.clone().map(Limiter::new);
        Ok(Entered { caller, limiter })
    }
}

fn limited_problem(shared: &Shared, limited: &Limited) -> Problem {
    count(limited.counter(&shared.counters));
    let status = StatusCode::TOO_MANY_REQUESTS;
    Problem::new(status, Limited::REASON, limited.to_string()).retry_after(limited.retry_after)
}

/// The token in `Authorization: Bearer` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
