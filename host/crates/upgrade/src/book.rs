//! What the store knows of releases and upgrades, as values of the journal.
//!
//! | key | value |
//! |---|---|
//! | `release/permanent` | the version that a restart boots |
//! | `release/status/V` | `old` or `failed` with the reason |
//! | `release/before/V` | where `host rollback` leads from V, if it was permanent |
//! | `release/needed/V` | position from which on that way needs the journal, if it does |
//! | `plugin/digest/NAME/V` | SHA-256 of the library that this number stands for |
//! | `upgrade/last` | the last [`Upgrade`], whether it is over or not |
//! | `upgrade/flying` | flight record of the last [`Upgrade`] as of its last transition |
//! | `upgrade/history/N` | report of the upgrade with number N, by eight digits |
//! | `upgrade/flight/N` | its flight record |

use std::collections::BTreeMap;

use bytes::Bytes;
use host_actors::Actors;
use host_journal::{Archive, Journal, Lost, Position, ReadError, Record};
use host_model::Version;
use host_model::control::{HistoryRow, UpgradeReport};
use host_model::flight::FlightRecord;
use host_model::limits::HISTORY_MAX;
use host_model::release::{ReleaseManifest, ReleaseStatus};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::flight::{Flight, in_the_chain};
use crate::state::Upgrade;

/// Before the number of an upgrade that has ended.
const HISTORY: &str = "upgrade/history/";

/// Before the number of an upgrade that has ended, too.
pub(crate) const FLIGHT: &str = "upgrade/flight/";

/// See the table.
pub(crate) const FLYING: &str = "upgrade/flying";

/// All of the table above but the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booked {
    /// The release that a restart boots. None before the first start.
    pub permanent: Option<Version>,
    /// Releases with a past.
    pub statuses: BTreeMap<Version, Past>,
    /// Where a rollback leads from a release that was permanent: always to an older one.
    pub before: BTreeMap<Version, Version>,
    /// From which position on that way needs the journal: [`HeldForWayBack`](crate::HeldForWayBack).
    pub needed: BTreeMap<Version, Position>,
    /// Libraries by plugin and version.
    pub digests: BTreeMap<String, String>,
    /// The last upgrade.
    pub last: Option<Upgrade>,
}

/// What has become of a release here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Past {
    /// It was permanent once.
    Old,
    /// An upgrade to it was rolled back.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The book cannot be read or written.
