//! What operators do, in the same chain as what clients do.

use bytes::Bytes;
use host_journal::{Lost, Position, Record, Removal, Rows};

use crate::Actors;

impl Actors {
    /// Makes the removal of old groups durable.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the store would not.
    pub async fn remove_groups(&self, removal: &Removal) -> Result<(), Lost> {
        self.write_rows(|| removal.rows()).await.map(drop)
    }

    /// Makes values of the host's own durable, and a record of the chain with them: all
    /// or nothing.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the store would not.
    pub async fn write_values_and_record(
        &self,
        values: Vec<(String, Option<Bytes>)>,
        record: Option<Record>,
    ) -> Result<(), Lost> {
        let rows = || Rows {
            record: record.clone(),
            values: values.clone(),
            ..Rows::default()
        };
        self.write_rows(rows).await.map(drop)
    }

    /// Makes the record of an operator's action durable; gives its position. It is
    /// answered from the journal's thread, whatever the data runtime is stuck in.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the store would not.
    pub async fn record_action(&self, record: Record) -> Result<Position, Lost> {
        self.write_rows(|| Rows {
            record: Some(record.clone()),
            ..Rows::default()
        })
        .await
    }
}
