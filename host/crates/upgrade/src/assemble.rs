//! From releases on disk to a release that can rule: plugins opened, ways laid.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use host_actors::{Code, Release, Route, RouteHop, Ruling};
use host_loader::{Digest, LoadError, Loader};
use host_model::Version;
use host_model::release::ReleasePlugin;
use parking_lot::Mutex;
use thiserror::Error;

use crate::plan::{Appups, way};
use crate::releases::{Releases, ReleasesError, Unpacked};

/// Opens plugins and puts releases together. One for the life of the process, for
/// what is known of how a plugin runs stays with its code.
#[derive(Debug)]
pub struct Assembler {
    loader: Arc<Loader>,
    releases: Releases,
    codes: Mutex<HashMap<Digest, Arc<Code>>>,
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
    /// An assembler over `releases`.
    #[must_use]
    pub fn new(loader: Arc<Loader>, releases: Releases) -> Self {
        Self {
            loader,
            releases,
            codes: Mutex::default(),
        }
    }

    /// The releases on disk.
    #[must_use]
    pub fn releases(&self) -> &Releases {
        &self.releases
    }

    /// The release `to`, with ways for states of the releases `others` to come over
    /// where appups know one. `before` rules until then. Blocking.
    ///
    /// # Errors
    ///
    /// [`AssembleError`]
    pub fn assemble(
        &self,
        to: &Unpacked,
        before: Option<&Unpacked>,
        others: &[Unpacked],
    ) -> Result<Release, AssembleError> {
        let appups = self.releases.appups()?;
        let mut plugins = BTreeMap::new();
        for plugin in &to.manifest.plugins {
            let code = self.open(to, plugin)?;
            let versions: BTreeSet<&Version> = before
                .into_iter()
                .chain(others)
                .filter_map(|release| release.manifest.plugin(&plugin.name))
                .map(|other| &other.version)
                .filter(|version| **version != plugin.version)
                .collect();
            let mut routes = Vec::new();
            for version in versions {
                if let Some(route) = self.route(plugin, version, &appups)? {
                    routes.push(route);
                }
            }
            let ruling = Ruling {
                code,
                start: plugin.start,
                routes,
            };
            plugins.insert(plugin.name.clone(), ruling);
        }
        Ok(Release {
            version: to.manifest.version.clone(),
            plugins,
            before: before.map(versions).unwrap_or_default(),
        })
    }

    /// The way from `version` of a plugin to the version in the release. None: no
    /// appup knows one, or a version on it is not installed.
    fn route(
        &self,
        plugin: &ReleasePlugin,
        version: &Version,
        appups: &Appups,
    ) -> Result<Option<Route>, AssembleError> {
        let Ok(hops) = way(&plugin.name, version, &plugin.version, appups) else {
            return Ok(None);
        };
        let Some(from) = self.find(&plugin.name, version)? else {
            return Ok(None);
        };
        let mut steps = Vec::new();
        for hop in hops {
            let Some(to) = self.find(&plugin.name, &hop.to)? else {
                return Ok(None);
            };
            steps.push(RouteHop {
                to,
                change: hop.state,
            });
        }
        Ok(Some(Route { from, hops: steps }))
    }

    /// A plugin's version from whichever release has it.
    fn find(&self, name: &str, version: &Version) -> Result<Option<Arc<Code>>, AssembleError> {
        for release in self.releases.versions()? {
            let release = self.releases.read(&release)?;
            if let Some(plugin) = release.manifest.plugin(name)
                && plugin.version == *version
            {
                return self.open(&release, plugin).map(Some);
            }
        }
        Ok(None)
    }

    fn open(&self, release: &Unpacked, plugin: &ReleasePlugin) -> Result<Arc<Code>, AssembleError> {
        let path = release.dir.join(&plugin.file);
        let expected = plugin.sha256.parse().ok();
        let opened = self.loader.load(&path, expected);
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

/// The versions of a release's plugins.
fn versions(release: &Unpacked) -> BTreeMap<String, Version> {
    let plugins = release.manifest.plugins.iter();
    plugins
        .map(|plugin| (plugin.name.clone(), plugin.version.clone()))
        .collect()
}