#[derive(Debug, Error)]
pub enum BookError {
    /// The store would not read.
    #[error("read what the store knows of releases")]
    Read(#[from] ReadError),
    /// A value makes no sense: written by a newer host, or damaged.
    #[error(
        "the store's value {key} makes no sense to this host ({problem}); was it written by a newer one?"
    )]
    Value {
        /// Which.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store would not write.
    #[error("write what the store knows of releases")]
    Write(#[from] Lost),
}

impl Booked {
    /// Reads the book.
    ///
    /// # Errors
    ///
    /// [`BookError`]
    pub fn read<T: Send + 'static>(journal: &Journal<T>) -> Result<Self, BookError> {
        Self::of(|prefix| journal.values(prefix))
    }

    /// Reads the book of a store that nobody owns.
    ///
    /// # Errors
    ///
    /// [`BookError`]
    pub fn read_archive(archive: &Archive) -> Result<Self, BookError> {
        Self::of(|prefix| archive.values(prefix))
    }

    fn of(
        values: impl Fn(&str) -> Result<Vec<(String, Bytes)>, ReadError>,
    ) -> Result<Self, BookError> {
        let mut book = Self::default();
        for (key, value) in values("release/")? {
            match key.strip_prefix("release/") {
                Some("permanent") => book.permanent = Some(parse(&key, &value)?),
                Some(rest) => {
                    if let Some(version) = rest.strip_prefix("status/")
                        && let Ok(version) = version.parse()
                    {
                        book.statuses.insert(version, parse(&key, &value)?);
                    } else if let Some(version) = rest.strip_prefix("before/")
                        && let Ok(version) = version.parse()
                    {
                        book.before.insert(version, parse(&key, &value)?);
                    } else if let Some(version) = rest.strip_prefix("needed/")
                        && let Ok(version) = version.parse()
                    {
                        book.needed.insert(version, parse(&key, &value)?);
                    }
                }
                None => {}
            }
        }
        for (key, value) in values("plugin/digest/")? {
            book.digests.insert(key.clone(), parse(&key, &value)?);
        }
        if let Some((key, value)) = values("upgrade/last")?.first() {
            book.last = Some(parse(key, value)?);
        }
        Ok(book)
    }

    /// Whether a plugin's version may have run here: it was staged at least.
    #[must_use]
    pub fn has_run(&self, plugin: &str, version: &Version) -> bool {
        self.digest(plugin, version).is_some()
    }

    /// The digest that a plugin's version stands for in this home.
    #[must_use]
    pub fn digest(&self, plugin: &str, version: &Version) -> Option<&str> {
        self.digests
            .get(&digest_key(plugin, version))
            .map(String::as_str)
    }

    /// Holds the version numbers of a release to its libraries.
    pub fn know(&mut self, release: &ReleaseManifest) {
        let plugins = release.plugins.iter();
        let digests = plugins.map(|plugin| {
            let key = digest_key(&plugin.name, &plugin.version);
            (key, plugin.sha256.clone())
        });
        self.digests.extend(digests);
    }

    /// Where a rollback leads once `to` has become permanent after `from`: to `from`, and
    /// where that is newer, back along the way on which `from` was come to.
    #[must_use]
    pub fn way_back(&self, from: &Version, to: &Version) -> Option<Version> {
        let mut way = std::iter::successors(Some(from), |version| self.before.get(*version));
        way.find(|version| *version < to).cloned()
    }

    /// Notes where a rollback leads from `version`, and from where on it needs the journal.
    pub(crate) fn set_way_back(
        &mut self,
        version: &Version,
        before: Option<Version>,
        needed: Option<Position>,
    ) {
        self.before.remove(version);
        self.needed.remove(version);
        self.before.extend(before.map(|it| (version.clone(), it)));
        self.needed.extend(needed.map(|it| (version.clone(), it)));
    }

    /// What a release is to this home, while `current` rules; none where no host runs.
    #[must_use]
    pub fn status(&self, version: &Version, current: Option<&Version>) -> ReleaseStatus {
        if self.permanent.as_ref() == Some(version) {
            return ReleaseStatus::Permanent;
        }
        if current == Some(version) {
            return ReleaseStatus::Current;
        }
        match self.statuses.get(version) {
            Some(Past::Old) => ReleaseStatus::Old,
            Some(Past::Failed { .. }) => ReleaseStatus::Failed,
            None => ReleaseStatus::Unpacked,
        }
    }
}

/// How the upgrades of this home have ended, the oldest first.
///
/// # Errors
///
/// [`BookError`]
pub fn read_history<T: Send + 'static>(journal: &Journal<T>) -> Result<Vec<HistoryRow>, BookError> {
    let values = journal.values(HISTORY)?.into_iter();
    let row = |(key, value): (String, Bytes)| {
        let report = parse(&key, &value)?;
        let number = key.strip_prefix(HISTORY).and_then(|it| it.parse().ok());
        let id = number.ok_or_else(|| BookError::Value {
            problem: "its name ends in no number".to_owned(),
            key,
        })?;
        Ok(HistoryRow { id, report })
    };
    values.map(row).collect()
}

/// Values to be written together.
#[derive(Debug, Clone, Default)]
pub struct Book {
    values: Vec<(String, Option<Bytes>)>,
    /// What stands in the chain with them.
    record: Option<Record>,
}

impl Book {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn put(mut self, key: impl Into<String>, value: &impl Serialize) -> Self {
        let value = serde_json::to_vec(value).expect("the book's values are JSON");
        self.values.push((key.into(), Some(value.into())));
        self
    }

