//! The writer: the one thread that commits, and says how each entry ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::unix_ms;
use crate::error::{Done, Lost};
use crate::group;
use crate::plan::{Plan, plan};
use crate::queue::Batch;
use crate::shared::Shared;
use crate::store::{AppendError, End, Group, Meta, Records, ReopenError, Store};

/// A commit that takes longer is logged: it is what callers wait for.
const SLOW_COMMIT: Duration = Duration::from_millis(20);

/// The writer's own state.
pub(crate) struct Writer<T, F> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) store: Box<dyn Store>,
    pub(crate) epoch: u64,
    /// Where the store ends, as it has said itself.
    pub(crate) end: End,
    pub(crate) done: F,
}

/// A group that did not become durable.
enum Failure {
    /// The store holds nothing of it, and takes the next one.
    NotApplied(String),
    /// The journal is over.
    Over {
        /// What became of the group.
        lost: Lost,
        /// The next start alone will not help.
        must_look: bool,
    },
}

impl Failure {
    fn over(lost: fn(Arc<str>) -> Lost, why: impl Into<Arc<str>>, must_look: bool) -> Self {
        Self::Over {
            lost: lost(why.into()),
            must_look,
        }
    }
}

/// Closes the journal if the writer panics: nobody would commit any more.
struct PoisonOnPanic<T>(Arc<Shared<T>>);

impl<T> Drop for PoisonOnPanic<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.poison("the journal's writer panicked".into());
        }
    }
}

impl<T, F: FnMut(Vec<Done<T>>)> Writer<T, F> {
    /// Commits until the journal is closed and nothing is left.
    pub(crate) fn run(mut self) {
        let _guard = PoisonOnPanic(Arc::clone(&self.shared));
        while let Some(batch) = self.shared.queue.take() {
            if let Some(why) = self.shared.queue.poisoned() {
                self.fail(batch, Lost::NotApplied(why), true);
                break;
            }
            match self.commit(&batch) {
                Ok(()) => self.succeed(batch),
                Err(Failure::NotApplied(why)) => {
                    self.fail(batch, Lost::NotApplied(why.into()), false);
                }
                Err(Failure::Over { lost, must_look }) => {
                    self.shared.must_look.store(must_look, Ordering::Release);
                    self.fail(batch, lost, true);
                    self.store.abandon();
                    return;
                }
            }
            self.store.maintain();
        }
        match self.shared.queue.poisoned() {
            None => self.store.close(),
            Some(_) => self.store.abandon(),
        }
    }

    fn commit(&mut self, batch: &Batch<T>) -> Result<(), Failure> {
        if batch.entries.iter().all(|entry| entry.sealed.is_barrier()) {
            return Ok(());
        }
        if self.store.is_cut_off() {
            self.come_back()?;
        }
        let planned = {
            let heads = self.shared.heads.read();
            let planned = plan(&batch.entries, &heads).map_err(Failure::NotApplied)?;
            let tail_start = heads.first().unwrap_or(batch.first());
            (planned, tail_start)
        };
        let (plan, tail_start) = planned;
        let new = self
            .store
            .without_snapshot(&plan.perhaps_new)
            .map_err(|error| Failure::NotApplied(error.in_full()))?;
        let known = self.shared.known.load(Ordering::Relaxed) + new;
        let Plan {
            records,
            body,
            changes,
            ..
        } = plan;
        let time_ms = unix_ms();
        let records = body.map(|body| Records {
            count: records,
            prev_hash: self.end.hash,
            hash: group::hash(&self.end.hash, self.epoch, time_ms, &body),
            body,
        });
        let hash = records
            .as_ref()
            .map_or(self.end.hash, |records| records.hash);
        let group = Group {
            epoch: self.epoch,
            first: batch.first(),
            last: batch.last(),
            time_ms,
            entries: &batch.entries,
            records,
            meta: Meta {
                last: batch.last(),
                hash,
                known,
                tail_start,
            },
        };
        let started = Instant::now();
        self.shared.health.begins();
        self.append(&group)?;
        self.shared.health.commits();
        let took = started.elapsed();
        if took > SLOW_COMMIT {
            let bytes: usize = batch.entries.iter().map(|entry| entry.sealed.bytes).sum();
            tracing::debug!(
                ms = took.as_millis(),
                entries = batch.entries.len(),
                bytes,
                "a commit took long"
            );
        }
        self.shared.counters.committed(&group, took);
        self.end = group.meta.end();
        self.shared.known.store(known, Ordering::Relaxed);
        let body_bytes = group.records.map_or(0, |records| records.body.len());
        self.shared.heads.write().apply(changes, body_bytes);
        Ok(())
    }

