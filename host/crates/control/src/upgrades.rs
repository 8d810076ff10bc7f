//! Upgrades, as an operator asks for them and follows them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::{Extension, Json};
use futures_util::{Stream, stream};
use host_journal::Outcome;
use host_model::Version;
use host_model::control::{
    Extent, HistoryRow, InstalledNote, PlanReport, Progress, RehearsalOutcome, RehearsalReport,
    RehearsalRequest, ReleaseRow, RemoveReport, RemoveRequest, RollbackRequest, UnderWay,
    UpgradeReport, UpgradeRequest, UpgradeStatus,
};
use host_model::error::chain;
use host_model::flight::FlightRecord;
use host_model::limits::{BUSY_DEADLINE_MAX, PROBATION_MAX};
use host_upgrade::{RefusedUpgrade, RemoveError, Upgrader, Verified, read_history};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use crate::actions::{Intent, Later};
use crate::extract::{Body, Query};
use crate::problem::Refusal;
use crate::{Control, work};

/// Upgrades that are shown where nobody says how many.
const HISTORY_DEFAULT: usize = 20;

/// Reports that a listener may be behind.
const PROGRESS_BEHIND_MAX: usize = 256;

#[derive(Deserialize)]
pub(crate) struct PlanQuery {
    to: Version,
}

pub(crate) async fn plan(
    State(control): State<Arc<Control>>,
    Query(query): Query<PlanQuery>,
) -> Result<Json<PlanReport>, Refusal> {
    let report = blocking(&control, move |upgrader| {
        let plan = upgrader.plan(&query.to, true)?;
        let Verified {
            mut problems,
            notes,
            config,
        } = upgrader.verify(&plan)?;
        problems.extend(upgrader.in_its_way(&query.to).map(|it| it.to_string()));
        if !plan.reversible {
            let without = upgrader.plan(&query.to, false).err();
            problems.extend(without.map(|it| it.to_string()));
        }
        Ok(PlanReport {
            plan,
            problems,
            notes,
            config,
        })
    });
    Ok(Json(report.await?))
}

