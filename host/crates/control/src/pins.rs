//! Pins: what retention leaves alone because an operator says so; and beside them, what
//! it holds for a way back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use host_journal::Lost;
use host_model::keep::{PinRequest, PinRow, UnpinRequest};
use host_upgrade::{HeldForWayBack, PINS};

use crate::Control;
use crate::extract::Body;
use crate::problem::Refusal;
use crate::work::blocking;

/// Characters of a pin's name.
const NAME_CHARS_MAX: usize = 64;

pub(crate) async fn list(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<PinRow>>, Refusal> {
    let held = held_for_way_back(&control).await;
    let mut rows = pins(control).await?;
    rows.extend(held.map(|held| PinRow {
        name: name_of(&held),
        position: held.from.0,
    }));
    Ok(Json(rows))
}

pub(crate) async fn pin(
    State(control): State<Arc<Control>>,
    Body(request): Body<PinRequest>,
) -> Result<Json<PinRow>, Refusal> {
    let PinRequest { name, position } = request;
    let right = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(right) {
        let message = format!(
            "pin the journal as {name:?}: a name is 1 to {NAME_CHARS_MAX} letters, digits and - _ ."
        );
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_name", message));
    }
    let position = position.unwrap_or(0);
    write(&control, &name, Some(Bytes::from(position.to_string()))).await?;
    Ok(Json(PinRow { name, position }))
}

pub(crate) async fn unpin(
    State(control): State<Arc<Control>>,
    Body(request): Body<UnpinRequest>,
) -> Result<Json<PinRow>, Refusal> {
    if let Some(held) = held_for_way_back(&control).await
        && name_of(&held) == request.name
    {
        let message = format!(
            "take {:?} away: the way back to release {1} may need what it holds; it goes once the folder of {1} is removed from `releases`",
            request.name, held.release
        );
        return Err(Refusal::new(StatusCode::CONFLICT, "way_back", message));
    }
    let pins = pins(Arc::clone(&control)).await?;
    match pins.into_iter().find(|pin| pin.name == request.name) {
        Some(pin) => {
            write(&control, &pin.name, None).await?;
            Ok(Json(pin))
        }
        None => {
            let message = format!(
                "take the pin {:?} away: there is none of that name; `host store pins` shows those there are",
                request.name
            );
            Err(Refusal::new(StatusCode::NOT_FOUND, "no_such_pin", message))
        }
    }
}

async fn pins(control: Arc<Control>) -> Result<Vec<PinRow>, Refusal> {
    let values = blocking(move || control.actors.journal().values(PINS)).await;
    let values = values.map_err(|e| Refusal::internal("list the pins", &e))?;
    let row = |(key, value): (String, Bytes)| PinRow {
        name: key.strip_prefix(PINS).unwrap_or(&key).to_owned(),
        // What makes no sense holds everything.
        position: serde_json::from_slice(&value).unwrap_or(0),
    };
    Ok(values.into_iter().map(row).collect())
}

async fn held_for_way_back(control: &Arc<Control>) -> Option<HeldForWayBack> {
    let upgrader = Arc::clone(&control.upgrader);
    let held = tokio::task::spawn_blocking(move || upgrader.held_for_way_back());
    held.await.expect("listing the releases does not panic")
}

/// What is held is listed as; no pin of an operator's can have that name.
fn name_of(held: &HeldForWayBack) -> String {
    format!("host:way-back-to-{}", held.release)
}

async fn write(control: &Control, name: &str, value: Option<Bytes>) -> Result<(), Refusal> {
    let values = vec![(format!("{PINS}{name}"), value)];
    let written: Result<(), Lost> = control.actors.write_values(values).await;
    written.map_err(|e| Refusal::internal("write the pin", &e))
}
