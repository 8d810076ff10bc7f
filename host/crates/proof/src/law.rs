//! The replay law.

use std::fmt;

use bytes::Bytes;
use host_model::ActorId;
use thiserror::Error;

use crate::course::{Base, Course};
use crate::difference::Difference;
use crate::process::{OtherProcess, ProcessError};
use crate::replay::{Code, Replay, ReplayError};

/// How two states were come to that should be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The same events, twice in this process.
    Twice,
    /// The same events, here and in another process.
    InAnotherProcess,
    /// From the beginning, and from a state in the middle that was written and read.
    FromTheMiddle,
    /// Written, read, and written again.
    Rewritten,
    /// What a replay comes to, and what the store has.
    AgainstTheStore,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twice => "applied twice in one process",
            Self::InAnotherProcess => "applied here and in another process",
            Self::FromTheMiddle => "applied from the beginning and from a state in the middle",
            Self::Rewritten => "written, read and written again",
            Self::AgainstTheStore => "replayed and as a snapshot in the store",
        })
    }
}

/// A plugin that does not keep the law. Its author is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{actor} differs at event {seq}, {way}: {difference}; look for what `apply` and the state do not take from the event, such as a map without an order, a clock, or a random number"
)]
pub struct Violation {
    /// Whose state.
    pub actor: ActorId,
    /// The first event behind which the two differ, as far as could be told.
    pub seq: u64,
    /// How the two were come to.
    pub way: Way,
    /// In what they differ.
    pub difference: Difference,
}

/// Why a law was not found to hold.
#[derive(Debug, Error)]
pub enum LawError {
    /// It does not.
    #[error(transparent)]
    Violated(#[from] Box<Violation>),
    /// The events could not be applied.
    #[error("{actor} could not be replayed")]
    Replay {
        /// Whose.
        actor: ActorId,
        /// Why.
        #[source]
        source: ReplayError,
    },
    /// The other process could not be asked.
    #[error("{actor} could not be replayed in another process")]
    Process {
        /// Whose.
        actor: ActorId,
        /// Why.
        #[source]
        source: ProcessError,
    },
}

/// What a course that keeps the law comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Events applied, each time.
    pub events: usize,
    /// The last state.
    pub state: Bytes,
}

/// The law, ready to be asked of any number of actors.
#[derive(Debug, Clone, Copy)]
pub struct Law<'a> {
    code: &'a Code,
    other: Option<&'a OtherProcess>,
}

impl<'a> Law<'a> {
    /// With these plugins, in this process.
    #[must_use]
    pub fn new(code: &'a Code) -> Self {
        Self { code, other: None }
    }

    /// And in another process, too: only there do addresses and seeds differ.
    #[must_use]
    pub fn in_another_process(mut self, other: &'a OtherProcess) -> Self {
        self.other = Some(other);
        self
    }

    /// Asks whether the law holds for one actor. Takes about four times as long as
    /// waking it.
    ///
    /// # Errors
    ///
    /// [`LawError`]: that it does not hold, or cannot be asked.
    pub fn holds(&self, course: &Course) -> Result<Replayed, LawError> {
        let judge = Judge { law: self, course };
        let replayed = judge.stored()?;
        judge.twice(&replayed)?;
        judge.rewritten(&replayed)?;
        judge.begun_in_the_middle(&replayed)?;
        judge.in_another_process(&replayed)?;
        Ok(Replayed {
            events: course.events.len(),
            state: replayed.state,
        })
    }
}

/// The law, asked of one actor.
struct Judge<'a> {
    law: &'a Law<'a>,
    course: &'a Course,
}

