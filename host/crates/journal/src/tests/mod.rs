//! The journal through its public face, over SQLite in a folder of its own.

mod audit;
mod concurrent;
mod failure;
mod group;
mod keep;
mod log;
mod once;
mod random;
mod recovery;
mod retention;
mod rows;
mod sealed;

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use host_model::{ActorId, Version};
use tempfile::TempDir;

use crate::{Done, Entry, Journal, Options, Position, Record, Rows, Snapshot};

/// Far above what any commit takes, so that only a hang reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A journal, and what it says is done.
struct Bench {
    journal: Journal<u64>,
    done: Receiver<Done<u64>>,
}

impl Bench {
    fn open(path: &Path) -> Self {
        let (sender, done) = channel();
        let options = Options {
            path: path.to_owned(),
        };
        let journal = Journal::open(options, move |entries: Vec<Done<u64>>| {
            for entry in entries {
                let _ = sender.send(entry);
            }
        });
        Self {
            journal: journal.unwrap(),
            done,
        }
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

    fn seqs(&self, actor: &ActorId) -> (Option<u64>, Vec<u64>) {
        let stored = self.journal.read(actor).unwrap().expect("it exists");
        let tail = stored.tail.iter().map(|record| record.seq).collect();
        (stored.snapshot.map(|snapshot| snapshot.seq), tail)
    }
}

fn store() -> (TempDir, std::path::PathBuf) {
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
    }
}

fn snapshot(actor: &ActorId, seq: u64) -> Snapshot {
    Snapshot {
        actor: actor.clone(),
        seq,
        time_ms: 1_767_225_600_000,
        version: version("0.2.0"),
        state_schema: 2,
        state: Bytes::from(vec![7; 100]),
        carries: vec![crate::Carry {
            newer: version("0.2.0"),
            older: version("0.1.0"),
            digest: [9; 32],
            bytes: Bytes::from_static(b"carry"),
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
