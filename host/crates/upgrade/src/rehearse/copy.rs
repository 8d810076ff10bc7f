//! Reads the actors that are rehearsed, in the order of the journal.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

use host_actors::{Actors, Ticket};
use host_journal::{Journal, Record, Snapshot, Stored};
use host_model::ActorId;
use host_model::control::Extent;
use host_model::limits::{
    REHEARSAL_CHUNK_ACTORS, REHEARSAL_IN_FLIGHT_BYTES_MAX, REHEARSAL_SAMPLED_ACTORS,
    REHEARSAL_SAMPLES, REHEARSED_ACTORS,
};
use host_proof::rehearsal::{By, Said, Start, Subject};

use super::clients::Clients;
use super::drive::Stop;
use super::setup::Moved;

/// Actors that are listed at once.
const PAGE_ACTORS: usize = 4_096;

/// Actors that are read at once, if they are small.
const BATCH_ACTORS: usize = 1_024;

/// And while clients are served: a fraction of a millisecond, in which this thread may keep
/// one of theirs from a processor.
const BATCH_ACTORS_BESIDE: usize = 64;

/// Who is taken, of all.
pub(super) struct Choice {
    hasher: RandomState,
    /// Of 2^64; none: everyone.
    below: Option<u64>,
    /// Who of those is asked what commands lead to; likewise, for plugins of which not all are.
    run_below: BTreeMap<String, u64>,
    /// How many there are, as far as it was counted.
    pub(super) known: u64,
    /// About how many are taken.
    pub(super) wanted: u64,
}

impl Choice {
    /// Counts, where not everyone is taken.
    pub(super) fn of(
        journal: &Journal<Ticket>,
        moved: &BTreeMap<String, Moved>,
        extent: Extent,
        cancelled: &AtomicBool,
    ) -> Result<Self, Stop> {
        let wanted = extent.sample.unwrap_or(REHEARSED_ACTORS);
        let mut choice = Self {
            hasher: RandomState::new(),
            below: None,
            run_below: BTreeMap::new(),
            known: journal.known(),
            wanted: journal.known(),
        };
        if extent.all || choice.known <= wanted.min(REHEARSAL_SAMPLED_ACTORS) {
            return Ok(choice);
        }
        let mut known: BTreeMap<String, u64> = BTreeMap::new();
        each(journal, moved, &choice.hasher, cancelled, |actor| {
            match known.get_mut(actor.plugin()) {
                Some(known) => *known += 1,
                None => drop(known.insert(actor.plugin().to_owned(), 1)),
            }
            Ok(())
        })?;
        choice.known = known.values().sum();
        choice.wanted = choice.known.min(wanted);
        choice.below = share(wanted, choice.known);
        for (plugin, known) in known {
            let chosen = u128::from(known) * u128::from(choice.wanted);
            let chosen = chosen.div_ceil(u128::from(choice.known));
            let chosen = u64::try_from(chosen).unwrap_or(u64::MAX);
            if let Some(below) = share(REHEARSAL_SAMPLED_ACTORS, chosen) {
                choice.run_below.insert(plugin, below);
            }
        }
        Ok(choice)
    }

    /// The plugins of which only some are asked what commands lead to.
    pub(super) fn runs_some(&self) -> BTreeSet<String> {
        self.run_below.keys().cloned().collect()
    }

    /// Commands that are made up for this actor; 0 of one that is not asked what commands
    /// lead to.
    pub(super) fn samples(&self, actor: &ActorId) -> u32 {
        let below = self.run_below.get(actor.plugin());
        let is_asked = below.is_none_or(|below| self.hasher.hash_one((actor, "asked")) < *below);
        if is_asked { REHEARSAL_SAMPLES } else { 0 }
    }

    pub(super) fn is_sample(&self) -> bool {
        self.below.is_some()
    }

    fn takes(&self, actor: &ActorId) -> bool {
        self.below
            .is_none_or(|below| self.hasher.hash_one((actor, "chosen")) < below)
    }
}

/// Of 2^64, that so many `of` all are taken; none: everyone.
fn share(wanted: u64, of: u64) -> Option<u64> {
    let share = u128::from(wanted) * (1 << 64) / u128::from(of.max(1));
    u64::try_from(share).ok()
}

