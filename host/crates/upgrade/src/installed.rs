//! What is installed of plugins: the libraries and appups that ways are made of, and whether
//! what waits in a store is understood with them.

use std::collections::BTreeMap;

use host_journal::Versions;
use host_model::Version;
use host_model::appup::Appup;
use host_model::release::ReleaseManifest;

use crate::plan::{Appups, Libraries, is_understood, leads};
use crate::releases::Releases;

/// What ways can be made of.
pub(crate) struct Steps<'a> {
    /// By plugin.
    libraries: BTreeMap<&'a str, Libraries<'a>>,
    appups: Appups,
}

impl<'a> Steps<'a> {
    /// Of two appups of the same version the first counts.
    pub(crate) fn of(
        installed: impl Iterator<Item = &'a ReleaseManifest>,
        all: impl Iterator<Item = &'a Appup>,
    ) -> Self {
        let mut libraries: BTreeMap<&str, Libraries<'_>> = BTreeMap::new();
        for plugin in installed.flat_map(|it| &it.plugins) {
            let versions = libraries.entry(&plugin.name).or_default();
            let shape = versions.entry(&plugin.version).or_default();
            // A version is one library, but not each release that has it says this of it.
            *shape = shape.or(plugin.shape.as_ref());
        }
        let mut appups = Appups::new();
        for appup in all {
            let key = (appup.plugin.clone(), appup.version.clone());
            appups.entry(key).or_insert_with(|| appup.clone());
        }
        Self { libraries, appups }
    }

    /// Whether a state in `from`, beside which these versions have left something, comes
    /// over to `to`.
    pub(crate) fn lead(&self, plugin: &str, from: (&Version, &[Version]), to: &Version) -> bool {
        let libraries = self.libraries.get(plugin);
        libraries.is_some_and(|it| leads(plugin, from, to, it, &self.appups))
    }

    /// Whether a message in the shape of `from` is understood in `to`.
    pub(crate) fn is_understood(&self, plugin: &str, from: &Version, to: &Version) -> bool {
        let libraries = self.libraries.get(plugin);
        libraries.is_some_and(|it| is_understood(plugin, from, to, it, &self.appups))
    }

    fn has(&self, plugin: &str, version: &Version) -> bool {
        let libraries = self.libraries.get(plugin);
        libraries.is_some_and(|it| it.contains_key(version))
    }
}

/// Of the versions in whose shape messages for plugins of the release `to` wait, those whose
/// library is not here and whose shape no other one knows that leads there; one name each.
/// Such a message would become a dead letter.
#[must_use]
pub fn not_understood(
    waiting: &Versions,
    to: &ReleaseManifest,
    releases: &Releases,
) -> Vec<String> {
    let installed = releases.readable();
    let appups = releases.appups(&[&to.version]);
    let manifests = installed.iter().map(|it| &it.manifest);
    let steps = Steps::of(manifests, appups.values());
    let ruling = |name: &str| to.plugin(name).map(|it| &it.version);
    let lost = waiting.iter().filter(|(name, from)| {
        let to = ruling(name).filter(|_| !steps.has(name, from));
        to.is_some_and(|to| !steps.is_understood(name, from, to))
    });
    lost.map(|(name, from)| format!("{name} {from}")).collect()
}

#[cfg(test)]
mod tests {
    use host_model::release::PluginShape;

    use super::*;
    use crate::samples::release;

    #[test]
    fn only_what_waits_for_a_plugin_in_a_shape_that_nobody_knows_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let old = release(dir.path(), 1, "aa");
        let new = release(dir.path(), 2, "bb");
        let releases = Releases::new(vec![dir.path().to_owned()]);
        let waiting = [("p", 1), ("p", 2), ("gone", 1)];
        let waiting = waiting.map(|(name, minor)| (name.to_owned(), Version::new(0, minor, 0)));
        let lost = || not_understood(&waiting.clone().into(), &new.manifest, &releases);
        assert_eq!(lost(), Vec::<String>::new());
        std::fs::remove_dir_all(&old.dir).unwrap();
        assert_eq!(lost(), ["p 0.1.0"]);
        // Its library migrates from that, though no appup leads there.
        let mut said = new.manifest.clone();
        said.plugins[0].shape = Some(PluginShape {
            state_schema: 2,
            migrates_from: Some("~0.1".parse().unwrap()),
        });
        let text = serde_json::to_string(&said).unwrap();
        std::fs::write(new.dir.join("manifest.json"), text).unwrap();
        assert_eq!(lost(), Vec::<String>::new());
    }
}
