//! What is said where another build of a release has its number already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use host_model::release::ReleaseManifest;

use crate::MANIFEST;

/// Files that are named of those in which two builds differ, at most.
const DIFFERENCES_MAX: usize = 5;

/// What to do where code, settings or appups are others.
const RENUMBER: &str =
    "give the new one a new number, or say `host remove` first if the old one has never run";

/// What to do where none of these is.
const KEEP: &str = "all that runs is the same, so keep it, or give the new one a new number";

/// What there is to say of a release that is `there`, of the number of the `new` one and not
/// the same; and what to do.
pub(crate) fn another(there: &[u8], new: &ReleaseManifest) -> (String, &'static str) {
    let mut what = ", and is another build of the same version".to_owned();
    let Ok(there) = serde_json::from_slice::<ReleaseManifest>(there) else {
        return (what, RENUMBER);
    };
    let [old, other] = [&there, new].map(|it| it.files().collect::<BTreeMap<_, _>>());
    let files: BTreeSet<&Path> = old.keys().chain(other.keys()).copied().collect();
    let mut differ = files.into_iter().filter(|it| old.get(it) != other.get(it));
    let named: Vec<_> = (differ.by_ref().take(DIFFERENCES_MAX))
        .map(|file| file.display().to_string())
        .collect();
    let more = differ.count();
    let _ = match (named.join(", "), more) {
        // As another host, or another hand, has written it.
        (none, _) if none.is_empty() => write!(what, " (only its {MANIFEST} is another)"),
        (named, 0) => write!(what, " (what differs: {named})"),
        (named, more) => write!(what, " (what differs: {named} and {more} more)"),
    };
    let runs = |it: &ReleaseManifest| ReleaseManifest {
        documents: Vec::new(),
        ..it.clone()
    };
    match runs(&there) == runs(new) {
        true => (what, KEEP),
        false => (what, RENUMBER),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use host_model::release::ReleaseFile;

    use super::*;
    use crate::tests::manifest;

    #[test]
    fn it_is_said_what_differs_and_whether_that_runs() {
        let there = serde_json::to_vec(&manifest()).unwrap();
        let said = |new: &ReleaseManifest| another(&there, new);
        let document = |name: &str| ReleaseFile {
            file: PathBuf::from(name),
            sha256: "ab".repeat(32),
        };
        let mut new = manifest();
        new.name = "other".to_owned();
        let (what, advice) = said(&new);
        assert!(
            what.ends_with(" (only its manifest.json is another)"),
            "{what}"
        );
        assert!(advice.contains("`host remove` first"), "{advice}");
        let mut new = manifest();
        new.documents = ["licences.txt", "sbom.cdx.json"].map(document).into();
        let (what, advice) = said(&new);
        assert!(
            what.ends_with(" (what differs: licences.txt, sbom.cdx.json)"),
            "{what}"
        );
        assert!(advice.starts_with("all that runs is the same"), "{advice}");
        new.plugins[0].sha256 = "cd".repeat(32);
        new.documents = (0..7).map(|at| document(&format!("{at}.txt"))).collect();
        let (what, advice) = said(&new);
        assert!(what.ends_with("3.txt, 4.txt and 3 more)"), "{what}");
        assert!(advice.starts_with("give the new one"), "{advice}");
        let (what, _) = another(b"{", &new);
        assert!(what.ends_with("of the same version"), "{what}");
    }
}
