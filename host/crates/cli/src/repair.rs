//! Quarantine, dead letters and the outbox: one request and one text each.

use host_model::ActorId;
use host_model::control::{
    ActorExport, DeadLetterRow, LetterRequest, QuarantineRow, ReleaseRequest, WebhookRequest,
    WebhookRow,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{DeadLetters, Outbox, Quarantine};
use crate::client::query;
use crate::{Client, Failure, Output, show};

pub(crate) async fn quarantine(
    command: Quarantine,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        Quarantine::List => {
            let rows: Vec<QuarantineRow> = client.get("/v1/quarantine").await?;
            out.document(&rows, |rows| show::quarantine(rows))?;
        }
        Quarantine::Release { actor } => {
            let text = format!("{actor} works again");
            let request = ReleaseRequest { actor };
            let answer: Value = client.post("/v1/quarantine/release", &request).await?;
            out.document(&answer, |_| text)?;
        }
        Quarantine::Export { actor } => export(&actor, client, out).await?,
    }
    Ok(())
}

/// Shows all that is kept of an actor, in quarantine or not.
pub(crate) async fn export(
    actor: &ActorId,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let path = query(&[("actor", Some(actor.to_string()))]);
    let path = format!("/v1/quarantine/export{path}");
    let export: ActorExport = client.get(&path).await?;
    out.document(&json!(export), show::pretty)?;
    Ok(())
}

pub(crate) async fn dead_letters(
    command: DeadLetters,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        DeadLetters::List { after, limit } => {
            let path = query(&[
                ("after", after.map(|id| id.to_string())),
                ("limit", Some(limit.to_string())),
            ]);
            let rows: Vec<DeadLetterRow> = client.get(&format!("/v1/dead-letters{path}")).await?;
            out.document(&rows, |rows| show::dead_letters(rows, limit))?;
        }
        DeadLetters::Retry { ids } => {
            let requests = ids.into_iter().map(|id| LetterRequest { id });
            let path = "/v1/dead-letters/retry";
            let text = |it: &LetterRequest| format!("dead letter {} was delivered", it.id);
            each(path, requests, client, out, text).await?;
        }
        DeadLetters::Drop { ids } => {
            let requests = ids.into_iter().map(|id| LetterRequest { id });
            let path = "/v1/dead-letters/drop";
            let text = |it: &LetterRequest| format!("dead letter {} is gone", it.id);
            each(path, requests, client, out, text).await?;
        }
    }
    Ok(())
}

pub(crate) async fn outbox(
    command: Outbox,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        Outbox::List { after, limit } => {
            let path = query(&[("after", after), ("limit", Some(limit.to_string()))]);
            let rows: Vec<WebhookRow> = client.get(&format!("/v1/outbox{path}")).await?;
            out.document(&rows, |rows| show::outbox(rows, limit))?;
        }
        Outbox::Retry { ids } => {
            let requests = ids.into_iter().map(|id| WebhookRequest { id });
            let path = "/v1/outbox/retry";
            let text = |it: &WebhookRequest| format!("webhook {} is tried now", it.id);
            each(path, requests, client, out, text).await?;
        }
    }
    Ok(())
}

/// Sends one request for each, and tells of it, until one is refused.
async fn each<T: Serialize>(
    path: &str,
    requests: impl Iterator<Item = T>,
    client: &Client,
    out: &mut Output<'_>,
    text: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    for request in requests {
        let answer: Value = client.post(path, &request).await?;
        let document = json!({ "request": request, "answer": answer });
        out.document(&document, |_| text(&request))?;
    }
    Ok(())
}
