//! From releases on disk to a release that can rule: plugins opened, ways laid.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_actors::{Code, Release, Route, RouteEdge, RouteHop, Ruling};
use host_loader::{Digest, InvalidDigest, LoadError, Loader};
use host_model::Version;
use host_model::error::chain;
use host_model::plan::{Change, Plan};
use host_model::release::{ReleaseManifest, ReleasePlugin};
use host_model::way::way;
use parking_lot::Mutex;
use thiserror::Error;

use crate::book::Booked;
use crate::configure::{Aside, Given, PluginConfig};
use crate::digests::Digests;
use crate::plan::{self, Appups, Host, steps_between};
use crate::releases::{Releases, ReleasesError, Unpacked, by_precedence};

/// Opens plugins and puts releases together. One for the life of the process, for
/// what is known of how a plugin runs stays with its code.
pub struct Assembler {
    loader: Arc<Loader>,
    releases: Releases,
    /// What this home has known under the same version numbers before.
    booked: Mutex<Booked>,
    codes: Mutex<HashMap<Digest, Arc<Code>>>,
    pub(crate) config: Option<Arc<PluginConfig>>,
    pub(crate) aside: Aside<Given>,
    pub(crate) digests: Digests,
    /// See [`Assembler::opening`].
    opening: Mutex<Option<(ReleasePlugin, Instant)>>,
}

