//! The rehearsal: what a change of version would do to the actors that there are,
//! found out beforehand, in a process that may be lost.
//!
//! Asked of each actor, with its last snapshot S, the commands C since, the state E
//! that these lead to, and the way F from the version that it has to the one that
//! shall rule, with the way B back:
//!
//! | law | what must hold |
//! |---|---|
//! | [`Law::Crossing`] | F leads from E to a state whose `check` finds nothing, each step in its time |
//! | [`Law::RoundTrip`] | B(F(E)) = E, and B(F(S)) = S, byte for byte |
//! | [`Law::Shadow`] | C on S and C on F(S) get the same replies, and lead to the same state seen through B; the queries without arguments answer the same before and behind F |
//! | [`Law::Samples`] | N being F(E) and commands that only the new version knows: F(B(N)) = N |
//! | [`Law::Carry`] | C on B(N), then F: what C does not touch is as it was in N. A new actor has no S: half of its commands stand for that, and the rest for C |
//!
//! What differs is named by its field (`summary.funds`, `state.total`). Fields that an
//! appup declares may differ, and are told apart.
//!
//! The host streams actors to the child over one socket ([`Rehearser`]), and
//! [`rehearsal_main`] is the child's side; [`talk`] draws what goes over it, [`jail`]
//! says what the child may do.

mod child;
mod jail;
mod judge;
mod last_words;
mod parent;
mod shadow;
mod talk;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;
use host_model::carry::Carry;
use host_model::plan::StateChange;
use host_model::way::Edge;
use host_model::{ActorId, Version};
use serde::{Deserialize, Serialize};

pub use child::rehearsal_main;
pub use parent::{Answered, Ended, Rehearser, Stage, StartError};

/// What a child needs before its first actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The libraries of all versions on the ways, with their digests.
    pub libraries: Vec<(PathBuf, String)>,
    /// Digests of those among them that only some actors may need, if any does. Where such a
    /// one cannot be opened, there are no steps of its version.
    pub spare: BTreeSet<String>,
    /// What those of them that are configured work with, by digest, as JSON.
    #[serde(default)]
    pub configs: BTreeMap<String, String>,
    /// The plugins that move.
    pub plugins: Vec<Moved>,
}

/// A plugin whose actors go to another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The plugin.
    pub plugin: String,
    /// Where its actors go.
    pub to: Version,
    /// The steps that there are. Which of them an actor takes follows from its version and
    /// from what lies beside its state, see [`host_model::way`].
    pub steps: Vec<Step>,
    /// Milliseconds that one command or one step may run: what runs for longer counts as
    /// code that does not return.
    pub deadline_ms: u64,
}

/// A step between two versions, and what its appup says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where it begins.
    pub from: Version,
    /// Where it leads.
    pub to: Version,
    /// How the state crosses.
    pub change: StateChange,
    /// Whether there is a way back over it.
    pub reversible: bool,
    /// Milliseconds that one actor may take for it; 0: as long as it does.
    pub timeout_ms: u64,
    /// Fields that may differ.
    pub declared: Vec<String>,
}

impl Step {
    fn look(&self) -> Edge<'_> {
        Edge {
            from: &self.from,
            to: &self.to,
            state: self.change,
            reversible: self.reversible,
        }
    }
}

/// An actor to rehearse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Which.
    pub actor: ActorId,
    /// S; none: it begins as a new actor.
    pub start: Option<Start>,
    /// C.
    pub commands: Vec<Said>,
    /// Commands that are made up for it. 0: it is not asked what commands lead to, its own
    /// or others, see [`Law::runs_commands`].
    pub samples: u32,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Of the last record that it includes.
    pub seq: u64,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
    /// Whose state it is.
    pub version: Version,
    /// MessagePack, as exported.
    pub state: Bytes,
    /// What lies beside it, the latest last.
    pub carries: Vec<Carry>,
}

