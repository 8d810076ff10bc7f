//! What callers read of answers, webhooks and dead letters: durable rows only.

use bytes::Bytes;

use crate::error::ReadError;
use crate::{AnswerKey, DeadLetter, Journal, KeptAnswer, OutboxId, OutboxRow};

/// All wait for the disk; some for another reader first.
impl<T> Journal<T> {
    /// The first answer under a key, if it is still kept.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`], here and below.
    pub fn answer(&self, key: &AnswerKey) -> Result<Option<KeptAnswer>, ReadError> {
        Ok(self.reader()?.answer(key)?)
    }

    /// When the oldest answer that is kept was given, Unix milliseconds, UTC.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn oldest_answer(&self) -> Result<Option<i64>, ReadError> {
        Ok(self.reader()?.oldest_answer()?)
    }

    /// Up to `limit` webhooks that wait, behind `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn outbox(
        &self,
        after: Option<OutboxId>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, ReadError> {
        Ok(self.reader()?.outbox(after, limit)?)
    }

    /// Up to `limit` webhooks due by `now_ms` (Unix milliseconds, UTC) and behind
    /// `after`, in the order of due time and id.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn outbox_due(
        &self,
        now_ms: i64,
        after: Option<(i64, OutboxId)>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, ReadError> {
        self.acted_on(self.reader()?.outbox_due(now_ms, after, limit))
    }

    /// A webhook that waits, with its body.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn outbox_row(&self, id: OutboxId) -> Result<Option<(OutboxRow, Bytes)>, ReadError> {
        self.acted_on(self.reader()?.outbox_row(id))
    }

    /// When the next webhook is due, Unix milliseconds, UTC.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn next_outbox(&self) -> Result<Option<i64>, ReadError> {
        Ok(self.reader()?.next_outbox()?)
    }

    /// A dead letter, if it is still there.
    ///
    /// # Errors
    ///
    /// See [`Journal::read`].
    pub fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, ReadError> {
        Ok(self.reader()?.dead_letter(id)?)
    }
}
