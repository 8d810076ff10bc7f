//! What an operator does about messages that came to nothing.

use std::sync::Arc;

use bytes::Bytes;
use host_journal::{
    Consumed, DeadLetter, DeadLetterKind, OutboxChange, OutboxId, Rows, Tried, Webhook,
};
use host_model::effect::Rejection;
use host_model::error::chain;
use tokio::sync::oneshot;

use crate::Actors;
use crate::clock::unix_ms;
use crate::letters::unknown_letter;
use crate::message::{Answer, CallError, Message};

/// To be awaited on the data runtime: handlers run right here.
impl Actors {
    /// Delivers a dead letter again as what it was, and waits for what comes of it.
    /// What comes of it and the end of the letter are one transaction; a webhook goes
    /// back into the outbox, under the identity that it had.
    ///
    /// # Errors
    ///
    /// As [`Actors::call`]; the letter is still there, but after `outcome_unknown`,
    /// and after `timeout`, where it may yet be handled.
    pub async fn retry_dead_letter(self: &Arc<Self>, id: u64) -> Result<Answer, CallError> {
        let letter = self.letter(id)?;
        if letter.kind == DeadLetterKind::Outbox {
            self.send_again(id, letter).await?;
            return Ok(Answer::new(Bytes::from_static(b"{}"), 0));
        }
        let (responder, receiver) = oneshot::channel();
        let actor = letter.actor.clone();
        self.send(&actor, Message::DeadLetter(id, Box::new(letter), responder));
        self.answered(receiver).await
    }

    /// Removes a dead letter for good.
    ///
    /// # Errors
    ///
    /// There is none of this number, or the store would not.
    pub async fn drop_dead_letter(&self, id: u64) -> Result<(), CallError> {
        self.letter(id)?;
        self.write_rows(|| Rows {
            consumed: Some(Consumed::DeadLetter(id)),
            ..Rows::default()
        })
        .await?;
        Ok(())
    }

    /// Has a webhook that waits tried at once.
    ///
    /// # Errors
    ///
    /// None of this id waits, or the store would not.
    pub async fn retry_webhook(&self, id: OutboxId) -> Result<(), CallError> {
        let read = tokio::task::block_in_place(|| self.journal.outbox_row(id));
        let row = read.map_err(|error| CallError::NotApplied(chain(&error)))?;
        let Some((row, _)) = row else {
            return Err(CallError::Rejected(Rejection {
                reason: "unknown_webhook".to_owned(),
                message: format!(
                    "no webhook {id} waits, or not any more; `host outbox list` shows those that \
                     do"
                ),
            }));
        };
        let tried = Tried {
            due_ms: unix_ms(),
            ..row.tried
        };
        self.write_rows(|| Rows {
            outbox_change: Some(OutboxChange::Tried(id, tried.clone())),
            ..Rows::default()
        })
        .await?;
        self.outbox.wake();
        Ok(())
    }

    async fn send_again(&self, id: u64, letter: DeadLetter) -> Result<(), CallError> {
        let Some((webhook, url)) = letter.origin.outbox else {
            return Err(CallError::NotApplied(format!(
                "dead letter {id} does not say where its webhook was sent"
            )));
        };
        let again = Webhook {
            actor: letter.actor,
            version: letter.version,
            name: letter.event,
            url,
            body: letter.payload,
        };
        let tried = Tried {
            due_ms: unix_ms(),
            ..Tried::default()
        };
        self.write_rows(|| Rows {
            consumed: Some(Consumed::DeadLetter(id)),
            outbox_change: Some(OutboxChange::Again(webhook, again.clone(), tried.clone())),
            ..Rows::default()
        })
        .await?;
        self.outbox.wake();
        Ok(())
    }

    fn letter(&self, id: u64) -> Result<DeadLetter, CallError> {
        let read = tokio::task::block_in_place(|| self.journal.dead_letter(id));
        read.map_err(|error| CallError::NotApplied(chain(&error)))?
            .ok_or_else(|| unknown_letter(id))
    }
}
