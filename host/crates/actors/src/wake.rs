//! Waking: a state from the journal, by its snapshot and the records since.

use std::sync::Arc;

use host_journal::{Incarnation, Position, Rows, Stored};
use host_loader::{Fault, State, cross};
use host_model::ActorId;
use host_model::carry::Carry;
use host_model::plan::StateChange;

use crate::Actors;
use crate::hindrance::Hindrance;
use crate::live::Live;
use crate::message::{CallError, Message};
use crate::release::{Code, Release};
use crate::slots::Claim;
use crate::token::Token;
use crate::turn::Settled;
use crate::watchdog::{goes_on, named};

/// Why a claimed actor has no state in memory.
pub(crate) enum NotWoken {
    /// What it appended is not durable yet, so the journal cannot give it back. The
    /// claim will be resumed.
    Wait,
    /// Its plugin is not in the release that rules.
    UnknownPlugin(CallError),
    /// The journal or the plugin failed.
    Hindered(Hindrance),
}

impl Actors {
    /// Sees to it that the claim has the actor's state, as of the journal.
    pub(crate) fn ensure_awake(self: &Arc<Self>, claim: &mut Claim) -> Result<(), NotWoken> {
        let incarnation = self.journal.incarnation();
        if claim.at.incarnation != incarnation {
            if self.settled(claim) == Settled::Lost {
                return Err(self.put_off_lost(claim, incarnation));
            }
            claim.at.incarnation = incarnation;
        }
        if claim.live.is_some() {
            return Ok(());
        }
        // Before the release: of two that do not belong together, an older generation
        // only means that the state is looked at once more.
        let generation = self.generation();
        let id = claim.slot.id.clone();
        let release = self.release_of(&id);
        let Some(ruling) = release.plugins.get(id.plugin()) else {
            return Err(NotWoken::UnknownPlugin(release.unknown_plugin(id.plugin())));
        };
        if self.settled(claim) == Settled::Pending {
            self.append(
                claim,
                Rows::default(),
                Token::Resume(Arc::clone(&claim.slot)),
            );
            return Err(NotWoken::Wait);
        }
        let wake = || {
            let stored = self.journal.read(&id)?;
            match stored {
                None => {
                    let state = ruling.code.new_state(&id)?;
                    Ok((Live::new(state), generation))
                }
                // It comes over before its next message.
                Some(stored) => Ok((restore(&release, &id, stored)?, 0)),
            }
        };
        let live: Result<_, Hindrance> = self.waking.run(|| named(&claim.slot, &self.waking, wake));
        match live {
            Ok((live, generation)) => {
                claim.live = Some(Box::new(live));
                claim.at.generation = generation;
                Ok(())
            }
            Err(why) => {
                tracing::error!(actor = %id, %why, "an actor could not be woken");
                Err(NotWoken::Hindered(self.hindered(&id, why)))
            }
        }
    }
}

impl Actors {
    /// `message` has not come as far as its handler, for the plugin's code broke in making or
    /// reading the state: a run that ended in a fault, of the version that broke.
    pub(crate) fn broke(&self, id: &ActorId, message: &Message, fault: &Fault) {
        self.supervisor.count_fault();
        let release = self.release_of(id);
        if let Some(event) = message.event()
            && let Some(code) = release.code(id.plugin(), &fault.version)
        {
            code.event(event).came_to_nothing(&fault.to_string());
        }
    }

    /// The claimed actor has lost what it appended: it goes on when all that this had used up
    /// has been put off, and so comes again before what stands in its queue behind it.
    fn put_off_lost(self: &Arc<Self>, claim: &mut Claim, incarnation: Incarnation) -> NotWoken {
        let lost = claim.at;
        claim.live = None;
        claim.at.incarnation = incarnation;
        let token = Token::Resume(Arc::clone(&claim.slot));
        self.append(claim, Rows::default(), token);
        let is_refused = claim.at.position == lost.position;
        if is_refused && self.journal.is_closed() {
            claim.at.position = Position::default();
        } else if is_refused {
            // Another group has failed since: once more.
            claim.at = lost;
        }
        NotWoken::Wait
    }

    /// The error for an actor whose plugin is not in the release that rules.
    pub(crate) fn unknown_plugin(&self, id: &ActorId) -> Option<CallError> {
        let reign = self.reign.load();
        let release = reign.release_of(id);
        let known = release.plugins.contains_key(id.plugin());
        (!known).then(|| release.unknown_plugin(id.plugin()))
    }
}

/// The state that `stored` describes, in the version that it then had.
pub(crate) fn restore(release: &Release, id: &ActorId, stored: Stored) -> Result<Live, Hindrance> {
    let code = |version: &host_model::Version| -> Result<Arc<Code>, String> {
        release.code(id.plugin(), version).cloned().ok_or_else(|| {
            format!(
                "its state was written by {} {version}, which no way leads from to release {}",
                id.plugin(),
                release.version
            )
        })
    };
    let mut live = match stored.snapshot {
        Some(snapshot) => {
            let code = code(&snapshot.version)?;
            let state = code.import(&snapshot.state)?;
            let mut live = Live::new(state);
            live.seq = snapshot.seq;
            live.time_ms = snapshot.time_ms;
            live.snapshot_bytes = u32::try_from(snapshot.bytes()).unwrap_or(u32::MAX);
            live.set_carries(snapshot.carries);
            live
        }
        None => {
            let first = stored
                .tail
                .first()
                .ok_or("the journal knows it and has nothing of it")?;
            let code = code(&first.version)?;
            let state = code.new_state(id)?;
            Live::new(state)
        }
    };
    for record in stored.tail {
        if record.version != *live.code().version() {
            // Only the code changed in between.
            let mut carries = live.carries().to_vec();
            live.state = reread(&live.state, &mut carries, &code(&record.version)?)?;
            live.set_carries(carries);
        }
        live.state.apply(&record.event)?;
        live.seq = record.seq;
        live.time_ms = record.time_ms;
        live.lengthen_tail(&record);
        goes_on();
    }
    Ok(live)
}

/// The same state in another version of the same schema; what lies beside it comes along.
pub(crate) fn reread(
    state: &State<Code>,
    carries: &mut Vec<Carry>,
    code: &Arc<Code>,
) -> Result<State<Code>, String> {
    let crossed = cross(state, None, carries, code.plugin(), StateChange::Same);
    let crossed = crossed.map_err(|error| error.to_string())?;
    Ok(crossed.state.owned_by(Arc::clone(code)))
}
