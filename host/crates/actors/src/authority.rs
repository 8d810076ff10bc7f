//! Whether a caller may do what it asks for: the version that the actor is in decides, by
//! the caller's verified claims.
//!
//! It is asked in the turn in which the message is handled and by the holder of the claim,
//! so that an actor which has come over to another version asks that one. What it runs is
//! the plugin's code, and counts as the message's own handler does: it is named by the
//! watchdog, may block where that may, and a fault in it rebuilds the actor.
//!
//! Nobody is asked for casts and timers, which come from within, nor for a caller whose
//! claims are empty: see [`Request::claims`].

use std::sync::Arc;

use host_loader::{Call, Caller, Fault, Plugin};
use host_model::effect::Rejection;

use crate::Actors;
use crate::clock::unix_ms;
use crate::decide::Command;
use crate::message::{Answer, CallError, Only, Request, Responder};
use crate::release::EventStats;
use crate::seed;
use crate::slots::Claim;
use crate::watchdog;

/// What a plugin is asked by when somebody wants to join its actor's topic.
const JOIN: &str = "phx_join";

/// Whether the claims in `call` may have what it asks for, as it asks.
pub(crate) fn ask(
    plugin: &Plugin,
    call: &Call<'_>,
    only: &Only,
) -> Result<Result<(), CallError>, Box<Fault>> {
    if call.claims.is_empty() {
        return Ok(Ok(()));
    }
    if *only != Only::Join {
        let said = plugin.authorize(call)?;
        return Ok(said.map_err(forbidden));
    }
    let joining = Call {
        event: JOIN,
        ..*call
    };
    let said = plugin.authorize(&joining)?;
    if said.is_err() || call.event == JOIN {
        return Ok(said.map_err(forbidden));
    }
    // Who may listen and not look is shown nothing, and has joined.
    let said = plugin.authorize(call)?;
    Ok(said.map_err(CallError::Rejected))
}

/// One word for all plugins: clients act on it. Why, says the plugin.
fn forbidden(rejection: Rejection) -> CallError {
    CallError::Forbidden(rejection.message)
}

impl Actors {
    /// Whether the caller of a command may have it, which is in the shape of the actor's
    /// version by now.
    pub(crate) fn may_do(
        self: &Arc<Self>,
        claim: &mut Claim,
        command: &Command,
        stats: &EventStats,
    ) -> Result<(), CallError> {
        let (event, payload) = (&command.event, &command.payload);
        self.may(claim, event, payload, &command.claims, &Only::Either, stats)
    }

    /// Whether the caller may have an answer again that is kept under its key: what it might
    /// do then, it may not be allowed to any more.
    pub(crate) fn may_have_again(
        self: &Arc<Self>,
        claim: &mut Claim,
        request: &Request,
        stats: &Arc<EventStats>,
    ) -> Result<(), CallError> {
        let Some(live) = claim.live.as_ref().filter(|_| !request.claims.is_empty()) else {
            return Ok(());
        };
        let version = request.version.as_ref().unwrap_or(live.code().version());
        let shape = self.convert(live, version, &request.event, &request.payload)?;
        let (event, payload) = match &shape {
            Some((event, payload)) => (event, payload),
            None => (&request.event, &request.payload),
        };
        let slot = Arc::clone(&claim.slot);
        watchdog::named(&slot, stats, || {
            self.may(claim, event, payload, &request.claims, &request.only, stats)
        })
    }

    /// Answers who joins the topic of an actor whose plugin has nothing to show.
    pub(crate) fn join_without_query(
        self: &Arc<Self>,
        claim: &mut Claim,
        request: &Request,
        responder: Responder,
        stats: &EventStats,
    ) {
        let (payload, claims) = (&request.payload, &request.claims);
        let may = self.may(claim, JOIN, payload, claims, &request.only, stats);
        let seq = claim.live.as_ref().map_or(0, |live| live.seq);
        let answer = may.map(|()| Answer::new(bytes::Bytes::new(), seq));
        self.hold(claim, answer, responder);
    }

    fn may(
        self: &Arc<Self>,
        claim: &mut Claim,
        event: &str,
        payload: &[u8],
        claims: &[u8],
        only: &Only,
        stats: &EventStats,
    ) -> Result<(), CallError> {
        let Some(live) = claim.live.as_ref() else {
            return Err(CallError::Stopping);
        };
        let call = Call {
            key: claim.slot.id.key(),
            event,
            payload,
            claims,
            now_ms: unix_ms().max(live.time_ms),
            seed: seed::next(),
            seq: live.seq,
            caller: Caller::CLIENT,
            hops: 0,
        };
        match ask(live.code().plugin(), &call, only) {
            Ok(said) => said.inspect_err(|refused| stats.turned_away(refused)),
            Err(fault) => {
                let why = fault.to_string();
                stats.faulted(&why);
                self.crashed(claim, Some(why.clone()));
                Err(CallError::Crashed(why))
            }
        }
    }
}
