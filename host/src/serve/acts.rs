//! What this process does at an operator's word that did not come over the control
//! socket, in the audit trail as all that did.

use anyhow::Result;
use host_actors::Actors;
use host_control::Peer;
use host_journal::{Action, Outcome, Position, unix_ms};
use host_model::Version;
use serde_json::{Value, json};

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
    let peer = Peer::this_process();
    let action = Action {
        name: name.to_owned(),
        principal: peer.principal(),
        peer: peer.facts(),
        arguments,
        release: release.clone(),
    };
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

/// That this start was one with `--take-over`. The store could not be written to before it
/// was taken, so both records stand behind that.
pub(super) async fn record_take_over(actors: &Actors, release: &Version) -> Result<()> {
    let begun = begin(actors, "start", json!({"take_over": true}), release).await?;
    begun.end(&Outcome::done()).await
}
