//! Why an upgrade, or what is asked of one, is not begun.

use host_model::Version;
use host_model::plan::Plan;
use host_package::InstallError;
use thiserror::Error;

use crate::book::Past;
use crate::engine::Upgrader;
use crate::plan::PlanError;
use crate::releases::ReleasesError;

/// Why a request was not begun. Nothing has changed.
#[derive(Debug, Error)]
pub enum RefusedUpgrade {
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no way back, and more is wrong.
    #[error("{no_way_back}; and release {to} cannot run here:{}",
        problems.iter().map(|problem| format!("\n  - {problem}")).collect::<String>())]
    OneWayAndMore {
        /// What is said of the way back.
        no_way_back: Box<PlanError>,
        /// The release that shall run.
        to: Version,
        /// All that verification finds.
        problems: Vec<String>,
    },
    /// A way is there, over releases that nobody vouches for.
    #[error("no appup that somebody vouches for leads from release {from} to {to}; a way leads over what is left out:{}",
        left_out.iter().map(|(release, problem)| format!("\n  - release {release}: {problem}")).collect::<String>())]
    Untrusted {
        /// The release that runs.
        from: Version,
        /// The release that shall run.
        to: Version,
        /// The releases on the way, each with what is wrong with its signature and what to
        /// do.
        left_out: Vec<(Version, String)>,
    },
    /// A release is not there, or broken.
    #[error(transparent)]
    Releases(#[from] ReleasesError),
    /// Its package lies there, and cannot be installed.
    #[error(transparent)]
    Package(#[from] InstallError),
    /// Another upgrade is under way.
    #[error(
        "an upgrade from {from} to {to} is under way ({state}); wait for it, or say `host commit` or `host rollback`"
    )]
    Busy {
        /// The release before.
        from: Version,
        /// The release after.
        to: Version,
        /// How far it is.
        state: &'static str,
    },
    /// Another rehearsal goes on by itself.
    #[error("another rehearsal is under way; wait for it, or break that one off")]
    Rehearsing,
    /// An upgrade to this release was rolled back before.
    #[error(
        "an upgrade to {version} was rolled back before: {reason}; install a new version, or say `host upgrade {version} --retry-failed`"
    )]
    FailedBefore {
        /// The release.
        version: Version,
        /// Why it was rolled back.
        reason: String,
    },
    /// There is nothing to commit.
    #[error("no upgrade is under way; {0} is permanent already")]
    NothingToCommit(Version),
    /// There is no release to go back to.
    #[error(
        "no upgrade is under way, and {0} was not come to from an older release; say `host rollback V` to go to an older one all the same, or `host upgrade V`"
    )]
    NothingToRollBack(Version),
    /// What a rollback would undo is undone, or has changed nothing: to go on to the release
    /// before that is another wish.
    #[error(
        "no upgrade is under way, and {undone}: {rules} rules; {}",
        match further {
            Some(further) => format!("say `host rollback {further}` to go further back, to the release before it"),
            None => "there is no release that it was come to from".to_owned(),
        }
    )]
    Undone {
        /// What became of the last upgrade.
        undone: String,
        /// The release that rules.
        rules: Version,
        /// Where it was come to from.
        further: Option<Version>,
    },
    /// Another upgrade has begun and ended since this one was planned.
    #[error("planned from {from}, while {rules} has come to rule; say it again")]
    Overtaken {
        /// The release that it was planned from.
        from: Version,
        /// The one that rules now.
        rules: Version,
    },
    /// A rollback leads to older releases.
    #[error(
        "roll back from {current} to {to}: that is newer; use `host upgrade {to}`, which watches it before it commits"
    )]
    NewerRelease {
        /// The release that rules.
        current: Version,
        /// Where it was asked to go.
        to: Version,
    },
    /// A canary and its ramp make no sense.
    #[error("upgrade step by step: {0}")]
    BadRamp(String),
    /// There is nothing that could be paused.
    #[error("no upgrade is under way; there is nothing to {0}")]
    NothingToPause(&'static str),
    /// Nobody is called over yet.
    #[error("the upgrade is {state}; it can {wish} from the moment on that actors come over")]
    TooEarly {
        /// How far it is.
        state: &'static str,
        /// What was asked.
        wish: &'static str,
    },
    /// It is too late for this.
    #[error("the upgrade is {state}; it cannot {wish} any more")]
    TooLate {
        /// How far it is.
        state: &'static str,
        /// What was asked.
        wish: &'static str,
    },
    /// The commit is being written.
    #[error("release {to} is about to be permanent; say `host rollback` again when it is")]
    Committing {
        /// The release.
        to: Version,
    },
    /// An upgrade under way goes back to where it came from only.
    #[error("what is under way goes back to {back}, not to {to}; let it end first")]
    OtherRelease {
        /// Where it goes.
        back: Version,
        /// Where it was asked to go.
        to: Version,
    },
}

