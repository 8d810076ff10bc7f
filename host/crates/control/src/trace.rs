//! What an actor handles, told to whoever looks while it does.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream};
use futures_util::{Stream, stream};
use host_actors::TraceError;

use crate::Control;
use crate::actors::StateQuery;
use crate::extract::Query;
use crate::problem::Refusal;

/// Until who looks has gone, or the host stops.
pub(crate) async fn trace(
    State(control): State<Arc<Control>>,
    Query(query): Query<StateQuery>,
) -> Result<Sse<KeepAliveStream<impl Stream<Item = Result<Event, Infallible>>>>, Refusal> {
    let trace = control.actors.trace(&query.actor)?;
    let lines = stream::unfold(trace, |mut trace| async {
        let line = trace.next().await?;
        let event = Event::default().json_data(&line);
        Some((Ok(event.expect("a line is JSON")), trace))
    });
    Ok(Sse::new(lines).keep_alive(KeepAlive::default()))
}

impl From<TraceError> for Refusal {
    fn from(error: TraceError) -> Self {
        match error {
            TraceError::Call(error) => error.into(),
            TraceError::TooMany => {
                let message = format!("trace an actor: {error}");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_traces", message)
            }
        }
    }
}
