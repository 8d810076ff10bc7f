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
    /// Them, where not everyone may be.
    pub(super) chosen: Option<Vec<ActorId>>,
    /// The plugins of which only some are taken.
    takes_some: BTreeSet<String>,
    /// Who of those is asked what commands lead to: up to which of 2^64, for plugins of which
    /// not all are.
    run_up_to: BTreeMap<String, u64>,
    /// How many there are, as far as it was counted.
    pub(super) known: u64,
    /// About how many are taken.
    pub(super) wanted: u64,
}

impl Choice {
    /// Chooses, where not everyone may be taken: of each plugin so many, by chance, or all that
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
        each(journal, moved, cancelled, |actor| {
            let place = choice.place(&actor);
            match known.get_mut(actor.plugin()) {
                Some(known) => known.add(place, actor),
                None => {
                    let mut first = Known::of(wanted);
                    let plugin = actor.plugin().to_owned();
                    first.add(place, actor);
                    known.insert(plugin, first);
                }
            }
            Ok(())
        })?;
        choice.take(known);
        Ok(choice)
    }

    fn everyone(known: u64) -> Self {
        Self {
            hasher: RandomState::new(),
            chosen: None,
            takes_some: BTreeSet::new(),
            run_up_to: BTreeMap::new(),
            known,
            wanted: known,
        }
    }

    /// Takes as many as are wanted of each plugin that has more, and at least one.
    fn take(&mut self, known: BTreeMap<String, Known>) {
        let mut taken = Vec::new();
        self.known = 0;
        for (plugin, known) in known {
            let (actors, mut chosen) = known.chosen();
            self.known += actors;
            let of = chosen.len() as u64;
            if let Some(up_to) = share(REHEARSAL_SAMPLED_ACTORS, of) {
                self.run_up_to.insert(plugin.clone(), up_to);
            }
            if of < actors {
                self.takes_some.insert(plugin);
            }
            taken.append(&mut chosen);
        }
        self.wanted = taken.len() as u64;
        self.chosen = Some(taken);
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
        self.takes_some.clone()
    }

    /// Where an actor stands among 2^64, by chance.
    fn place(&self, actor: &ActorId) -> u64 {
        self.hasher.hash_one((actor, "chosen"))
    }
}

/// The actors of a plugin as they are listed, each perhaps twice, and those of them with the
/// least places: a bottom-k sample, for which one listing is enough.
struct Known {
    wanted: usize,
    places: Vec<u64>,
    least: Vec<(u64, ActorId)>,
    /// Whoever stands above it is not among them.
    up_to: u64,
}

impl Known {
    fn of(wanted: u64) -> Self {
        Self {
            wanted: usize::try_from(wanted.max(1)).unwrap_or(usize::MAX),
            places: Vec::new(),
            least: Vec::new(),
            up_to: u64::MAX,
        }
    }

    fn add(&mut self, place: u64, actor: ActorId) {
        self.places.push(place);
        if place <= self.up_to {
            self.least.push((place, actor));
            if self.least.len() >= self.wanted.saturating_mul(2) {
                self.keep_least();
            }
        }
    }

    fn keep_least(&mut self) {
        self.least.sort_unstable_by_key(|(place, _)| *place);
        self.least.dedup_by_key(|(place, _)| *place);
        if self.least.len() >= self.wanted {
            self.least.truncate(self.wanted);
            self.up_to = self.least.last().map_or(u64::MAX, |(place, _)| *place);
        }
    }

    /// How many there are, and those that are taken.
    fn chosen(mut self) -> (u64, Vec<ActorId>) {
        self.places.sort_unstable();
        self.places.dedup();
        self.keep_least();
        let chosen = self.least.into_iter().map(|(_, actor)| actor);
        (self.places.len() as u64, chosen.collect())
    }
}

/// Up to which of 2^64, that so many `of` all are taken; none: everyone.
fn share(wanted: u64, of: u64) -> Option<u64> {
    let share = u128::from(wanted) * (1 << 64) / u128::from(of.max(1));
    u64::try_from(share).ok()
}

/// Hands on those that are chosen, or everyone, with what the store has, until `take` fails.
pub(super) fn copy(
    actors: &Actors,
    moved: &BTreeMap<String, Moved>,
    chosen: Option<Vec<ActorId>>,
    cancelled: &AtomicBool,
    clients: &Clients<'_>,
    mut take: impl FnMut(Stored, ActorId) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let journal = actors.journal();
    if let Some(mut chosen) = chosen {
        while !chosen.is_empty() {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Stop::Cancelled);
            }
            let rest = chosen.split_off(chosen.len().min(REHEARSAL_CHUNK_ACTORS));
            read(
                journal,
                std::mem::replace(&mut chosen, rest),
                clients,
                &mut take,
            )?;
        }
        return Ok(());
    }
    let (mut chunk, mut seen) = (Vec::new(), HashSet::new());
    let hasher = RandomState::new();
    each(journal, moved, cancelled, |actor| {
        if seen.insert(hasher.hash_one(&actor)) {
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

/// Each actor of the plugins that move. It may be listed twice: with its records, and with its
/// snapshot.
fn each(
    journal: &Journal<Ticket>,
    moved: &BTreeMap<String, Moved>,
    cancelled: &AtomicBool,
    mut take: impl FnMut(ActorId) -> Result<(), Stop>,
) -> Result<(), Stop> {
    for plugin in moved.keys() {
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
                take(listed.id)?;
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

    /// Each is listed twice.
    fn choice(known: &[(&str, u64)], wanted: u64) -> Choice {
        let mut choice = Choice::everyone(0);
        let listed = known.iter().map(|(plugin, of)| {
            let mut known = Known::of(wanted);
            let listed = ids(plugin, *of).chain(ids(plugin, *of));
            listed.for_each(|id| known.add(choice.place(&id), id));
            ((*plugin).to_owned(), known)
        });
        let listed = listed.collect();
        choice.take(listed);
        choice
    }

    fn chosen<'a>(choice: &'a Choice, plugin: &str) -> BTreeSet<&'a ActorId> {
        let chosen = choice.chosen.iter().flatten();
        let own: Vec<_> = chosen.filter(|id| id.plugin() == plugin).collect();
        let each: BTreeSet<_> = own.iter().copied().collect();
        assert_eq!(each.len(), own.len(), "one of {plugin} is taken twice");
        each
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
            let chosen = chosen(&choice, plugin);
            assert_eq!(chosen.len() as u64, of);
            let asked = chosen.iter().filter(|id| choice.samples(id) > 0);
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
            let chosen = chosen(&choice, plugin);
            assert_eq!(chosen.len() as u64, of.min(15_000), "{plugin}");
            // Not the first that are listed: by chance.
            let late = ids(plugin, of).skip(of as usize / 2);
            let late = late.filter(|id| chosen.contains(id)).count() as u64;
            assert!(
                is_about(late, chosen.len() as u64 / 2),
                "{late} of {plugin}"
            );
        }
    }

    #[test]
    fn somebody_is_taken_of_each_plugin_however_few_are_wanted() {
        for wanted in [0, 1] {
            let choice = choice(&[("p", 1_000), ("q", 2)], wanted);
            for plugin in ["p", "q"] {
                assert_eq!(chosen(&choice, plugin).len(), 1, "{plugin}");
            }
        }
    }
}
