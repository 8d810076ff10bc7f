//! From which versions a path leads: whether there can be one, and one path of it only.

use semver::{Comparator, Prerelease, Version, VersionReq};

/// A version before `before` that all of `wanted` match, if there can be one: where there is
/// one, one of the bounds is, or what comes right behind one.
pub(super) fn common(wanted: &[&VersionReq], before: &Version) -> Option<Version> {
    let comparators = || wanted.iter().flat_map(|it| &it.comparators);
    let lowest = [Version::new(0, 0, 0)];
    let mut bounds = comparators().flat_map(bounds).chain(lowest);
    bounds.find(|it| it < before && wanted.iter().all(|wanted| wanted.matches(it)))
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
