//! Faults: the actor is rebuilt; after too many it is set aside, alone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use host_journal::{ReadError, Rows};
use host_model::limits::{FAULT_WINDOW, FAULTS_MAX, QUARANTINES_MAX};
use host_model::release::Start;
use host_model::{ActorId, Version};
use parking_lot::Mutex;

use crate::redeliver::{FAULTED, faulted_rows};
use crate::slots::Claim;
use crate::token::Token;
use crate::{Actors, CallError};

/// Who is in quarantine, and which plugins are past their limit.
#[derive(Debug)]
pub(crate) struct Supervisor {
    quarantined: Mutex<HashMap<ActorId, String>>,
    /// How many are, to be looked at without the lock.
    count: AtomicUsize,
    faults: AtomicU64,
    /// Actors whose dead letters are being delivered again, before casts and timers are.
    held_back: Mutex<HashSet<ActorId>>,
    /// Whether there are some, to be looked at without the lock.
    holds_back: AtomicBool,
    /// When actors were set aside lately, by plugin and by the version that they were in.
    lately: Mutex<BTreeMap<Code, VecDeque<Instant>>>,
    /// What is past its limit, with how its plugin started.
    failed: Mutex<BTreeMap<Code, Start>>,
}

/// A plugin, and which version of it where that is known.
type Code = (String, Option<Version>);

/// A version of a plugin that is past its limit of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedPlugin {
    /// The plugin.
    pub plugin: String,
    /// The version in which its actors were when they were set aside. None: they had no
    /// state any more.
    pub version: Option<Version>,
    /// How the plugin started.
    pub start: Start,
}

impl Supervisor {
    pub(crate) fn new(quarantined: Vec<(ActorId, String)>) -> Self {
        Self {
            count: AtomicUsize::new(quarantined.len()),
            quarantined: Mutex::new(quarantined.into_iter().collect()),
            faults: AtomicU64::new(0),
            held_back: Mutex::default(),
            holds_back: AtomicBool::new(false),
            lately: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Code of a plugin has broken.
    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Why the actor is in quarantine, if it is.
    pub(crate) fn quarantined(&self, id: &ActorId) -> Option<String> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.quarantined.lock().get(id).cloned()
    }

    pub(crate) fn is_quarantined(&self, id: &ActorId) -> bool {
        self.count.load(Ordering::Relaxed) != 0 && self.quarantined.lock().contains_key(id)
    }

    /// Whether casts and timers stay rows for this actor now.
    pub(crate) fn keeps_from(&self, id: &ActorId) -> bool {
        self.is_quarantined(id)
            || (self.holds_back.load(Ordering::SeqCst) && self.held_back.lock().contains(id))
    }

    /// Keeps casts and timers from these actors from now on, and from no others.
    pub(crate) fn hold_back(&self, actors: &[ActorId]) {
        let mut held_back = self.held_back.lock();
        *held_back = actors.iter().cloned().collect();
        self.holds_back.store(!actors.is_empty(), Ordering::SeqCst);
    }
}

impl Actors {
    /// A handler has broken its state: it is dropped, and built anew from the
    /// journal for the next message.
    pub(crate) fn crashed(self: &Arc<Self>, claim: &mut Claim, why: Option<String>) {
        let why = why.unwrap_or_default();
        let id = claim.slot.id.clone();
        let version = claim.live.take().map(|live| live.code().version().clone());
        self.supervisor.count_fault();
        tracing::error!(actor = %id, why, "an actor crashed and is built anew");
        self.audience.crashed(&id, "crashed");
        let mut inner = claim.slot.inner.lock();
        let faults = inner.faulted(version.as_ref(), Instant::now());
        drop(inner);
        if faults > FAULTS_MAX {
            self.quarantine(
                claim,
                version.as_ref(),
                format!(
                    "more than {FAULTS_MAX} faults within {} s, the last: {why}",
                    FAULT_WINDOW.as_secs()
                ),
            );
        }
    }

    fn quarantine(self: &Arc<Self>, claim: &mut Claim, version: Option<&Version>, reason: String) {
        let id = claim.slot.id.clone();
        self.note_quarantine(&id, &reason);
        self.count_quarantine(id.plugin(), version);
        let rows = Rows {
            quarantine: Some((id.clone(), Some(reason))),
            ..faulted_rows(&id, version)
        };
        self.append(claim, rows, Token::Nobody);
    }