impl Judge<'_> {
    fn begin<'a>(&'a self, course: &'a Course) -> Result<Replay<'a>, LawError> {
        Replay::begin(self.law.code, course).map_err(|source| self.cannot(source))
    }

    fn cannot(&self, source: ReplayError) -> LawError {
        LawError::Replay {
            actor: self.course.actor.clone(),
            source,
        }
    }

    fn cannot_outside(&self, source: ProcessError) -> LawError {
        LawError::Process {
            actor: self.course.actor.clone(),
            source,
        }
    }

    fn violated(&self, way: Way, seq: u64, difference: Difference) -> LawError {
        LawError::Violated(Box::new(Violation {
            actor: self.course.actor.clone(),
            seq,
            way,
            difference,
        }))
    }

    /// Replays all, past every snapshot that the store has.
    fn stored(&self) -> Result<Base, LawError> {
        let mut replay = self.begin(self.course)?;
        for snapshot in &self.course.snapshots {
            let here = replay.to(snapshot.seq).map_err(|e| self.cannot(e))?;
            // Of another schema, or from before the course: not this one's to judge.
            if here.version != snapshot.version || here.seq != snapshot.seq {
                continue;
            }
            if let Some(found) = Difference::of(&here.state, &snapshot.state) {
                return Err(self.violated(Way::AgainstTheStore, here.seq, found));
            }
        }
        replay.to(self.course.end()).map_err(|e| self.cannot(e))
    }

    fn twice(&self, replayed: &Base) -> Result<(), LawError> {
        let mut again = self.begin(self.course)?;
        let again = again.to(replayed.seq).map_err(|e| self.cannot(e))?;
        let Some(found) = Difference::of(&replayed.state, &again.state) else {
            return Ok(());
        };
        // Once more, for where it began. Chance may let them be equal.
        let both = [self.begin(self.course)?, self.begin(self.course)?];
        let first = self.first_difference(both).map_err(|e| self.cannot(e))?;
        let (seq, found) = first.unwrap_or((replayed.seq, found));
        Err(self.violated(Way::Twice, seq, found))
    }

    fn rewritten(&self, replayed: &Base) -> Result<(), LawError> {
        if replayed.state.is_empty() {
            return Ok(());
        }
        let rest = self.course.rest(replayed.clone());
        let again = self.begin(&rest)?.here().map_err(|e| self.cannot(e))?;
        match Difference::of(&replayed.state, &again.state) {
            Some(found) => Err(self.violated(Way::Rewritten, replayed.seq, found)),
            None => Ok(()),
        }
    }

    fn begun_in_the_middle(&self, replayed: &Base) -> Result<(), LawError> {
        let Some(middle) = self.course.middle() else {
            return Ok(());
        };
        let mut before = self.begin(self.course)?;
        let middle = before.to(middle).map_err(|e| self.cannot(e))?;
        let rest = self.course.rest(middle);
        let mut behind = self.begin(&rest)?;
        let again = behind.to(replayed.seq).map_err(|e| self.cannot(e))?;
        let Some(found) = Difference::of(&replayed.state, &again.state) else {
            return Ok(());
        };
        // Both on from the middle: the one as it is, the other read.
        let both = [before, self.begin(&rest)?];
        let first = self.first_difference(both).map_err(|e| self.cannot(e))?;
        let (seq, found) = first.unwrap_or((replayed.seq, found));
        Err(self.violated(Way::FromTheMiddle, seq, found))
    }

    /// Where two replays differ first, event by event, side by side.
    fn first_difference(
        &self,
        [mut one, mut other]: [Replay<'_>; 2],
    ) -> Result<Option<(u64, Difference)>, ReplayError> {
        loop {
            let (here, there) = (one.here()?, other.here()?);
            if let Some(found) = Difference::of(&here.state, &there.state) {
                return Ok(Some((here.seq, found)));
            }
            if !(one.step()? && other.step()?) {
                return Ok(None);
            }
        }
    }

    fn in_another_process(&self, replayed: &Base) -> Result<(), LawError> {
        let Some(other) = self.law.other else {
            return Ok(());
        };
        let last = [replayed.seq];
        let mut found = None;
        let asked = other.replay(self.law.code, self.course, Some(&last), |there| {
            found = Difference::of(&replayed.state, &there.state);
            found.is_none()
        });
        asked.map_err(|e| self.cannot_outside(e))?;
        let Some(found) = found else {
            return Ok(());
        };
        // Once more, event by event, for where it began.
        let mut here = self.begin(self.course)?;
        let mut first = None;
        let mut broke = None;
        let asked = other.replay(self.law.code, self.course, None, |there| {
            match here.to(there.seq) {
                Ok(here) => {
                    let found = Difference::of(&here.state, &there.state);
                    first = found.map(|found| (here.seq, found));
                }
                Err(error) => broke = Some(error),
            }
            first.is_none() && broke.is_none()
        });
        asked.map_err(|e| self.cannot_outside(e))?;
        if let Some(error) = broke {
            return Err(self.cannot(error));
        }
        let (seq, found) = first.unwrap_or((replayed.seq, found));
        Err(self.violated(Way::InAnotherProcess, seq, found))
    }
}
