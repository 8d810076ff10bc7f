//! Whether a release may go from a home, and what of it is needed: its libraries, and its
//! appups and libraries as steps of ways.

use std::collections::BTreeMap;

use host_journal::{Archive, Named, ReadError, Versions};
use host_model::Version;
use host_model::appup::Appup;
use host_model::control::RemoveRequest;
use host_model::release::{ReleaseManifest, ReleasePlugin};
use host_package::InstallError;
use thiserror::Error;

use crate::book::{BookError, Booked};
use crate::engine::Upgrader;
use crate::installed::Steps;
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
            Self::Releases(ReleasesError::Package(error)) => error.reason(),
            Self::Releases(_) => "broken_release",
            Self::Read(_) | Self::Book(_) => "store",
            Self::Folder { source, .. } => source.reason(),
        }
    }
}

/// What is known of a home whose release is to go.
struct Asked<'a> {
    request: &'a RemoveRequest,
    /// The release that rules, where a host runs.
    current: Option<&'a Version>,
    booked: &'a Booked,
    /// None: there is no store yet.
    named: Option<&'a Named>,
    /// All that can be read.
    installed: &'a [ReleaseManifest],
    /// All that may be used, each with the release that it is of; of two that are the same
    /// the first counts.
    appups: &'a [(Version, Appup)],
}

impl Upgrader {
    /// Removes a release, unless it is needed. Blocking; it reads the store.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub fn remove(&self, request: &RemoveRequest) -> Result<(), RemoveError> {
        loop {
            let last = self.booked.lock().last.clone();
            // Of a large store this takes long, and whoever asks how the host is takes the
            // same lock.
            let named = self.actors.journal().named()?;
            // Held, so that no upgrade begins meanwhile that needs it.
            let begun = self.lock_running();
            if let Some(other) = begun.as_ref().filter(|it| !it.is_over()) {
                return Err(RemoveError::Busy {
                    version: request.version.clone(),
                    why: other.busy().to_string(),
                });
            }
            let booked = self.booked.lock().clone();
            if booked.last != last {
                // One has come and gone since the store was read, and has left other states.
                continue;
            }
            let current = self.actors.release().version.clone();
            let releases = self.assembler.releases();
            return releases.remove(&Asked {
                request,
                current: Some(&current),
                booked: &booked,
                named: Some(&named),
                installed: &releases.manifests(),
                appups: &releases.appups_by_release(Some(&current)),
            });
        }
    }
}

impl Releases {
    /// Removes a release of a home in which no host runs, unless it is needed:
    /// by what the store says, or where there is none yet, by what `permanent` says.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub fn remove_offline(
        &self,
        request: &RemoveRequest,
        store: Option<&Archive>,
        permanent: Option<Version>,
    ) -> Result<(), RemoveError> {
        let mut booked = match store {
            Some(store) => Booked::read_archive(store)?,
            None => Booked::default(),
        };
        booked.permanent = booked.permanent.or(permanent);
        let named = store.map(Archive::named).transpose()?;
        self.remove(&Asked {
            request,
            current: None,
            booked: &booked,
            named: named.as_ref(),
            installed: &self.manifests(),
            appups: &self.appups_by_release(booked.permanent.as_ref()),
        })
    }

    fn manifests(&self) -> Vec<ReleaseManifest> {
        let all = self.readable().into_iter();
        all.map(|release| release.manifest).collect()
    }

    /// As they are taken while the release `ruling` rules.
    fn appups_by_release(&self, ruling: Option<&Version>) -> Vec<(Version, Appup)> {
        let first: Vec<&Version> = ruling.into_iter().collect();
        let all = self.appups_with_their_releases(&first).into_iter();
        all.map(|(release, appup)| (release.manifest.version, appup))
            .collect()
    }

    fn remove(&self, asked: &Asked<'_>) -> Result<(), RemoveError> {
        let version = asked.request.version.clone();
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
        request, booked, ..
    } = asked;
    let version = &request.version;
    let mut needs = Vec::new();
    if asked.current == Some(version) {
        needs.push("it runs; upgrade to another one first".to_owned());
    }
    if booked.permanent.as_ref() == Some(version) {
        needs.push("it is permanent: a restart boots it".to_owned());
    }
    let last = booked.last.as_ref().filter(|last| !last.state.is_over());
    if let Some(last) = last.filter(|last| [&last.plan.from, &last.plan.to].contains(&version)) {
        needs.push(format!(
            "an upgrade from {} to {} is under way ({}); let it end first",
            last.plan.from,
            last.plan.to,
            last.state.name()
        ));
    }
    let permanent = booked.permanent.as_ref();
    let back = permanent.and_then(|it| booked.before.get(it));
    if back == Some(version) && !request.no_way_back {
        needs
            .push("`host rollback` leads back to it; say --no-way-back to give that up".to_owned());
    }
    let Some(named) = asked.named else {
        return needs;
    };
    let mut installed = asked.installed.iter();
    let own = installed.find(|it| it.version == *version);
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
        if of(&named.kept) && !of(&named.needed) && !request.no_way_back {
            say("(--no-way-back gives that up) a way back begins at snapshots of");
        }
        if of(&named.recorded) && !of(&named.needed) && !request.no_replay {
            say("(--no-replay gives that up) `store check --replay` comes by records of");
        }
    }
    needs.extend(needed_on_the_way(asked, named, back));
    needs
}

