//! Whether what a plan needs is there, and is what it should be.
//!
//! Everything that is wrong comes in one report, and nothing has been done. Code of a
//! release (its libraries, its host) runs here in child processes only, and only where
//! its bytes are those that its manifest names and its manifest is vouched for. That is
//! asked of every release that the plan takes something of: the one that it leads to as a
//! whole, others for the libraries and appups on the way.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host_journal::RESERVED;
use host_loader::Digest;
use host_model::Version;
use host_model::appup::Appup;
use host_model::control::ConfigChange;
use host_model::error::chain;
use host_model::manifest::PluginManifest;
use host_model::plan::{Change, Plan, PluginPlan, StateChange};
use host_model::release::{ReleaseManifest, ReleasePlugin};
use host_package::misfits;

use crate::assemble::{Assembler, ends, versions_on_the_way};
use crate::book::Booked;
use crate::configure::without_secrets;
use crate::digests::Digests;
use crate::engine::Upgrader;
use crate::releases::{ReleasesError, Unpacked};

mod actors;
mod notes;
mod shapes;
mod space;

use shapes::Manifests;
use space::Need;

/// Files beside a manifest that belong to the configuration.
const CONFIGURATION: [&str; 2] = ["host.toml", "env"];

/// What a release is held against.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What runs on it, which packages are held against as well.
    pub runs: host_package::Machine,
    /// Where plugins are copied to.
    pub images: PathBuf,
    /// Where the store lies, if it is on this machine's disk.
    pub store: Option<PathBuf>,
}

/// What verification says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Everything that stands in the way, a sentence each.
    pub problems: Vec<String>,
    /// What does not, and is worth knowing.
    pub notes: Vec<String>,
    /// What the release changes in the configuration.
    pub config: Vec<ConfigChange>,
}

impl Upgrader {
    /// As [`Upgrader::verify`], beside the runtime: what changes in the configuration. A
    /// `rollback` sets aside who cannot come.
    ///
    /// # Errors
    ///
    /// All that is wrong, in one text.
    pub(crate) async fn verified(
        self: &Arc<Self>,
        plan: &Plan,
        rollback: bool,
    ) -> Result<Vec<ConfigChange>, String> {
        let (upgrader, plan) = (Arc::clone(self), plan.clone());
        let version = plan.to.clone();
        let looked = tokio::task::spawn_blocking(move || upgrader.verify_as(&plan, rollback)).await;
        let looked = looked.map_err(|error| error.to_string())?;
        let Verified {
            problems,
            notes,
            config,
        } = looked.map_err(|error| error.to_string())?;
        for note in notes {
            tracing::warn!(release = %version, note, "of a release that an upgrade leads to");
        }
        match problems.is_empty() {
            true => Ok(config),
            false => {
                let problems = problems.join("\n  - ");
                Err(format!(
                    "release {version} cannot run here:\n  - {problems}"
                ))
            }
        }
    }

    /// Holds the release that `plan` leads to against this machine and this home. To an older
    /// one `host rollback` would take it. Blocking.
    ///
    /// # Errors
    ///
    /// The release cannot be read at all.
    pub fn verify(&self, plan: &Plan) -> Result<Verified, ReleasesError> {
        self.verify_as(plan, plan.to < plan.from)
    }

