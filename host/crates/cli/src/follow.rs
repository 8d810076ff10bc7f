//! Follows an upgrade, a rollback or a commit until it is over.
//!
//! The host does the work and goes on whether or not anyone follows.

use std::cell::Cell;

use host_model::Version;
use host_model::control::{
    HistoryRow, Outcome, Progress, Quantiles, RehearsalReport, Status, UnderWay, UpgradeReport,
};
use serde::Serialize;
use serde_json::json;

use crate::bar::Progress as Bar;
use crate::client::{CONNECTION_LOST, Events};
use crate::duration::people;
use crate::failure::{EXIT_INTERRUPTED, EXIT_REFUSED};
use crate::table::count;
use crate::{Client, Failure, Output, show};

/// Seconds of probation that pass between two lines of a log, which is told of it every second.
const LEFT_STEP_S: u64 = 60;

/// The states from which on an upgrade needs no one to wait for it.
const SWITCHED: [&str; 2] = ["probation", "canary"];

/// Follows an upgrade to its end, or with `detach` until the new release rules.
pub(crate) async fn upgrade(
    events: Events,
    detach: bool,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    match follow(events, What::Upgrade { detach }, out).await? {
        Followed::Ended(report) => Ok(report.outcome.exit_code()),
        Followed::Rehearsed(report) => Ok(report.outcome.exit_code()),
        Followed::Detached => detached(client, out).await,
        Followed::Interrupted => Ok(EXIT_INTERRUPTED),
    }
}

/// Tells of an upgrade that the host has refused: programs get the last word that every
/// upgrade has, with the problem's `reason` and `message` in it.
pub(crate) async fn refused(
    failure: Failure,
    to: &Version,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    if !out.is_json() || failure.exit_code() != EXIT_REFUSED {
        return Err(failure);
    }
    let Ok(status) = client.get::<Status>("/v1/status").await else {
        return Err(failure);
    };
    let problem = failure.problem();
    let document = json!({
        "kind": "ended",
        "from": status.version,
        "to": to,
        "outcome": Outcome::Refused,
        "actors_migrated": 0,
        "pause_us": Quantiles::default(),
        "rehearsal": null,
        "duration_ms": 0,
        "reason": problem.reason,
        "message": problem.message,
        "exit_code": problem.exit_code,
    });
    out.document(&document, |_| String::new())?;
    Ok(failure.exit_code())
}

/// Follows a rollback that was asked for. That an upgrade was rolled back is its
/// success; one from a permanent release succeeds as an upgrade does.
pub(crate) async fn rollback(events: Events, out: &mut Output<'_>) -> Result<u8, Failure> {
    match follow(events, What::Rollback, out).await? {
        Followed::Ended(report) => Ok(rollback_exit_code(&report)),
        Followed::Rehearsed(report) => Ok(report.outcome.exit_code()),
        Followed::Detached => Ok(0),
        Followed::Interrupted => Ok(EXIT_INTERRUPTED),
    }
}

/// Of an upgrade that was under way the old release rules, as was asked: it has gone back, or
/// ended before its switch.
fn rollback_exit_code(report: &UpgradeReport) -> u8 {
    match report.outcome {
        Outcome::RolledBack | Outcome::Failed | Outcome::Refused if !report.rollback => 0,
        other => other.exit_code(),
    }
}

/// Follows a rehearsal to its end. Who stops following ends it: it changes nothing.
pub(crate) async fn rehearsal(events: Events, out: &mut Output<'_>) -> Result<u8, Failure> {
    match follow(events, What::Rehearsal, out).await? {
        Followed::Rehearsed(report) => Ok(report.outcome.exit_code()),
        Followed::Ended(report) => Ok(report.outcome.exit_code()),
        Followed::Detached => Ok(0),
        Followed::Interrupted => Ok(EXIT_INTERRUPTED),
    }
}

/// What is followed.
#[derive(Clone, Copy)]
enum What {
    Upgrade {
        /// Only until the new release rules.
        detach: bool,
    },
    Rollback,
    Rehearsal,
}

impl What {
    /// What becomes of it when nobody follows any more.
    fn left(self) -> &'static str {
        match self {
            Self::Upgrade { .. } => {
                "no longer following; the host goes on. See it with `host status`, take it back with `host rollback`."
            }
            Self::Rollback => {
                "no longer following; the host goes on rolling back. See it with `host status`."
            }
            Self::Rehearsal => "the rehearsal ends with this, and nothing was changed.",
        }
    }

    /// Its host is gone. What becomes of it, the next process writes down.
    fn lost(self) -> Failure {
        let message = match self {
            Self::Upgrade { .. } | Self::Rollback => {
                "follow it to the end: the connection to the host broke, perhaps because it stopped or crashed; once it is up again, `host status` says which release rules, and `host history` how this ended"
            }
            Self::Rehearsal => {
                "follow the rehearsal: the connection to the host broke, perhaps because it stopped or crashed; nothing was changed by the rehearsal, and `host logs` has more"
            }
        };
        Failure::look(CONNECTION_LOST, message)
    }
}

enum Followed {
    Ended(Box<UpgradeReport>),
    Rehearsed(Box<RehearsalReport>),
    Detached,
    Interrupted,
}