/// Whose ways to the release that rules, or once a host runs will, lead over this one only;
/// and the way back to `back`, if that does.
fn needed_on_the_way(asked: &Asked<'_>, named: &Named, back: Option<&Version>) -> Vec<String> {
    let mut needs = Vec::new();
    let release = |version: &Version| asked.installed.iter().find(|it| it.version == *version);
    let ruling = asked.current.or(asked.booked.permanent.as_ref());
    let Some(ruling) = ruling.and_then(release) else {
        return needs;
    };
    let (with, without) = (steps(asked, true), steps(asked, false));
    let only_over_it = |plugin: &str, from: (&Version, &[Version]), to: &Version| {
        with.lead(plugin, from, to) && !without.lead(plugin, from, to)
    };
    let mut stranded: BTreeMap<(&str, &Version), u64> = BTreeMap::new();
    for (place, actors) in &named.standing {
        let (plugin, from) = (place.plugin.as_str(), &place.version);
        // Who is there already needs no way, but its carries may.
        if let Some(to) = ruling.plugin(plugin)
            && (*from != to.version || !place.carried.is_empty())
            && only_over_it(plugin, (from, &place.carried), &to.version)
        {
            *stranded.entry((plugin, from)).or_default() += actors;
        }
    }
    for ((plugin, from), actors) in stranded {
        let to = ruling.plugin(plugin).map(|it| &it.version);
        let who = match actors {
            1 => format!("1 actor of {plugin} has {from} and comes"),
            n => format!("{n} actors of {plugin} have {from} and come"),
        };
        needs.push(format!(
            "{who} over to {} by way of it only: send each of them a message first, and see `host quarantine list` for those that take none",
            to.unwrap_or(&ruling.version)
        ));
    }
    for (shapes, what, until) in [
        (
            &named.waiting,
            "timers or casts that wait",
            "they are gone once they have come due, or were cancelled",
        ),
        (
            &named.letters,
            "dead letters",
            "retry them first, or drop them: see `host dead-letters list`",
        ),
    ] {
        for (plugin, from) in shapes {
            if let Some(to) = ruling.plugin(plugin).map(|it| &it.version)
                && with.is_understood(plugin, from, to)
                && !without.is_understood(plugin, from, to)
            {
                needs.push(format!(
                    "{what} for {plugin} are in the shape of {from}, and {to} understands it by way of it only: {until}"
                ));
            }
        }
    }
    let Some(back) = back.filter(|it| **it != asked.request.version && !asked.request.no_way_back)
    else {
        return needs;
    };
    for to in release(back).into_iter().flat_map(|it| &it.plugins) {
        let name = &to.name;
        if let Some(from) = ruling.plugin(name)
            && only_over_it(name, (&from.version, &[]), &to.version)
        {
            needs.push(format!(
                "`host rollback` leads {name} from {} to {} by way of it only; say --no-way-back to give that up",
                from.version, to.version
            ));
        }
    }
    needs
}

/// What there is now, or without the release that is to go.
fn steps<'a>(asked: &Asked<'a>, with_it: bool) -> Steps<'a> {
    let stays = |release: &Version| with_it || *release != asked.request.version;
    let installed = asked.installed.iter().filter(|it| stays(&it.version));
    let appups = asked.appups.iter().filter(|(release, _)| stays(release));
    Steps::of(installed, appups.map(|(_, appup)| appup))
}

/// Whether another release has the same library.
fn is_elsewhere(plugin: &ReleasePlugin, asked: &Asked<'_>) -> bool {
    let others = asked.installed.iter();
    let mut others = others.filter(|it| it.version != asked.request.version);
    others.any(|other| {
        let same = other.plugin(&plugin.name);
        same.is_some_and(|it| it.version == plugin.version && it.sha256 == plugin.sha256)
    })
}

#[cfg(test)]
mod tests;
