//! A start of another release than the store's permanent one: a new container image on an
//! old volume, or the release before one that does not come up.
//!
//! It takes the same path as an upgrade, before clients are served. What stands in its
//! way is looked for first, in a store that nobody owns and that nothing is written to.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;
use host_cli::Failure;
use host_model::Version;
use host_model::control::{
    LawRow, Outcome, Progress, RehearsalOutcome, RehearsalReport, UpgradeReport,
};
use host_model::limits::ATTEMPTS_MAX;
use host_proof::rehearsal::Law;
use host_upgrade::{
    Booked, RefusedUpgrade, Upgrader, missing_versions, not_understood, plan_at_start,
};
use tokio::sync::broadcast::error::RecvError;

use super::Boot;
use crate::boots::Why;
use crate::config::{Config, Store};
use crate::home::Home;
use crate::{exit, keep};

/// Why a start of another release was refused.
const REASON: &str = "cold_start";

/// Whether the store can come over to the release `to`, if it is of another one.
///
/// # Errors
///
/// Everything that is missing, in one report. Nothing has been touched.
pub(super) fn check(boot: &Boot<'_>, config: &Config) -> Result<(), Failure> {
    let (home, to) = (&boot.found.home, boot.release);
    if *boot.why == Why::Permanent {
        return Ok(());
    }
    if let Store::Sqlite { path, .. } = &config.store
        && !path.exists()
    {
        return Ok(());
    }
    let archive = keep::archive_of(home, &config.store)?;
    let look = |e: &dyn std::fmt::Display| Failure::look(REASON, format!("read the store: {e}"));
    let booked = Booked::read_archive(&archive).map_err(|e| look(&e))?;
    let Some(permanent) = booked.permanent.clone().filter(|it| it != to) else {
        return Ok(());
    };
    let releases = home.releases().trusting(config.trusted_keys.clone());
    let mut problems = Vec::new();
    match (releases.read(&permanent), releases.read(to)) {
        (Ok(from), Ok(to)) => {
            let waiting = archive.waiting().map_err(|e| look(&e))?;
            let lost = not_understood(&waiting, &to.manifest, &releases);
            problems.extend(lost.iter().map(|of| {
                format!("timers or casts wait in the shape of {of}, which no release here knows")
            }));
            let appups = releases.appups(&[&to.manifest.version, &permanent]);
            let has_run = |plugin: &str, version: &Version| booked.has_run(plugin, version);
            let planned = plan_at_start(&from.manifest, &to.manifest, &appups, &has_run);
            problems.extend(planned.err().map(|e| e.to_string()));
        }
        (from, to) => problems.extend([from, to].into_iter().filter_map(Result::err).map(
            // The path in it says where it is looked for.
            |e| e.to_string(),
        )),
    }
    let needed = archive.versions().map_err(|e| look(&e))?;
    for missing in missing_versions(needed, &booked, &releases) {
        problems.push(format!(
            "the store has states or records of {missing}, and no release here has that library"
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::look(
        REASON,
        report(home, &permanent, to, &problems),
    ))
}

fn report(home: &Home, permanent: &Version, to: &Version, problems: &[String]) -> String {
    let mut text = format!(
        "start release {to} on a store whose permanent release is {permanent}: it cannot come over, and nothing was touched"
    );
    for problem in problems {
        let _ = write!(text, "\n  - {problem}");
    }
    let _ = write!(
        text,
        "\nput release {permanent} beside it, in {} or in {} (a home with both names its own in releases/own), or start a home of {permanent}",
        home.root.join("releases").display(),
        home.data.join("releases").display()
    );
    text
}

/// How a start of another release ended.
enum Came {
    /// It is permanent.
    Over,
    /// It is not, and the permanent one rules.
    Back {
        why: String,
        /// Whether it would not come over the next time either.
        is_blamed: bool,
    },
    /// The host ends first, with this exit code.
    Ends(u8),
}

/// Takes the actors to the release `to`: what was under way ends, then the path of an
/// upgrade is taken to its end.
///
/// # Errors
///
/// What an operator has to look at.
async fn come_over(
    upgrader: &Arc<Upgrader>,
    to: &Version,
    why: &Why,
    ends: impl Future<Output = u8>,
) -> Result<Came, Failure> {
    let look = |why: String| {
        let message = format!("start release {to}: {why}");
        Failure::look(REASON, message)
    };
    let way = async {
        upgrader.rest().await.map_err(look)?;
        let asked = Arc::clone(upgrader);
        let (version, back_because) = (to.clone(), never_came_up(why));
        let begun = tokio::task::spawn_blocking(move || {
            // Written with the commit: whatever follows, it is not tried again by accident.
            asked.cold(&version, back_because.as_deref())
        });
        let begun = begun.await.map_err(|e| look(e.to_string()))?;
        let mut progress = match begun {
            Ok(progress) => progress,
            Err(refused @ RefusedUpgrade::FailedBefore { .. }) => {
                return Ok(Came::Back {
                    why: refused.to_string(),
                    is_blamed: true,
                });
            }
            Err(refused) => return Err(look(refused.to_string())),
        };
        loop {
            match progress.recv().await {
                // Contained: the host ends, and the next process brings it to its end.
                Ok(Progress::Ended(_)) if upgrader.is_going_back() => {}
                Ok(Progress::Ended(report)) => {
                    let has_failed = upgrader.has_failed(to);
                    return ended(report, has_failed).map_err(look);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(look("it ended without a report".into())),
            }
        }
    };
    tokio::select! {
        came = way => came,
        code = ends => Ok(Came::Ends(code)),
    }
}

/// Why a start leaves the permanent release, where that has not come up.
fn never_came_up(why: &Why) -> Option<String> {
    match why {
        Why::FellBack { .. } => Some(format!("it did not come up in {ATTEMPTS_MAX} starts")),
        Why::Permanent | Why::Own => None,
    }
}

fn ended(report: UpgradeReport, has_failed: bool) -> Result<Came, String> {
    let is_blamed = is_blamed(report.rehearsal.as_deref(), has_failed);
    let is_rehearsed = report.rehearsal.is_some();
    let why = report.reason.unwrap_or_default();
    match report.outcome {
        Outcome::Committed | Outcome::Probation => Ok(Came::Over),
        // Found on the way, or by the rehearsal before it.
        Outcome::RolledBack => Ok(Came::Back { why, is_blamed }),
        Outcome::Refused if is_rehearsed => Ok(Came::Back { why, is_blamed }),
        // By verification, which says nothing of the other release.
        Outcome::Refused | Outcome::Failed | Outcome::Stuck => Err(why),
    }
}

/// Whether the release itself is why it did not come over: it has failed on the way, or a
/// rehearsal has found something.
fn is_blamed(rehearsal: Option<&RehearsalReport>, has_failed: bool) -> bool {
    has_failed || rehearsal.is_some_and(speaks_against)
}

/// Whether a rehearsal has found something. One that could not be carried out has asked no
/// law. Where its process ended and did not again, whoever was short of memory may have ended
/// it: then a law has to be broken, but for the one that an older release may break.
fn speaks_against(report: &RehearsalReport) -> bool {
    let ended = &report.ended;
    let again = ended.is_empty() || ended.iter().any(|row| row.step.is_some());
    let is_broken = |row: &LawRow| row.failed > 0 && row.law != Law::Shadow.name();
    report.outcome == RehearsalOutcome::Failed
        && !report.laws.is_empty()
        && (again || report.laws.iter().any(is_broken))
}

/// Whether a start for this reason is meant to leave the permanent release.
pub(super) fn leads_from(why: &Why, permanent: &Version) -> bool {
    match why {
        Why::Permanent => false,
        Why::Own => true,
        Why::FellBack { from } => from == permanent,
    }
}

/// Brings everyone to the release that boots, where that is another one than the
/// permanent, and remembers which release did not come up. The exit code if the host
/// does not go on: where it `ends` meanwhile, that one.
pub(super) async fn settle(
    boot: &Boot<'_>,
    permanent: &Version,
    upgrader: &Arc<Upgrader>,
    ends: impl Future<Output = u8>,
) -> Result<Option<u8>> {
    let home = &boot.found.home;
    let never_came_up = never_came_up(boot.why);
    if let (Why::FellBack { from }, Some(reason)) = (boot.why, &never_came_up) {
        tracing::error!(release = %from, instead = %boot.release, reason, "a release is marked failed");
    }
    if permanent != boot.release {
        tracing::warn!(from = %permanent, to = %boot.release,
            "the store is of another release, and comes over before clients are served");
        match come_over(upgrader, boot.release, boot.why, ends).await {
            Ok(Came::Over) => {}
            Ok(Came::Ends(code)) => return Ok(Some(code)),
            Ok(Came::Back {
                why,
                is_blamed: false,
            }) if *boot.why == Why::Own => {
                return Err(Failure::look(
                    REASON,
                    format!(
                        "start release {}: {why}. That says nothing of the release, which is not marked failed: mend it, and say `host start`",
                        boot.release
                    ),
                )
                .into());
            }
            Ok(Came::Back { why, .. }) if *boot.why == Why::Own => {
                tracing::error!(release = %boot.release, why,
                    "the home's own release did not come over; the permanent one boots");
                upgrader.mark_failed(boot.release, &why).await?;
                home.give_own_up()?;
                return Ok(Some(exit::AGAIN));
            }
            Ok(Came::Back { why, .. }) => {
                return Err(Failure::look(
                    REASON,
                    format!(
                        "go back from release {permanent}, which does not come up, to {}: {why}; read in log/host.log what either said",
                        boot.release
                    ),
                )
                .into());
            }
            Err(failure) => return Err(failure.into()),
        }
    } else if let (Why::FellBack { from }, Some(reason)) = (boot.why, never_came_up) {
        // Nobody has to leave it, or has already.
        upgrader.mark_failed(from, &reason).await?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use host_model::control::EndedRow;

    use super::*;

    fn law(law: Law, failed: u64) -> LawRow {
        LawRow {
            law: law.name().to_owned(),
            asked: 1,
            failed,
            confidence: None,
        }
    }

    #[test]
    fn an_end_that_did_not_come_again_blames_no_release() {
        let [from, to] = [1, 2].map(|minor| Version::new(0, minor, 0));
        let ended = |step: Option<&str>, laws: &[LawRow]| {
            let row = EndedRow {
                actor: "p:x".parse().unwrap(),
                step: step.map(str::to_owned),
                why: "SIGKILL".to_owned(),
            };
            let report = RehearsalReport {
                outcome: RehearsalOutcome::Failed,
                laws: laws.to_vec(),
                ended: vec![row],
                ..RehearsalReport::skipped(&from, &to, "it has ended".to_owned())
            };
            is_blamed(Some(&report), false)
        };
        let held = law(Law::Crossing, 0);
        assert!(!ended(None, std::slice::from_ref(&held)));
        assert!(ended(Some("up to 0.2.0"), std::slice::from_ref(&held)));
        // Beside it something was found, or what an older release may do.
        assert!(ended(None, &[held.clone(), law(Law::Carry, 1)]));
        assert!(!ended(None, &[held, law(Law::Shadow, 1)]));
    }

    #[test]
    fn a_rehearsal_that_could_not_be_carried_out_blames_no_release() {
        let [from, to] = [1, 2].map(|minor| Version::new(0, minor, 0));
        let mut report = RehearsalReport::skipped(&from, &to, "the disk is full".to_owned());
        report.outcome = RehearsalOutcome::Failed;
        assert!(!is_blamed(Some(&report), false));
        assert!(is_blamed(Some(&report), true), "found on the way");
        report.laws.push(law(Law::RoundTrip, 1));
        assert!(is_blamed(Some(&report), false));
        report.outcome = RehearsalOutcome::Passed;
        assert!(!is_blamed(Some(&report), false), "an operator took it back");
        assert!(!is_blamed(None, false));
    }
}
