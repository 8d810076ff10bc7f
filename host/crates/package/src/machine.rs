//! Whether a release fits the machine that it lies on.

use host_model::Version;
use host_model::release::ReleaseManifest;

/// What a package is held against.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Version of the host that installs.
    pub host: Version,
    /// Target triple that it was built for.
    pub target: String,
    /// Version of the glibc that runs.
    pub libc: String,
}

impl Machine {
    /// What of a release does not fit, a sentence each.
    pub(crate) fn problems(&self, manifest: &ReleaseManifest) -> Vec<String> {
        let mut problems = misfits(manifest, &self.target, &self.libc);
        if manifest.host > self.host {
            problems.push(format!(
                "it brings host {}, and this is host {}, which is older and may not know all that is in it; install it with its own: take bin/host out of it, and say `host install FILE --home DIR` with that",
                manifest.host, self.host
            ));
        }
        problems
    }
}

/// What of a release does not fit a machine with this target triple and this version of
/// glibc, a sentence each.
#[must_use]
pub fn misfits(manifest: &ReleaseManifest, target: &str, libc: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if manifest.target != target {
        problems.push(format!(
            "it was built for {}, and this machine is {target}; build it for this target",
            manifest.target
        ));
    }
    if is_newer(&manifest.libc, libc) {
        problems.push(format!(
            "it needs glibc {}, and this machine has {libc}; build it on an older one, or bring this one up to date",
            manifest.libc
        ));
    }
    problems
}

/// Whether the version `wanted` of the C library is above the one that is `there`: part
/// by part, as numbers.
fn is_newer(wanted: &str, there: &str) -> bool {
    let parts = |text: &str| -> Vec<u32> {
        let parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        parts.collect()
    };
    parts(wanted) > parts(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_c_library_are_compared_as_numbers() {
        for (wanted, there, newer) in [
            ("2.36", "2.36", false),
            ("2.4", "2.36", false),
            ("2.37", "2.36", true),
            ("2.36.1", "2.36", true),
            ("3", "2.36", true),
        ] {
            assert_eq!(is_newer(wanted, there), newer, "{wanted} on {there}");
        }
    }
}