    fn verify_as(&self, plan: &Plan, rollback: bool) -> Result<Verified, ReleasesError> {
        let releases = self.assembler.releases();
        let keys = releases.trusted_keys();
        let release = releases.read(&plan.to)?;
        let booked = self.booked.lock().clone();
        let mut problems = of_manifest(&release.manifest, &booked, &self.machine.runs);
        let unsigned = keys.problem(&release.dir);
        let trusted = unsigned.is_none();
        problems.extend(unsigned);
        let installed = self.assembler.usable(&ends(plan));
        let libraries = self.assembler.libraries(plan, &release, &installed);
        let digests = &self.assembler.digests;
        let mut broken = of_files(&release, !keys.is_empty(), digests);
        let appups = releases.appups_with_their_releases(&ends(plan));
        broken.extend(of_the_way(
            &libraries,
            &used_of(plan, &appups),
            &release,
            digests,
        ));
        let is_whole = |file: &Path| !broken.iter().any(|(of, _)| of == file);
        let whole = |file: &Path| trusted && is_whole(&release.dir.join(file));

        // From here on its code runs, in children: its plugins with what it has read.
        let program = Path::new("bin/host");
        let configuration_is_whole = CONFIGURATION.iter().all(|file| whole(Path::new(file)));
        let config = if whole(program) && configuration_is_whole {
            (self.hooks.configuration)(&release)
        } else {
            Ok(Vec::new())
        };
        let mut inspected = BTreeSet::new();
        let mut image_bytes = 0;
        let mut manifests = Manifests::new();
        let mut found = Vec::new();
        for (of, plugin) in &libraries {
            let may_run = match of.dir == release.dir {
                true => whole(&plugin.file),
                // Somebody vouches for it, or it has run here before.
                false => is_whole(&of.dir.join(&plugin.file)),
            };
            if !may_run || !inspected.insert(&plugin.sha256) {
                continue;
            }
            let will_rule = of.dir == release.dir;
            match self.assembler.inspect(of, plugin, will_rule) {
                Ok((manifest, bytes)) => {
                    image_bytes += bytes;
                    let number = (plugin.name.clone(), plugin.version.clone());
                    manifests.insert(number, manifest);
                }
                Err(problem) => found.push(problem),
            }
        }
        // Where carries lead states beside the way, those versions have run and are open.
        for plugin in self.assembler.loader().resident() {
            let number = (plugin.name().to_owned(), plugin.version().clone());
            let manifest = || plugin.manifest().clone();
            manifests.entry(number).or_insert_with(manifest);
        }
        problems.extend(broken.drain(..).map(|(_, problem)| problem));
        problems.extend(found);
        problems.extend(shapes::problems(plan, &appups, &manifests));
        problems.extend(self.missing(plan, &release, &installed));
        problems.extend(self.room(plan, image_bytes));
        let config = config.unwrap_or_else(|faults| {
            problems.extend(faults);
            Vec::new()
        });
        let mut notes = notes::of_libraries(&libraries, &installed);
        notes.extend(notes::of_appups(&used(plan), &appups));
        match self.asleep(plan) {
            Ok(asleep) => notes.extend(asleep),
            Err(error) => problems.push(chain(&error)),
        }
        // A start judges for itself.
        if !rollback && !plan.at_start {
            match self.stranded(plan) {
                Ok(stranded) => problems.extend(stranded),
                Err(error) => problems.push(chain(&error)),
            }
        }
        let from = releases.read(&plan.from)?.manifest;
        notes.extend(notes::of_dependencies(&from, &release.manifest, &appups));
        Ok(Verified {
            problems,
            notes,
            config,
        })
    }

    /// Versions on the way that no release here has, or none of which anything may be used.
    fn missing(&self, plan: &Plan, release: &Unpacked, installed: &[Unpacked]) -> Vec<String> {
        let here = || installed.iter().chain([release]);
        let mut missing = versions_on_the_way(plan);
        missing.retain(|(plugin, version)| !here().any(|it| has(it, plugin, version)));
        if missing.is_empty() {
            return Vec::new();
        }
        let releases = self.assembler.releases();
        let others = releases.readable();
        let why = |(plugin, version): (&str, &Version)| {
            let mut others = others.iter().filter(|it| has(it, plugin, version));
            let way = format!("its way leads over {plugin} {version}");
            match others.find_map(|it| releases.trusted_keys().problem(&it.dir)) {
                Some(unsigned) => format!("{way}, whose release nobody vouches for: {unsigned}"),
                None => format!("{way}, which no release here has; install one that has it"),
            }
        };
        missing.into_iter().map(why).collect()
    }

    /// What there is no room for.
    fn room(&self, plan: &Plan, image_bytes: u64) -> Vec<String> {
        let mut needs = vec![Need {
            what: "copies of its plugins",
            dir: self.machine.images.clone(),
            bytes: image_bytes,
        }];
        if let Some(store) = &self.machine.store
            && plan.plugins.iter().any(writes_states)
        {
            match self.actors.journal().snapshot_bytes() {
                Ok(bytes) => needs.push(Need {
                    what: "the states that it writes anew",
                    dir: store.clone(),
                    bytes: bytes.unwrap_or(0),
                }),
                Err(error) => return vec![chain(&error)],
            }
        }
        space::problems(&needs, space::disk)
    }
}

