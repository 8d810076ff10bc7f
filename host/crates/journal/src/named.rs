//! Which plugin versions a store names: whoever removes a library asks.

use std::collections::BTreeSet;

use host_model::Version;

use crate::error::ReadError;
use crate::store::{GROUPS_AT_ONCE, ROWS_AT_ONCE, Reader};
use crate::{Position, Trail, pieces};

/// Names and versions of plugins.
pub type Versions = BTreeSet<(String, Version)>;

/// See [`Journal::named`](crate::Journal::named).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Those whose states it holds, and those whose records a replay still applies.
    pub needed: Versions,
    /// Those that carries wait for.
    pub carried: Versions,
    /// Those of all snapshots that are kept, also of the ones from before a change of
    /// version, which a way back by commands begins at.
    pub kept: Versions,
}

/// Reads the whole store as it was at one moment.
pub(crate) fn named(reader: &dyn Reader) -> Result<Named, ReadError> {
    let frozen = reader.inspect().frozen()?;
    let reader = &*frozen;
    let mut named = Named {
        needed: needed(reader)?,
        ..Named::default()
    };
    let mut after = Position(0);
    loop {
        let page = reader.inspect().snapshot_keys(after, ROWS_AT_ONCE)?;
        let Some(last) = page.last() else {
            return Ok(named);
        };
        after = last.position;
        for key in &page {
            let body = reader.inspect().snapshot_body(key.position)?;
            let opened = pieces::open(reader, &body)?;
            let snapshot = opened.map_err(|problem| ReadError::Damaged {
                what: format!(
                    "the snapshot of {} at position {}",
                    key.actor, key.position.0
                ),
                problem,
            })?;
            let plugin = snapshot.actor.plugin();
            named.kept.insert((plugin.to_owned(), snapshot.version));
            for carry in snapshot.carries {
                named.carried.insert((plugin.to_owned(), carry.newer));
            }
        }
    }
}

/// See [`Archive::versions`](crate::Archive::versions).
pub(crate) fn needed(reader: &dyn Reader) -> Result<Versions, ReadError> {
    let mut versions = BTreeSet::new();
    let mut after = None;
    loop {
        let page = reader.list("", after.as_ref(), ROWS_AT_ONCE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        let states = page.iter();
        versions.extend(states.map(|it| (it.id.plugin().to_owned(), it.version.clone())));
    }
    let trail = Trail::new(reader);
    let mut behind = Position(trail.meta()?.tail_start.0.saturating_sub(1));
    loop {
        let page = trail.page(behind, GROUPS_AT_ONCE)?;
        let Some((last, _)) = page.last() else {
            return Ok(versions);
        };
        behind = *last;
        let records = page.into_iter().map(|(_, record)| record);
        let of_actors = records.filter(|record| !record.is_action());
        versions.extend(of_actors.map(|it| (it.actor.plugin().to_owned(), it.version)));
    }
}