/// Hands on everyone that is chosen, with what the store has, until `take` fails.
pub(super) fn copy(
    actors: &Actors,
    moved: &BTreeMap<String, Moved>,
    choice: &Choice,
    cancelled: &AtomicBool,
    clients: &Clients<'_>,
    mut take: impl FnMut(Stored, ActorId) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let journal = actors.journal();
    let mut chunk = Vec::new();
    each(journal, moved, &choice.hasher, cancelled, |actor| {
        if choice.takes(&actor) {
            chunk.push(actor);
        }
        match chunk.len() >= REHEARSAL_CHUNK_ACTORS {
            true => read(journal, std::mem::take(&mut chunk), clients, &mut take),
            false => Ok(()),
        }
    })?;
    read(journal, chunk, clients, &mut take)
}

fn read(
    journal: &Journal<Ticket>,
    chunk: Vec<ActorId>,
    clients: &Clients<'_>,
    take: &mut impl FnMut(Stored, ActorId) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let chunk = journal.in_line(chunk);
    let mut rest = &chunk[..];
    while !rest.is_empty() {
        let most = match clients.are_served() {
            true => BATCH_ACTORS_BESIDE,
            false => BATCH_ACTORS,
        };
        let batch = &rest[..rest.len().min(most)];
        let stored = journal.read_many(batch, REHEARSAL_IN_FLIGHT_BYTES_MAX)?;
        let (done, left) = rest.split_at(stored.len());
        for (actor, stored) in done.iter().zip(stored) {
            if let Some(stored) = stored {
                take(stored, actor.clone())?;
            }
        }
        rest = left;
    }
    Ok(())
}

/// Each actor of the plugins that move, once. It may be listed twice: with its records,
/// and with its snapshot.
fn each(
    journal: &Journal<Ticket>,
    moved: &BTreeMap<String, Moved>,
    hasher: &RandomState,
    cancelled: &AtomicBool,
    mut take: impl FnMut(ActorId) -> Result<(), Stop>,
) -> Result<(), Stop> {
    for plugin in moved.keys() {
        let mut seen = HashSet::new();
        let mut pass = journal.pass(plugin);
        loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Stop::Cancelled);
            }
            let page = pass.next_page(PAGE_ACTORS)?;
            if page.is_empty() {
                break;
            }
            for listed in page {
                if seen.insert(hasher.hash_one(&listed.id)) {
                    take(listed.id)?;
                }
            }
        }
    }
    Ok(())
}

/// What the child is told of an actor.
pub(super) fn subject(actor: ActorId, stored: Stored, samples: u32) -> Subject {
    Subject {
        samples,
        start: stored.snapshot.map(start),
        commands: stored.tail.into_iter().map(said).collect(),
        actor,
    }
}

fn start(snapshot: Snapshot) -> Start {
    Start {
        seq: snapshot.seq,
        time_ms: snapshot.time_ms,
        version: snapshot.version,
        state: snapshot.state,
        carries: snapshot.carries,
    }
}

fn said(record: Record) -> Said {
    Said {
        seq: record.seq,
        version: record.version,
        time_ms: record.time_ms,
        event: record.command,
        payload: record.payload,
        happened: record.event,
        by: match record.principal.as_str() {
            "timer" => By::Timer,
            principal if principal.starts_with("actor:") => By::Actor,
            _ => By::Client,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By chance, so within ten standard deviations.
    #[test]
    fn about_as_many_are_asked_what_commands_lead_to_as_are_wanted_of_each_plugin() {
        let known = [("donations", 40_000_u64), ("zakat", 9_000), ("few", 100)];
        let below = |of| share(REHEARSAL_SAMPLED_ACTORS, of);
        let run_below = known.iter().filter_map(|(plugin, of)| {
            let below = below(*of)?;
            Some(((*plugin).to_owned(), below))
        });
        let choice = Choice {
            hasher: RandomState::new(),
            below: None,
            run_below: run_below.collect(),
            known: 49_100,
            wanted: 49_100,
        };
        let some = choice.runs_some();
        assert_eq!(some.iter().collect::<Vec<_>>(), ["donations", "zakat"]);
        assert!(!choice.is_sample());
        for (plugin, of) in known {
            let ids = (0..of).map(|n| format!("{plugin}:{n}").parse().unwrap());
            let asked = ids.filter(|id| choice.takes(id) && choice.samples(id) > 0);
            let asked = asked.count() as u64;
            let wanted = of.min(REHEARSAL_SAMPLED_ACTORS);
            let far = asked.abs_diff(wanted);
            assert!(far * far <= 100 * wanted, "{asked} of {wanted} {plugin}");
            assert!(of > REHEARSAL_SAMPLED_ACTORS || asked == of, "{plugin}");
        }
    }
}
