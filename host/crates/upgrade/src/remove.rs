//! Whether a release may go from a home, and what of it is needed.

use host_journal::{Archive, Named, ReadError, Versions};
use host_model::Version;
use host_model::release::{ReleaseManifest, ReleasePlugin};
use host_package::InstallError;
use thiserror::Error;

use crate::book::{BookError, Booked};
use crate::engine::Upgrader;
use crate::releases::{Releases, ReleasesError};

/// A release that is not removed. It is there as before.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// Something needs it.
    #[error("release {version} is needed:\n  - {}", needs.join("\n  - "))]
    Needed {
        /// The release.
        version: Version,
        /// By what, a sentence each.
        needs: Vec<String>,
    },
    /// An upgrade goes on that may need it.
    #[error("remove release {version}: {why}")]
    Busy {
        /// The release.
        version: Version,
        /// Which upgrade.
        why: String,
    },
    /// It is not there.
    #[error(transparent)]
    Releases(#[from] ReleasesError),
    /// The store cannot be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What the store knows of releases cannot be read.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Its folder cannot be removed.
    #[error("remove release {version}")]
    Folder {
        /// The release.
        version: Version,
        /// Why not.
        source: InstallError,
    },
}

impl RemoveError {
    /// One snake-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Needed { .. } => "needed",
            Self::Busy { .. } => "busy",
            Self::Releases(ReleasesError::NotFound { .. }) => "not_installed",
            Self::Releases(_) => "broken_release",
            Self::Read(_) | Self::Book(_) => "store",
            Self::Folder { source, .. } => source.reason(),
        }
    }
}

/// What is known of a home whose release is to go.
struct Asked<'a> {
    version: &'a Version,
    /// The release that rules, where a host runs.
    current: Option<&'a Version>,
    booked: &'a Booked,
    /// None: there is no store yet.
    named: Option<&'a Named>,
    /// All that can be read.
    installed: &'a [ReleaseManifest],
    /// Whether ways back are given up.
    no_way_back: bool,
}

impl Upgrader {
    /// Removes the release `version`, unless it is needed. Blocking; it reads the store.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub fn remove(&self, version: &Version, no_way_back: bool) -> Result<(), RemoveError> {
        let named = self.actors.journal().named()?;
        // Held, so that no upgrade begins meanwhile that needs it.
        let begun = self.lock_running();
        if let Some(other) = begun.as_ref().filter(|it| !it.is_over()) {
            return Err(RemoveError::Busy {
                version: version.clone(),
                why: other.busy().to_string(),
            });
        }
        let booked = self.booked.lock().clone();
        let current = self.actors.release().version.clone();
        let releases = self.assembler.releases();
        let removed = releases.remove(&Asked {
            version,
            current: Some(&current),
            booked: &booked,
            named: Some(&named),
            installed: &releases.manifests(),
            no_way_back,
        });
        drop(begun);
        removed
    }
}

impl Releases {
    /// Removes the release `version` of a home in which no host runs, unless it is needed:
    /// by what the store says, or where there is none yet, by what `permanent` says.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub fn remove_offline(
        &self,
        version: &Version,
        store: Option<&Archive>,
        permanent: Option<Version>,
        no_way_back: bool,
    ) -> Result<(), RemoveError> {
        let mut booked = match store {
            Some(store) => Booked::read_archive(store)?,
            None => Booked::default(),
        };
        booked.permanent = booked.permanent.or(permanent);
        let named = store.map(Archive::named).transpose()?;
        self.remove(&Asked {
            version,
            current: None,
            booked: &booked,
            named: named.as_ref(),
            installed: &self.manifests(),
            no_way_back,
        })
    }

    fn manifests(&self) -> Vec<ReleaseManifest> {
        let all = self.readable().into_iter();
        all.map(|release| release.manifest).collect()
    }

    fn remove(&self, asked: &Asked<'_>) -> Result<(), RemoveError> {
        let version = asked.version.clone();
        let dir = self.find(&version)?;
        let needs = needs(asked);
        if !needs.is_empty() {
            return Err(RemoveError::Needed { version, needs });
        }
        host_package::remove(&dir).map_err(|source| RemoveError::Folder { version, source })
    }
}

