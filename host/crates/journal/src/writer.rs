//! The writer: the one thread that commits, and says how each entry ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Done, Lost};
use crate::group::{self, Hash};
use crate::plan::{Plan, plan};
use crate::queue::Batch;
use crate::shared::Shared;
use crate::store::{AppendError, Group, Meta, Records, Store};

/// A commit that takes longer is logged: it is what callers wait for.
const SLOW_COMMIT: Duration = Duration::from_millis(20);

/// The writer's own state.
pub(crate) struct Writer<T, F> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) store: Box<dyn Store>,
    pub(crate) epoch: u64,
    /// Of the last durable group with records.
    pub(crate) hash: Hash,
    pub(crate) done: F,
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
                self.fail(batch, Lost::NotApplied(why));
                break;
            }
            match self.commit(&batch) {
                Ok(()) => self.succeed(batch),
                Err(AppendError::NotApplied(why)) => self.fail(batch, Lost::NotApplied(why.into())),
                Err(AppendError::Unknown(why)) => {
                    self.fail(batch, Lost::Unknown(why.into()));
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

    fn commit(&mut self, batch: &Batch<T>) -> Result<(), AppendError> {
        if batch.entries.iter().all(|entry| entry.sealed.is_barrier()) {
            return Ok(());
        }
        let planned = {
            let heads = self.shared.heads.read();
            let planned = plan(&batch.entries, &heads).map_err(AppendError::NotApplied)?;
            let tail_start = heads.first().unwrap_or(batch.first());
            (planned, tail_start)
        };
        let (plan, tail_start) = planned;
        let new = self
            .store
            .without_snapshot(&plan.perhaps_new)
            .map_err(|error| AppendError::NotApplied(error.in_full()))?;
        let known = self.shared.known.load(Ordering::Relaxed) + new;
        let Plan {
            records,
            body,
            changes,
            ..
        } = plan;
        let time_ms = now_ms();
        let records = body.map(|body| Records {
            count: records,
            prev_hash: self.hash,
            hash: group::hash(&self.hash, self.epoch, time_ms, &body),
            body,
        });
        let hash = records.as_ref().map_or(self.hash, |records| records.hash);
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
        self.store.append(&group)?;
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
        self.hash = hash;
        self.shared.known.store(known, Ordering::Relaxed);
        let body_bytes = group.records.map_or(0, |records| records.body.len());
        self.shared.heads.write().apply(changes, body_bytes);
        Ok(())
    }

    fn succeed(&mut self, batch: Batch<T>) {
        self.shared.queue.advance(batch.last(), batch.bytes());
        let done = batch.entries.into_iter().zip(batch.tokens);
        (self.done)(
            done.map(|(entry, token)| Done {
                position: entry.position,
                result: Ok(()),
                token,
            })
            .collect(),
        );
    }

    /// Fails a group with `lost`, and with it everything behind it: that was
    /// executed on states which are gone.
    fn fail(&mut self, batch: Batch<T>, lost: Lost) {
        self.shared.counters.failed();
        let (poison, why) = match &lost {
            Lost::NotApplied(why) => (None, why),
            Lost::Unknown(why) => (Some(Arc::clone(why)), why),
        };
        // A disk that is full refuses thousands a second, and has no room for the log.
        if self.shared.health.fails(why) || poison.is_some() {
            tracing::error!(first = batch.first().0, last = batch.last().0, %lost, "a group failed");
        }
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

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