    /// A plugin whose actors are set aside one after the other is broken itself.
    fn count_quarantine(&self, plugin: &str, version: Option<&Version>) {
        let now = Instant::now();
        let code = (plugin.to_owned(), version.cloned());
        let mut lately = self.supervisor.lately.lock();
        let times = lately.entry(code.clone()).or_default();
        times.push_back(now);
        times.retain(|at| now.duration_since(*at) < FAULT_WINDOW);
        if times.len() < QUARANTINES_MAX {
            return;
        }
        let release = self.release();
        let start = release
            .plugins
            .get(plugin)
            .map_or(Start::Temporary, |p| p.start);
        tracing::error!(
            plugin,
            version = version.map(tracing::field::display),
            ?start,
            "{QUARANTINES_MAX} actors of a plugin were set aside: it is past its limit"
        );
        self.supervisor.failed.lock().insert(code, start);
    }

    /// What is past its limit of faults, in order.
    #[must_use]
    pub fn failed_plugins(&self) -> Vec<FailedPlugin> {
        let failed = self.supervisor.failed.lock();
        let failed = failed
            .iter()
            .map(|((plugin, version), start)| FailedPlugin {
                plugin: plugin.clone(),
                version: version.clone(),
                start: *start,
            });
        failed.collect()
    }

    /// What actors did in versions that rule no more is not held against their plugins, nor
    /// against one that is gone. Where the version is not known, it was the one before.
    pub(crate) fn forgive_what_was_left(&self) {
        let release = self.release();
        let rules = |(plugin, version): &Code| {
            let version = version.as_ref().or(release.before.get(plugin));
            let ruling = release.plugins.get(plugin);
            ruling.is_some_and(|ruling| Some(ruling.code.version()) == version)
        };
        self.supervisor.lately.lock().retain(|code, _| rules(code));
        self.supervisor.failed.lock().retain(|code, _| rules(code));
    }

    /// The actors in quarantine that faults of this version of their plugin have led to.
    pub(crate) fn faulted_under(
        &self,
        plugin: &str,
        version: &Version,
    ) -> Result<Vec<ActorId>, ReadError> {
        let prefix = format!("{FAULTED}{plugin}:");
        let values = tokio::task::block_in_place(|| self.journal.values(&prefix))?;
        let version = version.to_string();
        let led = values.into_iter().filter(|(_, by)| *by == version);
        let ids = led.filter_map(|(key, _)| key.strip_prefix(FAULTED)?.parse().ok());
        Ok(ids.collect())
    }

    /// Faults since the start.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.supervisor.faults.load(Ordering::Relaxed)
    }

    /// Who is in quarantine, and why, in order.
    #[must_use]
    pub fn quarantine_list(&self) -> Vec<(ActorId, String)> {
        let quarantined = self.supervisor.quarantined.lock();
        let mut list: Vec<_> = quarantined
            .iter()
            .map(|(id, why)| (id.clone(), why.clone()))
            .collect();
        list.sort();
        list
    }

    /// Sets an actor aside, whole and in the version that it has, because it could not
    /// come over to the release that rules.
    pub async fn set_aside(&self, id: &ActorId, reason: &str) {
        self.note_quarantine(id, reason);
        self.migrations.set_aside(id, reason);
        let written = self.write_rows(|| Rows {
            quarantine: Some((id.clone(), Some(reason.to_owned()))),
            ..Rows::default()
        });
        // If the store will not have it, the actor is set aside until the next start,
        // which finds it in its old version and tries again.
        if let Err(lost) = written.await {
            tracing::error!(actor = %id, %lost, "a quarantine could not be written");
        }
    }

    /// An actor that an earlier process has set aside on the way that is gone on with: it is
    /// not tried again, and counts as set aside, unless an operator has released it.
    pub fn stays_aside(&self, id: &ActorId) {
        self.migrations.strand(id);
        if let Some(reason) = self.supervisor.quarantined(id) {
            self.migrations.set_aside(id, &reason);
        }
    }

    fn note_quarantine(&self, id: &ActorId, reason: &str) {
        tracing::error!(actor = %id, reason, "an actor was set aside");
        let mut quarantined = self.supervisor.quarantined.lock();
        quarantined.insert(id.clone(), reason.to_owned());
        self.supervisor
            .count
            .store(quarantined.len(), Ordering::Relaxed);
    }

    /// Takes an actor out of quarantine: it serves again with its next message.
    ///
    /// # Errors
    ///
    /// None if it was not in quarantine; inside, why the store would not have it.
    pub async fn quarantine_release(&self, id: &ActorId) -> Option<Result<(), CallError>> {
        self.supervisor.quarantined(id)?;
        let written = self.write_rows(|| Rows {
            quarantine: Some((id.clone(), None)),
            ..faulted_rows(id, None)
        });
        if let Err(lost) = written.await {
            return Some(Err(lost.into()));
        }
        if let Some(slot) = self.slots.get(id) {
            slot.inner.lock().forgive();
        }
        let mut quarantined = self.supervisor.quarantined.lock();
        quarantined.remove(id);
        self.supervisor
            .count
            .store(quarantined.len(), Ordering::Relaxed);
        drop(quarantined);
        self.casts.look_again();
        Some(Ok(()))
    }
}
