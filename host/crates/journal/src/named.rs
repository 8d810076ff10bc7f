//! Which plugin versions a store names: whoever removes a library asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use host_model::{ActorId, Version};

use crate::error::ReadError;
use crate::store::{GROUPS_AT_ONCE, Listed, ROWS_AT_ONCE, Reader, SnapshotKey, TimerMark};
use crate::{DeadLetterKind, Position, Record, Snapshot, Trail, pieces};

/// Names and versions of plugins.
pub type Versions = BTreeSet<(String, Version)>;

/// See [`Journal::named`](crate::Journal::named).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Those whose states it holds, and those whose records a replay still applies.
    pub needed: Versions,
    /// Those of all records that it holds: a replay from the beginning applies them.
    pub recorded: Versions,
    /// Those that carries wait for.
    pub carried: Versions,
    /// Those of all snapshots that are kept, also of the ones from before a change of
    /// version, which a way back by commands begins at.
    pub kept: Versions,
    /// Those in whose shape timers and casts are that wait.
    pub waiting: Versions,
    /// Those in whose shape dead letters are.
    pub letters: Versions,
    /// How many actors stand at each place.
    pub standing: BTreeMap<Standing, u64>,
}

/// From where an actor comes over to another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// Its plugin.
    pub plugin: String,
    /// The version of its state.
    pub version: Version,
    /// The versions that have left something beside it, the last one last.
    pub carried: Vec<Version>,
}

/// Reads the whole store as it was at one moment.
pub(crate) fn named(reader: &dyn Reader) -> Result<Named, ReadError> {
    let frozen = reader.inspect().frozen()?;
    let reader = &*frozen;
    let mut named = Named::default();
    // As many as a start knows, too: those with records behind their last snapshot.
    let mut heads: HashMap<ActorId, (u64, Version)> = HashMap::new();
    let tail = before_the_tail(reader)?;
    each_record(reader, Position(0), |position, record| {
        let of = (record.actor.plugin().to_owned(), record.version.clone());
        if position > tail {
            named.needed.insert(of.clone());
            heads.insert(record.actor, (record.seq, record.version));
        }
        named.recorded.insert(of);
    })?;
    each_listed(reader, |listed| {
        let plugin = listed.id.plugin().to_owned();
        let head = heads.remove(&listed.id);
        let mut carried = Vec::new();
        for (age, key) in reader.kept(&listed.id)?.iter().enumerate() {
            let snapshot = read(reader, key)?;
            let newer = snapshot.carries.into_iter().map(|carry| carry.newer);
            let newer: Vec<Version> = newer.collect();
            let of_plugin = newer.iter().map(|it| (plugin.clone(), it.clone()));
            named.carried.extend(of_plugin);
            named.kept.insert((plugin.clone(), snapshot.version));
            if age == 0 {
                carried = newer;
            }
        }
        named.needed.insert((plugin, listed.version.clone()));
        let behind = head.filter(|(seq, _)| *seq > listed.seq);
        let version = behind.map_or(listed.version, |(_, version)| version);
        named.stands(&listed.id, version, carried);
        Ok(())
    })?;
    for (actor, (_, version)) in heads {
        named.stands(&actor, version, Vec::new());
    }
    named.waiting = waiting(reader)?;
    named.letters = letters(reader)?;
    Ok(named)
}

/// See [`Archive::waiting`](crate::Archive::waiting).
pub(crate) fn waiting(reader: &dyn Reader) -> Result<Versions, ReadError> {
    let mut versions = Versions::new();
    let mut behind = None;
    loop {
        let page = reader.timers_due(i64::MAX, behind.as_ref(), ROWS_AT_ONCE)?;
        let Some(last) = page.last() else {
            break;
        };
        behind = Some(TimerMark::behind(last));
        let of = page.into_iter().map(|it| of(&it.actor, it.version));
        versions.extend(of);
    }
    let mut behind = None;
    loop {
        let page = reader.casts(behind, ROWS_AT_ONCE)?;
        let Some(last) = page.last() else {
            return Ok(versions);
        };
        behind = Some(last.id);
        let of = page
            .into_iter()
            .map(|it| of(&it.letter.to, it.letter.version));
        versions.extend(of);
    }
}

fn letters(reader: &dyn Reader) -> Result<Versions, ReadError> {
    let mut versions = Versions::new();
    let mut behind = 0;
    loop {
        let page = reader.dead_letters(behind, ROWS_AT_ONCE)?;
        let Some((last, _)) = page.last() else {
            return Ok(versions);
        };
        behind = *last;
        let letters = page.into_iter().map(|(_, letter)| letter);
        // A webhook goes to a server, which knows no versions.
        let letters = letters.filter(|it| it.kind != DeadLetterKind::Outbox);
        versions.extend(letters.map(|it| of(&it.actor, it.origin.shape.unwrap_or(it.version))));
    }
}

fn of(actor: &ActorId, version: Version) -> (String, Version) {
    (actor.plugin().to_owned(), version)
}

/// See [`Archive::versions`](crate::Archive::versions).
pub(crate) fn needed(reader: &dyn Reader) -> Result<Versions, ReadError> {
    let mut versions = BTreeSet::new();
    each_listed(reader, |it| {
        versions.insert((it.id.plugin().to_owned(), it.version));
        Ok(())
    })?;
    each_record(reader, before_the_tail(reader)?, |_, it| {
        versions.insert((it.actor.plugin().to_owned(), it.version));
    })?;
    Ok(versions)
}

impl Named {
    fn stands(&mut self, actor: &ActorId, version: Version, carried: Vec<Version>) {
        let place = Standing {
            plugin: actor.plugin().to_owned(),
            version,
            carried,
        };
        *self.standing.entry(place).or_default() += 1;
    }
}

/// Each actor that has a snapshot.
fn each_listed(
    reader: &dyn Reader,
    mut each: impl FnMut(Listed) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut after = None;
    loop {
        let page = reader.list("", after.as_ref(), ROWS_AT_ONCE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.id.clone());
        page.into_iter().try_for_each(&mut each)?;
    }
}

/// Behind this position a start reads all records.
fn before_the_tail(reader: &dyn Reader) -> Result<Position, ReadError> {
    let tail_start = Trail::new(reader).meta()?.tail_start;
    Ok(Position(tail_start.0.saturating_sub(1)))
}

/// Each record of an actor behind a position, in order, with the position of its group.
fn each_record(
    reader: &dyn Reader,
    mut behind: Position,
    mut each: impl FnMut(Position, Record),
) -> Result<(), ReadError> {
    let trail = Trail::new(reader);
    loop {
        let page = trail.page(behind, GROUPS_AT_ONCE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        behind = *last;
        let records = page.into_iter().filter(|(_, it)| !it.is_action());
        records.for_each(|(position, record)| each(position, record));
    }
}

fn read(reader: &dyn Reader, key: &SnapshotKey) -> Result<Snapshot, ReadError> {
    let body = reader.inspect().snapshot_body(key.position)?;
    let opened = pieces::open(reader, &body)?;
    opened.map_err(|problem| ReadError::Damaged {
        what: format!(
            "the snapshot of {} at position {}",
            key.actor, key.position.0
        ),
        problem,
    })
}
