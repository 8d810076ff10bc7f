//! What operators do, in the same chain as what clients do.

use host_journal::{Entry, Lost, Position, Record, RefusedReason, Removal, Rows};
use tokio::sync::oneshot;

use crate::Actors;
use crate::token::{Ticket, Token};

impl Actors {
    /// Makes the removal of old groups durable.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the store would not.
    pub async fn remove_groups(&self, removal: &Removal) -> Result<(), Lost> {
        self.write_rows(|| removal.rows()).await
    }

    /// Makes the record of an operator's action durable; gives its position. It is
    /// answered from the journal's thread, whatever the data runtime is stuck in.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the store would not.
    pub async fn record_action(&self, record: Record) -> Result<Position, Lost> {
        loop {
            let (responder, receiver) = oneshot::channel();
            let entry = Entry {
                incarnation: self.journal.incarnation(),
                rows: Rows {
                    record: Some(record.clone()),
                    ..Rows::default()
                },
                token: Ticket(Token::Value(responder)),
            };
            let closed = || Lost::NotApplied("the journal is closed".into());
            match self.journal.append(entry) {
                Ok(position) => {
                    let written = receiver.await.unwrap_or_else(|_| Err(closed()));
                    return written.map(|()| position);
                }
                // It depends on no actor's state.
                Err(refused) if refused.reason == RefusedReason::StaleIncarnation => {}
                Err(_) => return Err(closed()),
            }
        }
    }
}
