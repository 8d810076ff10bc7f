//! The least that is durable: callers, a channel, and a writer that stores what has gathered
//! as one blob row, and nothing else. No order, no outcomes, no chain of hashes.
//!
//! Each caller appends its next record when the one before is durable, so with n callers at
//! most n records share a commit. It must not know what stands in a record.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use host_model::limits::GROUP_RECORDS_MAX;
use rusqlite::Connection;

/// How long a run is measured, so that a store which moves its log does so many times; and
/// how long it warms up.
const RUN: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(300);

/// Makes one group durable, as one row.
pub type Commit = Box<dyn FnMut(&[u8]) -> Result<()> + Send>;

/// Callers whose records have become durable together, or why they have not.
pub type Durable<C> = Result<Vec<C>>;

/// A writer's thread, and the channel to it.
#[derive(Debug)]
pub struct Bare<C> {
    sender: Option<Sender<(C, Vec<u8>)>>,
    writer: Option<JoinHandle<()>>,
}

impl<C: Send + 'static> Bare<C> {
    /// Starts the writer; it gives the callers back whose records are durable.
    #[must_use]
    pub fn start(mut commit: Commit, done: Sender<Durable<C>>) -> Self {
        let (sender, appended) = mpsc::channel();
        let writer = thread::spawn(move || {
            while let Some((group, callers)) = gather(&appended) {
                let stored = commit(&group);
                if done.send(stored.map(|()| callers)).is_err() {
                    return;
                }
            }
        });
        Self {
            sender: Some(sender),
            writer: Some(writer),
        }
    }

    /// Hands a caller's record to the writer.
    ///
    /// # Errors
    ///
    /// That it has ended.
    pub fn append(&self, caller: C, record: Vec<u8>) -> Result<()> {
        let sender = self.sender.as_ref().expect("taken on drop only");
        let sent = sender.send((caller, record));
        sent.map_err(|_| anyhow!("the bare loop has ended"))
    }
}

impl<C> Drop for Bare<C> {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the bare loop does not panic");
        }
    }
}

/// Waits for a record, and takes all that has gathered. None: nobody appends any more.
fn gather<C>(appended: &Receiver<(C, Vec<u8>)>) -> Option<(Vec<u8>, Vec<C>)> {
    let (caller, mut group) = appended.recv().ok()?;
    let mut callers = vec![caller];
    while callers.len() < GROUP_RECORDS_MAX
        && let Ok((caller, bytes)) = appended.try_recv()
    {
        group.extend_from_slice(&bytes);
        callers.push(caller);
    }
    Some((group, callers))
}

/// Groups as rows of a new SQLite database in `folder`, with the host's own pragmas. It is
/// never checkpointed: that is the most that SQLite gives.
///
/// # Errors
///
/// SQLite's.
pub fn sqlite(folder: &Path) -> Result<Commit> {
    let connection = Connection::open(folder.join("bare.db"))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.execute_batch("CREATE TABLE groups (id INTEGER PRIMARY KEY, body BLOB)")?;
    Ok(Box::new(move |group| {
        for (sql, body) in [
            ("BEGIN IMMEDIATE", None),
            ("INSERT INTO groups (body) VALUES (?1)", Some(group)),
            ("COMMIT", None),
        ] {
            let mut statement = connection.prepare_cached(sql)?;
            match body {
                Some(body) => statement.execute([body])?,
                None => statement.execute([])?,
            };
        }
        Ok(())
    }))
}

/// Lets `callers` append, each again when its last record is durable; records a second.
/// One thread drives them all.
///
/// # Errors
///
/// What `append` fails with, or the writer.
pub fn run<C>(
    callers: impl IntoIterator<Item = C>,
    done: &Receiver<Durable<C>>,
    append: impl Fn(C) -> Result<()>,
) -> Result<f64> {
    for caller in callers {
        append(caller)?;
    }
    let warm_up = Instant::now();
    let mut measured: Option<(Instant, u64)> = None;
    loop {
        let durable = done.recv().context("the writer runs")??;
        match &mut measured {
            Some((begun, count)) => {
                *count += durable.len() as u64;
                if begun.elapsed() >= RUN {
                    return Ok(*count as f64 / begun.elapsed().as_secs_f64());
                }
            }
            None if warm_up.elapsed() >= WARM_UP => measured = Some((Instant::now(), 0)),
            None => {}
        }
        for caller in durable {
            append(caller)?;
        }
    }
}