async fn follow(mut events: Events, what: What, out: &mut Output<'_>) -> Result<Followed, Failure> {
    let teller = Teller::new(out.is_json());
    let mut is_upgrade = false;
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            _ = tokio::signal::ctrl_c() => {
                teller.done();
                eprintln!("{}", what.left());
                return Ok(Followed::Interrupted);
            }
        };
        let progress = match next {
            Ok(Some(progress)) => progress,
            Err(failure) if failure.problem().reason != CONNECTION_LOST => return Err(failure),
            Ok(None) | Err(_) => {
                teller.done();
                return Err(what.lost());
            }
        };
        if out.is_json() {
            out.document(&progress, |_| String::new())?;
        }
        teller.tell(&progress);
        match progress {
            Progress::Ended(report) => {
                teller.done();
                if !out.is_json() {
                    out.document(&report, show::report)?;
                }
                return Ok(Followed::Ended(Box::new(report)));
            }
            // Of an upgrade its rehearsal is one of the steps, also for who follows from there on.
            Progress::Rehearsal(report) if matches!(what, What::Rehearsal) && !is_upgrade => {
                teller.done();
                if !out.is_json() {
                    out.document(&report, |report| show::rehearsal(report))?;
                }
                return Ok(Followed::Rehearsed(report));
            }
            Progress::State { state, .. }
                if matches!(what, What::Upgrade { detach: true })
                    && SWITCHED.contains(&state.as_str()) =>
            {
                teller.done();
                return Ok(Followed::Detached);
            }
            Progress::State { .. } => is_upgrade = true,
            _ => {}
        }
    }
}

/// The last word of `--detach`: the report as far as it has come, with the `state` that it is
/// of. One that has ended in this moment has its own.
async fn detached(client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let Some(under_way) = client.get::<Option<UnderWay>>("/v1/upgrade").await? else {
        let rows: Vec<HistoryRow> = client.get("/v1/history?limit=1").await?;
        let last = rows.into_iter().next_back().ok_or_else(|| {
            Failure::look(
                "no_history",
                "follow the upgrade: it has ended, and the host has no report of it; see `host status`",
            )
        })?;
        out.document(&last.report, show::report)?;
        return Ok(last.report.outcome.exit_code());
    };
    let left = Left {
        kind: "detached",
        under_way: &under_way,
    };
    out.document(&left, |_| left_text(&under_way))?;
    Ok(under_way.report.outcome.exit_code())
}

/// An upgrade that goes on without who asked for it.
#[derive(Serialize)]
struct Left<'a> {
    kind: &'static str,
    #[serde(flatten)]
    under_way: &'a UnderWay,
}

fn left_text(under_way: &UnderWay) -> String {
    let (state, to) = (&under_way.state, &under_way.report.to);
    let how = match under_way.share {
        Some(share) => format!(
            "{share} of the actors are in release {to} and are watched; the host goes on alone"
        ),
        None if !SWITCHED.contains(&state.as_str()) => {
            let why = under_way.report.reason.as_ref();
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("release {to} ruled, and is {state} by now{why}; the host goes on alone")
        }
        None => format!("release {to} rules and is watched; the host commits it alone"),
    };
    format!("{how}. See it with `host status`, take it back with `host rollback`.")
}

/// Shows progress to people, on standard error: a bar on a terminal, lines otherwise.
enum Teller {
    Silent,
    Lines {
        /// What was last told to be left of probation, in the state that it is in.
        left_s: Cell<Option<u64>>,
    },
    Bar(Bar),
}

impl Teller {
    fn new(json: bool) -> Self {
        if json {
            return Self::Silent;
        }
        let bar = Bar::new(json);
        match bar.is_shown() {
            true => Self::Bar(bar),
            false => Self::Lines {
                left_s: Cell::new(None),
            },
        }
    }

    fn tell(&self, progress: &Progress) {
        match self {
            Self::Silent => {}
            Self::Lines { left_s } => {
                if is_news(left_s, progress)
                    && let Some(line) = line(progress)
                {
                    eprintln!("{line}");
                }
            }
            Self::Bar(bar) => match progress {
                Progress::State { state, .. } => bar.say(state),
                Progress::Rehearsed { rehearsed, total } => {
                    bar.say("rehearsal");
                    bar.tell(*rehearsed, *total);
                }
                Progress::Rehearsal(report) => {
                    bar.say(format!("rehearsal {}", report.outcome.name()));
                }
                Progress::Migrated { migrated, total } => bar.tell(*migrated, *total),
                Progress::Probation { left_s } => {
                    bar.say(format!("probation, {} left", people(*left_s)));
                }
                Progress::Said { text } => bar.say(text),
                Progress::Ended(_) => {}
            },
        }
    }

    fn done(&self) {
        if let Self::Bar(bar) = self {
            bar.done();
        }
    }
}

