//! The journal as its callers see it.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, ThreadId};

use host_model::ActorId;
use parking_lot::{Mutex, RwLock};

use crate::error::{Done, OpenError, Overloaded, ReadError, Refused, StoreError};
use crate::heads::Heads;
use crate::queue::Queue;
use crate::sealed::Sealed;
use crate::shared::{Counters, Shared, Stats};
use crate::store::{Opened, Reader};
use crate::timeline::{TIMELINES, Timelines};
use crate::trouble::{Health, Trouble};
use crate::writer::Writer;
use crate::{Entry, Incarnation, OutboxId, Position, Settled, recover, sqlite};

/// Which SQLite database to open. For PostgreSQL see [`crate::postgres`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The SQLite database, `data/host.db`. It and its folder are made if they
    /// are not there; `-wal`, `-shm` and `.lock` lie beside it.
    pub path: PathBuf,
}

/// An open journal. Share it by `Arc`; every method may be called from any thread.
///
/// ```
/// use host_journal::{Entry, Incarnation, Journal, Options, Record, Rows};
///
/// let folder = tempfile::tempdir()?;
/// let (sender, done) = std::sync::mpsc::channel();
/// let journal = Journal::open(
///     Options { path: folder.path().join("host.db") },
///     move |entries| entries.into_iter().for_each(|it| sender.send(it).expect("we wait")),
/// )?;
/// let actor: host_model::ActorId = "donations:ramadan-2026".parse()?;
/// let record = Record {
///     actor: actor.clone(),
///     seq: 1,
///     version: "0.1.0".parse()?,
///     time_ms: 1_767_225_600_000,
///     command: "open".into(),
///     payload: "{}".into(),
///     event: "{}".into(),
///     principal: String::new(),
///     idempotency_key: None,
///     effects: Default::default(),
/// };
/// let position = journal.append(Entry {
///     incarnation: journal.incarnation(),
///     rows: Rows { record: Some(record.clone()), ..Rows::default() },
///     token: "the reply",
/// })?;
///
/// let answered = done.recv()?;
/// assert_eq!((answered.position, answered.token), (position, "the reply"));
/// answered.result?;
/// assert_eq!(journal.read(&actor)?.expect("it exists").tail, [record]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal<T> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) reader: Box<dyn Reader>,
    store_id: String,
    timelines: Timelines,
    epoch: u64,
    writer: Mutex<Option<JoinHandle<()>>>,
    writer_id: ThreadId,
    /// A row that the host would have acted on was not what was written.
    pub(crate) damaged: OnceLock<Arc<str>>,
}

