//! An operator's action on a home that is stopped: this process owns the store
//! meanwhile, and the action is in the audit trail as any other.

use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result};
use host_control::Peer;
use host_journal::store::Opened;
use host_journal::{Action, Done, Entry, Journal, Lost, Outcome, Position, Record, Rows, unix_ms};
use host_model::Version;
use serde_json::Value;

/// Whom the journal tells how a record ended.
type Told = Sender<Result<(), Lost>>;

/// An action whose intent is durable.
pub(super) struct Offline {
    journal: Journal<Told>,
    action: Action,
    intent: Position,
}

impl Offline {
    /// Records in the store, which this process owns, that `name` is asked for by whoever
    /// runs it.
    pub(super) fn begin(
        opened: Opened,
        name: &str,
        arguments: Value,
        release: &Version,
    ) -> Result<Self> {
        let tell = |entries: Vec<Done<Told>>| {
            for entry in entries {
                // Whoever asked waits for it.
                let _ = entry.token.send(entry.result);
            }
        };
        let journal = Journal::start(opened, tell).context("open the store")?;
        let action = Peer::this_process().action(name, arguments, release);
        let intent = write(&journal, action.intended(unix_ms()))?;
        Ok(Self {
            journal,
            action,
            intent,
        })
    }

    pub(super) fn journal(&self) -> &Journal<Told> {
        &self.journal
    }

    /// Makes rows durable that belong to it.
    pub(super) fn keep(&self, rows: Rows) -> Result<()> {
        append(&self.journal, rows).map(drop)
    }

    /// Records how it ended, and leaves the store in order.
    pub(super) fn end(self, outcome: &Outcome) -> Result<()> {
        let record = self.action.ended(unix_ms(), self.intent, outcome);
        write(&self.journal, record)?;
        self.journal.close();
        Ok(())
    }
}

fn write(journal: &Journal<Told>, record: Record) -> Result<Position> {
    let rows = Rows {
        record: Some(record),
        ..Rows::default()
    };
    append(journal, rows)
}

fn append(journal: &Journal<Told>, rows: Rows) -> Result<Position> {
    let (token, told) = channel();
    let entry = Entry {
        incarnation: journal.incarnation(),
        rows,
        token,
    };
    let position = journal
        .append(entry)
        .map_err(|refused| anyhow::anyhow!("{}", refused.reason))?;
    told.recv().context("the journal has ended")??;
    Ok(position)
}