impl RefusedUpgrade {
    /// One snake-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Plan(PlanError::SameVersion(_)) => "same_version",
            Self::Plan(PlanError::NoPath { .. }) => "no_path",
            Self::Plan(PlanError::OneWay { .. }) | Self::OneWayAndMore { .. } => "one_way",
            Self::Plan(PlanError::Circle(_)) => "circle",
            Self::Plan(PlanError::RestartHost { .. }) => "restart_host",
            Self::Untrusted { .. } => "untrusted",
            Self::Releases(ReleasesError::Appup(_)) => "bad_appup",
            Self::Releases(ReleasesError::NotFound { .. }) => "not_installed",
            Self::Releases(ReleasesError::Broken { .. }) => "broken_release",
            Self::Releases(ReleasesError::Packed { .. }) => "not_unpacked",
            Self::Releases(ReleasesError::Package(error)) => error.reason(),
            Self::Package(error) => error.reason(),
            Self::Busy { .. } | Self::Rehearsing => "busy",
            Self::FailedBefore { .. } => "failed_before",
            Self::NothingToCommit(_) => "nothing_to_commit",
            Self::NothingToRollBack(_) | Self::Undone { .. } => "nothing_to_roll_back",
            Self::Overtaken { .. } => "overtaken",
            Self::NewerRelease { .. } => "newer_release",
            Self::BadRamp(_) => "bad_ramp",
            Self::NothingToPause(_) => "nothing_to_pause",
            Self::TooEarly { .. } => "too_early",
            Self::TooLate { .. } | Self::Committing { .. } => "too_late",
            Self::OtherRelease { .. } => "other_release",
        }
    }
}

impl Upgrader {
    /// As [`Upgrader::plan`]. A refusal for want of a way back says all else that is wrong,
    /// too: whoever mends the one has mended all.
    pub(crate) fn plan_or_all_that_is_wrong(
        &self,
        to: &Version,
        one_way: bool,
    ) -> Result<Plan, RefusedUpgrade> {
        let no_way_back = match self.plan(to, one_way) {
            Err(RefusedUpgrade::Plan(error @ PlanError::OneWay { .. })) => error,
            planned => return planned,
        };
        let problems = self.verify(&self.plan(to, true)?)?.problems;
        Err(all_that_is_wrong(no_way_back, to, problems))
    }

    pub(crate) fn refuse_if_failed(&self, version: &Version) -> Result<(), RefusedUpgrade> {
        match self.booked.lock().statuses.get(version) {
            Some(Past::Failed { reason }) => Err(RefusedUpgrade::FailedBefore {
                version: version.clone(),
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Why an upgrade to `to` would not be begun now, whatever is found of its release.
    #[must_use]
    pub fn in_its_way(&self, to: &Version) -> Option<RefusedUpgrade> {
        let refused = self
            .refuse_if_busy()
            .and_then(|()| self.refuse_if_failed(to));
        refused.err()
    }

    pub(crate) fn refuse_if_busy(&self) -> Result<(), RefusedUpgrade> {
        match self.running() {
            Some(running) => Err(running.busy()),
            None => Ok(()),
        }
    }
}

fn all_that_is_wrong(
    no_way_back: PlanError,
    to: &Version,
    problems: Vec<String>,
) -> RefusedUpgrade {
    match problems.is_empty() {
        true => no_way_back.into(),
        false => RefusedUpgrade::OneWayAndMore {
            no_way_back: Box::new(no_way_back),
            to: to.clone(),
            problems,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_way_back_is_refused_with_all_else_that_is_wrong() {
        let (old, new) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        let no_way_back = || PlanError::OneWay {
            plugin: "zakat".to_owned(),
            from: old.clone(),
            to: new.clone(),
            why: "has no down; write one, or say --one-way",
        };
        let alone = all_that_is_wrong(no_way_back(), &new, Vec::new());
        assert_eq!(alone.to_string(), no_way_back().to_string());
        let problems = ["it is not signed", "no room"].map(str::to_owned);
        let all = all_that_is_wrong(no_way_back(), &new, problems.to_vec());
        assert_eq!(
            all.to_string(),
            format!(
                "{}; and release 0.2.0 cannot run here:\n  - it is not signed\n  - no room",
                no_way_back()
            )
        );
        assert_eq!([alone.reason(), all.reason()], ["one_way"; 2]);
    }
}
