//! What the actors that there are say of a plan.

use std::collections::BTreeSet;

use host_journal::{Listed, ReadError};
use host_model::plan::{Change, Plan};
use host_model::way::no_way;
use host_model::{ActorId, Version};

use crate::engine::Upgrader;

/// Actors that are looked at together.
const ACTORS_PAGE: usize = 512;

/// Bytes of snapshots that are read together, unless it is one.
const SNAPSHOTS_BYTES_MAX: usize = 4 << 20;

impl Upgrader {
    /// Plugins that come anew, and whose actors have slept in another version since a release
    /// without the plugin.
    pub(super) fn asleep(&self, plan: &Plan) -> Result<Vec<String>, ReadError> {
        let mut notes = Vec::new();
        for row in &plan.plugins {
            if let Change::Add { version } = &row.change
                && let Some(actor) = self.find(&row.plugin, |it| it.version != *version)?
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
            self.each_beside(&row.plugin, |actor, carries| {
                if sought.remove(carries) {
                    let why = no_way(&row.plugin, from, to, carries.last());
                    problems.push(format!("{actor} cannot come over: {why}"));
                }
                sought.is_empty()
            })?;
        }
        Ok(problems)
    }

    /// Tells of each actor of a plugin that comes over which versions have left something
    /// beside its state, the last one last; until that is enough. Snapshots are read, many at
    /// once, and no record: there may be a million.
    fn each_beside(
        &self,
        plugin: &str,
        mut is_enough: impl FnMut(&ActorId, &[Version]) -> bool,
    ) -> Result<(), ReadError> {
        let journal = self.actors.journal();
        let quarantined = journal.quarantined()?.into_iter().map(|(id, _)| id);
        let quarantined: BTreeSet<_> = quarantined.collect();
        let mut pass = journal.pass(plugin);
        loop {
            let page = pass.next_page(ACTORS_PAGE)?.into_iter().map(|it| it.id);
            let page: Vec<_> = page.collect();
            if page.is_empty() {
                return Ok(());
            }
            let mut left = &page[..];
            while !left.is_empty() {
                let carries = journal.carries(left, SNAPSHOTS_BYTES_MAX)?;
                let (read, behind) = left.split_at(carries.len());
                left = behind;
                for (actor, carries) in read.iter().zip(carries) {
                    let newer: Vec<_> = carries.into_iter().map(|carry| carry.newer).collect();
                    if !quarantined.contains(actor) && is_enough(actor, &newer) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// An actor of a plugin of which this is so.
    fn find(
        &self,
        plugin: &str,
        mut is_so: impl FnMut(&Listed) -> bool,
    ) -> Result<Option<Listed>, ReadError> {
        let mut pass = self.actors.journal().pass(plugin);
        loop {
            let page = pass.next_page(ACTORS_PAGE)?;
            if page.is_empty() {
                return Ok(None);
            }
            if let Some(actor) = page.into_iter().find(&mut is_so) {
                return Ok(Some(actor));
            }
        }
    }
}
