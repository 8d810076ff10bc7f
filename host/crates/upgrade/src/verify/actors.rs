//! What the actors that there are say of a plan.

use std::collections::BTreeSet;

use host_journal::{Listed, ReadError};
use host_model::Version;
use host_model::plan::{Change, Plan};
use host_model::way::no_way;

use crate::engine::Upgrader;

/// Actors that are looked at together.
const ACTORS_PAGE: usize = 512;

impl Upgrader {
    /// Plugins that come anew, and whose actors have slept in another version since a release
    /// without the plugin.
    pub(super) fn asleep(&self, plan: &Plan) -> Result<Vec<String>, ReadError> {
        let mut notes = Vec::new();
        for row in &plan.plugins {
            if let Change::Add { version } = &row.change
                && let Some(actor) = self.find(&row.plugin, |it| Ok(it.version != *version))?
            {
                let (plugin, slept) = (&row.plugin, actor.version);
                notes.push(format!(
                    "{plugin} {version} comes anew, and {} has slept in {plugin} {slept} since a release without it: it comes over at the switch, and no rehearsal proves that; to have it proved, upgrade to a release with {plugin} {slept} first",
                    actor.id
                ));
            }
        }
        Ok(notes)
    }

    /// Actors, one of a kind, whose carries no way of the plan takes up. Who is in quarantine
    /// stays there anyhow.
    pub(super) fn stranded(&self, plan: &Plan) -> Result<Vec<String>, ReadError> {
        let mut problems = Vec::new();
        for row in &plan.plugins {
            let Change::Move {
                from, to, carried, ..
            } = &row.change
            else {
                continue;
            };
            let no_ways = carried.iter().filter(|way| way.hops.is_none());
            let mut sought: BTreeSet<&[Version]> = no_ways.map(|it| &*it.carries).collect();
            if sought.is_empty() {
                continue;
            }
            self.find(&row.plugin, |actor| {
                let carries = self.beside(actor)?;
                if sought.remove(&*carries) {
                    let why = no_way(&row.plugin, from, to, carries.last());
                    problems.push(format!("{} cannot come over: {why}", actor.id));
                }
                Ok(sought.is_empty())
            })?;
        }
        Ok(problems)
    }

    /// The versions that have left something beside the state of an actor that comes over, the
    /// last one last.
    fn beside(&self, actor: &Listed) -> Result<Vec<Version>, ReadError> {
        let stored = self.actors.journal().read(&actor.id)?;
        let comes_over = stored.filter(|it| it.quarantined.is_none());
        let snapshot = comes_over.and_then(|it| it.snapshot);
        let carries = snapshot.into_iter().flat_map(|it| it.carries);
        Ok(carries.map(|carry| carry.newer).collect())
    }

    /// An actor of a plugin of which this is so.
    fn find(
        &self,
        plugin: &str,
        mut is_so: impl FnMut(&Listed) -> Result<bool, ReadError>,
    ) -> Result<Option<Listed>, ReadError> {
        let mut pass = self.actors.journal().pass(plugin);
        loop {
            let page = pass.next_page(ACTORS_PAGE)?;
            if page.is_empty() {
                return Ok(None);
            }
            for actor in page {
                if is_so(&actor)? {
                    return Ok(Some(actor));
                }
            }
        }
    }
}