/// Whether states of a plugin are written anew: where only the code changes, none is.
fn writes_states(row: &PluginPlan) -> bool {
    match &row.change {
        Change::Move { hops, carried, .. } => {
            let carried = carried.iter().filter_map(|way| way.hops.as_ref()).flatten();
            let mut hops = hops.iter().chain(carried);
            hops.any(|hop| hop.state != StateChange::Same)
        }
        Change::Keep { .. } | Change::Add { .. } | Change::Remove { .. } => false,
    }
}

impl Assembler {
    /// The libraries of the release, and those on the way to it.
    fn libraries(
        &self,
        plan: &Plan,
        release: &Unpacked,
        installed: &[Unpacked],
    ) -> Vec<(Unpacked, ReleasePlugin)> {
        let own = release.manifest.plugins.iter();
        let own = own.map(|plugin| (release.clone(), plugin.clone()));
        let way = versions_on_the_way(plan).into_iter();
        let way = way.filter(|(plugin, version)| !has(release, plugin, version));
        let way = way.filter_map(|(plugin, version)| {
            let (of, found) = self.library(plugin, version, installed)?;
            Some((of.clone(), found.clone()))
        });
        own.chain(way).collect()
    }

    /// Opens a library in a child, if this process has not opened it already, or it will rule
    /// and is to look there at what it will work with. How many bytes its copy will take, or what
    /// is wrong with it.
    fn inspect(
        &self,
        release: &Unpacked,
        plugin: &ReleasePlugin,
        will_rule: bool,
    ) -> Result<(PluginManifest, u64), String> {
        // What is wrong with it by its declaration, the release's own program says.
        let config = self.config_of(release, plugin).and_then(Result::ok);
        let config = config.filter(|_| will_rule);
        let opened = self.opened(&plugin.sha256);
        if let (Some(code), None) = (&opened, &config) {
            return Ok((code.plugin().manifest().clone(), 0));
        }
        let path = release.dir.join(&plugin.file);
        let digest: Result<Digest, _> = plugin.sha256.parse();
        let digest = digest.map_err(|e| format!("{}: {e}", path.display()))?;
        let manifest = (self.loader()).inspect(&path, Some(digest), config.as_deref());
        let manifest = manifest.map_err(|error| {
            let config = config.as_deref().unwrap_or_default();
            without_secrets(chain(&error), plugin, config)
        })?;
        if manifest.name != plugin.name || manifest.version != plugin.version {
            return Err(format!(
                "{} is {} {}, and the manifest of its release says {} {}; build the release again",
                path.display(),
                manifest.name,
                manifest.version,
                plugin.name,
                plugin.version
            ));
        }
        if let Some(what) = shapes::misstated(plugin, &manifest) {
            return Err(format!(
                "{} has {what} than the manifest of its release says; build the release again",
                path.display()
            ));
        }
        let bytes = match opened {
            Some(_) => 0,
            None => fs::metadata(&path).map_or(0, |file| file.len()),
        };
        Ok((manifest, bytes))
    }
}

/// The versions whose appups the plan has taken, also for the ways of those with carries.
fn used(plan: &Plan) -> BTreeSet<(&str, &Version)> {
    let steps = shapes::steps(plan).into_iter();
    let mut used: BTreeSet<(&str, &Version)> =
        steps.map(|(plugin, _, newer)| (plugin, newer)).collect();
    for plugin in &plan.plugins {
        if let Change::Keep { version } | Change::Add { version } | Change::Remove { version } =
            &plugin.change
        {
            used.insert((&plugin.plugin, version));
        }
    }
    used
}

/// The releases of which the plan has taken appups, of these; the first that has one counts.
pub(crate) fn used_of(plan: &Plan, appups: &[(Unpacked, Appup)]) -> Vec<Unpacked> {
    let mut used = used(plan);
    let mut releases: Vec<Unpacked> = Vec::new();
    for (release, appup) in appups {
        if used.remove(&(appup.plugin.as_str(), &appup.version)) && !releases.contains(release) {
            releases.push(release.clone());
        }
    }
    releases
}

