//! Topics without an actor: whoever has joined one is told, as an actor would tell, when
//! the version changes that it belongs to, and only then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use host_journal::ReadError;
use host_model::error::chain;
use host_model::{ActorId, Share, Version};
use parking_lot::Mutex;

use crate::Actors;
use crate::canary::is_within;
use crate::release::Release;

/// The version that each topic was last told of, or has been found in: of those that
/// someone had joined when it was looked last.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<ActorId, Version>>);

/// Versions of plugins, and those of the plugins that a share of the actors is ahead in.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    ruling: BTreeMap<String, Version>,
    ahead: Option<(Share, BTreeMap<String, Version>)>,
}

impl Versions {
    pub(crate) fn new(ruling: &Release, ahead: Option<(Share, &Release)>) -> Self {
        Self {
            ruling: versions(ruling),
            ahead: ahead.map(|(share, release)| (share, versions(release))),
        }
    }

    fn of(&self, id: &ActorId) -> Option<&Version> {
        let ahead = self.ahead.as_ref();
        let ahead = ahead.filter(|(share, _)| is_within(*share, id));
        let versions = ahead.map_or(&self.ruling, |(_, versions)| versions);
        versions.get(id.plugin())
    }
}

fn versions(release: &Release) -> BTreeMap<String, Version> {
    let plugins = release.plugins.iter();
    let versions = plugins.map(|(name, ruling)| (name.clone(), ruling.code.version().clone()));
    versions.collect()
}

impl Actors {
    /// Whoever has joined a topic without an actor behind it has come over with the release.
    /// One that was joined since it was looked last has been in the version before.
    pub(crate) async fn tell_empty_topics(self: &Arc<Self>) {
        let actors = Arc::clone(self);
        // The store may take its time, and others are served by who asks for this.
        let told = tokio::task::spawn_blocking(move || actors.look_at_empty_topics());
        // The next sweep tells the rest.
        if let Err(error) = told.await.expect("it compares, and runs no plugin") {
            tracing::warn!(
                error = chain(&error),
                "topics without an actor are told by the next sweep which version they are in"
            );
        }
    }

    fn look_at_empty_topics(&self) -> Result<(), ReadError> {
        let reign = self.reign.load_full();
        let mut told = self.told.0.lock();
        let mut joined = HashMap::new();
        for name in reign.newest().plugins.keys() {
            for id in self.audience.topics(name) {
                let release = reign.release_of(&id);
                if let Some(ruling) = release.plugins.get(name) {
                    joined.insert(id.clone(), (&release.version, ruling.code.version()));
                }
            }
        }
        let changed = joined.iter().filter(|(id, (_, version))| {
            let was = told.get(id).or_else(|| reign.before.of(id));
            was.is_some_and(|was| was != *version)
        });
        let changed: Vec<_> = changed.map(|(id, _)| id.clone()).collect();
        // Who exists tells by itself.
        let exist = self.journal.exist(&changed)?;
        for id in changed.iter().filter(|id| !exist.contains(*id)) {
            let (release, version) = joined[id];
            self.audience.switched(id, release, version);
        }
        let versions = joined.into_iter();
        *told = versions
            .map(|(id, (_, version))| (id, version.clone()))
            .collect();
        Ok(())
    }
}
