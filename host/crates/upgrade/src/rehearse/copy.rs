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
    /// Up to which of 2^64, for plugins of which not everyone is taken.
    up_to: BTreeMap<String, u64>,
    /// Who of those is asked what commands lead to; likewise, for plugins of which not all are.
    run_up_to: BTreeMap<String, u64>,
    /// How many there are, as far as it was counted.
    pub(super) known: u64,
    /// About how many are taken.
    pub(super) wanted: u64,
}

impl Choice {
    /// Counts, where not everyone may be taken: of each plugin so many, by chance, or all that
    /// there are, for what holds for one plugin says nothing of another.
    pub(super) fn of(
        journal: &Journal<Ticket>,
        moved: &BTreeMap<String, Moved>,
        extent: Extent,
        cancelled: &AtomicBool,
    ) -> Result<Self, Stop> {
        let wanted = extent.sample.unwrap_or(REHEARSED_ACTORS);
        let mut choice = Self::everyone(journal.known());
        if extent.all || choice.known <= wanted.min(REHEARSAL_SAMPLED_ACTORS) {
            return Ok(choice);
        }
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        each(journal, moved, &choice.hasher, cancelled, |actor| {
            let place = choice.place(&actor);
            match known.get_mut(actor.plugin()) {
                Some(known) => known.add(place),
                None => {
                    let mut first = Known::default();
                    first.add(place);
                    known.insert(actor.plugin().to_owned(), first);
                }
            }
            Ok(())
        })?;
        choice.share(known, wanted);
        Ok(choice)
    }

    fn everyone(known: u64) -> Self {
        Self {
            hasher: RandomState::new(),
            up_to: BTreeMap::new(),
            run_up_to: BTreeMap::new(),
            known,
            wanted: known,
        }
    }

    /// Takes about as many as are wanted of each plugin that has more, and at least one.
    fn share(&mut self, known: BTreeMap<String, Known>, wanted: u64) {
        let wanted = wanted.max(1);
        (self.known, self.wanted) = (0, 0);
        for (plugin, Known { actors, least }) in known {
            let chosen = actors.min(wanted);
            self.known += actors;
            self.wanted += chosen;
            if let Some(up_to) = share(REHEARSAL_SAMPLED_ACTORS, chosen) {
                self.run_up_to.insert(plugin.clone(), up_to);
            }
            if let Some(up_to) = share(wanted, actors) {
                self.up_to.insert(plugin, up_to.max(least));
            }
        }
    }

    /// The plugins of which only some are asked what commands lead to.
    pub(super) fn runs_some(&self) -> BTreeSet<String> {
        self.run_up_to.keys().cloned().collect()
    }

    /// Commands that are made up for this actor; 0 of one that is not asked what commands
    /// lead to.
    pub(super) fn samples(&self, actor: &ActorId) -> u32 {
        let up_to = self.run_up_to.get(actor.plugin());
        let is_asked = up_to.is_none_or(|up_to| self.hasher.hash_one((actor, "asked")) <= *up_to);
        if is_asked { REHEARSAL_SAMPLES } else { 0 }
    }

    /// The plugins of which only some are taken.
    pub(super) fn takes_some(&self) -> BTreeSet<String> {
        self.up_to.keys().cloned().collect()
    }

    fn takes(&self, actor: &ActorId) -> bool {
        let up_to = self.up_to.get(actor.plugin());
        up_to.is_none_or(|up_to| self.place(actor) <= *up_to)
    }

    /// Where an actor stands among 2^64, by chance.
    fn place(&self, actor: &ActorId) -> u64 {
        self.hasher.hash_one((actor, "chosen"))
    }
}

/// The actors of a plugin.
struct Known {
    actors: u64,
    /// The place of the first of them.
    least: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            actors: 0,
            least: u64::MAX,
        }
    }
}

impl Known {
    fn add(&mut self, place: u64) {
        self.actors += 1;
        self.least = self.least.min(place);
    }
}

/// Up to which of 2^64, that so many `of` all are taken; none: everyone.
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

    fn ids(plugin: &str, of: u64) -> impl Iterator<Item = ActorId> {
        (0..of).map(move |n| format!("{plugin}:{n}").parse().unwrap())
    }

    fn choice(known: &[(&str, u64)], wanted: u64) -> Choice {
        let mut choice = Choice::everyone(0);
        let counted = known.iter().map(|(plugin, of)| {
            let mut known = Known::default();
            ids(plugin, *of).for_each(|id| known.add(choice.place(&id)));
            ((*plugin).to_owned(), known)
        });
        let counted = counted.collect();
        choice.share(counted, wanted);
        choice
    }

    /// By chance, so within ten standard deviations.
    fn is_about(found: u64, wanted: u64) -> bool {
        let far = found.abs_diff(wanted);
        far * far <= 100 * wanted
    }

    #[test]
    fn about_as_many_are_asked_what_commands_lead_to_as_are_wanted_of_each_plugin() {
        let known = [("donations", 40_000_u64), ("zakat", 9_000), ("few", 100)];
        let choice = choice(&known, REHEARSED_ACTORS);
        let some = choice.runs_some();
        assert_eq!(some.iter().collect::<Vec<_>>(), ["donations", "zakat"]);
        assert!(choice.takes_some().is_empty());
        assert_eq!((choice.known, choice.wanted), (49_100, 49_100));
        for (plugin, of) in known {
            let asked = ids(plugin, of).filter(|id| choice.takes(id) && choice.samples(id) > 0);
            let asked = asked.count() as u64;
            let wanted = of.min(REHEARSAL_SAMPLED_ACTORS);
            assert!(is_about(asked, wanted), "{asked} of {wanted} {plugin}");
            assert!(of > REHEARSAL_SAMPLED_ACTORS || asked == of, "{plugin}");
        }
    }

    #[test]
    fn a_plugin_with_few_actors_is_rehearsed_beside_one_with_many() {
        let known = [("few", 10_u64), ("many", 60_000), ("more", 20_000)];
        let choice = choice(&known, 15_000);
        let some = choice.takes_some();
        assert_eq!(some.iter().collect::<Vec<_>>(), ["many", "more"]);
        assert_eq!((choice.known, choice.wanted), (80_010, 30_010));
        for (plugin, of) in known {
            let taken: Vec<_> = ids(plugin, of).filter(|id| choice.takes(id)).collect();
            let wanted = of.min(15_000);
            assert!(is_about(taken.len() as u64, wanted), "{plugin}");
            assert!(of > 15_000 || taken.len() as u64 == of, "{plugin}");
            let again = ids(plugin, of).filter(|id| choice.takes(id));
            assert!(again.eq(taken), "the same are taken again");
        }
    }

    #[test]
    fn somebody_is_taken_of_each_plugin_however_few_are_wanted() {
        for _ in 0..20 {
            let choice = choice(&[("p", 1_000), ("q", 2)], 1);
            for (plugin, of) in [("p", 1_000), ("q", 2)] {
                assert!(ids(plugin, of).any(|id| choice.takes(&id)), "{plugin}");
            }
        }
    }
}
