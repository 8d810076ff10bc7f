//! The journal through its public face, over a store of its own.
//!
//! What must hold on every store takes the [`Place`] of one, and is run by
//! `conformance` on each.

mod audit;
mod before;
mod concurrent;
mod conformance;
mod copies;
mod failure;
mod group;
mod keep;
mod log;
mod many;
mod named;
mod once;
mod pieces;
mod place;
mod proof;
mod random;
mod recovery;
mod retention;
mod rows;
mod sealed;
mod server;
mod since;
mod sums;
mod witness;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use host_model::{ActorId, Version};

use place::{Place, Sqlite};
use tempfile::TempDir;

use crate::store::Opened;
use crate::{Done, Entry, Journal, OpenError, Options, Position, Record, Rows, Snapshot};

/// Far above what any commit takes, so that only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A journal, and what it says is done.
struct Bench {
    journal: Journal<u64>,
    done: Receiver<Done<u64>>,
}

impl Bench {
    fn open(place: &dyn Place) -> Self {
        Self::try_open(place).unwrap()
    }

    fn try_open(place: &dyn Place) -> Result<Self, OpenError> {
        Self::start(place.opened()?)
    }

    fn start(opened: Opened) -> Result<Self, OpenError> {
        let (sender, done) = channel();
        let journal = Journal::start(opened, move |entries: Vec<Done<u64>>| {
            for entry in entries {
                let _ = sender.send(entry);
            }
        })?;
        Ok(Self { journal, done })
    }

    fn append(&self, rows: Rows, token: u64) -> Position {
        let entry = Entry {
            incarnation: self.journal.incarnation(),
            rows,
            token,
        };
        self.journal.append(entry).unwrap()
    }

    fn next_done(&self) -> Done<u64> {
        self.done.recv_timeout(DEADLINE).expect("the writer lives")
    }

    /// Appends, and waits until it is durable.
    fn commit(&self, rows: Rows) -> Position {
        let position = self.append(rows, 0);
        let done = self.next_done();
        assert_eq!((done.position, done.result), (position, Ok(())));
        position
    }

    /// Sequence of the snapshot, and of the records behind it.
    fn seqs(&self, actor: &ActorId) -> (Option<u64>, Vec<u64>) {
        let stored = self.journal.read(actor).unwrap().expect("it exists");
        let tail = stored.tail.iter().map(|record| record.seq).collect();
        (stored.snapshot.map(|snapshot| snapshot.seq), tail)
    }
}

/// Where a SQLite database may lie.
fn store() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    (folder, path)
}

fn actor(key: &str) -> ActorId {
    ActorId::new("donations", key).unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn record(actor: &ActorId, seq: u64) -> Record {
    Record {
        actor: actor.clone(),
        seq,
        version: version("0.1.0"),
        time_ms: 1_767_225_600_000 + i64::try_from(seq).unwrap(),
        command: "donate".into(),
        payload: Bytes::from(format!(r#"{{"donation_id":"gift-{seq}"}}"#)),
        event: Bytes::from(format!(r#"{{"receipt":{seq}}}"#)),
        principal: "treasurer".into(),
        idempotency_key: seq.is_multiple_of(2).then(|| format!("gift-{seq}")),
        effects: Bytes::new(),
    }
}

/// Bytes in which nothing repeats, so that a snapshot of them is not packed; the same for
/// the same seed. After Marsaglia's xorshift.
fn noise(bytes: usize, seed: u64) -> Bytes {
    let mut word = seed ^ 0x9e37_79b9_7f4a_7c15;
    let words = std::iter::repeat_with(|| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

fn snapshot(actor: &ActorId, seq: u64) -> Snapshot {
    Snapshot {
        actor: actor.clone(),
        seq,
        time_ms: 1_767_225_600_000,
        version: version("0.2.0"),
        state_schema: 2,
        state: Bytes::from(vec![7; 100]),
        carries: vec![host_model::carry::Carry {
            newer: version("0.2.0"),
            older: version("0.1.0"),
            digest: [9; 32],
            bytes: Bytes::from_static(b"carry"),
            timers: Vec::new(),
        }],
    }
}

fn of_record(record: Record) -> Rows {
    Rows {
        record: Some(record),
        ..Rows::default()
    }
}

fn of_snapshot(snapshot: Snapshot) -> Rows {
    Rows {
        snapshot: Some(snapshot),
        ..Rows::default()
    }
}
