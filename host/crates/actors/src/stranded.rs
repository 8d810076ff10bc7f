//! Actors whose way back ends the host, or does not return. They were set aside for it,
//! and no later process tries it again: also one that an operator has released serves in
//! the newer version, until the release that rules is one that it can come over to.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use host_journal::{Journal, ReadError};
use host_model::ActorId;
use parking_lot::Mutex;

use crate::Actors;
use crate::token::Ticket;

/// Under which keys they are kept.
const STRANDED: &str = "quarantine/stranded/";

/// Why one stays where it is.
pub(crate) const WHY: &str = "its way back has ended the host, or did not return";

/// Who they are.
#[derive(Debug, Default)]
pub(crate) struct Stranded(Mutex<BTreeSet<ActorId>>);

impl Stranded {
    /// Those of whom the processes before have written.
    pub(crate) fn read(journal: &Journal<Ticket>) -> Result<Self, ReadError> {
        let values = journal.values(STRANDED)?.into_iter();
        let ids = values.filter_map(|(key, _)| key.strip_prefix(STRANDED)?.parse().ok());
        Ok(Self(Mutex::new(ids.collect())))
    }

    pub(crate) fn has(&self, id: &ActorId) -> bool {
        self.0.lock().contains(id)
    }
}

impl Actors {
    /// See [`Migrations::give_up`]. What it keeps from others is theirs from now on.
    ///
    /// [`Migrations::give_up`]: crate::Migrations::give_up
    pub fn give_up(self: &Arc<Self>, id: &ActorId) -> bool {
        let waited = self.migrations.give_up(id);
        self.let_go(id);
        waited
    }

    /// See [`Migrations::strand`]; and as [`Actors::give_up`].
    ///
    /// [`Migrations::strand`]: crate::Migrations::strand
    pub fn strand(self: &Arc<Self>, id: &ActorId) -> bool {
        let waited = self.migrations.strand(id);
        self.let_go(id);
        waited
    }

    /// Writes down who was set aside of those whose way ends the host, or does not return.
    pub(crate) async fn note_stranded(&self) {
        let stranded = self.migrations.stranded().into_iter();
        let new: Vec<_> = stranded
            .filter(|id| self.supervisor.is_quarantined(id) && !self.stranded.has(id))
            .collect();
        if new.is_empty() {
            return;
        }
        self.stranded.0.lock().extend(new.iter().cloned());
        let value = || Some(Bytes::from_static(b"1"));
        let values = new.iter().map(|id| (key(id), value())).collect();
        if let Err(lost) = self.write_values(values).await {
            tracing::error!(%lost, "whose way back ends the host could not be written: the \
                next process may try it again");
        }
    }

    /// The actor has come over, or rather is where the others are: what was said of its way
    /// back says nothing of the next one.
    pub(crate) fn forget_stranded(self: &Arc<Self>, id: &ActorId) {
        if !self.stranded.0.lock().remove(id) {
            return;
        }
        let (actors, id) = (Arc::clone(self), id.clone());
        self.data.spawn(async move {
            if let Err(lost) = actors.write_values(vec![(key(&id), None)]).await {
                tracing::warn!(actor = %id, %lost, "an actor is kept as one that cannot go back");
                actors.stranded.0.lock().insert(id);
            }
        });
    }
}

fn key(id: &ActorId) -> String {
    format!("{STRANDED}{id}")
}
