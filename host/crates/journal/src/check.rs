//! Looks at everything that a store holds, names what is damaged, changes nothing.
//!
//! Everything is seen as it was at one moment, so a host may go on committing.

use std::collections::HashMap;

use host_model::ActorId;
use thiserror::Error;

use crate::chain::Chain;
use crate::claims::lacks;
use crate::error::{ReadError, StoreError};
use crate::group::Hash;
use crate::heads::Heads;
use crate::sealed::open_record;
use crate::store::{GroupRow, Inspect, Meta, ROWS_AT_ONCE, Reader, SnapshotKey, TimerMark};
use crate::sums::{self, ANSWERS, CASTS, DEAD_LETTERS, OUTBOX, QUARANTINE, Summed, TIMERS, VALUES};
use crate::{Position, Record, Trail, pieces, recover};

/// Findings that are told; a broken disk has as many as one likes.
const FINDINGS_MAX: usize = 100;

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Names it: the group, the snapshot, the table.
    pub what: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Groups.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// What is damaged, at most a hundred. None: all is well.
    pub findings: Vec<Finding>,
    /// Whether there is more than that.
    pub more: bool,
}

/// The store cannot be looked at.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The store cannot be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store refused a statement.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
}

/// See [`Journal::check`](crate::Journal::check).
pub(crate) fn check(
    reader: &dyn Reader,
    mut tell: impl FnMut(Position, Position),
) -> Result<Checked, CheckError> {
    let frozen = reader.inspect().frozen()?;
    let own = frozen.own()?.ok_or_else(|| ReadError::Damaged {
        what: "the store's own row".to_owned(),
        problem: "it is not there".to_owned(),
    })?;
    let believed = own.clone().believed();
    let problem = believed.as_ref().err().cloned();
    let meta = believed.unwrap_or(own.meta);
    let mut check = Check {
        reader: &*frozen,
        inspect: frozen.inspect(),
        meta,
        checked: Checked::default(),
        away: None,
        last: HashMap::new(),
        is_whole: true,
        removed: 0,
        snapshots: HashMap::new(),
    };
    if let Some(problem) = problem {
        check.find("the store's own row", problem);
    }
    check.pages();
    check.groups(&mut tell);
    check.snapshots();
    check.tails();
    check.rows();
    match check.away {
        Some(error) => Err(error.into()),
        None => Ok(check.checked),
    }
}

struct Check<'a> {
    reader: &'a dyn Reader,
    inspect: &'a dyn Inspect,
    meta: Meta,
    checked: Checked,
    /// A store that has not answered was not looked at, whatever else was found.
    away: Option<StoreError>,
    /// Sequence and time of each actor's last record.
    last: HashMap<ActorId, (u64, i64)>,
    /// Whether `last` has them all.
    is_whole: bool,
    /// Records that were removed for their age.
    removed: u64,
    /// Sequence of each actor's last snapshot.
    snapshots: HashMap<String, u64>,
}

