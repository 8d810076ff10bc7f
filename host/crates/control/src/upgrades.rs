//! Upgrades, as an operator asks for them and follows them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use host_model::Version;
use host_model::control::{Progress, ReleaseRow, RollbackRequest, UpgradeRequest};
use host_model::plan::Plan;
use host_upgrade::{RefusedUpgrade, Upgrader};
use serde::Deserialize;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::Control;
use crate::problem::Refusal;

#[derive(Deserialize)]
pub(crate) struct PlanQuery {
    to: Version,
}

pub(crate) async fn plan(
    State(control): State<Arc<Control>>,
    Query(query): Query<PlanQuery>,
) -> Result<Json<Plan>, Refusal> {
    let plan = blocking(&control, move |upgrader| upgrader.plan(&query.to, true)).await?;
    Ok(Json(plan))
}

pub(crate) async fn releases(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<ReleaseRow>>, Refusal> {
    let rows = blocking(&control, |upgrader| Ok(upgrader.releases()?)).await?;
    Ok(Json(rows))
}

type Follow = Sse<axum::response::sse::KeepAliveStream<Following>>;
type Following = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

pub(crate) async fn upgrade(
    State(control): State<Arc<Control>>,
    Json(request): Json<UpgradeRequest>,
) -> Result<Follow, Refusal> {
    let progress = blocking(&control, move |upgrader| upgrader.upgrade(&request)).await?;
    Ok(follow(progress))
}

pub(crate) async fn rollback(
    State(control): State<Arc<Control>>,
    Json(request): Json<RollbackRequest>,
) -> Result<Follow, Refusal> {
    let progress = blocking(&control, move |upgrader| upgrader.rollback(&request)).await?;
    Ok(follow(progress))
}

pub(crate) async fn commit(State(control): State<Arc<Control>>) -> Result<Follow, Refusal> {
    let progress = blocking(&control, |upgrader| upgrader.commit()).await?;
    Ok(follow(progress))
}

/// What is said while an upgrade goes on, up to its end. Who listens too slowly
/// misses some of it, never the end.
fn follow(progress: broadcast::Receiver<Progress>) -> Follow {
    let events = stream::unfold(Some(progress), |progress| async {
        let mut progress = progress?;
        let said = loop {
            match progress.recv().await {
                Ok(said) => break said,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        };
        let rest = (!matches!(said, Progress::Ended(_))).then_some(progress);
        let event = Event::default()
            .json_data(&said)
            .expect("what is said is JSON");
        Some((Ok(event), rest))
    });
    let events: Following = Box::pin(events);
    Sse::new(events).keep_alive(KeepAlive::default())
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