pub(crate) async fn releases(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<ReleaseRow>>, Refusal> {
    let rows = blocking(&control, |upgrader| Ok(upgrader.releases()?)).await?;
    Ok(Json(rows))
}

/// Removes a release that nothing needs.
pub(crate) async fn remove(
    State(control): State<Arc<Control>>,
    Body(request): Body<RemoveRequest>,
) -> Result<Json<RemoveReport>, Refusal> {
    let upgrader = Arc::clone(&control.upgrader);
    let removed = work::blocking(move || {
        let removed = upgrader.remove(&request);
        removed.map(|()| RemoveReport {
            version: request.version,
        })
    });
    let removed = removed.await.map_err(|error| {
        let status = match error {
            RemoveError::Needed { .. } | RemoveError::Busy { .. } => StatusCode::CONFLICT,
            RemoveError::Releases(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, error.reason(), chain(&error))
    })?;
    Ok(Json(removed))
}

/// Says that a release was installed, which is in the audit trail by that.
pub(crate) async fn installed(
    State(control): State<Arc<Control>>,
    Body(note): Body<InstalledNote>,
) -> Result<Json<Value>, Refusal> {
    let rows = blocking(&control, |upgrader| Ok(upgrader.releases()?)).await?;
    match rows.iter().any(|row| row.version == note.version) {
        true => Ok(Json(json!({}))),
        false => {
            let message = format!("release {} is not installed here", note.version);
            Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", message))
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct HistoryQuery {
    limit: Option<usize>,
}

/// The last ones, the newest first.
pub(crate) async fn history(
    State(control): State<Arc<Control>>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Vec<HistoryRow>>, Refusal> {
    let limit = query.limit.unwrap_or(HISTORY_DEFAULT);
    let actors = Arc::clone(&control.actors);
    let history = work::blocking(move || read_history(actors.journal())).await;
    let history = history.map_err(|e| Refusal::internal("read the history", &e))?;
    Ok(Json(history.into_iter().rev().take(limit).collect()))
}

#[derive(Deserialize)]
pub(crate) struct FlightQuery {
    id: u64,
}

/// All that is known of one of them.
pub(crate) async fn flight(
    State(control): State<Arc<Control>>,
    Query(query): Query<FlightQuery>,
) -> Result<Json<FlightRecord>, Refusal> {
    let upgrader = Arc::clone(&control.upgrader);
    let flight = work::blocking(move || upgrader.flight(query.id)).await;
    let flight = flight.map_err(|e| Refusal::internal("read the flight record", &e))?;
    flight.map(Json).ok_or_else(|| {
        let message = format!(
            "show upgrade {}: there is no flight record of it; `host history` lists the upgrades that there are",
            query.id
        );
        Refusal::new(StatusCode::NOT_FOUND, "unknown_upgrade", message)
    })
}

/// What the one under way has to report so far; null where there is none.
pub(crate) async fn report(State(control): State<Arc<Control>>) -> Json<Option<UnderWay>> {
    Json(control.upgrader.report())
}

type Follow = (
    Extension<Later>,
    Sse<axum::response::sse::KeepAliveStream<Following>>,
);
type Following = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

pub(crate) async fn upgrade(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
    Body(request): Body<UpgradeRequest>,
) -> Result<Follow, Refusal> {
    at_most("probation_s", request.probation_s, PROBATION_MAX)?;
    at_most("deadline_s", request.deadline_s, BUSY_DEADLINE_MAX)?;
    of_somebody(request.extent)?;
    let by = intent.asker();
    let begin = move |upgrader: &Arc<Upgrader>| upgrader.upgrade(&request, &by);
    let progress = blocking(&control, begin).await?;
    Ok(follow(progress, intent))
}

/// Changes nothing, so it ends when who asked has gone.
pub(crate) async fn rehearse(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
    Body(request): Body<RehearsalRequest>,
) -> Result<Follow, Refusal> {
    at_most("deadline_s", request.deadline_s, BUSY_DEADLINE_MAX)?;
    of_somebody(request.extent)?;
    let mut progress = blocking(&control, move |upgrader| upgrader.rehearse(&request)).await?;
    let (teller, told) = mpsc::channel(PROGRESS_BEHIND_MAX);
    tokio::spawn(async move {
        let ended = loop {
            let said = tokio::select! {
                said = progress.recv() => said,
                () = teller.closed() => break Outcome {
                    outcome: RehearsalOutcome::Cancelled.name().to_owned(),
                    message: "who asked for it has gone".to_owned(),
                },
            };
            match said {
                Ok(Progress::Rehearsal(report)) => {
                    let outcome = rehearsed(&report);
                    let _gone = teller.send(Progress::Rehearsal(report)).await;
                    break outcome;
                }
                Ok(said) => drop(teller.try_send(said)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    break Outcome {
                        outcome: "unknown".to_owned(),
                        message: "it ended without a report".to_owned(),
                    };
                }
            }
        };
        drop(progress);
        intent.end(ended).await;
    });
    Ok(events(told))
}

pub(crate) async fn rollback(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
    Body(request): Body<RollbackRequest>,
) -> Result<Follow, Refusal> {
    let by = intent.asker();
    let begin = move |upgrader: &Arc<Upgrader>| upgrader.rollback(&request, &by);
    let progress = blocking(&control, begin).await?;
    Ok(follow(progress, intent))
}

pub(crate) async fn commit(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
) -> Result<Follow, Refusal> {
    let by = intent.asker();
    let progress = blocking(&control, move |upgrader| upgrader.commit(&by)).await?;
    Ok(follow(progress, intent))
}

pub(crate) async fn pause(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
) -> Result<Json<UpgradeStatus>, Refusal> {
    Ok(Json(control.upgrader.pause(true, &intent.asker())?))
}

pub(crate) async fn resume(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
) -> Result<Json<UpgradeStatus>, Refusal> {
    Ok(Json(control.upgrader.pause(false, &intent.asker())?))
}

/// Refuses a time that would be cut: who asks for it counts on all of it.
fn at_most(name: &str, seconds: Option<u64>, most: Duration) -> Result<(), Refusal> {
    match seconds {
        Some(seconds) if seconds > most.as_secs() => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!(
                "read {name} of the request: {seconds} is too long; it is {} at most",
                most.as_secs()
            ),
        )),
        _ => Ok(()),
    }
}

/// A rehearsal of no actor would prove nothing.
fn of_somebody(extent: Extent) -> Result<(), Refusal> {
    match extent.sample {
        Some(0) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "read sample of the request: a rehearsal of no actor proves nothing; it is 1 at least",
        )),
        _ => Ok(()),
    }
}

/// What is said while an upgrade goes on, up to its end. Who listens too slowly
/// misses some of it, never the end; who has gone is not waited for. The outcome is
/// in the audit trail before anyone hears of it.
fn follow(mut progress: broadcast::Receiver<Progress>, intent: Intent) -> Follow {
    let (teller, told) = mpsc::channel(PROGRESS_BEHIND_MAX);
    tokio::spawn(async move {
        loop {
            match progress.recv().await {
                Ok(Progress::Ended(report)) => {
                    intent.end(outcome(&report)).await;
                    // Nobody may be left to hear it.
                    let _gone = teller.send(Progress::Ended(report)).await;
                    return;
                }
                Ok(said) => drop(teller.try_send(said)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => {
                    let outcome = "unknown".to_owned();
                    let message = "it ended without a report".to_owned();
                    return intent.end(Outcome { outcome, message }).await;
                }
            }
        }
    });
    events(told)
}

fn events(told: mpsc::Receiver<Progress>) -> Follow {
    let events = stream::unfold(told, |mut told| async {
        let said = told.recv().await?;
        let event = Event::default()
            .json_data(&said)
            .expect("what is said is JSON");
        Some((Ok(event), told))
    });
    let events: Following = Box::pin(events);
    let events = Sse::new(events).keep_alive(KeepAlive::default());
    (Extension(Later), events)
}

fn rehearsed(report: &RehearsalReport) -> Outcome {
    let reason = report.reason.as_ref().map(|it| format!(": {it}"));
    Outcome {
        outcome: report.outcome.name().to_owned(),
        message: format!(
            "{} to {}, {} actors{}",
            report.from,
            report.to,
            report.rehearsed,
            reason.unwrap_or_default()
        ),
    }
}

fn outcome(report: &UpgradeReport) -> Outcome {
    let reason = report.reason.as_ref().or(report.remark.as_ref());
    let reason = reason.map(|it| format!(": {it}"));
    Outcome {
        outcome: report.outcome.name().to_owned(),
        message: format!(
            "{} to {}, {} actors{}",
            report.from,
            report.to,
            report.actors_migrated,
            reason.unwrap_or_default()
        ),
    }
}

/// Reads releases, and whatever else waits for a disk, on a thread that may.
async fn blocking<T: Send + 'static>(
    control: &Control,
    ask: impl FnOnce(&Arc<Upgrader>) -> Result<T, RefusedUpgrade> + Send + 'static,
) -> Result<T, Refusal> {
    let upgrader = Arc::clone(&control.upgrader);
    let answer = tokio::task::spawn_blocking(move || ask(&upgrader)).await;
    match answer {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(Refusal::internal("look at the releases", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_would_be_cut_is_refused() {
        let ask = |seconds| at_most("deadline_s", seconds, BUSY_DEADLINE_MAX);
        assert!(ask(None).is_ok());
        assert!(ask(Some(86_400)).is_ok());
        assert!(ask(Some(86_401)).is_err());
    }

    #[test]
    fn a_rehearsal_of_nobody_is_refused() {
        let ask = |sample, all| of_somebody(Extent { sample, all });
        assert!(ask(None, false).is_ok());
        assert!(ask(Some(1), false).is_ok());
        assert!(ask(Some(0), false).is_err());
        assert!(ask(Some(0), true).is_err());
    }
}