    /// Appends a group. Where the store does not say what became of it, it is come
    /// back to, and its end tells.
    fn append(&mut self, group: &Group<'_>) -> Result<(), Failure> {
        let why = match self.store.append(group) {
            Ok(()) => return Ok(()),
            Err(AppendError::NotApplied(why)) => return Err(Failure::NotApplied(why)),
            Err(AppendError::Fenced(why)) => {
                return Err(Failure::over(Lost::NotApplied, why, true));
            }
            Err(AppendError::Broken(why)) => {
                return Err(Failure::over(Lost::NotApplied, why, false));
            }
            Err(AppendError::Unknown(why)) => why,
        };
        match self.reopen(&why, Lost::Unknown)? {
            end if end == group.meta.end() => {
                tracing::warn!(%why, "a commit was not answered, and was found to be done");
                Ok(())
            }
            end if end == self.end => Err(Failure::NotApplied(why)),
            end => Err(Failure::over(Lost::Unknown, self.elsewhere(end), true)),
        }
    }

    /// Comes back to the store between two groups.
    fn come_back(&mut self) -> Result<(), Failure> {
        match self.reopen("the store was cut off", Lost::NotApplied)? {
            end if end == self.end => Ok(()),
            end => Err(Failure::over(Lost::NotApplied, self.elsewhere(end), true)),
        }
    }

    /// Where the store ends. If it cannot be come back to, the group is `lost`.
    fn reopen(&mut self, why: &str, lost: fn(Arc<str>) -> Lost) -> Result<End, Failure> {
        let queue = &self.shared.queue;
        match self.store.reopen(&|| queue.is_closed()) {
            Ok(reopened) => {
                self.epoch = reopened.epoch;
                Ok(reopened.end)
            }
            Err(ReopenError::Never) => Err(Failure::over(lost, why, false)),
            Err(error @ ReopenError::GivenUp(_)) => {
                let why = format!("{why}; then {error}");
                Err(Failure::over(lost, why, false))
            }
            Err(error @ ReopenError::Lost(_)) => Err(Failure::over(lost, error.to_string(), true)),
        }
    }

    fn elsewhere(&self, found: End) -> String {
        format!(
            "the store ends at position {}, and this host had left it at {}: it is another one, or has lost what it had",
            found.last.0, self.end.last.0
        )
    }

    fn succeed(&mut self, batch: Batch<T>) {
        self.shared.queue.advance(batch.last(), batch.bytes());
        let Batch { entries, tokens } = batch;
        let done = entries.iter().zip(tokens).map(|(entry, token)| Done {
            position: entry.position,
            result: Ok(()),
            token,
        });
        (self.done)(done.collect());
        // Behind that: nobody waits while the memory of what was written is given back.
        drop(entries);
    }

    /// Fails a group with `lost`, and with it everything behind it: that was
    /// executed on states which are gone. If it `is_over`, for good.
    fn fail(&mut self, batch: Batch<T>, lost: Lost, is_over: bool) {
        self.shared.counters.failed();
        let (Lost::NotApplied(why) | Lost::Unknown(why)) = &lost;
        // A disk that is full refuses thousands a second, and has no room for the log.
        if self.shared.health.fails(why) || is_over {
            tracing::error!(first = batch.first().0, last = batch.last().0, %lost, "a group failed");
        }
        let poison = is_over.then(|| Arc::clone(why));
        let behind_it = Lost::NotApplied(format!("a group before it failed: {why}").into());
        let behind = self.shared.queue.fail(&batch, poison);
        let group = batch.entries.into_iter().zip(batch.tokens);
        let group = group.map(|(entry, token)| (entry.position, token, lost.clone()));
        let behind = behind
            .into_iter()
            .map(|(position, token)| (position, token, behind_it.clone()));
        (self.done)(
            group
                .chain(behind)
                .map(|(position, token, lost)| Done {
                    position,
                    result: Err(lost),
                    token,
                })
                .collect(),
        );
    }
}