/// Whether a log needs a line of it: not of each second that is left, nor of any while its
/// clock stands still.
fn is_news(told: &Cell<Option<u64>>, progress: &Progress) -> bool {
    match progress {
        Progress::Probation { left_s } => {
            let near = |told: u64| *left_s <= told && told - left_s < LEFT_STEP_S;
            let is_news = !told.get().is_some_and(near);
            if is_news {
                told.set(Some(*left_s));
            }
            is_news
        }
        Progress::State { .. } => {
            told.set(None);
            true
        }
        _ => true,
    }
}

/// Progress as a line of a log.
fn line(progress: &Progress) -> Option<String> {
    match progress {
        Progress::State { state, at_ms } => Some(format!("{at_ms:>6} ms  {state}")),
        Progress::Migrated { migrated, total } => Some(format!(
            "           {migrated} of {} carried over",
            count(*total, "actor")
        )),
        Progress::Rehearsed { rehearsed, total } => Some(format!(
            "           {rehearsed} of {} rehearsed",
            count(*total, "actor")
        )),
        Progress::Rehearsal(report) => Some(format!(
            "           rehearsal {}: {}",
            report.outcome.name(),
            count(report.rehearsed, "actor")
        )),
        Progress::Probation { left_s } => {
            Some(format!("           {} of probation left", people(*left_s)))
        }
        Progress::Said { text } => Some(format!("           {text}")),
        Progress::Ended(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: Outcome, rollback: bool) -> UpgradeReport {
        UpgradeReport {
            from: Version::new(0, 1, 0),
            to: Version::new(0, 2, 0),
            outcome,
            rollback,
            actors_migrated: 0,
            pause_us: Default::default(),
            rehearsal: None,
            config: Vec::new(),
            duration_ms: 0,
            ended_ms: 0,
            paused_ms: 0,
            remark: None,
            reason: None,
            way_back: Default::default(),
        }
    }

    #[test]
    fn what_goes_on_alone_is_told_with_its_state_and_its_share() {
        let left = |state: &str, share: Option<&str>, outcome| UnderWay {
            state: state.to_owned(),
            share: share.map(|share| share.parse().unwrap()),
            report: report(outcome, false),
        };
        let canary = left("canary", Some("5%"), Outcome::Probation);
        let told = serde_json::to_value(Left {
            kind: "detached",
            under_way: &canary,
        });
        let told = told.unwrap();
        let named = ["kind", "state", "share", "outcome", "to"].map(|it| &told[it]);
        assert_eq!(named, ["detached", "canary", "5%", "probation", "0.2.0"]);
        assert_eq!(serde_json::from_value::<UnderWay>(told).unwrap(), canary);
        let text = left_text(&canary);
        assert!(
            text.starts_with("5% of the actors are in release 0.2.0"),
            "{text}"
        );
        let text = left_text(&left("probation", None, Outcome::Probation));
        assert!(
            text.starts_with("release 0.2.0 rules and is watched"),
            "{text}"
        );
        let mut back = left("rolling_back", None, Outcome::RolledBack);
        back.report.reason = Some("it is ill".to_owned());
        let text = left_text(&back);
        let wanted = "release 0.2.0 ruled, and is rolling_back by now: it is ill; ";
        assert!(text.starts_with(wanted), "{text}");
    }

    #[test]
    fn a_rollback_that_was_asked_for_succeeds_by_rolling_back() {
        let code = |outcome, rollback| rollback_exit_code(&report(outcome, rollback));
        assert_eq!(code(Outcome::RolledBack, false), 0);
        // It ended before its switch: by that, or by its rehearsal in the same moment.
        assert_eq!(code(Outcome::Failed, false), 0);
        assert_eq!(code(Outcome::Refused, false), 0);
        assert_eq!(code(Outcome::Stuck, false), 5);
        // After the commit it is a change of its own, and this one was taken back.
        assert_eq!(code(Outcome::RolledBack, true), 4);
        assert_eq!(code(Outcome::Failed, true), 1);
        assert_eq!(code(Outcome::Committed, true), 0);
    }

    #[test]
    fn a_log_has_what_is_left_of_probation_every_minute() {
        let told = Cell::new(None);
        let step = |state: &str| Progress::State {
            state: state.to_owned(),
            at_ms: 0,
        };
        let lines = |left: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
            left.filter(|left_s| is_news(&told, &Progress::Probation { left_s: *left_s }))
                .collect()
        };
        assert_eq!(lines(&mut (0..=150).rev()), [150, 90, 30]);
        // It is extended, then paused.
        assert_eq!(lines(&mut [300, 299, 299, 299].into_iter()), [300]);
        assert!(is_news(&told, &step("probation")));
        assert_eq!(lines(&mut [20, 19, 18].into_iter()), [20]);
    }

    #[test]
    fn progress_reads_as_lines() {
        let state = Progress::State {
            state: "switching".to_owned(),
            at_ms: 12,
        };
        assert_eq!(line(&state).unwrap(), "    12 ms  switching");
        let rehearsed = Progress::Rehearsed {
            rehearsed: 1,
            total: 1,
        };
        assert_eq!(
            line(&rehearsed).unwrap(),
            "           1 of 1 actor rehearsed"
        );
        let probation = Progress::Probation { left_s: 61 };
        assert_eq!(
            line(&probation).unwrap(),
            "           1m 1s of probation left"
        );
    }
}