/// Why a release cannot rule. Nothing has changed but what is mapped.
#[derive(Debug, Error)]
pub enum AssembleError {
    /// A release on disk is broken.
    #[error(transparent)]
    Releases(#[from] ReleasesError),
    /// A plugin cannot be opened.
    #[error("open {plugin} {version}")]
    Load {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
        /// Why not.
        source: LoadError,
    },
    /// No release that can be read has it.
    #[error("no installed release has {plugin} {version}; install one that has it")]
    NotInstalled {
        /// The plugin.
        plugin: String,
        /// The version.
        version: Version,
    },
    /// A manifest has no digest where one should be.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// A version number stands for another library than it did here before.
    #[error("{} is another library than {plugin} {version} was in this home before; a version number stands for one library for ever: put the old one back, or give the new one a new number", path.display())]
    OtherLibrary {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
        /// The library.
        path: PathBuf,
    },
    /// What a plugin is to work with is not what it takes.
    #[error("configure {plugin} {version}: {}", problems.join("; "))]
    Configure {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
        /// A sentence each.
        problems: Vec<String>,
    },
    /// A library says that it is another plugin than the manifest does.
    #[error("{} is {found}, and the manifest of its release says {wanted}; build the release again", path.display())]
    OtherPlugin {
        /// The library.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
}

impl Assembler {
    /// An assembler over `releases`, held to the libraries that are booked.
    #[must_use]
    pub fn new(loader: Arc<Loader>, releases: Releases, booked: Booked) -> Self {
        Self {
            loader,
            releases,
            booked: Mutex::new(booked),
            codes: Mutex::default(),
            config: None,
            aside: Aside::default(),
            digests: Digests::default(),
            opening: Mutex::default(),
        }
    }

    /// The plugin that an [`assemble`](Self::assemble) under way is with, and for how long: its
    /// library is opened, or is given its configuration. Native code cannot be interrupted, so
    /// whoever waits for it may have to give up.
    #[must_use]
    pub fn opening(&self) -> Option<(ReleasePlugin, Duration)> {
        let opening = self.opening.lock();
        opening
            .as_ref()
            .map(|(plugin, since)| (plugin.clone(), since.elapsed()))
    }

    fn begin(&self, plugin: &ReleasePlugin) {
        *self.opening.lock() = Some((plugin.clone(), Instant::now()));
    }

    /// Holds what is opened from now on to the libraries of `release`.
    pub fn know(&self, release: &ReleaseManifest) {
        self.booked.lock().know(release);
    }

    /// What this process has opened of the library with this digest.
    pub(crate) fn opened(&self, sha256: &str) -> Option<Arc<Code>> {
        let digest: Digest = sha256.parse().ok()?;
        self.codes.lock().get(&digest).cloned()
    }

    pub(crate) fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The releases on disk.
    #[must_use]
    pub fn releases(&self) -> &Releases {
        &self.releases
    }

    /// The release `to`, which a host starts with. It must be whole, and whether anybody
    /// vouches for it is not asked: its program runs already. Of all other installed
    /// releases comes what may be used and can be read: the journal may hold states,
    /// records and messages in any version that ever ran here. One that `is_left` rules only
    /// until another takes its place, before clients are served: what it would be configured
    /// by may be set here no more, and a timer that needs it fails. Blocking.
    ///
    /// # Errors
    ///
    /// [`AssembleError`]
    pub fn assemble(&self, to: &Unpacked, is_left: bool) -> Result<Release, AssembleError> {
        let assembled = self.put_together(to, None, is_left);
        *self.opening.lock() = None;
        assembled
    }

    /// The release `to`, which `plan` leads to there or back. `before` rules until then;
    /// both must be whole, and so must each version on the way. Blocking.
    ///
    /// # Errors
    ///
    /// [`AssembleError`]
    pub(crate) fn assemble_behind(
        &self,
        before: &Unpacked,
        to: &Unpacked,
        plan: &Plan,
    ) -> Result<Release, AssembleError> {
        self.put_together(to, Some((before, plan)), false)
    }

    fn put_together(
        &self,
        to: &Unpacked,
        behind: Option<(&Unpacked, &Plan)>,
        is_left: bool,
    ) -> Result<Release, AssembleError> {
        let (before, plan) = behind.unzip();
        let needed = plan.map(versions_on_the_way).unwrap_or_default();
        // There and back the same ones are taken.
        let first = plan.map_or_else(|| vec![&to.manifest.version], ends);
        let appups = self.releases.appups(&first);
        let installed = self.usable(&first);
        let mut plugins = BTreeMap::new();
        for plugin in &to.manifest.plugins {
            self.begin(plugin);
            let code = self.open(to, plugin)?;
            // One that rules already gets what is new when the other release rules.
            let is_ruling = before.and_then(|before| before.manifest.plugin(&plugin.name));
            if is_ruling.is_none_or(|ruling| ruling.sha256 != plugin.sha256) {
                match self.configure(to, plugin, &code) {
                    Err(error) if is_left => tracing::warn!(
                        error = chain(&error),
                        "a plugin of the release that is left is not configured: what needs that before it is left fails"
                    ),
                    configured => configured?,
                }
            }
            let readable = self.readable(plugin, before, &installed, &needed)?;
            let host = plan.map_or(Host::Starts, |plan| Host::of(plan, &plugin.name));
            let edges = edges(&code, &readable, &appups, host);
            let ruling = Ruling {
                start: plugin.start,
                routes: routes(&code, &readable, &edges),
                edges,
                code,
                readable,
            };
            plugins.insert(plugin.name.clone(), ruling);
        }
        Ok(Release {
            version: to.manifest.version.clone(),
            plugins,
            before: before.map(versions).unwrap_or_default(),
            installed: installed.iter().map(versions).collect(),
        })
    }

    /// The installed releases, each with the libraries that may be used of it, by
    /// [precedence](by_precedence). Of one that nobody vouches for these are the ones that
    /// have run in this home before, byte for byte: the store may hold what only they can
    /// read.
    pub(crate) fn usable(&self, first: &[&Version]) -> Vec<Unpacked> {
        let mut releases = self.releases.readable();
        by_precedence(&mut releases, first);
        for release in &mut releases {
            if self.releases.is_vouched_for(release) {
                continue;
            }
            let booked = self.booked.lock();
            release.manifest.plugins.retain(|plugin| {
                booked.digest(&plugin.name, &plugin.version) == Some(&*plugin.sha256)
            });
        }
        releases
    }

    /// The other versions of `plugin` that are installed. What `before` has and what is
    /// needed must be whole: another release that is broken must not keep these from
    /// running.
    fn readable(
        &self,
        plugin: &ReleasePlugin,
        before: Option<&Unpacked>,
        installed: &[Unpacked],
        needed: &BTreeSet<(&str, &Version)>,
    ) -> Result<Vec<Arc<Code>>, AssembleError> {
        let mut readable: Vec<Arc<Code>> = Vec::new();
        // Why a version is not there, as long as no other release has it whole.
        let mut broken: BTreeMap<&Version, AssembleError> = BTreeMap::new();
        for release in before.into_iter().chain(installed) {
            let Some(other) = release.manifest.plugin(&plugin.name) else {
                continue;
            };
            let known = |code: &Arc<Code>| *code.version() == other.version;
            if other.version == plugin.version || readable.iter().any(known) {
                continue;
            }
            self.begin(other);
            match self.open(release, other) {
                Ok(code) => {
                    let is_needed = before == Some(release)
                        || needed.contains(&(other.name.as_str(), &other.version));
                    let configured = self.configure_aside(release, other, &code, is_needed);
                    // It may decide again on a way back; until then it need not be in order.
                    if let Err(error) = configured {
                        tracing::debug!(error = chain(&error), "a plugin of another release");
                    }
                    readable.push(code);
                }
                Err(error) if before == Some(release) => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        plugin = other.name,
                        version = %other.version,
                        error = chain(&error),
                        "a plugin of another release is left out"
                    );
                    broken.insert(&other.version, error);
                }
            }
        }
        let needed = needed.iter().filter(|(name, _)| *name == plugin.name);
        for (name, version) in needed {
            let known = |code: &Arc<Code>| code.version() == *version;
            if **version == plugin.version || readable.iter().any(known) {
                continue;
            }
            let error = broken.remove(version);
            return Err(error.unwrap_or_else(|| AssembleError::NotInstalled {
                plugin: (*name).to_owned(),
                version: (*version).clone(),
            }));
        }
        Ok(readable)
    }