/// An accepted command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its sequence.
    pub seq: u64,
    /// The version that decided it.
    pub version: Version,
    /// Unix milliseconds, UTC.
    pub time_ms: i64,
    /// Its name.
    pub event: String,
    /// Its payload, JSON.
    pub payload: Bytes,
    /// What happened, JSON.
    pub happened: Bytes,
    /// Who said it.
    pub by: By,
}

/// Who said a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// A client, or an operator.
    Client,
    /// Another actor.
    Actor,
    /// A timer.
    Timer,
}

/// What is asked of an actor. See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// It comes over at all.
    Crossing,
    /// There and back gives the state before, byte for byte.
    RoundTrip,
    /// Commands and queries answer as in the old version, but for what is declared.
    Shadow,
    /// What only the new version makes of an actor comes there and back as it is.
    Samples,
    /// What is done while the old version rules again is in the state when the new one
    /// comes back, and so is what that had left beside it.
    Carry,
}

impl Law {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Crossing,
        Self::RoundTrip,
        Self::Shadow,
        Self::Samples,
        Self::Carry,
    ];

    /// Its name, as in a report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crossing => "crossing",
            Self::RoundTrip => "round_trip",
            Self::Shadow => "shadow",
            Self::Samples => "samples",
            Self::Carry => "carry",
        }
    }

    /// Whether it asks what commands lead to, the actor's own or made-up ones: that takes
    /// longer than all else, and says more of the code than of one state.
    #[must_use]
    pub fn runs_commands(self) -> bool {
        matches!(self, Self::Shadow | Self::Samples | Self::Carry)
    }

    /// Whether a way back is proven by it.
    #[must_use]
    pub fn proves_way_back(self) -> bool {
        matches!(self, Self::RoundTrip | Self::Samples | Self::Carry)
    }
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The law.
    pub law: Law,
    /// The field, or the command that it is about; empty: the actor as a whole.
    pub field: String,
    /// In a sentence.
    pub text: String,
}

/// What was found of one actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Whether it is in the version that shall rule already: then nothing changes for it, and
    /// no law was asked.
    pub is_there: bool,
    /// The laws that could be asked, those that do not hold among them, each once.
    pub asked: Vec<Law>,
    /// What does not hold, of each law at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// Declared fields that differ.
    pub declared: Vec<String>,
    /// How long each step of the way took, in nanoseconds.
    pub steps_ns: Vec<u64>,
    /// How long it took to come over, as at a switch, in nanoseconds.
    pub pause_ns: u64,
    /// Commands that were run in both versions.
    pub commands: u32,
    /// Made-up commands that the new version took.
    pub samples: u32,
}

impl Judged {
    fn ask(&mut self, law: Law) {
        if !self.asked.contains(&law) {
            self.asked.push(law);
        }
    }

    /// A law that has been found not to hold was asked, however early that was.
    fn fail(&mut self, law: Law, field: &str, text: impl Into<String>) {
        self.ask(law);
        let told = self.problems.iter().filter(|it| it.law == law).count();
        if told < PROBLEMS_MAX {
            self.problems.push(Problem {
                law,
                field: field.to_owned(),
                text: text.into(),
            });
        }
    }
}

/// Problems of one actor that are told, of each law: what breaks one says nothing of another.
pub const PROBLEMS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_that_breaks_in_many_places_keeps_no_other_from_being_told() {
        let mut judged = Judged::default();
        judged.ask(Law::Shadow);
        for n in 0..100 {
            judged.fail(Law::Shadow, &format!("state.x{n}"), "it differs");
        }
        judged.fail(Law::Carry, "state.notes", "it is lost");
        let of = |law| judged.problems.iter().filter(move |it| it.law == law);
        assert_eq!(of(Law::Shadow).count(), PROBLEMS_MAX);
        assert_eq!(of(Law::Carry).count(), 1);
        assert_eq!(judged.asked, [Law::Shadow, Law::Carry]);
    }
}
