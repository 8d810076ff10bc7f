//! From which versions a path leads, and whether there can be one.

use semver::{Comparator, Prerelease, Version, VersionReq};

/// A version before `before` that `wanted` matches and none of `taken` does, if there can be
/// one: then one of the bounds is, or what comes right behind one.
pub(super) fn first(
    wanted: &VersionReq,
    taken: &[&VersionReq],
    before: &Version,
) -> Option<Version> {
    let all = || std::iter::once(&wanted).chain(taken);
    let bounds = all().flat_map(|it| &it.comparators).flat_map(bounds);
    let mut bounds = bounds.chain([Version::new(0, 0, 0)]);
    bounds.find(|it| {
        it < before && wanted.matches(it) && !taken.iter().any(|taken| taken.matches(it))
    })
}

fn bounds(of: &Comparator) -> Vec<Version> {
    let (major, minor, patch) = (of.major, of.minor.unwrap_or(0), of.patch.unwrap_or(0));
    let first = Version::new(major, minor, patch);
    let mut bounds = vec![
        Version {
            pre: of.pre.clone(),
            ..first.clone()
        },
        Version::new(major, minor, patch.saturating_add(1)),
        Version::new(major, minor.saturating_add(1), 0),
        Version::new(major.saturating_add(1), 0, 0),
    ];
    if !of.pre.is_empty() {
        // The first of all that come before the version of these numbers.
        if let Ok(pre) = Prerelease::new("0") {
            bounds.push(Version {
                pre,
                ..first.clone()
            });
        }
        // `rc.1.0` comes right behind `rc.1`.
        if let Ok(pre) = Prerelease::new(&format!("{}.0", of.pre)) {
            let behind = Version {
                pre,
                ..first.clone()
            };
            bounds.push(behind);
        }
        bounds.push(first);
    }
    bounds
}