    /// A value of another kind, or that there is none any more.
    pub(crate) fn value(mut self, key: &str, value: Option<&impl Serialize>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => {
                self.values.push((key.to_owned(), None));
                self
            }
        }
    }

    /// How far an upgrade has come.
    #[must_use]
    pub fn upgrade(self, upgrade: &Upgrade) -> Self {
        self.put("upgrade/last", upgrade)
    }

    /// A release becomes permanent, and of the one before it that is remembered.
    #[must_use]
    pub fn permanent(self, version: &Version, previous: Option<(&Version, &Past)>) -> Self {
        let book = self
            .put("release/permanent", version)
            .forget_status(version);
        match previous {
            Some((previous, past)) => book.put(format!("release/status/{previous}"), past),
            None => book,
        }
    }

    /// Where a rollback leads from `version`, and from where on it needs the journal.
    #[must_use]
    pub fn way_back(
        self,
        version: &Version,
        before: Option<&Version>,
        needed: Option<Position>,
    ) -> Self {
        self.value(&format!("release/before/{version}"), before)
            .value(&format!("release/needed/{version}"), needed.as_ref())
    }

    /// An upgrade to a release was rolled back.
    #[must_use]
    pub fn failed(self, version: &Version, reason: &str) -> Self {
        let past = Past::Failed {
            reason: reason.to_owned(),
        };
        self.put(format!("release/status/{version}"), &past)
    }

    fn forget_status(mut self, version: &Version) -> Self {
        self.values
            .push((format!("release/status/{version}"), None));
        self
    }

    /// The libraries that a release's version numbers stand for.
    #[must_use]
    pub fn digests(self, release: &ReleaseManifest) -> Self {
        release.plugins.iter().fold(self, |book, plugin| {
            book.put(digest_key(&plugin.name, &plugin.version), &plugin.sha256)
        })
    }

    /// What is known of an upgrade that goes on.
    #[must_use]
    pub fn flying(self, flight: &Flight) -> Self {
        self.put(FLYING, flight)
    }

    /// How an upgrade ended, also as a record of the chain.
    #[must_use]
    pub fn history(self, report: &UpgradeReport, flight: &FlightRecord, ruling: &Version) -> Self {
        let id = flight.id;
        let mut book = self
            .put(format!("{HISTORY}{id:08}"), report)
            .put(format!("{FLIGHT}{id:08}"), flight);
        if let Some(oldest) = id.checked_sub(HISTORY_MAX) {
            for kind in [HISTORY, FLIGHT] {
                book.values.push((format!("{kind}{oldest:08}"), None));
            }
        }
        book.record = Some(in_the_chain(flight, ruling));
        book
    }

    /// Makes it durable, all or nothing.
    ///
    /// # Errors
    ///
    /// [`BookError::Write`]
    pub async fn write(self, actors: &Actors) -> Result<(), BookError> {
        let written = actors.write_values_and_record(self.values, self.record);
        Ok(written.await?)
    }
}

fn digest_key(plugin: &str, version: &Version) -> String {
    format!("plugin/digest/{plugin}/{version}")
}

pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, BookError> {
    serde_json::from_slice(value).map_err(|e| BookError::Value {
        key: key.to_owned(),
        problem: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_to_where_a_release_was_come_to_from() {
        let v = |minor| Version::new(0, minor, 0);
        let mut booked = Booked::default();
        let mut go = |from, to| {
            let before = booked.way_back(&v(from), &v(to));
            booked.set_way_back(&v(to), before.clone(), None);
            before
        };
        assert_eq!(go(1, 2), Some(v(1)));
        // Back, and there is nothing before the first.
        assert_eq!(go(2, 1), None);
        // 0.2.0 was permanent once, and is not where this one comes from.
        assert_eq!(go(1, 3), Some(v(1)));
        assert_eq!(go(3, 1), None);
        // Further and further back.
        assert_eq!(go(1, 2), Some(v(1)));
        assert_eq!(go(2, 3), Some(v(2)));
        assert_eq!(go(3, 5), Some(v(3)));
        assert_eq!(go(5, 3), Some(v(2)));
        assert_eq!(go(3, 2), Some(v(1)));
        // To one on the way that was never permanent: the one below it is next.
        assert_eq!(go(2, 5), Some(v(2)));
        assert_eq!(go(5, 4), Some(v(2)));
    }
}
