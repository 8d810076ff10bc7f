//! What stands in nobody's way and is worth knowing: where releases differ in what only one
//! of them gives, and what an appup says that comes to nothing.

use std::collections::BTreeSet;

use host_model::Version;
use host_model::appup::Appup;
use host_model::release::{ReleaseManifest, ReleasePlugin};

use super::short;
use crate::releases::Unpacked;

/// Other libraries that installed releases have under the numbers of these, which are taken.
pub(super) fn of_libraries(
    libraries: &[(Unpacked, ReleasePlugin)],
    installed: &[Unpacked],
) -> Vec<String> {
    let differing = |(of, taken): &(Unpacked, ReleasePlugin)| -> Vec<String> {
        let others = installed.iter().filter_map(|it| {
            let other = it.manifest.plugin(&taken.name)?;
            let differs = other.version == taken.version && other.sha256 != taken.sha256;
            differs.then_some((&it.manifest.version, other))
        });
        others
            .map(|(release, other)| {
                format!(
                    "release {release} has another library of {} {} than release {}, of which it is taken ({} and {}); a version number stands for one library for ever: give one of them a new number",
                    taken.name,
                    taken.version,
                    of.manifest.version,
                    short(&other.sha256),
                    short(&taken.sha256)
                )
            })
            .collect()
    };
    libraries.iter().flat_map(differing).collect()
}

/// Other appups that releases have for the versions that are `used`. Of two the first counts.
pub(super) fn of_appups(
    used: &BTreeSet<(&str, &Version)>,
    appups: &[(Unpacked, Appup)],
) -> Vec<String> {
    let differing = |(plugin, version): &(&str, &Version)| -> Vec<String> {
        let is_it = |it: &&(Unpacked, Appup)| it.1.plugin == *plugin && it.1.version == **version;
        let mut all = appups.iter().filter(is_it);
        let Some((of, taken)) = all.next() else {
            return Vec::new();
        };
        all.filter(|(_, other)| other != taken)
            .map(|(release, _)| {
                format!(
                    "release {} has another {plugin}-{version}.toml than release {}, of which it is taken",
                    release.manifest.version, of.manifest.version
                )
            })
            .collect()
    };
    used.iter().flat_map(differing).collect()
}

/// Plugins that appups of the newer release depend on, and neither of the two has.
pub(super) fn of_dependencies(
    from: &ReleaseManifest,
    to: &ReleaseManifest,
    appups: &[(Unpacked, Appup)],
) -> Vec<String> {
    let newer = if to.version < from.version { from } else { to };
    let unknown = |plugin: &ReleasePlugin| -> Vec<String> {
        let mut appups = appups.iter().map(|(_, appup)| appup);
        let appup = appups.find(|it| it.plugin == plugin.name && it.version == plugin.version);
        let depends_on = appup.map(|it| it.depends_on.as_slice()).unwrap_or_default();
        let is_known = |name: &str| [from, to].iter().any(|it| it.plugin(name).is_some());
        let unknown = depends_on.iter().filter(|name| !is_known(name));
        unknown
            .map(|name| {
                format!(
                    "{}-{}.toml has depends_on = [{name:?}], and neither release {} nor {} has such a plugin: nothing waits for it; is it spelled right?",
                    plugin.name, plugin.version, from.version, to.version
                )
            })
            .collect()
    };
    newer.plugins.iter().flat_map(unknown).collect()
}