/// What a release is needed for, a sentence each.
fn needs(asked: &Asked<'_>) -> Vec<String> {
    let Asked {
        version, booked, ..
    } = asked;
    let mut needs = Vec::new();
    if asked.current == Some(version) {
        needs.push("it runs; upgrade to another one first".to_owned());
    }
    if booked.permanent.as_ref() == Some(version) {
        needs.push("it is permanent: a restart boots it".to_owned());
    }
    let last = booked.last.as_ref().filter(|last| !last.state.is_over());
    if let Some(last) = last.filter(|last| [&last.plan.from, &last.plan.to].contains(version)) {
        needs.push(format!(
            "an upgrade from {} to {} is under way ({}); let it end first",
            last.plan.from,
            last.plan.to,
            last.state.name()
        ));
    }
    let permanent = booked.permanent.as_ref();
    let back = permanent.and_then(|it| booked.before.get(it));
    if back == Some(version) && !asked.no_way_back {
        needs
            .push("`host rollback` leads back to it; say --no-way-back to give that up".to_owned());
    }
    let Some(named) = asked.named else {
        return needs;
    };
    let mut installed = asked.installed.iter();
    let own = installed.find(|it| it.version == **version);
    for plugin in own.map(|it| it.plugins.as_slice()).unwrap_or_default() {
        let of =
            |versions: &Versions| versions.contains(&(plugin.name.clone(), plugin.version.clone()));
        if is_elsewhere(plugin, asked) {
            continue;
        }
        let (name, number) = (&plugin.name, &plugin.version);
        let mut say = |what: &str| {
            needs.push(format!(
                "{what} {name} {number}, and no other release here has that library"
            ));
        };
        if of(&named.needed) {
            say("the store has states or records of");
        }
        if of(&named.carried) {
            say("carries in the store wait for");
        }
        if of(&named.kept) && !of(&named.needed) && !asked.no_way_back {
            say("(--no-way-back gives that up) a way back begins at snapshots of");
        }
    }
    needs
}

/// Whether another release has the same library.
fn is_elsewhere(plugin: &ReleasePlugin, asked: &Asked<'_>) -> bool {
    let others = asked.installed.iter();
    let mut others = others.filter(|it| it.version != *asked.version);
    others.any(|other| {
        let same = other.plugin(&plugin.name);
        same.is_some_and(|it| it.version == plugin.version && it.sha256 == plugin.sha256)
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use host_model::release::Start;

    use super::*;

    fn release(minor: u64, plugin: u64) -> ReleaseManifest {
        ReleaseManifest {
            name: "test".to_owned(),
            version: Version::new(0, minor, 0),
            host: Version::new(0, 1, 0),
            host_sha256: String::new(),
            target: String::new(),
            libc: String::new(),
            plugins: vec![ReleasePlugin {
                name: "p".to_owned(),
                version: Version::new(0, plugin, 0),
                file: PathBuf::from("plugins/p.so"),
                sha256: format!("{plugin:064x}"),
                start: Start::Permanent,
            }],
            upgrade_scripts: Vec::new(),
            config: Vec::new(),
            documents: Vec::new(),
        }
    }

    #[test]
    fn what_a_release_is_needed_for() {
        let v = |minor| Version::new(0, minor, 0);
        let names = |minor| Versions::from([("p".to_owned(), v(minor))]);
        let booked = Booked {
            permanent: Some(v(3)),
            before: [(v(3), v(2))].into(),
            ..Booked::default()
        };
        let named = Named {
            needed: names(3),
            carried: names(4),
            kept: names(2),
        };
        // 0.6.0 has the library of 0.4.0, too, but for the last case.
        let all: Vec<_> = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 4)]
            .map(|(minor, plugin)| release(minor, plugin))
            .into();
        let ask = |minor, no_way_back, installed: &[ReleaseManifest]| {
            needs(&Asked {
                version: &v(minor),
                current: Some(&v(5)),
                booked: &booked,
                named: Some(&named),
                installed,
                no_way_back,
            })
            .join("; ")
        };
        assert_eq!(ask(1, false, &all), "");
        let back = ask(2, false, &all);
        assert!(back.contains("`host rollback` leads back"), "{back}");
        assert!(back.contains("snapshots of p 0.2.0"), "{back}");
        assert_eq!(ask(2, true, &all), "");
        let permanent = ask(3, true, &all);
        assert!(permanent.contains("it is permanent"), "{permanent}");
        assert!(
            permanent.contains("states or records of p 0.3.0"),
            "{permanent}"
        );
        assert_eq!(ask(4, false, &all), "", "0.6.0 has it");
        let carried = ask(4, true, &all[..5]);
        assert!(
            carried.contains("carries in the store wait for p 0.4.0"),
            "{carried}"
        );
        assert!(ask(5, true, &all).contains("it runs"));
    }
}
