//! Queries, and the short way for those that need not wait.
//!
//! The short way is most of what the host does under many readers: no wait, no
//! clock that is not coarse, and no allocation but the reply's.

use std::sync::Arc;

use host_loader::{Call, Caller, Fault};

use crate::Actors;
use crate::authority;
use crate::clock::{monotonic_ms, unix_ms_at};
use crate::live::Live;
use crate::message::{Answer, CallError, Request};
use crate::release::EventStats;
use crate::seed;
use crate::slots::{After, Claim, Slot};
use crate::turn::Settled;
use crate::watchdog;

impl Actors {
    /// Asks the state of a claimed actor.
    pub(crate) fn query(
        &self,
        live: &Live,
        slot: &Slot,
        request: &Request,
        stats: &EventStats,
    ) -> Result<Answer, CallError> {
        let seq = live.seq;
        match self.ask(live, slot, request, monotonic_ms()) {
            Ok(answer) => {
                let answer = answer.map(|reply| Answer::new(reply, seq));
                answer.inspect_err(|refused| stats.turned_away(refused))
            }
            Err(fault) => {
                let why = fault.to_string();
                stats.faulted(&why);
                Err(CallError::Crashed(why))
            }
        }
    }

    /// The short way for a query: the actor is idle, awake, has come over and has
    /// nothing under way, and the query is proven fast. None: [`Actors::call`] answers
    /// it, on the long way. Does not wait; must be called on the data runtime.
    pub fn query_now(self: &Arc<Self>, request: &Request) -> Option<Result<Answer, CallError>> {
        let entered = self.door.enter();
        let claim = self.slots.get(&request.actor)?.try_claim_live()?;
        let began_ms = monotonic_ms();
        let answer = self.query_claimed(&claim, request, began_ms);
        match claim.next_or_give_back(self.uptime_s(began_ms)) {
            After::Done => {}
            After::Next(claim, message) => self.turn(claim, Some(message)),
            After::Empty(slot) => self.forget_if_empty(&slot),
        }
        if let (Some(entered), Some(_)) = (entered, &answer) {
            self.door.left_quickly(entered);
        }
        answer
    }

    #[inline]
    fn query_claimed(
        &self,
        claim: &Claim,
        request: &Request,
        began_ms: u64,
    ) -> Option<Result<Answer, CallError>> {
        if self.supervisor.is_quarantined(&claim.slot.id) || self.settled(claim) != Settled::Durable
        {
            return None;
        }
        let live = claim.live.as_ref()?;
        let stats = live.code().query(&request.event)?;
        let version = request.version.as_ref();
        let fits = version.is_none_or(|version| version == live.code().version())
            && claim.at.generation == self.generation()
            && !self.gates.any()
            // The long way tells who looks.
            && !self.tracers.has(&claim.slot.id)
            && stats.is_proven_fast();
        if !fits {
            return None;
        }
        let seq = live.seq;
        watchdog::watch(&claim.slot, stats, began_ms, || {
            match self.ask(live, &claim.slot, request, began_ms) {
                Ok(Ok(reply)) => Some(Ok(Answer::new(reply, seq))),
                Ok(Err(refused)) => {
                    stats.turned_away(&refused);
                    Some(Err(refused))
                }
                // The long way meets it again, and sees to it.
                Err(_) => None,
            }
        })
    }

    #[inline]
    fn ask(
        &self,
        live: &Live,
        slot: &Slot,
        request: &Request,
        began_ms: u64,
    ) -> Result<Result<bytes::Bytes, CallError>, Box<Fault>> {
        let call = Call {
            key: slot.id.key(),
            event: &request.event,
            payload: &request.payload,
            claims: &request.claims,
            now_ms: unix_ms_at(began_ms).max(live.time_ms),
            seed: seed::next(),
            seq: live.seq,
            caller: Caller::CLIENT,
            hops: 0,
        };
        if let Err(refused) = authority::ask(live.code().plugin(), &call, &request.only)? {
            return Ok(Err(refused));
        }
        let answer = live.state.query(&call)?;
        Ok(answer.map_err(CallError::Rejected))
    }
}
