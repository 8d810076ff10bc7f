//! What an operator does about messages that came to nothing and actors that were set
//! aside.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use host_actors::Actors;
use host_journal::{OutboxId, OutboxRow, ReadError, Record, Snapshot, TimerRow};
use host_model::ActorId;
use host_model::carry::{CarriedTimer, Carry};
use host_model::control::{
    ActorExport, CarryExport, LetterRequest, RecordExport, SnapshotExport, TimerExport,
    WebhookRequest, WebhookRow,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Control;
use crate::actors::{StateQuery, letter_row};
use crate::extract::{Body, Query};
use crate::problem::Refusal;
use crate::work::{blocking, on_data, page};

/// Dead letters that an export looks through for those of its actor.
const LETTERS_MAX: usize = 100_000;

pub(crate) async fn retry_letter(
    State(control): State<Arc<Control>>,
    Body(request): Body<LetterRequest>,
) -> Result<Response, Refusal> {
    let actors = Arc::clone(&control.actors);
    let retried = async move { actors.retry_dead_letter(request.id).await };
    let answer = on_data(&control, retried).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.reply).into_response())
}

pub(crate) async fn drop_letter(
    State(control): State<Arc<Control>>,
    Body(request): Body<LetterRequest>,
) -> Result<Json<Value>, Refusal> {
    let actors = Arc::clone(&control.actors);
    let dropped = async move { actors.drop_dead_letter(request.id).await };
    on_data(&control, dropped).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
pub(crate) struct OutboxQuery {
    after: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn outbox(
    State(control): State<Arc<Control>>,
    Query(query): Query<OutboxQuery>,
) -> Result<Json<Vec<WebhookRow>>, Refusal> {
    let limit = page(query.limit);
    let after = query.after.as_deref().map(webhook_id).transpose()?;
    let actors = Arc::clone(&control.actors);
    let rows = blocking(move || actors.journal().outbox(after, limit)).await;
    let rows = rows.map_err(|e| Refusal::internal("list the outbox", &e))?;
    Ok(Json(rows.into_iter().map(webhook_row).collect()))
}

pub(crate) async fn retry_webhook(
    State(control): State<Arc<Control>>,
    Body(request): Body<WebhookRequest>,
) -> Result<Json<Value>, Refusal> {
    let id = webhook_id(&request.id)?;
    let actors = Arc::clone(&control.actors);
    on_data(&control, async move { actors.retry_webhook(id).await }).await?;
    Ok(Json(json!({})))
}

pub(crate) async fn export(
    State(control): State<Arc<Control>>,
    Query(query): Query<StateQuery>,
) -> Result<Json<ActorExport>, Refusal> {
    let id = query.actor;
    // The state first: what waking it says belongs to the records that are read then.
    let inspected = {
        let (actors, id) = (Arc::clone(&control.actors), id.clone());
        control.data.spawn(async move { actors.inspect(&id).await })
    };
    let (state, state_error) = match inspected.await {
        Ok(Ok(inspection)) => (Some(shown(&inspection.state)), None),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(error) => return Err(Refusal::internal("wake the actor", &error)),
    };
    let actors = Arc::clone(&control.actors);
    let name = id.to_string();
    let kept = blocking(move || kept(&actors, id)).await;
    let kept = kept.map_err(|e| Refusal::internal("export an actor", &e))?;
    let Some(export) = kept else {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "unknown_actor",
            format!("export {name}: nothing is kept of it; `host actors` lists those that exist"),
        ));
    };
    Ok(Json(ActorExport {
        state,
        state_error,
        ..export
    }))
}

/// All that the journal has of an actor.
fn kept(actors: &Actors, id: ActorId) -> Result<Option<ActorExport>, ReadError> {
    let journal = actors.journal();
    let Some(stored) = journal.read(&id)? else {
        return Ok(None);
    };
    let timers = journal.timers_of(&id)?;
    let (mut dead_letters, mut looked_at, mut after) = (Vec::new(), 0, 0);
    while looked_at < LETTERS_MAX {
        let page = journal.dead_letters(after, 1_000)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        looked_at += page.len();
        let own = page.into_iter().filter(|(_, letter)| letter.actor == id);
        dead_letters.extend(own.map(letter_row));
    }
    Ok(Some(ActorExport {
        quarantined: stored.quarantined,
        state: None,
        state_error: None,
        snapshot: stored.snapshot.map(snapshot),
        records: stored.tail.into_iter().map(record).collect(),
        timers: timers.into_iter().map(timer).collect(),
        dead_letters,
        actor: id,
    }))
}

fn snapshot(snapshot: Snapshot) -> SnapshotExport {
    let carry = |carry: Carry| CarryExport {
        newer: carry.newer,
        older: carry.older,
        carry: match carry.bytes.is_empty() {
            true => Value::Null,
            false => shown(&carry.bytes),
        },
        timers: carry.timers.into_iter().map(carried).collect(),
    };
    SnapshotExport {
        seq: snapshot.seq,
        version: snapshot.version,
        state_schema: snapshot.state_schema,
        time_ms: snapshot.time_ms,
        state: shown(&snapshot.state),
        carries: snapshot.carries.into_iter().map(carry).collect(),
    }
}

fn record(record: Record) -> RecordExport {
    RecordExport {
        seq: record.seq,
        version: record.version,
        time_ms: record.time_ms,
        command: record.command,
        payload: json_or_text(&record.payload),
        event: json_or_text(&record.event),
        principal: record.principal,
        idempotency_key: record.idempotency_key,
    }
}

fn timer(timer: TimerRow) -> TimerExport {
    TimerExport {
        name: timer.name,
        due_ms: timer.due_ms,
        version: timer.version,
        payload: json_or_text(&timer.payload),
    }
}

fn carried(timer: CarriedTimer) -> TimerExport {
    TimerExport {
        name: timer.name,
        due_ms: timer.due_ms,
        version: timer.version,
        payload: json_or_text(&timer.payload),
    }
}

fn webhook_row(row: OutboxRow) -> WebhookRow {
    WebhookRow {
        id: row.id.to_string(),
        actor: row.actor,
        name: row.name,
        url: row.url,
        attempts: row.tried.attempts,
        due_ms: row.tried.due_ms,
        error: row.tried.error,
    }
}

fn webhook_id(text: &str) -> Result<OutboxId, Refusal> {
    text.parse().map_err(|error: host_journal::BadOutboxId| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_id",
            format!("{error}; `host outbox list` shows those that wait"),
        )
    })
}

/// MessagePack with names, by field. What is damaged is said in its place.
fn shown(bytes: &[u8]) -> Value {
    crate::shown::shown(bytes)
        .unwrap_or_else(|error| json!({ "unreadable": error.to_string(), "bytes": bytes.len() }))
}

fn json_or_text(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) if bytes.is_empty() => Value::Null,
        Err(_) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
    }
}
