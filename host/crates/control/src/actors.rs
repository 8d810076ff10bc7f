//! Actors, as an operator looks at them and speaks to them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use host_actors::{Only, Request};
use host_model::ActorId;
use host_model::control::{
    ActorRow, ActorState, DeadLetterRow, EventsRow, QuarantineRow, ReleaseRequest, RpcRequest,
};
use host_model::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use serde::Deserialize;
use serde_json::Value;

use crate::Control;
use crate::actions::Intent;
use crate::extract::{Body, Query};
use crate::problem::Refusal;
use crate::shown::shown;
use crate::work::{blocking, on_data, page};

#[derive(Deserialize)]
pub(crate) struct ActorsQuery {
    #[serde(default)]
    plugin: String,
    after: Option<ActorId>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(control): State<Arc<Control>>,
    Query(query): Query<ActorsQuery>,
) -> Result<Json<Vec<ActorRow>>, Refusal> {
    let ActorsQuery { plugin, after, .. } = query;
    let limit = page(query.limit);
    let release = control.actors.release();
    let is_known = plugin.is_empty() || release.plugins.contains_key(&plugin);
    let actors = Arc::clone(&control.actors);
    let unknown = (!is_known && after.is_none()).then(|| release.unknown_plugin(&plugin));
    let listed = blocking(move || actors.journal().list(&plugin, after.as_ref(), limit));
    let listed = listed
        .await
        .map_err(|e| Refusal::internal("list the actors", &e))?;
    // Of one that has left the release, actors may be stored still.
    if let Some(unknown) = unknown.filter(|_| listed.is_empty()) {
        return Err(unknown.into());
    }
    let row = |listed: host_journal::Listed| ActorRow {
        awake: control.actors.is_awake(&listed.id),
        actor: listed.id,
        seq: listed.seq,
        version: listed.version,
    };
    Ok(Json(listed.into_iter().map(row).collect()))
}

/// What may be sent to actors, in the release that rules.
pub(crate) async fn events(State(control): State<Arc<Control>>) -> Json<Vec<EventsRow>> {
    let release = control.actors.release();
    let row = |(plugin, ruling): (&String, &host_actors::Ruling)| {
        let manifest = ruling.code.plugin().manifest();
        EventsRow {
            plugin: plugin.clone(),
            version: ruling.code.version().clone(),
            commands: manifest.commands.clone(),
            queries: manifest.queries.clone(),
        }
    };
    Json(release.plugins.iter().map(row).collect())
}

#[derive(Deserialize)]
pub(crate) struct StateQuery {
    pub(crate) actor: ActorId,
}

pub(crate) async fn state(
    State(control): State<Arc<Control>>,
    Query(query): Query<StateQuery>,
) -> Result<Json<ActorState>, Refusal> {
    let (actors, id) = (Arc::clone(&control.actors), query.actor.clone());
    let inspected = on_data(&control, async move { actors.inspect(&id).await });
    let inspection = inspected.await?;
    let state = shown(&inspection.state).map_err(|e| Refusal::internal("show the state", &e))?;
    let quarantined = control.actors.quarantine_list();
    Ok(Json(ActorState {
        quarantined: quarantined
            .into_iter()
            .find(|(id, _)| *id == query.actor)
            .map(|(_, reason)| reason),
        actor: query.actor,
        seq: inspection.seq,
        version: inspection.version,
        state,
        carries: inspection.carries,
    }))
}

pub(crate) async fn rpc(
    State(control): State<Arc<Control>>,
    Extension(intent): Extension<Intent>,
    Body(request): Body<RpcRequest>,
) -> Result<Response, Refusal> {
    if let Some(key) = &request.key
        && !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
    {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_idempotency_key",
            format!("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes"),
        ));
    }
    let payload = match request.payload {
        Value::Null => Bytes::new(),
        payload => Bytes::from(payload.to_string()),
    };
    let request = Request {
        actor: request.actor,
        event: request.event,
        payload,
        only: Only::Either,
        claims: Bytes::new(),
        principal: intent.principal().to_owned(),
        version: None,
        idempotency_key: request.key,
    };
    let actors = Arc::clone(&control.actors);
    let answer = on_data(&control, async move { actors.call(request).await }).await?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok(match answer.replayed {
        true => (json, [("idempotent-replayed", "true")], answer.reply).into_response(),
        false => (json, answer.reply).into_response(),
    })
}

pub(crate) async fn quarantine(State(control): State<Arc<Control>>) -> Json<Vec<QuarantineRow>> {
    let list = control.actors.quarantine_list().into_iter();
    Json(
        list.map(|(actor, reason)| QuarantineRow { actor, reason })
            .collect(),
    )
}

pub(crate) async fn quarantine_release(
    State(control): State<Arc<Control>>,
    Body(request): Body<ReleaseRequest>,
) -> Result<Json<Value>, Refusal> {
    let actors = Arc::clone(&control.actors);
    let id = request.actor.clone();
    let released = control
        .data
        .spawn(async move { actors.quarantine_release(&id).await });
    match released.await {
        Ok(Some(Ok(()))) => Ok(Json(Value::Object(Default::default()))),
        Ok(Some(Err(error))) => Err(error.into()),
        Ok(None) => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "not_quarantined",
            format!(
                "release {}: it is not in quarantine; `host quarantine list` shows who is",
                request.actor
            ),
        )),
        Err(error) => Err(Refusal::internal("release an actor", &error)),
    }
}

#[derive(Deserialize)]
pub(crate) struct LettersQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub(crate) async fn dead_letters(
    State(control): State<Arc<Control>>,
    Query(query): Query<LettersQuery>,
) -> Result<Json<Vec<DeadLetterRow>>, Refusal> {
    let limit = page(query.limit);
    let actors = Arc::clone(&control.actors);
    let letters = blocking(move || actors.journal().dead_letters(query.after, limit));
    let letters = letters
        .await
        .map_err(|e| Refusal::internal("list the dead letters", &e))?;
    Ok(Json(letters.into_iter().map(letter_row).collect()))
}

pub(crate) fn letter_row((id, letter): (u64, host_journal::DeadLetter)) -> DeadLetterRow {
    DeadLetterRow {
        id,
        kind: letter.kind.name().to_owned(),
        actor: letter.actor,
        event: letter.event,
        reason: letter.reason,
        message: letter.message,
        time_ms: letter.time_ms,
    }
}