impl Check<'_> {
    fn find(&mut self, what: impl Into<String>, problem: impl Into<String>) {
        if self.checked.findings.len() >= FINDINGS_MAX {
            self.checked.more = true;
            return;
        }
        self.checked.findings.push(Finding {
            what: what.into(),
            problem: problem.into(),
        });
    }

    /// What cannot be read is damaged, if the store answers at all.
    fn fail(&mut self, what: impl Into<String>, error: StoreError) {
        match error.is_away {
            true => self.away = Some(error),
            false => self.find(what, error.in_full()),
        }
    }

    fn pages(&mut self) {
        match self.inspect.integrity(FINDINGS_MAX) {
            Ok(found) => {
                for problem in found {
                    self.find("the database's pages", problem);
                }
            }
            Err(error) => self.fail("the database's pages", error),
        }
    }

    fn groups(&mut self, tell: &mut dyn FnMut(Position, Position)) {
        let (hash, last) = match Trail::new(self.reader).anchor() {
            Ok(Some(anchor)) => {
                self.removed = anchor.records;
                (anchor.hash, anchor.position)
            }
            Ok(None) => (Hash::default(), Position(0)),
            Err(error) => {
                self.find("the anchor at which the chain begins", error.to_string());
                (Hash::default(), Position(0))
            }
        };
        let mut chain = Chain::behind(hash, last);
        let mut end = hash;
        let mut after = Position(0);
        loop {
            let page = match self.inspect.group_positions(after, ROWS_AT_ONCE) {
                Ok(page) => page,
                Err(error) => {
                    let what = format!("the groups behind position {}", after.0);
                    self.is_whole = false;
                    return self.fail(what, error);
                }
            };
            let Some(last) = page.last() else { break };
            after = *last;
            for first in page {
                tell(first, self.meta.last);
                match self.reader.groups(first, 1) {
                    Ok(groups) => {
                        for group in groups {
                            self.group(&group, &mut chain);
                            end = group.hash;
                        }
                    }
                    Err(error) => {
                        let what = format!("the group that begins at position {}", first.0);
                        self.fail(what, error);
                        chain = Chain::default();
                        self.lose();
                    }
                }
            }
        }
        if end != self.meta.hash {
            let missing = chain.missing(&self.meta);
            let what = format!("the groups from position {}", missing.first.0);
            self.find(what, missing.problem);
            self.is_whole = false;
        }
        if chain.last() > self.meta.last {
            let behind = chain.ends_behind(&self.meta);
            let what = format!("the group that ends at position {}", behind.last.0);
            self.find(what, behind.problem);
        }
    }

    /// A group cannot be read: of some actors the last record is not known.
    fn lose(&mut self) {
        self.last.clear();
        self.is_whole = false;
    }

    fn group(&mut self, group: &GroupRow, chain: &mut Chain) {
        self.checked.groups += 1;
        let what = || match group.first == group.last {
            true => format!("the group of position {}", group.first.0),
            false => format!(
                "the group of positions {} to {}",
                group.first.0, group.last.0
            ),
        };
        let frames = match chain.check(group) {
            Ok(frames) => frames,
            Err(damage) => {
                self.find(what(), damage.problem);
                // Those behind it are held to what its row says.
                *chain = Chain::behind(group.hash, group.last);
                self.lose();
                return;
            }
        };
        for frame in frames {
            self.checked.records += 1;
            match open_record(frame.record) {
                Ok(record) => {
                    if let Some(problem) = self.follows(&record) {
                        self.find(what(), problem);
                    }
                }
                Err(problem) => self.find(what(), problem),
            }
        }
    }

    /// What is wrong with the place of a record in its actor's line.
    fn follows(&mut self, record: &Record) -> Option<String> {
        if record.is_action() {
            return None;
        }
        let place = (record.seq, record.time_ms);
        let (seq, time_ms) = self.last.insert(record.actor.clone(), place)?;
        if record.seq != seq + 1 {
            return Some(format!(
                "record {} of {} stands behind its record {seq}",
                record.seq, record.actor
            ));
        }
        (record.time_ms < time_ms).then(|| {
            format!(
                "record {} of {} goes back in time",
                record.seq, record.actor
            )
        })
    }

    fn snapshots(&mut self) {
        let mut after = Position(0);
        loop {
            let page = match self.inspect.snapshot_keys(after, ROWS_AT_ONCE) {
                Ok(page) => page,
                Err(error) => {
                    let what = format!("the snapshots behind position {}", after.0);
                    return self.fail(what, error);
                }
            };
            let Some(last) = page.last() else { return };
            after = last.position;
            for key in page {
                self.checked.snapshots += 1;
                if let Some(problem) = self.snapshot(&key) {
                    let what = format!(
                        "the snapshot of {} at position {}",
                        key.actor, key.position.0
                    );
                    self.find(what, problem);
                }
                self.snapshots.insert(key.actor, key.seq);
            }
        }
    }

    fn snapshot(&mut self, key: &SnapshotKey) -> Option<String> {
        let body = match self.inspect.snapshot_body(key.position) {
            Ok(body) => body,
            Err(error) if error.is_away => {
                self.away = Some(error);
                return None;
            }
            Err(error) => return Some(error.in_full()),
        };
        let snapshot = match pieces::open(self.reader, &body) {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(problem)) => return Some(problem),
            Err(error) => return Some(error.in_full()),
        };
        let same = snapshot.actor.as_str() == key.actor
            && snapshot.seq == key.seq
            && snapshot.version.to_string() == key.version;
        if !same {
            return Some(format!(
                "it is of {} {} with {} records, and its row says otherwise",
                snapshot.actor, snapshot.version, snapshot.seq
            ));
        }
        if key.position > self.meta.last {
            return Some("it stands behind the journal's end".to_owned());
        }
        let last = self.last.get(&snapshot.actor).map(|(seq, _)| *seq);
        match last.is_some() || self.is_whole {
            true => lacks(snapshot.seq, last, self.removed),
            false => None,
        }
    }

    /// What a start would say, whether it would find all records, and whether the store
    /// counts its actors right.
    fn tails(&mut self) {
        let heads = match recover::recover(self.reader, &self.meta) {
            Ok(heads) => heads,
            // Named above, but for what a start alone would stumble over.
            Err(error) if self.checked.findings.is_empty() => {
                return self.find("what a start reads", error.to_string());
            }
            Err(_) => return,
        };
        if self.checked.findings.is_empty() {
            self.heads(&heads);
        }
        let tails = Heads::shards().flat_map(|shard| heads.list(shard, "", None, usize::MAX));
        let new = tails.filter(|(actor, _)| !self.snapshots.contains_key(actor.as_str()));
        let found = self.snapshots.len() + new.count();
        if found as u64 != self.meta.known && self.checked.findings.is_empty() {
            let problem = format!(
                "it counts {} actors, and there are {found}",
                self.meta.known
            );
            self.find("the store's own row", problem);
        }
    }

    /// Whether a start comes to the last record of each actor.
    fn heads(&mut self, heads: &Heads) {
        let last = std::mem::take(&mut self.last);
        for (actor, (seq, _)) in &last {
            let covered = self.snapshots.get(actor.as_str()).copied().unwrap_or(0);
            let found = heads.get(actor).map_or(covered, |head| head.seq);
            if found < *seq {
                let problem = format!(
                    "it would find {found} records of {actor}, and the journal has {seq}: the tail begins before position {}",
                    self.meta.tail_start.0
                );
                self.find("what a start reads", problem);
            }
        }
    }

    fn rows(&mut self) {
        let (reader, end) = (self.reader, self.meta.last);
        if self.sums(&CASTS) {
            self.all(
                &CASTS,
                |after| reader.casts(after, ROWS_AT_ONCE),
                |cast| (cast.id, cast.id.position),
                |cast| format!("the cast {}/{}", cast.id.position.0, cast.id.index),
            );
        }
        if self.sums(&TIMERS) {
            let page = |after: Option<TimerMark>| {
                reader.timers_due(i64::MAX, after.as_ref(), ROWS_AT_ONCE)
            };
            self.all(
                &TIMERS,
                page,
                |timer| (TimerMark::behind(timer), timer.set_at),
                |timer| format!("the timer {} of {}", timer.name, timer.actor),
            );
        }
        if self.sums(&OUTBOX) {
            self.all(
                &OUTBOX,
                |after| reader.outbox(after, ROWS_AT_ONCE),
                |webhook| (webhook.id, webhook.id.position),
                |webhook| format!("the webhook {}", webhook.id),
            );
        }
        if self.sums(&DEAD_LETTERS) {
            self.all(
                &DEAD_LETTERS,
                |after| reader.dead_letters(after.unwrap_or(0), ROWS_AT_ONCE),
                |(id, _)| (*id, end),
                |(id, _)| format!("the dead letter {id}"),
            );
        }
        if self.sums(&ANSWERS)
            && let Err(error) = reader.oldest_answer()
        {
            self.fail(ANSWERS.what, error);
        }
        if self.sums(&QUARANTINE)
            && let Err(error) = reader.quarantined()
        {
            self.fail(QUARANTINE.what, error);
        }
        if self.sums(&VALUES)
            && let Err(error) = reader.values("")
        {
            self.fail(VALUES.what, error);
        }
    }

    /// Holds each row of a table against its sum; whether all are as they were written.
    fn sums(&mut self, table: &Summed) -> bool {
        let mut found = Vec::new();
        let read = self.inspect.summed(table, &mut |row, sum| {
            if let Err(bad) = sums::check(row, sum)
                && found.len() <= FINDINGS_MAX
            {
                found.push(bad.to_string());
            }
        });
        let is_whole = read.is_ok() && found.is_empty();
        for problem in found {
            self.find(table.what, problem);
        }
        if let Err(error) = read {
            self.fail(table.what, error);
        }
        is_whole
    }

    /// Reads all rows of a table, `page` by page. `place` gives the mark of a row, and
    /// the position that it is from; `name` names it.
    fn all<R, M>(
        &mut self,
        table: &Summed,
        page: impl Fn(Option<M>) -> Result<Vec<R>, StoreError>,
        place: impl Fn(&R) -> (M, Position),
        name: impl Fn(&R) -> String,
    ) {
        let mut after = None;
        loop {
            let rows = match page(after.take()) {
                Ok(rows) => rows,
                Err(error) => return self.fail(table.what, error),
            };
            let Some(last) = rows.last() else { return };
            after = Some(place(last).0);
            for row in &rows {
                if place(row).1 > self.meta.last {
                    self.find(name(row), "it is from behind the journal's end");
                }
            }
        }
    }
}