    /// The version `version` of a plugin on the way of `plan`, whether the release that it is
    /// taken of rules or not. Blocking.
    ///
    /// # Errors
    ///
    /// [`AssembleError`]
    pub(crate) fn code(
        &self,
        plugin: &str,
        version: &Version,
        plan: &Plan,
    ) -> Result<Arc<Code>, AssembleError> {
        let installed = self.usable(&ends(plan));
        let found = self.library(plugin, version, &installed);
        let (release, found) = found.ok_or_else(|| AssembleError::NotInstalled {
            plugin: plugin.to_owned(),
            version: version.clone(),
        })?;
        self.open(release, found)
    }

    /// A library, of the first of these releases that has it as its number is known here.
    /// Where none has, of the first that has that number: opening it says what is wrong.
    pub(crate) fn library<'a>(
        &self,
        plugin: &str,
        version: &Version,
        releases: &'a [Unpacked],
    ) -> Option<(&'a Unpacked, &'a ReleasePlugin)> {
        let all = || {
            let found = releases
                .iter()
                .filter_map(|it| Some((it, it.manifest.plugin(plugin)?)));
            found.filter(|(_, found)| found.version == *version)
        };
        let booked = self.booked.lock();
        let known = booked.digest(plugin, version);
        let is_it = |sha256: &str| known.is_none_or(|known| known == sha256);
        all()
            .find(|(_, found)| is_it(&found.sha256))
            .or_else(|| all().next())
    }

    fn open(&self, release: &Unpacked, plugin: &ReleasePlugin) -> Result<Arc<Code>, AssembleError> {
        let path = release.dir.join(&plugin.file);
        let expected: Digest = plugin.sha256.parse()?;
        let is_other = {
            let booked = self.booked.lock();
            let known = booked.digest(&plugin.name, &plugin.version);
            known.is_some_and(|known| known != plugin.sha256)
        };
        if is_other {
            return Err(AssembleError::OtherLibrary {
                plugin: plugin.name.clone(),
                version: plugin.version.clone(),
                path,
            });
        }
        let opened = self.loader.load(&path, Some(expected));
        let opened = opened.map_err(|source| AssembleError::Load {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            source,
        })?;
        if opened.name() != plugin.name || *opened.version() != plugin.version {
            return Err(AssembleError::OtherPlugin {
                path,
                found: format!("{} {}", opened.name(), opened.version()),
                wanted: format!("{} {}", plugin.name, plugin.version),
            });
        }
        let mut codes = self.codes.lock();
        let code = codes
            .entry(opened.digest())
            .or_insert_with(|| Code::new(opened));
        Ok(Arc::clone(code))
    }
}

/// The steps between versions of a plugin of which the libraries are installed, and which
/// the host takes.
fn edges(
    code: &Arc<Code>,
    readable: &[Arc<Code>],
    appups: &Appups,
    host: Host<'_>,
) -> Vec<RouteEdge> {
    let codes = || readable.iter().chain([code]);
    let versions = codes().map(|code| code.version());
    let steps = steps_between(code.plugin().name(), versions, appups, host);
    let edge = |step: plan::Step<'_>| {
        let hop = step.hop();
        let to = codes().find(|code| *code.version() == hop.to)?;
        codes().find(|code| *code.version() == hop.from)?;
        Some(RouteEdge {
            hop: RouteHop {
                to: Arc::clone(to),
                change: hop.state,
                timeout: (hop.timeout_ms > 0).then(|| Duration::from_millis(hop.timeout_ms)),
                restart: hop.restart,
            },
            from: hop.from,
            reversible: hop.reversible,
        })
    };
    steps.into_iter().filter_map(edge).collect()
}

/// The ways to the version that shall rule, from each other that one leads from, for
/// states without carries.
fn routes(code: &Arc<Code>, readable: &[Arc<Code>], edges: &[RouteEdge]) -> Vec<Route> {
    let route = |from: &Arc<Code>| {
        let way = way(edges, RouteEdge::look, from.version(), code.version(), &[])?;
        Some(Route {
            from: Arc::clone(from),
            hops: way.into_iter().map(|edge| edge.hop.clone()).collect(),
        })
    };
    readable.iter().filter_map(route).collect()
}

/// The releases at the ends of a plan, in the order in which something is taken of them.
pub(crate) fn ends(plan: &Plan) -> Vec<&Version> {
    vec![&plan.to, &plan.from]
}

/// The versions that states pass through on the way, with those at its ends.
pub(crate) fn versions_on_the_way(plan: &Plan) -> BTreeSet<(&str, &Version)> {
    let mut versions = BTreeSet::new();
    for plugin in &plan.plugins {
        if let Change::Move { hops, .. } = &plugin.change {
            let ends = hops.iter().flat_map(|hop| [&hop.from, &hop.to]);
            versions.extend(ends.map(|version| (plugin.plugin.as_str(), version)));
        }
    }
    versions
}

/// The versions of a release's plugins.
fn versions(release: &Unpacked) -> BTreeMap<String, Version> {
    let plugins = release.manifest.plugins.iter();
    plugins
        .map(|plugin| (plugin.name.clone(), plugin.version.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