fn has(release: &Unpacked, plugin: &str, version: &Version) -> bool {
    let found = release.manifest.plugin(plugin);
    found.is_some_and(|it| it.version == *version)
}

/// What a manifest says that does not fit the machine, or what this home has known
/// under the same version numbers before.
fn of_manifest(
    manifest: &ReleaseManifest,
    booked: &Booked,
    machine: &host_package::Machine,
) -> Vec<String> {
    let mut problems = misfits(manifest, &machine.target, &machine.libc);
    if manifest.host != machine.host {
        problems.push(format!(
            "it brings host {}, and host {} runs; say `host stop`, write {} into releases/own of the home, or start an image of it on its data, and say `host start`",
            manifest.host, machine.host, manifest.version
        ));
    }
    for plugin in &manifest.plugins {
        if plugin.name == RESERVED {
            problems.push(format!(
                "its plugin {RESERVED} has a name that is kept for the host's own records; call it otherwise"
            ));
        }
        let known = booked.digest(&plugin.name, &plugin.version);
        if let Some(known) = known
            && known != plugin.sha256
        {
            problems.push(format!(
                "{} {} is another library here than it was before ({} and {}); a version number stands for one library for ever: give the new one a new number",
                plugin.name,
                plugin.version,
                short(&plugin.sha256),
                short(known)
            ));
        }
    }
    problems
}

/// What is wrong with what a plan takes of other releases than the one that it leads to,
/// each with its path: these libraries, and all appups of a release that one is taken of.
fn of_the_way(
    libraries: &[(Unpacked, ReleasePlugin)],
    appups_of: &[Unpacked],
    release: &Unpacked,
    digests: &Digests,
) -> Vec<(PathBuf, String)> {
    let libraries = libraries
        .iter()
        .map(|(of, plugin)| (of, &plugin.file, &plugin.sha256));
    let appups = appups_of.iter().flat_map(|of| {
        let scripts = of.manifest.upgrade_scripts.iter();
        scripts.map(move |script| (of, &script.file, &script.sha256))
    });
    let others = libraries
        .chain(appups)
        .filter(|(of, ..)| of.dir != release.dir);
    let mut problems: Vec<(PathBuf, String)> = others
        .filter_map(|(of, file, sha256)| of_file(of.dir.join(file), sha256, digests))
        .collect();
    problems.sort();
    problems.dedup();
    problems
}

/// What is wrong with the files that a manifest names, each with its path. What it does
/// not name and is read all the same is wrong where somebody has to vouch for it.
fn of_files(release: &Unpacked, vouched_for: bool, digests: &Digests) -> Vec<(PathBuf, String)> {
    let manifest = &release.manifest;
    let files: Vec<(&Path, &str)> = manifest.files().collect();
    let mut problems = Vec::new();
    for name in CONFIGURATION {
        let is_named = files.iter().any(|(file, _)| *file == Path::new(name));
        let path = release.dir.join(name);
        if vouched_for && !is_named && path.exists() {
            let problem = format!(
                "{} is not in the manifest, so nobody vouches for it; remove it, or set what it says in etc/host.toml",
                path.display()
            );
            problems.push((path, problem));
        }
    }
    let named = files.into_iter();
    problems.extend(
        named.filter_map(|(file, wanted)| of_file(release.dir.join(file), wanted, digests)),
    );
    problems
}

/// What is wrong with a file whose digest should be `wanted`, with its path.
fn of_file(path: PathBuf, wanted: &str, digests: &Digests) -> Option<(PathBuf, String)> {
    let problem = match digests.of(&path) {
        Err(error) => format!("{}: {error}", path.display()),
        Ok(found) => {
            let found = found.to_string();
            if found == wanted {
                return None;
            }
            format!(
                "{} has the digest {}, and the manifest says {}; install the release again",
                path.display(),
                short(&found),
                short(wanted)
            )
        }
    };
    Some((path, problem))
}

/// Enough of a digest to tell two apart by eye.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

#[cfg(test)]
mod tests;
