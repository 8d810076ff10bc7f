//! Rehearsals: what is asked of them, and what they have found.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::control::Quantiles;
use crate::id::ActorId;

/// `host rehearse V`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalRequest {
    /// The release to rehearse the change to; an older one, too.
    pub to: Version,
    /// Whom.
    #[serde(default, flatten)]
    pub extent: Extent,
    /// Pass it even if no way back is proven.
    #[serde(default)]
    pub one_way: bool,
    /// How long one command or migration may run before it is taken for one that does not
    /// return; as long as an upgrade would wait for it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
}

/// Which actors are rehearsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// So many of each plugin, by chance, or all that it has;
    /// [`REHEARSED_ACTORS`](crate::limits::REHEARSED_ACTORS) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    /// All of them, however many.
    #[serde(default)]
    pub all: bool,
}

/// How far a rehearsal is that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsing {
    /// Actors that have been rehearsed.
    pub rehearsed: u64,
    /// Of so many.
    pub total: u64,
}

/// What a rehearsal found, or why there was none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RehearsalReport {
    /// The release before.
    pub from: Version,
    /// The release after.
    pub to: Version,
    /// How it ended.
    pub outcome: RehearsalOutcome,
    /// Why it did not pass, or why there was none, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Actors rehearsed.
    pub rehearsed: u64,
    /// Of so many that change their version.
    pub known: u64,
    /// Actors in quarantine: they hold up no upgrade, and were left out.
    #[serde(default)]
    pub quarantined: u64,
    /// Actors that are in the version after already, as one that has stayed in it on a way back:
    /// they change nothing, and no law was asked of them.
    #[serde(default)]
    pub there_already: u64,
    /// What a sample says of all, by the plugin of which the fewest were rehearsed; absent
    /// where all were, or nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Each law, in order.
    pub laws: Vec<LawRow>,
    /// Fields that differ as an appup declares.
    pub declared: Vec<FieldRow>,
    /// What does not hold, by law and field.
    pub problems: Vec<FieldRow>,
    /// Actors over which the rehearsal's process ended.
    pub ended: Vec<EndedRow>,
    /// Each plugin that moves.
    pub plugins: Vec<PauseRow>,
    /// Commands that were run in both versions.
    pub commands: u64,
    /// Made-up commands that the new version took.
    pub samples: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// See [`RehearsalReport::outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalOutcome {
    /// Nothing speaks against the change.
    Passed,
    /// Something does.
    Failed,
    /// An operator broke it off.
    Cancelled,
    /// There was none.
    Skipped,
}

/// What a sample says of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// How sure it is.
    pub percent: f64,
    /// That fewer than this share of all would fail, in percent.
    pub fewer_than_percent: f64,
}

/// A law, over all actors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LawRow {
    /// Its name.
    pub law: String,
    /// Actors of which it was asked.
    pub asked: u64,
    /// Actors for which it does not hold.
    pub failed: u64,
    /// What it says of all that were rehearsed, if it was asked of some of them, by chance,
    /// and holds for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
}

/// A field that differs, or something else that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRow {
    /// The plugin.
    pub plugin: String,
    /// The law.
    pub law: String,
    /// `summary.funds`, `state.total`; empty: the actor as a whole.
    pub field: String,
    /// How many actors.
    pub actors: u64,
    /// One of them.
    pub example: ActorId,
    /// What was found there; empty for what is declared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
}

/// An actor over which the rehearsal's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRow {
    /// Which.
    pub actor: ActorId,
    /// What it was doing; absent where it did not end over it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How it ended.
    pub why: String,
}

/// How long the actors of a plugin will pause at the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRow {
    /// The plugin.
    pub plugin: String,
    /// The version that runs.
    pub from: Version,
    /// The version that shall run.
    pub to: Version,
    /// Actors rehearsed.
    pub rehearsed: u64,
    /// How long one of them takes to come over, in microseconds: what its messages
    /// wait at the switch, and no other's.
    pub pause_us: Quantiles,
    /// The same for each step of the way.
    pub steps: Vec<StepRow>,
    /// What its appup allows, in milliseconds; 0: as long as it takes, as on the way back of
    /// an operator's rollback.
    pub budget_ms: u64,
    /// The one that took longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<ActorId>,
}

/// A step of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// Where it leads.
    pub to: Version,
    /// See [`PauseRow::pause_us`].
    pub time_us: Quantiles,
}

impl RehearsalReport {
    /// The report of a rehearsal that there was not.
    #[must_use]
    pub fn skipped(from: &Version, to: &Version, reason: impl Into<String>) -> Self {
        Self {
            from: from.clone(),
            to: to.clone(),
            outcome: RehearsalOutcome::Skipped,
            reason: Some(reason.into()),
            rehearsed: 0,
            known: 0,
            quarantined: 0,
            there_already: 0,
            confidence: None,
            laws: Vec::new(),
            declared: Vec::new(),
            problems: Vec::new(),
            ended: Vec::new(),
            plugins: Vec::new(),
            commands: 0,
            samples: 0,
            duration_ms: 0,
        }
    }
}

impl RehearsalOutcome {
    /// Its name, as in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// The exit code of `host rehearse`.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        u8::from(!matches!(self, Self::Passed | Self::Skipped))
    }
}

impl Confidence {
    /// Of `rehearsed` actors by chance none has failed; none: nobody says nothing.
    #[must_use]
    pub fn of(rehearsed: u64) -> Option<Self> {
        const PERCENT: f64 = 99.0;
        #[allow(
            clippy::cast_precision_loss,
            reason = "a sample has fewer than 2^52 actors"
        )]
        let rehearsed = (rehearsed > 0).then_some(rehearsed as f64)?;
        // (1 - share) ^ rehearsed = 1 - PERCENT: so likely is it that none fails.
        let share = 1.0 - (1.0 - PERCENT / 100.0).powf(1.0 / rehearsed);
        Some(Self {
            percent: PERCENT,
            fewer_than_percent: share * 100.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::REHEARSED_ACTORS;

    #[test]
    fn a_sample_says_what_statistics_say() {
        let share = |rehearsed| Confidence::of(rehearsed).unwrap().fewer_than_percent;
        assert!((share(4_603) - 0.1).abs() < 0.000_1, "{}", share(4_603));
        assert!(share(REHEARSED_ACTORS) < 0.010_001);
        assert!(share(REHEARSED_ACTORS - 100) > 0.01);
        assert!((share(1) - 99.0).abs() < 0.000_1);
        assert_eq!(Confidence::of(0), None);
    }

    #[test]
    fn a_request_says_whom_beside_where() {
        let request: RehearsalRequest =
            serde_json::from_str(r#"{"to": "0.2.0", "sample": 7}"#).unwrap();
        assert_eq!(request.extent.sample, Some(7));
        assert!(!request.extent.all && !request.one_way);
        assert_eq!(request.deadline_s, None);
        let request: RehearsalRequest = serde_json::from_str(r#"{"to": "0.2.0"}"#).unwrap();
        assert_eq!(request.extent, Extent::default());
    }
}