impl<T: Send + 'static> Journal<T> {
    /// Opens a SQLite database, takes ownership of it, checks the groups that some
    /// actor's replay needs, and starts the writer.
    ///
    /// `done` is called on the writer's thread, in the order of appending, once
    /// for each entry that was taken up: it must be quick, and hand on all that
    /// takes time.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(
        options: Options,
        done: impl FnMut(Vec<Done<T>>) + Send + 'static,
    ) -> Result<Self, OpenError> {
        Self::start(sqlite::open(&options.path, None)?, done)
    }

    /// A journal over an opened store: takes the same steps behind its opening as
    /// [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`], or the store's.
    pub fn start(
        opened: Opened,
        done: impl FnMut(Vec<Done<T>>) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let Opened {
            mut store,
            reader,
            epoch,
            store_id,
            meta,
            heads,
        } = opened;
        let heads = match heads {
            Some(heads) => heads,
            None => recover::recover(&*reader, &meta)?,
        };
        look_beside(&*reader)?;
        let timelines = reader.value(TIMELINES)?;
        let timelines = Timelines::open(timelines.as_deref())
            .map_err(|problem| OpenError::Timelines { problem })?;
        let shared = Arc::new(Shared {
            queue: Queue::new(meta.last),
            heads: RwLock::new(heads),
            known: AtomicU64::new(meta.known),
            counters: Counters::default(),
            health: Health::default(),
            must_look: AtomicBool::new(false),
        });
        store.on_failure(Box::new({
            let shared = Arc::clone(&shared);
            move |why| shared.queue.break_off(why.into())
        }));
        let writer = Writer {
            shared: Arc::clone(&shared),
            store,
            epoch,
            end: meta.end(),
            done,
        };
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())
            .map_err(StoreError::of("start the journal's thread"))?;
        Ok(Self {
            shared,
            reader,
            store_id,
            timelines,
            epoch,
            writer_id: writer.thread().id(),
            writer: Mutex::new(Some(writer)),
            damaged: OnceLock::new(),
        })
    }

    /// Puts an entry at the end of the line, and returns before it is durable.
    /// Never waits for the store, and never refuses for size: ask
    /// [`admit`](Self::admit) before executing a command.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the token back; `done` will not see it.
    ///
    /// # Panics
    ///
    /// If the rows contradict each other, or one is above 256 MiB.
    pub fn append(&self, entry: Entry<T>) -> Result<Position, Refused<T>> {
        let sealed = Sealed::new(entry.rows);
        self.shared
            .queue
            .push(entry.incarnation, sealed, entry.token)
            .map_err(|(reason, token)| Refused { reason, token })
    }

    /// Whether another command may be executed. Cheap: two atomic loads.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if too much is not durable yet, or the journal is closed.
    pub fn admit(&self) -> Result<(), Overloaded> {
        self.shared.queue.admit()
    }

    /// The last entry that is durable. All before it are decided: durable, or
    /// [`was_lost`](Self::was_lost).
    pub fn durable(&self) -> Position {
        self.shared.queue.durable()
    }

    /// How many groups have failed. A state built now belongs to it.
    pub fn incarnation(&self) -> Incarnation {
        self.shared.queue.incarnation()
    }

    /// What has become of the entry at this position, for a state that was built in
    /// the incarnation `since`. Cheap: three atomic loads, where nothing has failed.
    pub fn settled(&self, position: Position, since: Incarnation) -> Settled {
        self.shared.queue.settled(position, since)
    }

    /// Whether the entry at this position failed in the incarnation `since` or
    /// later: then the state that includes it must be rebuilt.
    pub fn was_lost(&self, position: Position, since: Incarnation) -> bool {
        self.shared.queue.was_lost(position, since)
    }

    /// Whether appends are refused for good.
    pub fn is_closed(&self) -> bool {
        self.shared.queue.is_closed()
    }

    /// Why commits wait for the store, or would: it does not answer, and is tried again.
    pub fn away(&self) -> Option<Arc<str>> {
        self.reader.away()
    }

    /// What ails the store now, if anything does: it takes no commits, or takes
    /// unusually long. It goes by itself with the next group that is committed.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.health.trouble()
    }

    /// Names the store for ever.
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// The key by which a webhook's receiver knows a repetition: it stays the same for
    /// ever, also in a store that was put back from a copy, and names no other one.
    pub fn webhook_key(&self, id: OutboxId) -> String {
        let name = self.timelines.name_at(id.position, &self.store_id);
        format!("{name}/{id}")
    }

    /// One more at each opening; it rises further when the store was come back to.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Number of actors that exist durably. Cheap.
    pub fn known(&self) -> u64 {
        self.shared.known.load(Ordering::Relaxed)
    }

    /// Bytes of a snapshot of everyone, which is about what a switch of all actors writes;
    /// none where the disk is not this machine's.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub fn snapshot_bytes(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.reader()?.snapshot_bytes(self.known())?)
    }

    /// Bytes of an actor's records that its last snapshot does not include.
    pub fn tail_bytes(&self, actor: &ActorId) -> u64 {
        let heads = self.shared.heads.read();
        let head = heads.get(actor);
        head.map_or(0, |head| u64::from(head.tail_bytes))
    }

    /// The actors that hold back more than the last `keep` bytes of the journal, the
    /// oldest `limit` of them, in the order of their ids, in which a store writes them
    /// best: a snapshot of each shortens what the next start reads. Looks at all of
    /// them, a part at a time.
    pub fn oldest_tails(&self, keep: u64, limit: usize) -> Vec<ActorId> {
        let heads = &self.shared.heads;
        let below = heads.read().tails_below(keep, limit);
        let mut oldest: Vec<_> = Heads::shards()
            .flat_map(|shard| heads.read().begun_below(shard, below))
            .collect();
        oldest.sort_unstable_by_key(|(first, _)| *first);
        oldest.truncate(limit);
        let mut oldest: Vec<_> = oldest.into_iter().map(|(_, actor)| actor).collect();
        oldest.sort_unstable();
        oldest
    }

    /// Bytes from the oldest record that some replay needs to the end: what the
    /// next start reads.
    pub fn tail_span(&self) -> u64 {
        self.shared.heads.read().span()
    }

    /// The journal's figures.
    pub fn stats(&self) -> Stats {
        self.shared.stats(self.reader.bytes())
    }
}

/// Looks at what a start needs beside the groups and snapshots: that every table is there,
/// and the host's values and the quarantine are what was written.
fn look_beside(reader: &dyn Reader) -> Result<(), OpenError> {
    let look = || -> Result<(), StoreError> {
        reader.values("")?;
        reader.quarantined()?;
        reader.casts(None, 0)?;
        reader.next_timer()?;
        reader.next_outbox()?;
        reader.oldest_answer()?;
        reader.dead_letters(0, 0)?;
        reader.stray_pieces(Position(0), 0).map(drop)
    };
    look().map_err(|error| match reader.lost() {
        Some(why) => OpenError::Incomplete {
            why: why.to_string(),
        },
        None => error.into(),
    })
}

impl<T> Journal<T> {
    /// Why the journal closed by itself, or must be closed, if that is so. The host
    /// must then stop: the next start looks at what is really there.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        let poisoned = self.shared.queue.poisoned();
        poisoned
            .or_else(|| self.reader.lost())
            .or_else(|| self.damaged.get().cloned())
    }

    /// Whether an operator must look before the next start: another host has taken
    /// the store over, or it has lost what it had, or is damaged.
    pub fn must_look(&self) -> bool {
        self.shared.must_look.load(Ordering::Acquire)
            || self.reader.lost().is_some()
            || self.damaged.get().is_some()
    }

    /// Refuses further entries, commits those in the line, leaves the store in
    /// order, and waits until that is done. Again: does nothing. From within
    /// `done` it does not wait. Reads go on.
    pub fn close(&self) {
        self.shared.queue.close();
        if std::thread::current().id() == self.writer_id {
            return;
        }
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the journal's writer had panicked");
        }
    }
}

impl<T> fmt::Debug for Journal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("store_id", &self.store_id)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl<T> Drop for Journal<T> {
    fn drop(&mut self) {
        self.close();
    }
}
