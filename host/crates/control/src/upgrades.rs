//! Upgrades, as an operator asks for them and follows them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::{Extension, Json};
use futures_util::{Stream, stream};
use host_journal::Outcome;
use host_model::Version;
use host_model::control::{
    HistoryRow, PlanReport, Progress, ReleaseRow, RollbackRequest, UpgradeReport, UpgradeRequest,
};
use host_upgrade::{RefusedUpgrade, Upgrader, Verified, read_history};
use serde::Deserialize;
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
        let Verified { problems, config } = upgrader.verify(&plan)?;
        Ok(PlanReport {
            plan,
            problems,
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
    let progress = blocking(&control, move |upgrader| upgrader.upgrade(&request)).await?;
    Ok(follow(progress, intent))
}

pub(crate) async fn rollback(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
    Body(request): Body<RollbackRequest>,
) -> Result<Follow, Refusal> {
    let progress = blocking(&control, move |upgrader| upgrader.rollback(&request)).await?;
    Ok(follow(progress, intent))
}

pub(crate) async fn commit(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
) -> Result<Follow, Refusal> {
    let progress = blocking(&control, |upgrader| upgrader.commit()).await?;
    Ok(follow(progress, intent))
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

fn outcome(report: &UpgradeReport) -> Outcome {
    let reason = report.reason.as_ref().map(|it| format!(": {it}"));
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
