//! What this process does at an operator's word that did not come over the control
//! socket, in the audit trail as all that did.

use std::time::Duration;

use anyhow::Result;
use host_actors::Actors;
use host_control::Peer;
use host_journal::{Action, Outcome, Position, unix_ms};
use host_model::Version;
use serde_json::{Value, json};

use super::Boot;
use crate::boots::Why;
use crate::keeper::AGAIN;

/// How long a stop by a signal waits for its record.
const RECORD_TIMEOUT: Duration = Duration::from_secs(2);

/// An action whose intent is durable.
pub(super) struct Begun<'a> {
    actors: &'a Actors,
    action: Action,
    intent: Position,
}

/// Records what is about to be done.
pub(super) async fn begin<'a>(
    actors: &'a Actors,
    name: &str,
    arguments: Value,
    release: &Version,
) -> Result<Begun<'a>> {
    begin_action(
        actors,
        Peer::this_process().action(name, arguments, release),
    )
    .await
}

async fn begin_action(actors: &Actors, action: Action) -> Result<Begun<'_>> {
    let intent = actors.record_action(action.intended(unix_ms())).await?;
    Ok(Begun {
        actors,
        action,
        intent,
    })
}

impl Begun<'_> {
    /// Records how it ended.
    pub(super) async fn end(self, outcome: &Outcome) -> Result<()> {
        let ended = self.action.ended(unix_ms(), self.intent, outcome);
        self.actors.record_action(ended).await?;
        Ok(())
    }
}

/// That this process starts, and boots `release`. The store cannot be written to before
/// it is this host's, so both records stand behind that.
pub(super) async fn record_start(
    actors: &Actors,
    boot: &Boot<'_>,
    release: &Version,
    take_over: bool,
) -> Result<()> {
    let mut arguments = match boot.why {
        Why::Permanent => json!({"why": "permanent"}),
        Why::Own => json!({"why": "own"}),
        Why::FellBack { from } => json!({"why": "fell_back", "from": from}),
    };
    if take_over {
        arguments["take_over"] = true.into();
    }
    let mut action = Peer::this_process().action("start", arguments, release);
    if std::env::var_os(AGAIN).is_some() {
        // Nobody has asked for it: its keeper saw the one before end.
        action.principal = "host".to_owned();
    }
    let begun = begin_action(actors, action).await?;
    begun.end(&Outcome::done()).await
}

/// That a signal has this host stop. One whose store takes nothing stops all the same.
pub(super) async fn record_stop(actors: &Actors, signal: &str) {
    let release = actors.release().version.clone();
    let recorded = async {
        let begun = begin(actors, "stop", json!({"signal": signal}), &release).await?;
        begun.end(&Outcome::done()).await
    };
    let why = match tokio::time::timeout(RECORD_TIMEOUT, recorded).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("it took longer than {} s", RECORD_TIMEOUT.as_secs()),
    };
    tracing::error!(signal, why, "a stop is not in the audit trail");
}
